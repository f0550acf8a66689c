# SPDX-License-Identifier: Apache-2.0
"""What pyscripts says of scripts that are not there."""

from cloudkitty.i18n import _
from cloudkitty.rating.errors import NotFound


def no_such_script(script_id: str) -> NotFound:
    return NotFound(_("No such script: None (UUID: {script_id})"), script_id=script_id)
