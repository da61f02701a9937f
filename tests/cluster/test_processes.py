"""Several processes where images do not divide among them, where they are ended, and where one of them alone fails."""

import csv
import os
import re
import signal
import time

import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file

from cluster.test_clusters import ranks, started, wait_for, wait_until
from conftest import ROOT, convscope
from convscope.cli.jobs import JOBS
from random_settings import opened

TWO = ["data.train=41", "data.val=21", "data.image_size=64", "data.workers=0", "optim.batch_size=5",
       "evolution.maps=2", "evolution.layers=[conv1,conv5]", "trainer.accelerator=cpu", "trainer.devices=2",
       "trainer.strategy=ddp"]  # fmt: skip
MEASURED = {"seconds", "images_per_second"}


def composed(words):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=[*words]), resolve=True)


def rows(folder):
    found = list(csv.DictReader((folder / "metrics.csv").open()))
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in found]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, cache):
    """The folder of three epochs on two processes, with dropout and batch norms, the words that made it, its output.

    Of 21 training images of a process, four batches of 5, the last is no batch by itself: at 32 pixels the last maps
    have one pixel.
    """
    place = tmp_path_factory.mktemp("unbroken")
    net = ["model.width=0.05", "~model.layers.pool5", *(f"+model.layers.conv{n}.batch_norm=true" for n in (3, 5))]
    words = [*TWO, "data.image_size=32", *net, "trainer.max_epochs=3", f"data.cache_dir={cache}"]
    of_command = ["+place=run", "hydra.run.dir=${place}", "optim.patience=3"]  # its processes know these words too
    ended = convscope(*words, *of_command, cwd=place)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return place / "run", words, ended.stdout


def test_validation_counts_every_image_once_where_one_process_has_more_batches(unbroken, tmp_path):
    """21 images are 3 batches of one process and 2 of the other; batch norms have statistics of their own in each."""
    run, _, printed = unbroken
    assert printed.count("warning: optim.patience=3 changes nothing") == 1
    settings = composed(["job=visualize", f"ckpt={run}/checkpoints/last.ckpt", *TWO[5:8]])
    subject = opened(settings)
    every = range(subject.data.size("val"))
    images, labels = subject.data.images("val", every), subject.data.labels("val", every)
    with torch.no_grad():
        logits = subject.net(images)
    row = rows(run)[-1]
    assert len(labels) == 21 and row["epoch"] == "3"
    assert float(row["val/loss"]) == pytest.approx(F.cross_entropy(logits.double(), labels).item(), rel=1e-5)
    assert float(row["val/top1"]) == pytest.approx((logits.argmax(1) == labels).double().mean().item(), rel=1e-5)
    top5 = (logits.topk(5).indices == labels[:, None]).any(1)
    assert float(row["val/top5"]) == pytest.approx(top5.double().mean().item(), rel=1e-5)
    JOBS["visualize"](settings, tmp_path / "one")
    two, one = load_file(run / "top9/epoch_003.safetensors"), load_file(tmp_path / "one/top9/top9.safetensors")
    places = [key for key in one if not key.endswith("score")]
    assert places and all(two[key].equal(one[key]) for key in places if key.endswith("image"))
    for key in set(one) - set(places):  # batches of another size round otherwise, small scores by as much as large ones
        assert torch.allclose(two[key], one[key], rtol=1e-5, atol=1e-5 * float(one[key].max())), key


def test_two_processes_that_were_ended_within_an_epoch_go_on_to_the_same_end(unbroken, tmp_path):
    """By SIGTERM; then by SIGKILL of the command and torchrun, which have no time to end the processes that train."""
    whole, words, _ = unbroken
    run = tmp_path / "run"
    checkpoint = run / "checkpoints/last.ckpt"
    running = started([*words, "checkpoint.every_steps=1", f"hydra.run.dir={run}"], tmp_path)
    wait_for(checkpoint, running)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=60) == 143 and ranks(run) == []
    stopped = torch.load(checkpoint, weights_only=True)["global_step"]
    written = checkpoint.stat().st_mtime_ns
    running = started([f"resume={run}"], tmp_path)
    wait_until(lambda: checkpoint.stat().st_mtime_ns > written, running)
    (torchrun,) = [number for number in ranks(run) if b"cli/torchrun.py" in cmdline(number)]
    for number in (running.pid, torchrun):
        os.kill(number, signal.SIGKILL)
    assert running.wait(timeout=60) == -9
    until_gone(run)
    assert stopped < torch.load(checkpoint, weights_only=True)["global_step"] < 12
    ended = convscope(f"resume={run}", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "goes on after epoch" in ended.stdout
    assert " of 4 batches of the next\n" in (tmp_path / "said").read_text()  # SIGTERM came within an epoch
    assert rows(run) == rows(whole) and [row["epoch"] for row in rows(run)] == ["1", "2", "3"]
    states = [torch.load(folder / "checkpoints/last.ckpt", weights_only=True) for folder in (whole, run)]
    weights = [state["state_dict"] for state in states]
    assert states[0]["global_step"] == states[1]["global_step"] == 12
    assert weights[0].keys() == weights[1].keys() and all(weights[0][key].equal(weights[1][key]) for key in weights[0])
    for epoch in (1, 2, 3):
        tops = [load_file(folder / f"top9/epoch_00{epoch}.safetensors") for folder in (whole, run)]
        assert tops[0].keys() == tops[1].keys() and all(tops[0][key].equal(tops[1][key]) for key in tops[0])


def cmdline(number):
    with open(f"/proc/{number}/cmdline", "rb") as words:
        return words.read()


def until_gone(run):
    until = time.monotonic() + 30
    while ranks(run):
        assert time.monotonic() < until, "processes train on that nobody watches"
        time.sleep(0.1)


def test_an_error_while_drawing_ends_all_processes(tmp_path, cache):
    """Rank 0 alone draws; the other waits for it meanwhile."""
    run = tmp_path / "run"
    words = [*TWO, "model.width=0.05", "trainer.max_epochs=400", f"data.cache_dir={cache}", f"hydra.run.dir={run}"]
    running = started(words, tmp_path)
    wait_for(run / "checkpoints/last.ckpt", running)
    (run / "pictures").rename(tmp_path / "away")
    (run / "pictures").write_text("in the way")
    assert running.wait(timeout=60) == 1
    said = (tmp_path / "said").read_text()
    assert ranks(run) == [] and "Traceback" not in said
    assert len(re.findall("(?m)^convscope: .*/pictures/", said)) == 1
