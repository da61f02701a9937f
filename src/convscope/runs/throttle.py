"""A limit on the share of time that recurring work takes, such as writing the page after each epoch of a long run."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throttle:
    """`if throttle.due: with throttle.counted(): work()` keeps the work, its first time aside, to a share of the time.

    share: more than 0, at most 1.
    """

    def __init__(self, share: float):
        self._pause_per_second, self._not_before = 1 / share - 1, -math.inf

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the work was last done."""
        return time.perf_counter() >= self._not_before

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Measures the time of the work in the block, also when it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            end = time.perf_counter()
            self._not_before = end + self._pause_per_second * (end - start)
