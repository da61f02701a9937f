"""Runs and sweeps that are started again: nothing is trained twice, nothing is lost, and nothing is mixed."""

import csv
import json
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file

from conftest import ROOT, convscope, python
from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from convscope.runs.unfinished import (
    TRAINING_GROUPS,
    images_moved,
    needs_training,
    newest_unfinished,
    training_lock,
)
from convscope.training.callbacks.checkpoints import AtomicCheckpointIO, Within

TINY = ["data.train=40", "data.val=20", "data.image_size=64", "model.width=0.05", "optim.batch_size=20",
        "trainer.accelerator=cpu", "data.workers=0"]  # fmt: skip
KILLS = runpy.run_path(str(ROOT / "benchmarks/reliability_kills.py"))
MEASURED = {"seconds", "images_per_second"}  # what no two runs have in common


def rows(folder):
    found = list(csv.DictReader((folder / "metrics.csv").open()))
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in found]


def state(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def same(one, other):
    """Equality of nested states, of their tensors bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def best_of(held):
    """Where a checkpoint keeps which epoch was the best."""
    return next(key for key in held["callbacks"] if key.startswith("BestCheckpoint"))


def start_and_kill(words, file, cwd):
    """Starts the program, ends it without warning as soon as the file is there, and returns what it printed."""
    ended = convscope(*words, cwd=cwd, signaled=(file, "SIGKILL"))
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, cache):
    """The folder of a run of six epochs that nothing disturbed, and the words that made it."""
    place = tmp_path_factory.mktemp("unbroken")
    words = [*TINY, "evolution.maps=2", "trainer.max_epochs=6", "evolution.epochs=[1,2,5]", f"data.cache_dir={cache}"]
    ended = convscope(*words, "hydra.run.dir=run", cwd=place)
    assert ended.returncode == 0, ended.stderr
    return place / "run", words


def test_a_killed_run_that_goes_on_equals_an_unbroken_one(unbroken, tmp_path):
    """Killed in its first epochs, started by the same command, killed in the fifth, moved and resumed."""
    whole, words = unbroken
    run, words = tmp_path / "run", [*words, "hydra.run.dir=run"]
    start_and_kill(words, "run/checkpoints/last.ckpt", tmp_path)
    done = len(rows(run))
    printed = start_and_kill(words, "run/top9/epoch_005.safetensors", tmp_path)
    assert f"{run} goes on after epoch " in printed and " of 6\n" in printed
    assert f"epoch {done + 2}/6" in printed and "epoch 1/6" not in printed
    assert not (run / "summary.json").exists()  # it was cut off, not through
    assert str(tmp_path).encode() not in (run / "checkpoints/last.ckpt").read_bytes()
    run = run.rename(tmp_path / "it's, moved\\")  # what its name holds means something to Hydra
    ended = convscope(f"resume={run.name}", cwd=tmp_path)
    assert ended.returncode == 0 and "dirpath" not in ended.stderr, ended.stderr
    assert f"{run} goes on after epoch " in ended.stdout and "epoch 4/6" not in ended.stdout
    assert rows(run) == rows(whole) and [row["epoch"] for row in rows(run)] == [*"123456"]
    one, other = state(whole), state(run)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
        assert same(one[part], other[part]), part
    best, also = ({**held["callbacks"][best_of(held)], "current_score": None} for held in (one, other))
    assert best["best_model_path"] == "best.ckpt" and same(best, also)
    for kind in ("top9", "evolution"):
        stored = sorted(path.name for path in (whole / kind).iterdir())
        assert stored == sorted(path.name for path in (run / kind).iterdir()) and len(stored) == 3
        assert all(same(load_file(whole / kind / name), load_file(run / kind / name)) for name in stored)
    sheets = sorted(path.relative_to(whole / "pictures") for path in whole.rglob("pictures/images/*/*.webp"))
    assert sheets == sorted(path.relative_to(run / "pictures") for path in run.rglob("pictures/images/*/*.webp"))
    for picture in [*sheets, "settling.png", *(f"evolution/conv{layer}.jpg" for layer in range(1, 6))]:
        assert (whole / "pictures" / picture).read_bytes() == (run / "pictures" / picture).read_bytes(), picture
    lines = [{json.loads(line)["name"] for line in (folder / "index.jsonl").open()} for folder in (whole, run)]
    assert lines[0] == lines[1] and (whole / "report/data.js").read_text().count("../pictures/images/") == len(sheets)
    assert summary(run)["finished"] and summary(run)["best"].keys() == summary(whole)["best"].keys()
    assert summary(run)["best"]["epoch"] == summary(whole)["best"]["epoch"]


def composed(words):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=words), resolve=True)


def stop_between_steps(words, folder):
    """Trains in this process, which gets a real SIGTERM as soon as a checkpoint is there."""

    def ask():
        while not (folder / "checkpoints/last.ckpt").is_file():
            time.sleep(0.001)
        if callable(signal.getsignal(signal.SIGTERM)):  # training listens
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask, daemon=True).start()
    with pytest.raises(SystemExit) as ended:
        JOBS["train"](composed(words), folder)
    assert ended.value.code == 143


@pytest.fixture(scope="module")
def chunks(tmp_path_factory, cache):
    """40 and 20 images as data=stream reads them."""
    root = tmp_path_factory.mktemp("stream")
    words = [*TINY[:3], "job=convert", f"convert.to={root}/data", f"data.cache_dir={cache}"]
    JOBS["convert"](composed(words), root / "run")
    return root / "data"


@pytest.mark.parametrize(
    "words",
    [
        ["optim=quick", "optim.batch_size=9"],
        ["optim=paper", "optim.patience=0", "data.workers=2", "optim.batch_size=8"],
        [
            "optim=paper",
            "optim.patience=0",
            "+trainer.accumulate_grad_batches=3",
            "optim.batch_size=4",
            "+model.layers.conv2.batch_norm=true",
        ],
        ["data=stream", "data.workers=0", "optim.batch_size=8"],
    ],  # fmt: skip
    ids=["cycle", "plateau_and_workers", "accumulation_and_batch_norm", "stream"],
)
def test_a_run_that_stopped_within_an_epoch_equals_an_unbroken_one(words, tmp_path, cache, chunks, capsys):
    """Weights, optimizer, schedule, metrics, top-9 records and pictures, bit for bit."""
    held = TINY[2:] if words[0] != "data=stream" else [*TINY[2:6], f"data.root={chunks}"]
    data = TINY[:2] if words[0] != "data=stream" else []
    words = [words[0], *data, *held, *words[1:], "evolution.maps=2", "evolution.layers=[conv1,conv3]",
             "trainer.max_epochs=4", "checkpoint.every_steps=2", f"data.cache_dir={cache}"]  # fmt: skip
    words += [] if words[0] == "optim=quick" else ["evolution.measures=[]"]
    JOBS["train"](composed(words), tmp_path / "whole")
    stop_between_steps(words, tmp_path / "run")
    JOBS["train"](composed(words), tmp_path / "run")
    assert " batches of the next\n" in capsys.readouterr().out
    assert len(rows(tmp_path / "whole")) == 4
    assert KILLS["different"](tmp_path / "whole", tmp_path / "run") == []


def test_a_run_killed_at_bad_moments_equals_an_unbroken_one(tmp_path, cache):
    """SIGKILL within a checkpoint that is being written, within drawing and within validation."""
    words = [*KILLS["TINY"], "trainer.max_epochs=4", f"data.cache_dir={cache}"]
    JOBS["train"](composed(words), tmp_path / "whole")
    words = [*words, "hydra.run.dir=run"]
    for function, times in (("save_checkpoint", 3), (KILLS["PLACES"]["drawing"], 2), ("validation_step", 2)):
        killed = python(
            ROOT / "benchmarks/reliability_kills.py", "--inside", function, times, "--", *words, cwd=tmp_path
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (tmp_path / "run/summary.json").exists()
    assert "goes on after epoch" in convscope(*words, cwd=tmp_path).stdout
    assert KILLS["different"](tmp_path / "whole", tmp_path / "run") == []


def test_a_launcher_that_has_its_own_handler_gets_the_signal_once_the_checkpoint_is_written(tmp_path, cache):
    words = [*TINY, "evolution=off", "trainer.max_epochs=400", f"data.cache_dir={cache}"]
    steps = []

    def queue_again(number, _):
        steps.append(state(tmp_path / "run")["global_step"])
        raise SystemExit(7)

    def ask():
        while not (tmp_path / "run/metrics.csv").is_file():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, queue_again)
    try:
        threading.Thread(target=ask, daemon=True).start()
        with pytest.raises(SystemExit) as ended:
            JOBS["train"](composed(words), tmp_path / "run")
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert ended.value.code == 7 and len(steps) == 1 and steps[0] >= 2


def test_ctrl_c_keeps_the_run_and_auto_goes_on_with_it(tmp_path, cache):
    name = "it's #1 (R&D, lr=0.1) 照片\\"
    words = [*TINY, "evolution=off", "trainer.max_epochs=20", f"data.cache_dir={cache}", f"name={name}"]
    ended = convscope(*words, "resume=auto", cwd=tmp_path, signaled=("outputs/train/*/metrics.csv", "SIGINT"))
    said, told = ended.stdout, ended.stderr
    (folder,) = tmp_path.glob("outputs/train/*")
    assert ended.returncode == 130, said + told
    assert "resume=auto: no unfinished run of these settings in outputs/train; a new one begins\n" in said
    command = shlex.split(said.splitlines()[-1].removeprefix("go on with: "))
    assert command == ["python", "src/run.py", f"resume=outputs/train/{folder.name}"]
    assert "Traceback" not in told
    ended = convscope(*words, "resume=auto", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"resume=auto: outputs/train/{folder.name}\n" in ended.stdout and "goes on after epoch" in ended.stdout
    assert len(rows(folder)) == 20 and summary(folder)["finished"]
    assert f"{folder.name} has finished; nothing is left to do" in convscope(*command[2:], cwd=tmp_path).stdout


def test_the_newest_unfinished_run_of_the_same_settings(tmp_path):
    def read(folder):
        return json.loads((folder / ".hydra/config.yaml").read_text())

    kept = {
        "old": settings(),
        "new": settings(),
        "other": settings(seed=1),
        "longer": settings(trainer={"max_epochs": 9}),
    }
    for number, (name, held) in enumerate(kept.items()):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra/config.yaml").write_text(json.dumps(held))
        os.utime(tmp_path / name / ".hydra/config.yaml", (number, number))
    now = settings(data={"workers": 4}, name="renamed")
    assert newest_unfinished(tmp_path, read, settings(data={"root": "/elsewhere"})) is None  # of other images, maybe
    assert newest_unfinished(tmp_path, read, now) == tmp_path / "new"
    with training_lock(tmp_path / "new"):
        assert newest_unfinished(tmp_path, read, now) == tmp_path / "old"
    for name in ("new", "old"):
        (tmp_path / name / "summary.json").write_text('{"finished": true}')
    assert newest_unfinished(tmp_path, read, now) is None and newest_unfinished(tmp_path / "none", read, now) is None


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        ({"every_minutes": 0}, "checkpoint.every_minutes=0 is too small; it is above 0, or null"),
        ({"every_minutes": "often"}, "checkpoint.every_minutes=often is not a number or null"),
        ({"every_steps": 1.5}, "checkpoint.every_steps=1.5 is not a whole number or null"),
    ],
)
def test_how_often_a_checkpoint_is_written_is_a_positive_number(interval, message):
    with pytest.raises(UserError, match=message):
        Within(**interval)


def test_metrics_that_were_lost_or_damaged_are_made_again_from_the_checkpoint(unbroken, tmp_path):
    run = shutil.copytree(unbroken[0], tmp_path / "run")
    (run / "summary.json").unlink()
    (run / "metrics.csv").write_bytes(b"epoch,lr\n1,0.1\n\n\xff\x00,half a li")
    ended = convscope("resume=run", cwd=tmp_path)
    assert ended.returncode == 0 and summary(run)["finished"], ended.stderr
    assert (run / "metrics.csv").read_bytes() == (unbroken[0] / "metrics.csv").read_bytes()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:50_000]), r"last.ckpt cannot be read as a checkpoint"),
        (lambda path: path.write_bytes(b""), r"last.ckpt cannot be read as a checkpoint \(EOFError\)"),
        (lambda path: shutil.copy(path.with_name("best.ckpt"), path), r"weights of a net and not where .* model.init="),
    ],
    ids=["cut", "empty", "best"],
)
def test_a_checkpoint_that_training_cannot_go_on_from_is_told_in_one_line(damage, said, unbroken, tmp_path):
    path = shutil.copytree(unbroken[0], tmp_path / "run") / "checkpoints/last.ckpt"
    damage(path)
    with pytest.raises(UserError, match=said):
        AtomicCheckpointIO().load_checkpoint(path)


def test_a_run_does_not_go_on_from_the_checkpoint_of_another_net(unbroken, tmp_path):
    run = shutil.copytree(unbroken[0], tmp_path / "run")
    with pytest.raises(UserError, match=r"the weights are another net's: conv2.bias is 16 and here 24; "):
        JOBS["train"](composed([*unbroken[1], "model.width=0.1"]), run)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_run_that_is_ended_before_it_has_anything_leaves_no_folder(name, tmp_path):
    words = [*TINY, "data.train=4000", "data.cache_dir=cache"]
    ended = convscope(*words, cwd=tmp_path, signaled=("cache/*", name))  # while images are drawn
    told = {"SIGTERM": (143, "convscope: ended by SIGTERM\n"), "SIGINT": (130, "convscope: interrupted\n")}
    assert (ended.returncode, ended.stderr) == told[name]
    assert not (tmp_path / "outputs").exists() and not list(tmp_path.glob("cache/*.part"))


def test_a_job_that_is_ended_leaves_a_page_that_says_so(unbroken, tmp_path):
    ckpt = f"ckpt={unbroken[0]}/checkpoints/last.ckpt"
    few = ["occlude.stride=16", "occlude.searched=4", "occlude.scored=4"]  # what comes before the first result
    words = ["job=occlude", ckpt, "occlude.images=200", *few, "trainer.accelerator=cpu", "hydra.run.dir=run"]
    ended = convscope(*words, cwd=tmp_path, signaled=("run/index.jsonl", "SIGTERM"))
    slow = "covering the images: "  # what a machine that takes long prints meanwhile
    lines = [line for line in ended.stderr.splitlines() if not line.startswith(slow)]
    assert (ended.returncode, lines) == (143, ["convscope: ended by SIGTERM"]), ended.stderr
    assert summary(tmp_path / "run")["finished"] is False and (tmp_path / "run/report/index.html").is_file()


def test_a_finished_run_is_left_as_it_is(unbroken, tmp_path):
    run, words = shutil.copytree(unbroken[0], tmp_path / "run"), unbroken[1]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for again in ([*words, "hydra.run.dir=run"], ["resume=run"]):
        ended = convscope(*again, cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (0, f"{run} has finished; nothing is left to do\n")
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_that_was_finished_goes_on_for_more_epochs(tmp_path, cache):
    """The paper's recipe, whose schedule has no end: two epochs and one more are three epochs."""
    words = [*TINY, "optim=paper", "evolution=off", f"data.cache_dir={cache}"]
    for epochs, folder in ((3, "whole"), (2, "longer")):
        ended = convscope(*words, f"trainer.max_epochs={epochs}", f"hydra.run.dir={folder}", cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
    ended = convscope("resume=longer", "trainer.max_epochs=3", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    assert rows(whole) == rows(longer) and same(state(whole)["state_dict"], state(longer)["state_dict"])
    assert "nothing is left" in convscope("resume=longer", cwd=tmp_path).stdout  # the folder knows of the third epoch


def test_a_sweep_passes_what_finished_goes_on_with_what_was_cut_off_and_refuses_what_changed(tmp_path, cache):
    words = ["experiment=renorm", "model=replication_no_3_4_6_7", *TINY, "evolution=off", f"data.cache_dir={cache}"]
    words += ["trainer.max_epochs=6", "hydra.sweep.dir=sweep", "optim.renorm=0.1,0.2,null", "name=row_${optim.renorm}"]
    places = [tmp_path / f"sweep/row_{radius}_seed_0" for radius in ("0.1", "0.2", "None")]
    start_and_kill(words, "sweep/row_0.2_seed_0/checkpoints/last.ckpt", tmp_path)
    assert not (places[1] / "summary.json").exists()
    assert summary(places[0])["finished"] and not places[2].exists()
    weights = (places[0] / "checkpoints/last.ckpt").read_bytes()
    ended = convscope(*words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"{places[0]} has finished; nothing is left to do" in ended.stdout
    assert f"{places[1]} goes on after epoch" in ended.stdout and f"{places[2]} goes on" not in ended.stdout
    assert weights == (places[0] / "checkpoints/last.ckpt").read_bytes()
    assert all(summary(place)["finished"] and len(rows(place)) == 6 for place in places)
    changed = convscope(*words, "optim.lr=0.02", "optim.momentum=0.8", cwd=tmp_path)
    told = [line for line in changed.stderr.splitlines() if line.startswith("convscope: row_")]
    assert changed.returncode == 1 and len(told) == 3
    assert all("optim.lr=0.01, now 0.02; optim.momentum=0.9, now 0.8; leave the" in line for line in told)
    assert "hydra.sweep.dir=<folder>" in told[0]
    assert "lr: 0.01" in (places[0] / ".hydra/config.yaml").read_text()  # what it was trained with is still there
    assert "nothing is left" in convscope(*words, cwd=tmp_path).stdout


def settings(**changed):
    """Those of a run, with changes such as optim={"lr": 1}."""
    plain = {
        "model": {"name": "zfnet"}, "data": {"workers": 1}, "optim": {"schedule": "plateau", "lr": 0.01},
        "trainer": {"max_epochs": 5, "accelerator": "cpu"}, "seed": 0, "name": "run",
    }  # fmt: skip
    return {key: value | changed.get(key, {}) if isinstance(value, dict) else changed.get(key, value)
            for key, value in plain.items()}  # fmt: skip


def left(folder, epochs, finished=False, checkpoint=True):
    """The folder of a run after so many epochs."""
    (folder / "checkpoints").mkdir()
    (folder / "metrics.csv").write_text("epoch,lr\n" + "".join(f"{epoch},0.1\n" for epoch in range(1, epochs + 1)))
    if checkpoint:
        (folder / "checkpoints/last.ckpt").touch()
    if finished:
        (folder / "summary.json").write_text('{"finished": true}')
    return folder


def test_a_run_cut_off_before_its_first_checkpoint_begins_anew_with_any_settings(tmp_path):
    assert needs_training(left(tmp_path, 1, checkpoint=False), settings(seed=4), settings())


def test_where_a_run_computes_and_what_it_is_called_may_change(tmp_path):
    now = settings(data={"workers": 4, "cache_dir": "/x"}, trainer={"accelerator": "gpu"}, name="other")
    assert needs_training(left(tmp_path, 2), settings(), now)


def test_half_written_files_are_no_end(tmp_path):
    folder = left(tmp_path, 5)
    (folder / "summary.json").write_text('{"finished": tr')
    assert needs_training(folder, settings(), settings())
    (folder / "metrics.csv").write_text("")
    (folder / "summary.json").write_text('{"finished": true}')
    assert needs_training(folder, settings(), settings())


def test_a_finished_run_is_trained_for_more_epochs(tmp_path):
    folder, longer = left(tmp_path, 5, finished=True), settings(trainer={"max_epochs": 9})
    assert not needs_training(folder, settings(), settings())
    assert needs_training(folder, settings(), longer) and (folder / "summary.json").is_file()
    assert needs_training(folder, longer, longer)  # killed again before its sixth epoch


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        ({"data": {"root": "/a"}}, {"data": {"root": "/b"}}, True),
        ({"data": {"root": "a"}}, {"data": {"root": os.path.abspath("a")}}, False),
        ({"model": {"init": "/a/last.ckpt"}}, {"model": {"init": "/b/last.ckpt"}}, False),
        ({"model": {"weights": "/a/w.pth"}}, {"model": {"weights": "w.safetensors"}}, False),
        ({"trainer": {"devices": 1}}, {"trainer": {"devices": [3]}}, False),
        ({"trainer": {"devices": "0,1"}}, {"trainer": {"devices": [2, 3]}}, False),
    ],
)
def test_where_files_lie_and_which_devices_compute_may_change(before, now, moved, tmp_path):
    assert needs_training(left(tmp_path, 2), settings(**before), settings(**now))
    assert images_moved(settings(**before), settings(**now)) is moved


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"model": {"weights": "DEFAULT"}}, {"model": {"weights": "IMAGENET1K_V1"}}),
        ({"model": {"weights": "a.pth"}}, {"model": {"weights": None}}),
        ({"trainer": {"devices": 1}}, {"trainer": {"devices": [0, 1]}}),
        ({"trainer": {"devices": 2}}, {"trainer": {"devices": [2]}}),
    ],
)
def test_other_weights_and_another_number_of_devices_are_told(before, now, tmp_path):
    with pytest.raises(UserError, match="was trained with"):
        needs_training(left(tmp_path, 2), settings(**before), settings(**now))


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (settings(), settings(seed=1), r"was trained with seed=0, now 1; leave the settings as they were, or name an"),
        (settings(), settings(optim={"momentum": 0.9}), r"trained with optim.momentum=None, now 0.9; leave"),
        (settings(), settings(data={str(n): n for n in range(8)}), r"data.5=None, now 5; 2 more keys; leave"),
        (None, settings(), r"holds a trained net but no whole .hydra/config.yaml to tell which; name another"),
        (settings(), settings(trainer={"max_epochs": 3}), r"has 4 epochs already, trainer.max_epochs=3 would take"),
        (
            settings(optim={"schedule": "cycle"}),
            settings(optim={"schedule": "cycle"}, trainer={"max_epochs": 9}),
            r"trainer.max_epochs=5, now 9: its learning rate follows one cycle over the whole run",
        ),
    ],
)
def test_what_does_not_go_together_is_told(before, now, said, tmp_path):
    with pytest.raises(UserError, match=said):
        needs_training(left(tmp_path, 4), before, now)


