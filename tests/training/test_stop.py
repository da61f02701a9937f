"""What a run does when it has written the checkpoint for which a signal has asked."""

import signal
import subprocess
import sys

import pytest

from convscope.training.stop import StopRequest


def answered(command):
    """`answer` where the launcher has a handler that runs this command of Python, as submitit runs scontrol."""
    request = StopRequest()
    request.before[signal.SIGUSR2] = lambda *_: subprocess.check_call([sys.executable, "-c", command])
    request.answer(signal.SIGUSR2)


def test_a_launcher_that_is_ended_while_it_queues_the_job_again_has_done_so():
    with pytest.raises(SystemExit) as ended:
        answered("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert ended.value.code == 143


def test_a_job_that_cannot_be_queued_again_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        answered("raise SystemExit(1)")


def test_the_handler_of_a_launcher_may_go_on():
    answered("")
