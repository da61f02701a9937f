"""Loading processes that leave signals to the process that started them."""

import gc
import os
import signal
import sys
import threading
from typing import Any


def deaf_worker(_: int) -> None:
    """worker_init_fn of a DataLoader: signals to the whole group of processes are its parent's business.

    A worker that Ctrl-C, SIGTERM or SLURM ends would take the batch that its parent is waiting for along. The parent's
    own SIGTERM still ends it. What the process has inherited is none of its garbage: another loader's remains would
    try to end processes that are not its own, and the thread that hands tensors over tells of a parent that has gone.
    """
    gc.freeze()
    sys.excepthook = _but_broken_pipes
    for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_heed_parent, args=(os.getppid(),), daemon=True).start()


def _but_broken_pipes(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _heed_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid not in (parent, os.getpid()):
        pass
    os._exit(0)
