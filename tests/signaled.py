"""The program, and a signal to it once a file is there: python signaled.py <pattern> <signal> <run.py> <words>."""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path


def send(pattern, number):
    while not any(Path.cwd().glob(pattern)):
        time.sleep(0.001)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    pattern, name, program, *words = sys.argv[1:]
    threading.Thread(target=send, args=(pattern, signal.Signals[name]), daemon=True).start()
    sys.argv, sys.path[0] = [program, *words], os.path.dirname(program)
    runpy.run_path(program, run_name="__main__")
