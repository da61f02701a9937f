"""Rows of numbers, one for each epoch, that go into every checkpoint without costing more in every epoch."""

import json
from typing import Any


class Rows(list[dict[str, float]]):
    """A list that only grows; `text` writes the rows that are new, so that a checkpoint does not write all of them."""

    def __init__(self, rows: Any = ()):
        super().__init__(rows)
        self._lines: list[str] = []

    def text(self) -> str:
        """A line of JSON for each row; floats come back as they were, bit by bit."""
        self._lines += [json.dumps(row) for row in self[len(self._lines) :]]
        return "\n".join(self._lines)

    @classmethod
    def read(cls, kept: Any) -> "Rows":
        """The rows of a text, or of the list that older checkpoints have."""
        return cls(map(json.loads, kept.splitlines()) if isinstance(kept, str) else kept)
