"""What a notebook, a desktop, a pipe or another Python brings along: the program runs, or ends in one line."""

import argparse
import json
import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT
from convscope.cli.environment import (
    accept_help_texts_of_hydra,
    lasting_stream,
    library_not_imported,
    settle_environment,
)
from convscope.cli.processes import launched_process

NUMBERS = st.sampled_from(["", "0", "1", "3", "abc"])
RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "MASTER_PORT")
LEFT_BEHIND = {  # variables, each with values that some notebook, desktop, shell or container has
    "MPLBACKEND": ["module://matplotlib_inline.backend_inline", "TkAgg", "nonsense", ""],
    "MATPLOTLIBRC": ["/no/such/file", ""],
    "PYTHONWARNINGS": ["error", "error::DeprecationWarning", "default,error", "nonsense"],
    "PYTHONIOENCODING": ["ascii", "latin-1", "ascii:strict"],
    "LC_ALL": ["C", "xx_XX", "POSIX"],
    "COLUMNS": ["0", "abc", "-1", "1"],
    "TERM": ["dumb", "", "nonsense"],
    "DISPLAY": [":99", ""],
    "QT_QPA_PLATFORM": ["nonsense"],
    "HYDRA_FULL_ERROR": ["0", "abc"],
    "HOME": ["/proc/1", "/nonexistent", ""],
    "TMPDIR": ["/nonexistent"],
    "CUDA_VISIBLE_DEVICES": ["abc", "-1", "99"],
    "WANDB_MODE": ["nonsense"],
    "WANDB_SERVICE": ["3-1-tcp-localhost-9"],
    "SLURM_JOB_ID": ["7"],
    "SLURM_JOB_NAME": ["x"],
    "FORCE_COLOR": ["1"],
} | {name: ["", "0", "1", "abc"] for name in RANKS}


@given(st.dictionaries(st.sampled_from(RANKS), NUMBERS))
def test_a_process_without_a_launcher_is_alone_and_one_with_a_launcher_keeps_its_rank(env):
    before = dict(env)
    settle_environment(env)
    process = launched_process(env)  # raises nothing
    numbers = {name: before[name] for name in RANKS if before.get(name) in ("0", "1", "3")}
    by_hand = "LOCAL_RANK" in numbers and numbers.get("WORLD_SIZE") == "3"
    by_srun = "SLURM_PROCID" in numbers and numbers.get("SLURM_STEP_NUM_TASKS") == "3"
    if by_hand or by_srun:
        assert {name: env[name] for name in RANKS if name in env} == numbers | (
            {"MASTER_PORT": before["MASTER_PORT"]} if "MASTER_PORT" in before else {}
        )
    else:
        assert process is None and "RANK" not in env and "SLURM_NTASKS" not in env


