"""model=python from the command line: a package in the working directory is trained, looked at, gone on with.

A file names no code: beside ckpt=, model.init= and resume=, the target is typed again.
"""

import json
import re

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from conftest import ROOT, convscope
from convscope.api import load
from convscope.cli.preparation import prepare
from convscope.cli.resume import continue_hint
from convscope.errors import UserError
from convscope.models.build import build
from convscope.training.start import read_start, start_checkpoint

pytestmark = pytest.mark.slow
NET = """
from pathlib import Path

from torch import nn

Path("imported").touch()


class MyNet(nn.Module):
    def __init__(self, width=1, num_classes=1000):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8 * width, 3, stride=2), nn.ReLU(), nn.MaxPool2d(4))
        self.head = nn.Linear(8 * width * 49, num_classes)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))
"""
TINY = ["data.train=20", "data.val=10", "data.image_size=64", "trainer.accelerator=cpu", "evolution.maps=2"]
TARGET = ["model=python", "model.target=my_package.nets:MyNet", "model.args={width: 2}"]
TO_TYPE = "type model=python model.target=my_package.nets:MyNet 'model.args={width: 2}' too"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_package").mkdir()
    (folder / "my_package/nets.py").write_text(NET)
    return folder


def test_a_net_of_ones_own_trains_and_is_looked_at_only_where_it_is_typed(place, cache):
    tiny = [*TINY, f"data.cache_dir={cache}"]

    def start(*words):
        (place / "imported").unlink(missing_ok=True)
        ended = convscope(*words, cwd=place)
        return ended.returncode, ended.stdout + ended.stderr, (place / "imported").exists()

    train = ["optim.schedule=constant", "trainer.max_epochs=1", "hydra.run.dir=run"]
    code, text, _ = start(*TARGET, *train, *tiny)
    assert code == 0, text
    assert json.loads((place / "run/summary.json").read_text())["net"]["name"] == "MyNet"
    about = torch.load(place / "run/checkpoints/last.ckpt", weights_only=True)["convscope"]["net"]
    assert {key: about[key] for key in ("target", "args", "classes")} == {
        "target": "my_package.nets:MyNet", "args": {"width": 2}, "classes": 10,
    }  # fmt: skip

    assert continue_hint(place / "run", None).endswith(f"/run {TO_TYPE[len('type model=python ') : -len(' too')]}")
    look = ["job=visualize", "ckpt=run", "evolution.maps=2", "trainer.accelerator=cpu", f"data.cache_dir={cache}"]
    more = ["resume=run", "trainer.max_epochs=2"]
    for words in (look, [*more, *TARGET[:2]]):
        code, text, imported = start(*words)
        assert code == 1 and text.count("\n") <= 2 and TO_TYPE in text and not imported, words
    code, text, imported = start(*look, *TARGET, "hydra.run.dir=look")
    assert code == 0 and imported and list((place / "look/pictures/top9").glob("*.jpg")), text
    code, text, _ = start(*more, *TARGET[:2], "model.args.width=2")
    assert code == 0 and "epoch 2/2" in text, text
    rows = {"init": str(place / "run"), "source": "rows", "layers": {}}
    with pytest.raises(UserError, match=re.escape(TO_TYPE)):
        start_checkpoint(read_start(rows))
    with pytest.raises(UserError, match=r"make the net in Python.* pass it to convscope\.subject$"):
        load(place / "run")
    own = {"init": str(place / "run"), "source": "python", "target": "my_package.nets.MyNet"}
    assert start_checkpoint(read_start(own))["convscope"]["net"]["name"] == "MyNet"


def test_training_a_net_of_rows_begins_with_the_weights_of_a_file(place, cache):
    """All rows of the file for as many classes; a new last row, as the recipe draws it, for others."""
    words = ["model.width=0.1", "model.weights=rows.pth", *TINY, f"data.cache_dir={cache}", "optim.init=he"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    settings["model"]["weights"] = file = str(place / "rows.pth")
    for classes in (10, 4):
        net = build(settings["model"]["layers"], 64, classes, 0.1)
        torch.save({"state_dict": {f"model.{name}": value for name, value in net.state_dict().items()}}, file)
        prepared = prepare(settings, place / "rows")
        for name, value in prepared.subject.net.state_dict().items():
            is_new = name.startswith("fc8") and classes == 4
            assert is_new or torch.equal(value, net.state_dict()[name]), name
        last = prepared.subject.net.fc8
        assert last.weight.shape[0] == 10 and (
            classes == 10 or (0.005 < last.weight.std() < 0.02 and not last.bias.any())
        )
