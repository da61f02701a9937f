"""Runs and checkpoints by the name of a folder or a file, and the net that a checkpoint brings along."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from conftest import ROOT
from convscope.cli.named_nets import taking_folders, with_nets_by_name
from convscope.cli.resume import resolve_resume
from convscope.errors import UserError
from convscope.models.build import build
from convscope.models.checkpoints import PREFIX, checkpoint_file, read_checkpoint
from convscope.runs.reading import run_around

BEST, LAST = "checkpoints/best.ckpt", "checkpoints/last.ckpt"


def received(**settings):
    """What a command gets of such settings."""
    calls = []
    taking_folders(lambda given, _: calls.append(given))({"model": {}, **settings}, Path())
    return calls[0]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Run folders with both checkpoints, with the last alone and with none."""
    for name, files in {"both": [BEST, LAST], "last": [LAST], "none": []}.items():
        for file in ["summary.json", "report/index.html", *files]:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def spellings(path, runs):
    return [path, f"./{path}", f"{path}/", f"{runs}/{path}", f"~/{path}", f"none/../{path}"]


@pytest.mark.parametrize(("name", "file"), [("both", BEST), ("last", LAST)])
def test_a_folder_names_its_best_checkpoint_or_the_last(name, file, runs, capsys):
    expected = runs / name / file
    for path in [*spellings(name, runs), *spellings(f"{name}/checkpoints", runs)]:
        assert os.path.samefile(checkpoint_file(path), expected)
        for settings in (received(ckpt=path), received(ckpt=[path, "else.ckpt"]), received(model={"init": path})):
            taken = settings.get("ckpt") or settings["model"]["init"]
            assert os.path.samefile(taken[0] if isinstance(taken, list) else taken, expected)
        assert capsys.readouterr().out == (
            f"ckpt={path}: {expected.name}\nckpt={path}: {expected.name}\nmodel.init={path}: {expected.name}\n"
        )
    for path in (f"{name}/{LAST}", "nothing", "~nobody-of-this-name/x", "\0", "x" * 5000, "none", None, 3):
        assert received(ckpt=path)["ckpt"] == path and received(model={"init": path})["model"]["init"] == path
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match="none holds no checkpoints/best.ckpt or last.ckpt; type ckpt="):
        read_checkpoint("none")


def test_a_file_in_a_run_names_the_run(runs):
    for inside in ("", "/checkpoints", f"/{BEST}", "/report", "/report/index.html", "/summary.json"):
        for path in (f"both{inside}", f"{runs}/both{inside}", f"~/both{inside}"):
            settings = received(run=path, ckpt=f"{path}/{LAST}")
            assert os.path.samefile(settings["run"], "both")
            assert os.path.samefile(settings["ckpt"], f"both/{LAST}")
            assert os.path.samefile(run_around(path), "both")
    os.chdir(runs / "both")
    for path in ("nothing", "\0", "x" * 5000):
        assert received(run=path)["run"] == path
    assert os.path.samefile(received(run=".")["run"], runs / "both")


@pytest.mark.parametrize("path", ["", "/", "/checkpoints", "/checkpoints/", "/checkpoints/last.ckpt"])
def test_a_checkpoint_names_the_run_that_goes_on(path, runs):
    groups = dict.fromkeys(("model", "data", "optim", "trainer", "evolution"), {})
    (runs / "both/.hydra").mkdir()
    OmegaConf.save({**groups, "job": "train", "seed": 0}, runs / "both/.hydra/config.yaml")
    for run in spellings("both", runs):
        assert resolve_resume([f"resume={run}{path}"]) == resolve_resume(["resume=both"])
    for other in ("both/report", "both/nothing.ckpt", "both/checkpoints/nothing.ckpt"):
        with pytest.raises(UserError, match=f"resume={other} is no folder of a training run"):
            resolve_resume([f"resume={other}"])


def transfer(init, *words):
    words = ["experiment=transfer", f"model.init={init}", "data.root=/photos", *words]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = with_nets_by_name(compose("config", overrides=words), words)
    return OmegaConf.to_container(cfg, resolve=True)


def shapes(settings):
    model = settings["model"]
    net = build(model["layers"], settings["data"]["image_size"], 10, model["width"])
    return {name: weight.shape for name, weight in net.state_dict().items()}


@pytest.mark.parametrize("way", ["frozen", "fine_tuned", "scratch"])
@pytest.mark.parametrize("path", ["", "/checkpoints", f"/{LAST}"])
def test_all_ways_of_transfer_train_the_net_of_the_checkpoint(way, path, trained, tmp_path):
    shutil.copytree(trained / "checkpoints", tmp_path / "run/checkpoints")
    state = torch.load(trained / LAST, weights_only=True)["state_dict"]
    expected = {name.removeprefix(PREFIX): value.shape for name, value in state.items() if name.startswith(PREFIX)}
    settings = transfer(f"{tmp_path}/run{path}", f"way={way}")
    assert shapes(settings) == expected
    assert settings["model"]["take"] == ([] if way == "scratch" else None) and settings["name"] == way
    assert settings["net"] is None  # a run that goes on reads its own rows


def test_what_is_typed_wins_over_the_checkpoint(trained):
    assert transfer(trained, "model.width=0.5")["model"]["width"] == 0.5
    assert list(transfer(trained, "model=vgg11")["model"]["layers"])[0] == "conv1_1"
    assert transfer(trained, "data.image_size=80")["data"]["image_size"] == 80
    assert "conv3" not in transfer(trained, "~model.layers.conv3")["model"]["layers"]
    assert transfer(trained, "data=stream")["data"]["image_size"] == 224


def test_the_net_of_a_library_comes_with_its_name(tmp_path):
    about = {"net": {"source": "torchvision", "name": "resnet18", "classes": 2, "image_size": 64}}
    state = {"net.fc.weight": torch.zeros(2, 3)}
    torch.save({"state_dict": state, "convscope": about | {"pixel_scale": [1.0, 1.0, 1.0]}}, tmp_path / "net.ckpt")
    settings = transfer(tmp_path / "net.ckpt")
    model = {"source": "torchvision", "name": "resnet18", "weights": None, "take": None, "freeze": "taken"}
    assert settings["model"] == model | {"init": str(tmp_path / "net.ckpt")}
    assert settings["data"]["image_size"] is None


def test_names_as_on_model_cards_become_those_of_the_library():
    def net(*words):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = with_nets_by_name(compose("config", overrides=words), words)
        return [cfg.model.source, cfg.model.name, cfg.model.get("weights"), cfg.name]

    assert net("model=timm", "model.name=timm/resnet50.a1_in1k") == ["timm", "resnet50", "a1_in1k", "resnet50"]
    weights = "model.weights=ResNet18_Weights.IMAGENET1K_V1"
    assert net("model=torchvision", weights) == ["torchvision", "resnet18", "IMAGENET1K_V1", "resnet18"]
    untrained = net("model=timm", "model.name=timm/resnet50.a1_in1k", "model.weights=null")
    assert untrained == ["timm", "resnet50", None, "resnet50"]
    assert net("model=torchvision", "model.name=ResNet-18", "name=x") == ["torchvision", "resnet18", None, "x"]
    with pytest.raises(UserError, match="only gives the net of model=zfnet another name; type model=torchv"):
        net("model.name=resnet18")
    assert net("model.name=mine") == ["rows", "mine", None, "mine"]
    assert net("model=vgg16", "model.name=vgg16") == ["rows", "vgg16", None, "vgg16"]
