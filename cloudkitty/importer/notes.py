# SPDX-License-Identifier: Apache-2.0
"""What an operator should know of what is brought over."""


class Notes:
    """Sentences, in the order in which they came up; after some of them only their number."""

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._lines: list[str] = []
        self._more = 0

    def add(self, line: str) -> None:
        if len(self._lines) < self._most:
            self._lines.append(line)
        else:
            self._more += 1

    def lines(self) -> list[str]:
        """Return the sentences."""
        return [*self._lines, *([f"and {self._more} more notes"] if self._more else [])]
