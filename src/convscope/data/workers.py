"""Loading processes: which image each of them is at, what ends them, and the error that names one that has died."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.process import BaseProcess
from traceback import clear_frames
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info

from convscope.errors import UserError

NO_IMAGE = -1


class CurrentImages:
    """The image that each loading process is at, in memory shared with them: [workers, 2] process id and position."""

    def __init__(self, workers: int):
        self._table = torch.full((workers, 2), NO_IMAGE).share_memory_()

    def note(self, position: int) -> None:
        """Called in a loading process before it reads an image, and with NO_IMAGE after the last one of a batch."""
        if (worker := get_worker_info()) is not None:
            self._table.numpy()[worker.id] = os.getpid(), position

    def of(self, pid: int | None) -> int | None:
        """The position of the image that a process is (or was, when it died) at; None: at no image."""
        positions = [position for noted_pid, position in self._table.tolist() if noted_pid == pid]
        return positions[0] if positions and positions[0] != NO_IMAGE else None


class Loader(DataLoader[Any]):
    """A DataLoader whose processes end at once when a pass over it fails; torch takes five seconds for each of them.

    dataset: calls its current.note(position) before it reads an image, and has image_name(position).
    Raises UserError, which names the image, in place of torch's error where a loading process has died.
    """

    def __init__(self, dataset: Any, **options: Any):
        if options.get("num_workers"):
            dataset.current = CurrentImages(options["num_workers"])
            options |= {"worker_init_fn": leave_signals_to_parent, "persistent_workers": True}
            if multiprocessing.get_start_method() == "forkserver":
                multiprocessing.set_forkserver_preload(["convscope.data.batches"])  # imports torch once for all of them
        super().__init__(dataset, **options)
        self._dataset = dataset
        self._new_loader = partial(DataLoader[Any], dataset, **options)  # torch ties processes to a loader: one to drop
        self._running: DataLoader[Any] | None = None
        self._processes = list[BaseProcess]()

    def __iter__(self) -> Any:
        return self._guarded_pass() if self.num_workers else super().__iter__()

    def _guarded_pass(self) -> Iterator[Any]:
        try:
            yield from self._start_pass()
        except GeneratorExit:  # the pass is broken off, and its processes wait for the next one
            raise
        except BaseException as error:
            death = self._death_behind(error)
            _release_locals(error)
            self.close()
            if death:
                raise death from error
            raise

    def _start_pass(self) -> Iterator[Any]:
        if death := self.death():
            raise death
        children = multiprocessing.active_children()
        self._running = self._running or self._new_loader()
        try:
            return iter(self._running)
        finally:
            self._processes += [child for child in multiprocessing.active_children() if child not in children]

    def _death_behind(self, error: BaseException) -> UserError | None:
        """The death that torch reports, or a connection lost to a process that is about to end; None: another error."""
        if not isinstance(error, RuntimeError | OSError | EOFError):
            return None
        for process in self._processes:
            with suppress(RuntimeError):  # torch's report of the death that this waits for
                process.join(1 / len(self._processes))
        return self.death()

    def death(self) -> UserError | None:
        """The error that names a process that has ended by itself and the image it was at; None where all are alive."""
        for process in self._processes:
            if process.exitcode is not None:
                position = self._dataset.current.of(process.pid)
                return _death_error(process.exitcode, None if position is None else self._dataset.image_name(position))
        return None

    def close(self) -> None:
        """Ends the processes; the next pass starts new ones."""
        self._running = None  # ends them in good order, unless an unfinished pass still refers to them
        for process in self._processes:
            with suppress(RuntimeError):  # torch's, which takes a process that has only just started for a dead one
                process.terminate()
                process.join()
        self._processes.clear()


def _release_locals(error: BaseException | None) -> None:
    """Frees what the frames of an error refer to: torch's iterator, which then ends its processes in good order."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _death_error(exit_code: int, image: str | None) -> UserError:
    number = -exit_code  # of the signal, where positive
    cause = f"was ended by the signal {signal.strsignal(number)}" if number > 0 else "ended before its work was done"
    if number == signal.SIGBUS:
        hint = "mostly the shared memory /dev/shm is full: make it larger, or type data.workers=0"
    elif number == signal.SIGKILL:
        hint = "mostly memory has run out: type a smaller data.workers (0: none) or optim.batch_size"
    else:
        hint = "type data.workers=0 to see its error" + (", or remove the file" if image else "")
    return UserError(f"a process that loads images {cause}{f' while it read {image}' if image else ''}; {hint}")


def leave_signals_to_parent(_: int) -> None:
    """worker_init_fn of a DataLoader: signals to the whole group of processes are the parent's business.

    A worker that Ctrl-C, SIGTERM or SLURM ended would take the batch that its parent waits for along. Only the parent's
    own SIGTERM ends it. Objects that the process has inherited are not for its garbage collector: the remains of
    another loader would try to end processes of the parent.
    """
    if multiprocessing.get_start_method() == "fork":
        gc.freeze()
    sys.excepthook = _hide_lost_connections
    for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):  # Windows has the first
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = multiprocessing.parent_process()  # of a forkserver's child it is not os.getppid()
    if parent is not None and hasattr(signal, "sigwaitinfo"):  # macOS has none
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_at_signal_of, args=(parent.pid,), daemon=True).start()


def _hide_lost_connections(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """The thread that hands tensors over reports a parent that has ended as an error."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _end_at_signal_of(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid not in (parent, os.getpid()):
        pass
    os._exit(0)
