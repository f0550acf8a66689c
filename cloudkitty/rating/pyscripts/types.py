# SPDX-License-Identifier: Apache-2.0
"""Scripts as JSON; member names and limits are the ones that clients know.

Invariant: what a client may send and we set by ourselves (id, audit) is accepted and ignored; a
checksum is not accepted.
"""

from wsme.types import wsattr

from cloudkitty.rating.pyscripts.records import SOURCE_LENGTH
from cloudkitty.rating.types import DatedRule, Name
from cloudkitty.rest import types
from cloudkitty.rest.objects import mandatory, withheld

Source = types.TextType(max_length=SOURCE_LENGTH)


class Script(DatedRule):
    """A program that sets prices."""

    script_id = types.Uuid
    name = mandatory(Name)
    data = withheld(Source)
    checksum = wsattr(types.Text, readonly=True)


class ScriptWithSource(Script):
    """A program that sets prices, with its source."""

    data = mandatory(Source)


class Scripts(types.Form):
    scripts = [Script]
