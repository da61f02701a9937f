"""The program started again and again, each time a process of its own, forked from one that has imported what is slow.

    python prepared.py        a line of JSON for each start on stdin, a line with its return code on stdout

The fork has read nothing of convscope and has the environment, working directory and words that it was given.
"""

import atexit
import gc
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path


def wait_for_starts():
    sys.modules["triton"] = None  # of GPUs alone; its binding prints at the end of a fork what the frozen objects hold
    import filelock  # noqa: F401
    import hydra.experimental.callback  # noqa: F401
    import jinja2  # noqa: F401
    import matplotlib.backends.backend_agg  # noqa: F401
    import matplotlib.backends.backend_pdf  # noqa: F401
    import matplotlib.backends.backend_svg  # noqa: F401
    import matplotlib.patheffects  # noqa: F401
    import PIL.Image
    import PIL.WebPImagePlugin  # noqa: F401
    import pydantic.dataclasses  # noqa: F401
    import pydantic.main  # noqa: F401
    import pytorch_lightning.plugins.environments  # noqa: F401
    import safetensors.torch  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torchvision.transforms.v2  # noqa: F401
    from hydra import main  # noqa: F401
    from torchmetrics.classification import MulticlassAccuracy  # noqa: F401

    for launcher in ("joblib_launcher", "submitit_launcher", "optuna_sweeper"):
        with suppress(ImportError):
            import_module(f"hydra_plugins.hydra_{launcher}.config")
    PIL.Image.preinit()
    del sys.modules["triton"]
    gc.collect()
    gc.freeze()  # else each fork copies and walks a million objects when it collects garbage and when it ends
    for line in sys.stdin:
        start = json.loads(line)
        child = os.fork()
        if child == 0:
            end_as(partial(become, start))
            return
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"returncode": code}), flush=True)


def end_as(program):
    """Runs the program and ends this process with its status, as Python does at the end, but for taking down objects.

    Those of the libraries alone take half a second: each is copied from the parent first, to be freed.
    """
    status = None
    try:
        program()
    except SystemExit as end:
        status = end.code
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    gc.collect()  # what the program has made and left, such as files that are not closed
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status or 0)


def become(start):
    """The child: what `python <program> <words>` would be. Ends as that would, by SystemExit or an exception."""
    os.chdir(start["cwd"])
    os.environ.clear()
    os.environ.update(start["env"])
    for number, path in ((0, os.devnull), (1, start["stdout"]), (2, start["stderr"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = start["words"]
    sys.path[0] = os.path.dirname(start["words"][0])
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    runpy.run_path(start["words"][0], run_name="__main__")


class Prepared:
    """The parent's side: `start` returns what subprocess.run with captured text would."""

    def __init__(self, folder):
        self.folder, self.count, self.lock = folder, 0, threading.Lock()
        env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, __file__], env=env, **pipes)

    def start(self, words, cwd, env):
        with self.lock:
            self.count += 1
            said = {name: str(self.folder / f"{self.count}.{name}") for name in ("stdout", "stderr")}
            self.process.stdin.write(json.dumps({"words": words, "cwd": str(cwd), "env": env, **said}) + "\n")
            self.process.stdin.flush()
            code = json.loads(self.process.stdout.readline())["returncode"]
        texts = [Path(said[name]).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(words, code, *texts)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


@cache
def prepared():
    """What has imported torch and waits to become the program: one for all tests of a process.

    It stands here, in a module that all of them import by one name: pytest and the tests each import a conftest.
    """
    folder = Path(tempfile.mkdtemp(prefix="convscope-tests-"))
    waiting = Prepared(folder)
    atexit.register(lambda: (waiting.close(), shutil.rmtree(folder, ignore_errors=True)))
    return waiting


if __name__ == "__main__":
    wait_for_starts()
