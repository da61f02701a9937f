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
        batches = super().__iter__()
        return _Pass(self, batches) if self.num_workers else batches

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
        except (ConnectionError, EOFError) as error:  # from a process that was killed while it handed a batch over
            _join_dead(self.batches._workers)
            self.loader.close()
            if not self.loader.ended:
                raise
            numbers = ", ".join(map(str, self.loader.ended))
            raise RuntimeError(f"DataLoader worker (pid(s) {numbers}) exited unexpectedly") from error  # torch's words
        except BaseException:
            self.loader.close()
            raise


def _join_dead(processes: Sequence[Any]) -> None:
    """Waits up to a second for one that is about to end; its files are closed before its exit code is there."""
    ready = wait([process.sentinel for process in processes], timeout=1)
    for process in processes:
        if process.sentinel in ready:
            process.join(timeout=1)
