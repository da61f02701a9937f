"""torchrun without its own report of a failure: a line for a process that a signal ended, nothing for other errors.

    python -P torchrun.py <words of torchrun>

Each process tells its error by itself. Started as a file, not as a module: nothing of convscope is imported here.
"""

import logging
import signal
import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main


def run() -> None:
    """Runs torchrun with the words of the command line. Ends with status 1 where a process has failed."""
    logging.disable(logging.ERROR)
    try:
        main()
    except ChildFailedError as error:
        for failure in error.failures.values():
            if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM:  # by which torchrun ends the others
                name = signal.strsignal(-failure.exitcode)
                print(f"process {failure.local_rank} was ended by the signal {name}", file=sys.stderr)
        sys.exit(1)
    except SignalException as error:
        sys.exit(128 + error.sigval)


if __name__ == "__main__":
    run()