def test_a_finished_run_without_its_checkpoint_cannot_go_on(tmp_path):
    folder = left(tmp_path, 5, finished=True, checkpoint=False)
    assert not needs_training(folder, settings(), settings())
    with pytest.raises(UserError, match=r"has no checkpoints/last.ckpt to go on from; choose another folder"):
        needs_training(folder, settings(), settings(trainer={"max_epochs": 9}))


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    code = (
        "import sys, pathlib; from convscope.runs.unfinished import training_lock\n"
        "with training_lock(pathlib.Path(sys.argv[1])): print('in')"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with training_lock(tmp_path):
        ended = subprocess.run(command, capture_output=True, text=True)
        assert "another process trains in" in ended.stderr and "just now; wait for it" in ended.stderr
    assert subprocess.run(command, capture_output=True, text=True).stdout == "in\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resume=nowhere"], "resume=nowhere is no folder of a training run; type resume=outputs/train/<run>"),
        (["-m", "resume=run", "seed=0,1"], "a sweep goes on by its own command with hydra.sweep.dir=<its folder>"),
        (["resume=sweep"], "resume=sweep: a sweep goes on by its own command with hydra.sweep.dir=<its folder>"),
        (["resume=looked"], "resume=looked is no folder of a training run"),
        (["resume=half"], "resume=half is no folder of a training run"),
        (["resume=a${b}"], "resume=a${b}: ${ in the name of a folder means something else in settings; rename"),
        (["resume=whole", "job=visualize"], "resume=whole goes on with a training run; leave job=visualize away"),
    ],
)
def test_what_cannot_be_resumed(words, said, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/multirun.yaml").touch()
    whole = "job: train\nseed: 0\n" + "".join(f"{part}: {{}}\n" for part in TRAINING_GROUPS if part != "seed")
    for name, text in (("looked", "job: visualize\n"), ("whole", whole), ("half", whole[:40])):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra/config.yaml").write_text(text)
    ended = convscope(*words, cwd=tmp_path)
    assert ended.returncode == 1 and ended.stderr.startswith("convscope: ") and said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_other_recipes_cannot_be_slipped_into_a_run(unbroken, tmp_path):
    run = shutil.copytree(unbroken[0], tmp_path / "run")
    for word in ("optim=paper", "optim.lr=3", "trainer.max_epochs=9"):
        ended = convscope("resume=run", word, cwd=tmp_path)
        told = [line for line in ended.stderr.splitlines() if line.startswith("convscope: ")]
        assert ended.returncode == 1 and len(told) == 1 and f"{word.partition('=')[0]}=" in told[0], ended.stderr
    assert summary(run)["finished"]
