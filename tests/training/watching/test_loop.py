"""convscope.watch: a loop of one's own gives what the callback and job=train give; it goes on, alone and in company."""

import csv
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import TensorDataset

import convscope
from conftest import ROOT, python
from convscope.errors import UserError
from training.foreign import lightning, photos, quiet, small_net, write_photos
from training.loop import loop

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def unbroken(root, tmp_path_factory):
    """The folder of two epochs, of which the second rides on the validation."""
    folder = tmp_path_factory.mktemp("loop") / "run"
    loop(root, folder, (1, 2), ride=True)
    return folder


def records(folder, epoch):
    return load_file(folder / "top9" / f"epoch_{epoch:03d}.safetensors")


def columns(folder):
    with open(folder / "metrics.csv") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-5, atol=1e-5)
    return True


def test_a_loop_gives_the_records_of_the_callback(root, unbroken, tmp_path):
    pl, Net, Photos = lightning()
    evolution = convscope.FeatureEvolution(["0", "5"], 3, folder=tmp_path / "run")
    quiet(pl, tmp_path, callbacks=[evolution]).fit(Net(), datamodule=Photos(root))
    for epoch in (1, 2):
        assert same(records(unbroken, epoch), records(tmp_path / "run", epoch))
    for name in ("top9/0/epoch_001.webp", "top9/5/epoch_002.webp", "evolution/0.jpg", "images/0/epoch_001.webp"):
        assert (unbroken / "pictures" / name).read_bytes() == (tmp_path / "run" / "pictures" / name).read_bytes()


def test_the_records_are_those_of_a_training_job_on_the_same_weights_and_images(trained, tmp_path, capsys):
    subject = convscope.load(trained)
    every = torch.arange(subject.data.size("val"))
    images = TensorDataset(subject.data.images("val", every), subject.data.labels("val", every))
    layers = [f"conv{number}" for number in range(1, 6)]
    with convscope.watch(subject.net, images, folder=tmp_path / "run", layers=layers, maps=4) as watching:
        assert "about 1 MB of pictures at each epoch that is drawn (20 maps of 5 layers)" in capsys.readouterr().out
        watching.epoch(2)
    assert same(records(tmp_path / "run", 2), records(trained, 2))
    maps = [
        {
            entry.layer: entry.sheet["maps"]
            for entry in convscope.read_run(folder).entries
            if entry.name.startswith("top9/")
        }
        for folder in (tmp_path / "run", trained)
    ]
    assert maps[0] == maps[1]


def test_a_loop_that_is_started_again_goes_on(root, unbroken, tmp_path):
    net = loop(root, tmp_path / "run", (1,), ride=True)
    loop(root, tmp_path / "run", (2,), ride=True, net=net)
    assert same(records(tmp_path / "run", 2), records(unbroken, 2)) and columns(tmp_path / "run") == columns(unbroken)
    picture = "pictures/evolution/5.jpg"
    assert (tmp_path / "run" / picture).read_bytes() == (unbroken / picture).read_bytes()


def test_a_pass_of_its_own_sees_what_a_validation_sees(root, unbroken, tmp_path):
    loop(root, tmp_path / "run", (1, 2))
    assert same(records(tmp_path / "run", 2), records(unbroken, 2))


def test_the_folder_is_a_run_with_a_page(unbroken):
    run = convscope.read_run(unbroken)
    assert run.remarks == [] and run.summary["finished"] and run.summary["final"]["epoch"] == 2
    assert [row["val/top1"] for row in columns(unbroken)] != ["", ""]
    assert "window.DATA" in (unbroken / "report" / "data.js").read_text()


def test_an_error_in_the_loop_is_on_the_page(root, tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        convscope.watch(small_net(), photos(root, "val"), folder=tmp_path / "run", layers=["0"]) as watching,
    ):
        watching.epoch(1)
        raise ZeroDivisionError
    summary = convscope.read_run(tmp_path / "run").summary
    assert not summary["finished"] and summary["problem"].startswith("ZeroDivisionError")


@pytest.mark.slow
def test_two_processes_write_one_folder_with_each_image_once(root, tmp_path):
    ended = python(
        ROOT / "tests/training/loop.py",
        root,
        tmp_path / "run",
        "two",
        cwd=tmp_path,
        PYTHONPATH=f"{ROOT}/src:{ROOT}/tests",
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(f"in {tmp_path / 'run' / 'report' / 'index.html'}\n") == 1  # of the first process
    alone = tmp_path / "alone"
    loop(root, alone, (1, 2), ride=True, rate=0.0)
    assert same(records(tmp_path / "run", 2), records(alone, 2))
    with_top1 = columns(tmp_path / "run")
    assert [row["stayed/0"] for row in with_top1] == ["0", "1"]


BLOCKED = """
import runpy, sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("pytorch_lightning", "lightning", "lightning_fabric", "hydra", "wandb"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_no_lightning_is_needed(root, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", BLOCKED, ROOT / "tests/training/loop.py", root, tmp_path / "run"], capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}/tests", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    "net, images, arguments, message",
    [
        (None, "val", {}, "net is a NoneType; watch takes a module of torch"),
        ("net", 5, {}, "images is a int; watch takes a loader"),
        ("net", "val", {"layers": ["conv9"]}, "no layer conv9 in this net"),
        ("net", "val", {"rule": "x"}, "rule='x' is unknown"),
    ],
)
def test_arguments_that_are_not_possible(root, tmp_path, net, images, arguments, message):
    images = photos(root, "val") if images == "val" else images
    with (
        pytest.raises(UserError, match=message),
        convscope.watch(small_net() if net else None, images, folder=tmp_path / "run", **arguments),
    ):
        raise AssertionError("the loop has begun")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("epoch", [-1, "1", 1.0])
def test_an_epoch_that_is_none(root, tmp_path, epoch):
    with (
        pytest.raises(UserError, match="is no number of an epoch; count from 1"),
        convscope.watch(small_net(), photos(root, "val"), folder=tmp_path / "run") as watching,
    ):
        watching.epoch(epoch)


@pytest.mark.parametrize("values", [0.5, {"val/top1": "a half"}, {"val/top1": torch.ones(2)}])
def test_values_that_are_no_numbers(root, tmp_path, values):
    with (
        pytest.raises(UserError, match="values=.* are no numbers by name"),
        convscope.watch(small_net(), photos(root, "val"), folder=tmp_path / "run") as watching,
    ):
        watching.epoch(1, values)


def test_a_folder_of_another_run_is_not_written_into(trained, root):
    with (
        pytest.raises(UserError, match="holds a run that watch cannot go on with"),
        convscope.watch(small_net(), photos(root, "val"), folder=trained),
    ):
        pass
