"""Where training starts: what is frozen does not move, by any optimizer, renormalization or batch norm."""

import json
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from PIL import Image
from torchvision.models import resnet18

from conftest import convscope
from convscope.cli.jobs import JOBS
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.errors import UserError
from convscope.models.build import build
from convscope.models.checkpoints import describe
from convscope.training.callbacks.filter_renormalization import RenormalizeFilters
from convscope.training.classifier import Classifier
from convscope.training.loaders import TrainingImages
from convscope.training.recipe import build_optimizer, read_recipe
from convscope.training.start import Start, apply_start_, freeze_, read_start, start_checkpoint
from random_settings import composed

CONF = Path(__file__).resolve().parents[2] / "conf/optim"
ROWS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 5},
    "pool1": {"kind": "pool", "kernel": 2, "stride": 2},
    "conv2": {"kind": "conv", "maps": 8, "kernel": 3},
    "fc3": {"kind": "full", "units": 16, "dropout": 0.5},
    "fc4": {"kind": "full", "units": "classes"},
}
EVERY = ["conv1", "conv2", "fc3", "fc4"]


def images(classes=("a", "b"), image_size=14, tmp="."):
    draw = np.random.default_rng(0)
    side = image_size * 256 // 224
    split = Pixels(draw.integers(0, 256, (4, side, side, 3), np.uint8), np.array([0, 1, 0, 1]))
    return ImageData(Source(list(classes), split, split), DataSettings(image_size, 4, cache_dir=str(tmp)))


