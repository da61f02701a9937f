"""A signal that asks a training run to end: the run goes on to the next place where it can be kept, and ends there."""

import os
import signal
import sys
import threading
from typing import Any

from convscope.errors import Stopped

ASKING = [signal.SIGTERM, signal.SIGINT]  # these end a run
ASKING += [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]  # where somebody says how


class StopRequest:
    """Which signal has asked, 0 for none, and what it meant before training began.

    SIGTERM and Ctrl-C end the run. A signal for which a launcher has a handler of its own, as submitit has for those
    of SLURM's preemption, is passed on to it once the checkpoint is written.
    """

    def __init__(self) -> None:
        self.number = 0
        self.before = {number: signal.getsignal(number) for number in ASKING}

    def listen(self) -> None:
        """From now on; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in ASKING:
            if number in (signal.SIGTERM, signal.SIGINT) or self._others(number):
                signal.signal(number, self._take)

    def answer(self, number: int) -> None:
        """What was asked for, now that a checkpoint is written; raises Stopped unless a launcher knows better."""
        self.number = 0
        others = self._others(number)
        if others is None:
            raise Stopped(128 + number)
        others(number, None)

    def _others(self, number: int) -> Any:
        handler = self.before.get(signal.Signals(number))
        return handler if callable(handler) and handler not in (signal.default_int_handler, exit_143) else None

    def _take(self, number: int, _: Any) -> None:
        self.number = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if os.environ.get("RANK", "0") == "0":
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nstops soon; Ctrl-C again: at once\n")


def exit_143(number: int, _: Any) -> None:
    """The handler of unwind_at_sigterm."""
    signal.signal(number, signal.SIG_DFL)
    sys.exit(143)
