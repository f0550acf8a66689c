# SPDX-License-Identifier: Apache-2.0
"""Rating modules and collectors as others write them, in a distribution of their own.

``install`` makes the distribution, with real entry points, in a directory that a test puts on the
path.
"""

import pathlib

ENTRY_POINTS = """\
[cloudkitty.rating.processors]
discount = cloudkitty.tests.guests.discount:Discount
minimum = cloudkitty.tests.guests.minimum:Minimum
surcharge = cloudkitty.tests.guests.surcharge:Surcharge

[cloudkitty.collector.backends]
meters = cloudkitty.tests.guests.meters:Meters
unable = cloudkitty.tests.guests.meters:Unable
broken = cloudkitty.tests.guests.nowhere:Nothing

[oslo.policy.policies]
cloudkitty.surcharge = cloudkitty.tests.guests.surcharge:list_rules
"""


def install(directory: pathlib.Path, entry_points: str = ENTRY_POINTS) -> None:
    """Make *directory* one that has the distribution, as if it had been installed there."""
    metadata = directory / "guests-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: guests\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)
