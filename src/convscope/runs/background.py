"""Work on a run folder beside other work of the process: drawing and writing while the next epoch trains."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec

Work = Callable[[], object]
Args = ParamSpec("Args")


class Background:
    """Does pieces of work in the order in which they are handed over: at once, or within `beside` in another thread.

    What a piece hands over is a part of it and is done at once. After an error the pieces that are left are not done;
    `check`, `wait` and the end of `beside` raise it, once.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._pieces = deque[Future[None]]()
        self._thread: int | None = None
        self._error: BaseException | None = None

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Within the block work is done by a thread. Waits at the end; raises its error where the block raises none."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="drawing")
        try:
            yield
            self.wait()
        finally:
            self._executor.shutdown()
            self._executor = self._thread = self._error = None
            self._pieces.clear()

    def do(self, work: Work) -> None:
        """Hands over a piece of work, which may use nothing that changes later."""
        if self._executor is None or threading.get_ident() == self._thread:
            work()
        else:
            self._pieces.append(self._executor.submit(self._do, work))

    def _do(self, work: Work) -> None:
        self._thread = threading.get_ident()
        if self._error is None:
            try:
                work()
            except BaseException as error:
                self._error = error

    def check(self) -> None:
        """Raises the error of the work so far."""
        if (error := self._error) is not None:
            self._join()
            self._error = None
            raise error

    def wait(self) -> None:
        """Returns when all work is done. Raises its error."""
        self._join()
        self.check()

    def _join(self) -> None:
        while self._pieces:
            self._pieces.popleft().result()


def in_turn(method: Callable[Concatenate[Any, Args], None]) -> Callable[Concatenate[Any, Args], None]:
    """The method as a piece of work of its object's `background`."""

    @wraps(method)
    def handed_over(owner: Any, *args: Args.args, **kwargs: Args.kwargs) -> None:
        owner.background.do(partial(method, owner, *args, **kwargs))

    return handed_over
