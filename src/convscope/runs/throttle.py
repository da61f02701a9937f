"""What is done again and again and may take no more than a share of the time, however long it gets."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throttle:
    """`if sparing.due: with sparing.counted(): ...` takes at most that share of the time, the first time aside."""

    def __init__(self, share: float):
        self._rest, self._not_before = 1 / share - 1, -math.inf

    @property
    def due(self) -> bool:
        """Whether so much else has been done since that it may be done again."""
        return time.perf_counter() >= self._not_before

    @contextmanager
    def counted(self) -> Iterator[None]:
        """What is done meanwhile is what the share is of."""
        start = time.perf_counter()
        try:
            yield
        finally:
            now = time.perf_counter()
            self._not_before = now + self._rest * (now - start)