def net(classes=2):
    torch.manual_seed(classes)
    return build(ROWS, 14, classes)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of a net of classes a and b, and its weights."""
    data, old = images(tmp=tmp_path), net()
    about = {"net": describe(old), "class_names": ["a", "b"], "mean": data.mean, "pixel_scale": 1.0}
    state = {f"net.{name}": value for name, value in old.state_dict().items()}
    torch.save({"convscope": about, "state_dict": state}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt", old


def begun(model, data, start):
    start = read_start({"layers": ROWS, **start})
    return apply_start_(model, start, start_checkpoint(start), data)


def recipe(name, **changed):
    """The shipped recipe with the first filters far over the radius of renormalization."""
    above, file = OmegaConf.load(CONF / "paper.yaml"), OmegaConf.load(CONF / f"{name}.yaml")
    plain = {**OmegaConf.to_container(above), **OmegaConf.to_container(file), "renorm": 1e-3, **changed}
    plain.pop("defaults", None)
    return read_recipe(plain)


def trained(model, data, chosen):
    """The model after two epochs of two steps, validation between them."""
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[RenormalizeFilters(chosen.renorm)], use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Classifier(model, chosen, len(data.classes)), datamodule=TrainingImages(data))
    return model


def changed(model, before):
    return [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", ["paper", "quick"])
def test_frozen_rows_stay_bit_for_bit_and_the_others_learn(name, tmp_path):
    model, data = net(), images(tmp=tmp_path)
    assert begun(model, data, {"freeze": ["conv1", "fc3"]}) == {
        "frozen": ["conv1", "fc3"],
        "words": "frozen: conv1, fc3",
    }
    before = state(model)
    trained(model, data, recipe(name))
    assert changed(model, before) == ["conv2.weight", "conv2.bias", "fc4.weight", "fc4.bias"]


def test_a_frozen_block_keeps_its_statistics_in_training(tmp_path):
    model, data = resnet18(num_classes=2), images(image_size=32, tmp=tmp_path)
    assert freeze_(model, ["conv1", "bn1", "layer1"])[:3] == ["conv1", "bn1", "layer1.0.conv1"]
    before = state(model)
    trained(model, data, recipe("paper"))
    moved = changed(model, before)
    assert not [name for name in moved if name.startswith(("conv1", "bn1", "layer1"))]
    assert {"layer2.0.bn1.running_mean", "layer2.0.bn1.num_batches_tracked", "fc.weight"} <= set(moved)


@pytest.mark.parametrize("name", ["paper", "quick"])
def test_the_optimizer_holds_what_trains_at_its_own_rate(name):
    model, chosen = net(), recipe(name)
    whole = {
        id(weight): group["lr"] for group in build_optimizer(model, chosen).param_groups for weight in group["params"]
    }
    freeze_(model, ["conv1", "fc4"])
    groups = build_optimizer(model, chosen).param_groups
    held = {id(weight) for group in groups for weight in group["params"]}
    assert held == {id(weight) for row in (model.conv2, model.fc3) for weight in (row.weight, row.bias)}
    assert all(whole[id(weight)] == group["lr"] for group in groups for weight in group["params"])


def test_dropout_of_a_frozen_row_stays():
    model = net()
    freeze_(model, ["fc3"])
    alike = torch.ones(50, 72)
    assert len(model.fc3(alike).unique(dim=0)) > 1
    assert len(model.eval().fc3(alike).unique(dim=0)) == 1


def test_other_classes_of_the_same_number_get_a_new_last_row(saved, tmp_path):
    path, old = saved
    model, data = net(), images(("c", "d"), tmp=tmp_path)
    with torch.no_grad():
        model.fc4.weight.zero_()
    told = begun(model, data, {"init": str(path), "freeze": "taken"})
    assert told["taken"] == told["frozen"] == EVERY[:3] and told["mean"] == "the checkpoint's"
    assert told["words"] == (
        f"took conv1 ... fc3 from {path}; fc4 is new: 2 classes, the checkpoint has others; "
        "the mean image is the checkpoint's; frozen: conv1 ... fc3"
    )
    assert (model.fc4.weight == 0).all() and torch.equal(model.conv1.weight, old.conv1.weight)


def test_the_same_classes_take_every_row(saved, tmp_path):
    path, old = saved
    model = net()
    with torch.no_grad():
        model.fc4.weight.zero_()
    assert begun(model, images(tmp=tmp_path), {"init": str(path)})["taken"] == EVERY
    assert changed(model, old.state_dict()) == []


def test_only_the_rows_asked_for_and_none_at_all(saved, tmp_path):
    path, old = saved
    model, data = net(), images(tmp=tmp_path)
    with torch.no_grad():
        [weight.zero_() for weight in model.parameters()]
    told = begun(model, data, {"init": str(path), "take": ["conv2"]})
    assert told["new"] == dict.fromkeys(["conv1", "fc3", "fc4"], "not in model.take")
    assert torch.equal(model.conv2.weight, old.conv2.weight) and (model.conv1.weight == 0).all()
    assert begun(model, data, {"init": "not read", "take": []}) == {}


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"freeze": ["conv9"]}, "model.freeze: no row conv9 with weights in this net; it has conv1, conv2, fc3, fc4"),
        ({"freeze": ["pool1"]}, "model.freeze: no row pool1 with weights in this net; it has conv1, conv2, fc3, fc4"),
        ({"freeze": EVERY}, "model.freeze holds every row of the net, fc4 too: nothing is left to train; "
         "freeze all but fc4"),
        ({"freeze": "conv1"}, "model.freeze=conv1 is unknown; possible: taken, or a list such as [conv1, conv5]"),
        ({"take": "conv1"}, "model.take=conv1 is not a list such as [conv1, conv5] or null; type model.take=[conv1]"),
        ({"freeze": "taken"}, "model.freeze=taken needs rows taken from a net; type model.init=outputs/train/<run>/"
         "checkpoints/last.ckpt"),
        ({"init": "a.ckpt", "take": [], "freeze": "taken"}, "model.freeze=taken needs rows taken from a net; type "
         "model.init=outputs/train/<run>/checkpoints/last.ckpt"),
        ({"take": ["conv1", "fc3"]}, "model.take=[conv1,fc3] needs rows taken from a net; type model.init=outputs/train"
         "/<run>/checkpoints/last.ckpt"),
        ({"init": "a.ckpt", "weights": "DEFAULT"}, "model.init=a.ckpt and model.weights=DEFAULT both give weights; set "
         "one of them to null"),
        ({"init": "a.ckpt"}, "no checkpoint a.ckpt; a training run leaves checkpoints/last.ckpt in its folder: "
         "model.init=<that path>"),
    ],
)  # fmt: skip
def test_bad_starts_are_told(start, said, tmp_path):
    with pytest.raises(UserError) as problem:
        begun(net(), images(tmp=tmp_path), start)
    assert str(problem.value) == said


@pytest.mark.parametrize(
    ("row", "why"),
    [("fc4", "3 classes, the checkpoint has 2"), ("conv9", "no such row with weights in this net")],
)
def test_a_row_asked_for_that_cannot_be_had_is_told(row, why, saved, tmp_path):
    with pytest.raises(UserError) as problem:
        begun(net(3), images(("a", "b", "c"), tmp=tmp_path), {"init": str(saved[0]), "take": ["conv1", row]})
    assert str(problem.value) == f"model.take: {row} cannot be taken ({why}); model.take=null takes every row that fits"


def test_a_net_of_a_library_shares_no_names_with_rows(saved):
    with pytest.raises(
        UserError, match=r"last.ckpt holds a net of rows, this is one of timm resnet18: they share no n"
    ):
        start_checkpoint(Start(str(saved[0]), None, [], "timm resnet18"))


@pytest.fixture
def photographs(tmp_path):
    """A folder of three classes of noise."""
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(12):
            (place := tmp_path / "photographs" / split / f"n{number % 3}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (80, 80, 3), np.uint8)).save(place / f"{number}.png")
    return tmp_path / "photographs"


def weights(folder):
    found = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return {name: value for name, value in found["state_dict"].items() if name.startswith("net.")}, found["convscope"]


def test_transfer_through_the_program(trained, photographs, tmp_path, cache):
    """The net is the checkpoint's. A rate of 1e-30 changes no weight: such a run ends with what it began with."""
    ended = convscope(
        "experiment=transfer", "way=frozen,fine_tuned", "optim.lr=1e-30,1e-2", "optim=paper", "optim.batch_size=4",
        f"model.init={trained}/checkpoints/last.ckpt", f"data.root={photographs}",
        "trainer.max_epochs=1", "trainer.accelerator=cpu", "hydra.sweep.dir=sweep",
        f"data.cache_dir={cache}", cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (old, about), sweep = weights(trained), tmp_path / "sweep"
    ends = {folder.name: weights(folder) for folder in sorted(sweep.glob("[0-3]_*"))}
    differing = {name: rows(new, old) for name, (new, _) in ends.items()}
    every = {"conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"}
    assert differing["0_frozen"] == differing["1_frozen"] == differing["2_fine_tuned"] == {"fc8"}
    assert differing["3_fine_tuned"] == every and rows(ends["0_frozen"][0], ends["1_frozen"][0]) == {"fc8"}
    for name, (_, new) in ends.items():
        assert torch.equal(new["mean"], about["mean"]) and len(new["class_names"]) == 3
        start = json.loads((sweep / name / "summary.json").read_text())["start"]
        assert start["taken"] == sorted(every - {"fc8"}) and start["new"] == {"fc8": "3 classes, the checkpoint has 10"}
        assert start.get("frozen", []) == (start["taken"] if name.endswith("frozen") else [])
    assert ended.stdout.count(f"took conv1 ... fc7 from {trained}/checkpoints/last.ckpt; fc8 is new: 3 classes") == 4
    assert ended.stdout.count("fine_tuned: the validation accuracy (top-1) is ") == 2


def rows(one, other):
    """The rows in which two nets differ; a bias that was zero may have left it by as much as the rate."""
    return {
        name.split(".")[1]
        for name, value in one.items()
        if value.shape != other[name].shape or not torch.allclose(value, other[name], rtol=0, atol=1e-25)
    }


def test_a_job_that_looks_starts_nothing(trained, tmp_path, cache):
    ended = convscope("job=visualize", f"model.init={trained}/checkpoints/last.ckpt", cwd=tmp_path)
    assert ended.returncode == 1
    assert "model.init is where a training starts; job=visualize looks at ckpt=<that file>" in ended.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_mended", [True, False])
def test_a_run_goes_on_with_the_images_that_it_began_with(is_mended, tmp_path):
    draw, bad = np.random.default_rng(0), tmp_path / "photos/train/b/1\n.png"
    for number in range(24):
        place = tmp_path / "photos" / ("train", "val")[number % 2] / ("a", "b")[number // 2 % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(place / f"{number}.png")
    bad.symlink_to(tmp_path / "away.png")
    words = ["job=train", "model=zfnet", "model.width=0.1", "data=folder", f"data.root={tmp_path}/photos",
             "evolution=off", "data.image_size=64", "data.on_bad_image=skip", f"data.cache_dir={tmp_path}/cache",
             "optim.schedule=plateau", "optim.batch_size=4", "trainer.accelerator=cpu"]  # fmt: skip
    for epochs in (1, 2):
        JOBS["train"]({**composed([*words, f"trainer.max_epochs={epochs}"]), "words": []}, tmp_path / "run")
        saved = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
        assert saved["convscope"]["images"] == {"train": 12, "val": 12} and saved["epoch"] == epochs - 1
        if is_mended:
            (tmp_path / "away.png").write_bytes((tmp_path / "photos/train/a/0.png").read_bytes())
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["warnings"][0].startswith("images that could not be read when the run began stay left out")
