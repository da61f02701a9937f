"""Where a net is looked at, and what a job is told of one that was saved."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from convscope.analyses.inputs import net_device
from convscope.analyses.subject import new_subject, overrides_of
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"


def with_gpus(monkeypatch, cuda=False, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("accelerator", "there", "expected"),
    [
        ("auto", {}, "cpu"), ("cpu", {}, "cpu"), ("auto", {"cuda": True}, "cuda"), ("gpu", {"cuda": True}, "cuda"),
        ("cuda", {"cuda": True}, "cuda"), ("cpu", {"cuda": True}, "cpu"), ("auto", {"mps": True}, "mps"),
        ("gpu", {"mps": True}, "mps"), ("mps", {"mps": True}, "mps"),
    ],
)  # fmt: skip
def test_the_device_in_lightnings_words(accelerator, there, expected, monkeypatch):
    with_gpus(monkeypatch, **there)
    assert net_device(accelerator) == torch.device(expected)


@pytest.mark.parametrize(
    ("accelerator", "there", "possible"),
    [("gpu", {}, "cpu"), ("cuda", {"mps": True}, "mps, cpu"), ("tpu", {"cuda": True}, "cuda, cpu")],
)
def test_a_device_that_is_not_there_is_told(accelerator, there, possible, monkeypatch):
    with_gpus(monkeypatch, **there)
    with pytest.raises(
        UserError, match=f"trainer.accelerator={accelerator} is not available on this machine; possible: {possible}$"
    ):
        net_device(accelerator)


@pytest.mark.parametrize("model", ["zfnet", "torchvision"])
def test_a_net_that_takes_weights_gets_the_input_they_are_used_to(model, cache):
    words = [f"model={model}", "data=digits", "data.limit=20", f"data.cache_dir={cache}", "data.image_size=64"]
    words += ["model.name=resnet18"] if model == "torchvision" else ["model.width=0.05"]
    chosen = settings(words)
    mean = torch.arange(3 * 73 * 73.0).view(3, 73, 73)  # 73 pixels are stored for 64
    parent = {"convscope": {"pixel_scale": [0.5, 0.25, 2.0], "mean": mean}}
    taking, other = new_subject(chosen, parent=parent).data, new_subject(chosen).data
    assert torch.equal(taking.mean, mean) and taking.settings.pixel_scale == (0.5, 0.25, 2.0)
    assert other.settings.pixel_scale != taking.settings.pixel_scale
    larger = new_subject(settings([*words, "data.image_size=80"]), parent=parent).data
    assert larger.mean.shape == (3, 91, 91) and larger.settings.pixel_scale == (0.5, 0.25, 2.0)


def settings(words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=words), resolve=True)


def test_words_that_speak_of_the_data():
    words = ["job=occlude", "data=folder", "+data.limit=3", "datax=1", "~data.root", "model=zfnet"]
    assert overrides_of(words, "data") == ["data=folder", "data.limit=3", "data.root"]