def test_torchrun_of_one_process_and_submitit_keep_what_they_have_set():
    for launcher in ("TORCHELASTIC_RUN_ID", "SUBMITIT_LOCAL_NTASKS"):
        env = {launcher: "1", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": "29500"}
        settled = dict(env)
        settle_environment(settled)
        assert env.items() <= settled.items()


def started(*words, **environment):
    env = {name: value for name, value in os.environ.items() if name not in LEFT_BEHIND}
    command = [sys.executable, str(ROOT / "src/run.py"), *words]
    return subprocess.run(command, env=env | environment, capture_output=True, text=True, errors="replace", timeout=600)


@pytest.mark.slow
def test_help_and_refusals_under_everything_that_is_left_behind():
    """Each value once, several variables together: help is whole, and a mistake is answered in one line."""
    most = max(map(len, LEFT_BEHIND.values()))
    for turn in range(most):
        env = {name: values[turn % len(values)] for name, values in LEFT_BEHIND.items()}
        helped = started("--help", **env)
        assert helped.returncode == 0 and "Examples" in helped.stdout and "Traceback" not in helped.stderr, (
            env,
            helped,
        )
        refused = started("nonsense=1", **env)
        lines = [line for line in refused.stderr.splitlines() if not line.startswith("Invalid -W option")]
        assert refused.returncode == 1 and len(lines) == 1 and "no key nonsense" in lines[0], (env, refused)


@pytest.mark.slow
def test_a_run_under_all_of_it_at_once_is_whole_though_nobody_reads_its_output(tmp_path, cache):
    env = {name: values[0] for name, values in LEFT_BEHIND.items()}
    env |= {"RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "SLURM_NTASKS": "4", "OMP_NUM_THREADS": "1"}
    words = [
        "data.train=20",
        "data.val=10",
        "data.image_size=64",
        "model.width=0.05",
        "evolution=off",
        "optim.batch_size=10",
    ]
    words += ["trainer.max_epochs=1", "trainer.accelerator=cpu", f"data.cache_dir={cache}"]
    command = [sys.executable, str(ROOT / "src/run.py"), *words, f"hydra.run.dir={tmp_path}/run"]
    running = subprocess.Popen(
        command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    running.stdout.close()  # as `| head -0` does
    printed = running.stderr.read().decode(errors="replace")
    assert running.wait(timeout=600) == 0 and "Traceback" not in printed, printed
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["finished"]
    assert (tmp_path / "run" / "report" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["job=nonsense"]])
def test_a_reader_that_goes_away_is_no_error(words):
    """Nothing is read from either stream: not a word about a broken pipe, by exit status or on the other stream."""
    for closed in ("stdout", "stderr"):
        command = [sys.executable, str(ROOT / "src/run.py"), *words]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        getattr(running, closed).close()
        rest = (running.stderr if closed == "stdout" else running.stdout).read().decode()
        assert running.wait(timeout=60) == int(words == ["job=nonsense"]) and "Broken" not in rest


def test_letters_that_a_terminal_lacks_are_escaped_and_what_nobody_reads_is_dropped():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="ascii") as terminal:
        stream = lasting_stream(terminal)
        stream.write("Bücher 照片\n")
        stream.flush()
        assert os.read(reader, 100) == b"B\\xfccher \\u7167\\u7247\n"
        os.close(reader)
        for _ in range(3):
            stream.write("more\n" * 10_000)
            stream.flush()
        stream.detach()
    memory = __import__("io").StringIO()
    assert lasting_stream(memory) is memory and lasting_stream(None) is None


class Python314(argparse.ArgumentParser):
    """argparse's parser with the check of Python 3.14, for older ones."""

    def add_argument(self, *names, **settings):
        action = super().add_argument(*names, **settings)
        self._check_help(action)
        return action

    def _check_help(self, action):
        try:
            if action.help and "%" in action.help:
                action.help % vars(action)
        except (ValueError, TypeError, KeyError):
            raise ValueError("badly formed help string") from None


def test_hydras_parser_can_be_made_under_the_check_of_python_3_14(monkeypatch):
    from hydra._internal import utils

    class Settled(Python314):
        pass

    accept_help_texts_of_hydra(Settled)
    monkeypatch.setattr(utils, "argparse", SimpleNamespace(**{**vars(argparse), "ArgumentParser": Settled}))
    assert utils.get_args_parser().parse_args(["a=1", "-m"]).overrides == ["a=1"]
    with pytest.raises(ValueError, match="badly formed"):  # texts of anybody else are still checked
        Settled().add_argument("--x", help="%(nonsense)d")
    utils.argparse.ArgumentParser = Python314
    with pytest.raises(ValueError, match="badly formed"):
        utils.get_args_parser()


def test_nothing_changes_where_argparse_checks_no_help():
    before = dict(vars(argparse.ArgumentParser))

    class Older:
        pass

    accept_help_texts_of_hydra(Older)
    assert not hasattr(Older, "_check_help") and dict(vars(argparse.ArgumentParser)) == before


def test_a_library_that_cannot_be_imported_is_named_and_errors_of_ours_are_not(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import json\njson.loads('{')\n")
    (tmp_path / "needing.py").write_text("import broken_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module, library in (
        ("broken_library", "broken_library"),
        ("needing", "needing"),
        ("missing_one.part", "missing_one"),
    ):
        with pytest.raises(Exception) as caught:
            __import__(module)
        assert library_not_imported(caught.value) == library
    with pytest.raises(ValueError) as caught:
        json.loads("{")
    assert library_not_imported(caught.value) == ""


def test_a_stale_package_ends_the_program_in_one_line(tmp_path):
    (tmp_path / "omegaconf.py").write_text("raise RuntimeError('made for Python 2\\n\\x1b[31m')\n")
    ended = started("seed=1", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "cannot be imported (made for Python 2)" in ended.stderr


def test_warnings_as_errors_are_undone_for_the_environment_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settle_environment({})
        with pytest.raises(UserWarning):
            warnings.warn("x", stacklevel=1)
        env = {"PYTHONWARNINGS": "error"}
        settle_environment(env)
        assert "PYTHONWARNINGS" not in env
        with warnings.catch_warnings(record=True):
            warnings.warn("x", stacklevel=1)
