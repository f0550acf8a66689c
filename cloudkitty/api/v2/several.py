# SPDX-License-Identifier: Apache-2.0
"""Arguments of a body that are one text or several."""

from typing import Any

from cloudkitty.api.v2.arguments import reads, text
from cloudkitty.rest import schema

LONGEST = 255

_WORD = f"[^,]{{1,{LONGEST}}}"


@reads(
    {
        "anyOf": [
            {
                "type": "string",
                "pattern": f"^{_WORD}(,{_WORD})*$",
                "description": "One, or several with commas.",
            },
            {"type": "array", "items": schema.bounded_text(1, LONGEST), "minItems": 1},
        ]
    }
)
def several(value: Any) -> list[str]:
    """Read a list of texts, or one text with commas between them; each once, in their order.

    :raises ValueError: it is neither, or empty.
    """
    words = value if isinstance(value, list) else str(text(1, 2**16)(value)).split(",")
    read = text(1, LONGEST)
    found = list(dict.fromkeys(read(word) for word in words))
    if not found:
        raise ValueError("is empty")
    return found
