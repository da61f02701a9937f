"""A loader whose processes end at once when a pass over it fails."""

from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from torch.utils.data import DataLoader


class Loader(DataLoader[Any]):
    """torch's; but it leaves it to the garbage collector to end the processes of a pass that an exception broke off. By
    then the queues that would tell them are gone, and it waits five seconds for each process before it kills it.

    ended: process id -> the signal that has ended it. torch knows the signal only as long as SIGCHLD is its own, and
    Lightning gives that back after its first training in a process.
    """

    def __init__(self, *args: Any, **how: Any):
        super().__init__(*args, **how)
        self.ended: dict[int, int] = {}

    def __iter__(self) -> Any:
        try:
            batches = super().__iter__()  # which waits for the processes of the pass before
        except BaseException as error:
            told = self.broken(error)
            raise told from told.__cause__
        return _Pass(self, batches) if self.num_workers else batches

    def broken(self, error: BaseException) -> BaseException:
        """Ends the processes of a pass that has failed; returns what to raise, in torch's words where one is gone.

        Of one that was killed while it handed a batch over torch itself tells no more than that a connection was lost.
        """
        running: Any = self._iterator
        lost = isinstance(error, ConnectionError | EOFError)
        if lost and running is not None:
            _join_dead(running._workers)
        self.close()
        if not (lost and self.ended):
            return error
        told = RuntimeError(f"DataLoader worker (pid(s) {', '.join(map(str, self.ended))}) exited unexpectedly")
        told.__cause__ = error
        return told

    def close(self) -> None:
        """Ends the processes; the next pass starts others."""
        running: Any = self._iterator
        self._iterator = None
        if running is not None:
            codes = {process.pid: process.exitcode for process in running._workers}
            self.ended = {number: -code for number, code in codes.items() if code and code < 0}
            running._shutdown_workers()


class _Pass(Iterator[Any]):
    def __init__(self, loader: Loader, batches: Any):
        self.loader, self.batches = loader, batches

    def __next__(self) -> Any:
        try:
            return next(self.batches)
        except StopIteration:
            raise
        except BaseException as error:
            told = self.loader.broken(error)
            raise told from told.__cause__


def _join_dead(processes: Sequence[Any]) -> None:
    """Waits up to a second for one that is about to end; its files are closed before its exit code is there."""
    ready = wait([process.sentinel for process in processes], timeout=1)
    for process in processes:
        if process.sentinel in ready:
            process.join(timeout=1)
