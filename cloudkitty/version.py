# SPDX-License-Identifier: Apache-2.0
"""The version of the installed package."""

from pbr.version import VersionInfo


def version_string() -> str:
    """Return the version, such as ``1.0.0``."""
    return str(VersionInfo("cloudkitty").version_string())
