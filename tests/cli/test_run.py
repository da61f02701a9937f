"""The program as a user starts it: real processes, real run folders, real checkpoints."""

import csv
import json
import re
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import ROOT, SMALL, convscope


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def index(folder):
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def problem(ended):
    """The one line a user sees."""
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("convscope: ")]
    assert len(lines) == 1, ended.stderr
    return lines[0]


def test_help_needs_none_of_the_libraries_that_take_seconds_to_load(tmp_path):
    script = (
        "import runpy, sys\n"
        "sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: print(sorted({'torch', 'pytorch_lightning', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(ROOT / "src/run.py")]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and ended.stdout.splitlines()[-1] == "[]", ended.stdout + ended.stderr
    for word in ("job=visualize", "zfnet_512_1024_512", "critters", "trainer.max_epochs"):
        assert word in ended.stdout
    assert not list(tmp_path.iterdir())


def test_a_run_leaves_the_folder_it_promises(trained):
    rows = list(csv.DictReader((trained / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    compared = {column for column in rows[0] if column.startswith(("recur/", "cka/"))}  # with the epoch before
    assert {column for column, cell in rows[0].items() if cell == ""} == compared and compared
    assert "" not in rows[1].values()
    for column in (
        "train/loss",
        "val/top1",
        "val/top5",
        "val/class_mean",
        "lr",
        "renorm/conv1",
        "stayed/conv5",
        "dead/conv1",
    ):
        assert column in rows[0]
    for line in index(trained):
        if "path" in line:
            assert (trained / line["path"]).is_file()
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        for epoch in (1, 2):
            Image.open(trained / f"pictures/top9/{layer}/epoch_{epoch:03d}.webp").verify()
        Image.open(trained / f"pictures/evolution/{layer}.jpg").verify()
    said = summary(trained)
    assert said["finished"] and said["seed"] == 0 and len(said["classes"]) == 10
    assert said["final"]["val/top1"] == pytest.approx(float(rows[-1]["val/top1"]), abs=1e-5)
    assert torch.__version__.startswith(said["versions"]["torch"]) and min(said["seconds"].values()) > 0
    assert (trained / "report/index.html").is_file()
    leftovers = [path for path in trained.rglob(".*") if path.is_file() and path.parent.name != ".hydra"]
    assert leftovers == []


def test_the_record_of_an_epoch_is_whole(trained):
    record = load_file(trained / "top9/epoch_002.safetensors")
    for layer in ("conv1", "conv5"):
        score, image = record[f"{layer}.score"], record[f"{layer}.image"]
        assert score.dtype == torch.float32 and image.dtype == torch.int64
        assert score.shape == image.shape == record[f"{layer}.row"].shape == record[f"{layer}.col"].shape
        assert (score.diff(dim=1) <= 0).all()  # strongest first
        assert ((image >= 0) & (image < 40)).all()  # 40 validation images
        assert all(len(set(row)) == 9 for row in image.tolist())  # nine different images


def test_checkpoints_load_without_trusting_them(trained):
    for name in ("last.ckpt", "best.ckpt"):
        saved = torch.load(trained / "checkpoints" / name, weights_only=True)
        assert "conv1" in saved["convscope"]["net"]["layers"]
        assert saved["state_dict"]["net.conv1.weight"].shape[1:] == (3, 7, 7)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(trained, tmp_path, cache):
    for words in (["seed=0", "hydra.run.dir=same"], ["seed=1", "hydra.run.dir=other", "evolution=off"]):
        ended = convscope(*SMALL, f"data.cache_dir={cache}", *words, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
    weights = [
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in (trained, tmp_path / "same", tmp_path / "other")
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not torch.equal(weights[0]["net.conv1.weight"], weights[2]["net.conv1.weight"])
    records = [load_file(folder / "top9/epoch_002.safetensors") for folder in (trained, tmp_path / "same")]
    assert all(torch.equal(records[0][key], records[1][key]) for key in records[0])


def test_visualize_a_checkpoint_draws_what_its_training_drew(trained, tmp_path, cache):
    ended = convscope(
        "job=visualize", f"ckpt={trained}/checkpoints/last.ckpt", "evolution.maps=4", "hydra.run.dir=seen", cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    before, after = (
        load_file(trained / "top9/epoch_002.safetensors"),
        load_file(tmp_path / "seen/top9/top9.safetensors"),
    )
    assert all(torch.equal(before[key], after[key]) for key in before if not key.endswith("score"))
    assert all(torch.allclose(before[key], after[key], rtol=1e-5) for key in before if key.endswith("score"))
    assert summary(tmp_path / "seen")["finished"]
    assert {line["name"] for line in index(tmp_path / "seen")} >= {
        "top9/conv1",
        "top9/conv5",
        "filters/conv1",
        "layers",
    }


def test_visualize_a_torchvision_net(tmp_path, cache):
    ended = convscope(
        "job=visualize", "model=torchvision", "model.name=resnet18", "data.train=20", "data.val=20",
        "data.image_size=64", "evolution.maps=2", f"data.cache_dir={cache}", "hydra.run.dir=seen", cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    grids = sorted((tmp_path / "seen/pictures/top9").glob("*.jpg"))
    assert len(grids) == 5


def test_a_sweep_goes_on_after_a_job_that_fails_and_ends_with_status_1(tmp_path, cache):
    ended = convscope(
        "-m", "optim.lr=0.001,1e30", "optim=paper", *SMALL, f"data.cache_dir={cache}", "evolution=off",
        "hydra.sweep.dir=sweep", "name=row", cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 1
    folders = sorted((tmp_path / "sweep").glob("*_row"))
    assert [summary(folder)["finished"] for folder in folders] == [True, False]
    assert "the loss became" in summary(folders[1])["problem"]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, cache):
    ended = convscope(
        *SMALL, "optim=paper", "optim.lr=1e25", "trainer.max_epochs=3", f"data.cache_dir={cache}",
        "optim.batch_size=20", "evolution=off", "hydra.run.dir=run", cwd=tmp_path,
    )  # fmt: skip
    line = problem(ended)
    assert re.search(r"the loss became (nan|inf) in epoch \d, step \d; first bad layer: \w+; earlier checkpoints", line)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=zfnett"], r"zfnett"),
        (["model.layers.conv3.kernel=9"], r"conv3: a window of 9 is larger than"),
        (["evolution.layers=[conv9]"], r"no layer conv9 in this net .did you mean conv5... its layers: conv1, pool1"),
        (["evolution.maps={conv1: [900]}"], r"conv1 has maps 0 to \d+, not 900"),
        (["optim.lr=-1"], r"optim.lr=-1 is too small; it is above 0, e.g. optim.lr=0.01"),
        (["data=folder", "data.root=/nowhere"], r"/nowhere"),
        (["job=visualize", "ckpt=nothing.ckpt"], r"nothing.ckpt"),
        (["job=visualize", "rule=gradcam"], r"gradcam.*deconvnet.*guided.*gradient"),
        (["job=report", "run=nowhere"], r"nowhere"),
        (["job=report"], r"type run=<a run folder>"),
        (["seed=-1"], r"seed=-1 is no seed"),
        (["trainer.devices=two"], r"trainer.devices=two are no devices; take a number"),
        (["trainer.devices=0"], r"trainer.devices=0 are no devices"),
        (["trainer.accelerator=abacus"], r"trainer.accelerator=abacus is not available on this machine; possible: "),
        (["evolution.maps=-2"], r"evolution.maps=-2 is too small; it is 1 or more"),
        (["evolution.layers=conv1"], r"evolution.layers=conv1 is not a list such as"),
        (["job=occlude", "occlude.size=big"], r"occlude.size=big is not a whole number or null"),
        (["job=invariance", "invariance.layers=conv1"], r"invariance.layers=conv1 is not a list such as"),
        (["job=claims"], r"type run=outputs/train/<run>"),
    ],
)
def test_bad_input_gets_one_line(words, said, tmp_path, cache):
    start = [] if "job=report" in words else [f"hydra.run.dir={tmp_path}/run"]
    small = (
        []
        if words[0].startswith(("data=", "job=report"))
        else [word for word in SMALL if not word.startswith(("optim", "trainer"))]
    )
    assert re.search(said, problem(convscope(*small, *words, *start, cwd=tmp_path)))
