# SPDX-License-Identifier: Apache-2.0
"""Arguments of a body that are one text or several."""

from typing import Any

from cloudkitty.api.v2.arguments import text


def several(value: Any) -> list[str]:
    """Read a list of texts, or one text with commas between them; each once, in their order.

    :raises ValueError: it is neither, or empty.
    """
    words = value if isinstance(value, list) else str(text(1, 2**16)(value)).split(",")
    read = text(1)
    found = list(dict.fromkeys(read(word) for word in words))
    if not found:
        raise ValueError("is empty")
    return found
