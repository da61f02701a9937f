"""Signals that ask a training run to stop: the run goes on to its next checkpoint and ends there."""

import os
import signal
import subprocess
import sys
import threading
from typing import Any

from convscope.errors import Stopped

SIGNALS = [signal.SIGTERM, signal.SIGINT]  # these end a run
# these are passed on to the handler of a launcher, if there is one
SIGNALS += [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]


class StopRequest:
    """The signal that has asked the run to stop (0: none), and the handlers from before training.

    SIGTERM and Ctrl-C end the run. Where a launcher has installed a handler, as submitit does for the signals of
    SLURM's preemption, the signal is passed on to that handler once the checkpoint is written.
    """

    def __init__(self) -> None:
        self.number = 0
        self.before = {number: signal.getsignal(number) for number in SIGNALS}

    def listen(self) -> None:
        """Installs the handlers; only in the main thread, as Python demands."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            if number in (signal.SIGTERM, signal.SIGINT) or self._launcher_handler(number):
                signal.signal(number, self._receive)

    def answer(self, number: int) -> None:
        """Ends the run after its checkpoint: calls the launcher's handler for the signal, or raises Stopped."""
        self.number = 0
        handler = self._launcher_handler(number)
        if handler is None:
            raise Stopped(128 + number)
        try:
            handler(number, None)
        except subprocess.CalledProcessError as error:
            if error.returncode != -signal.SIGTERM:
                raise
            # SLURM has queued the job again, and ends its processes, submitit's `scontrol requeue` among them
            raise SystemExit(128 + signal.SIGTERM) from None

    def _launcher_handler(self, number: int) -> Any:
        handler = self.before.get(signal.Signals(number))
        return handler if callable(handler) and handler not in (signal.default_int_handler, exit_143) else None

    def _receive(self, number: int, _: Any) -> None:
        self.number = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if os.environ.get("RANK", "0") == "0":
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nstops soon; Ctrl-C again: at once\n")


def exit_143(number: int, _: Any) -> None:
    """A signal handler that ends the process with code 143, through its `finally` blocks."""
    signal.signal(number, signal.SIG_DFL)
    sys.exit(143)
