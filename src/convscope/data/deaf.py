"""Loading processes that leave signals to the process that started them."""

import os
import signal
import threading


def deaf_worker(_: int) -> None:
    """worker_init_fn of a DataLoader: signals to the whole group of processes are its parent's business.

    A worker that Ctrl-C, SIGTERM or SLURM ends would take the batch that its parent is waiting for along. The parent's
    own SIGTERM still ends it.
    """
    for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_heed_parent, args=(os.getppid(),), daemon=True).start()


def _heed_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid not in (parent, os.getpid()):
        pass
    os._exit(0)
