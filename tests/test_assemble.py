"""Where a net is looked at, and what a job is told of one that was saved."""

import pytest
import torch

from convscope.assemble import device, said
from convscope.problem import Problem


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
    assert device(accelerator) == torch.device(expected)


@pytest.mark.parametrize(
    ("accelerator", "there", "possible"),
    [("gpu", {}, "cpu"), ("cuda", {"mps": True}, "mps, cpu"), ("tpu", {"cuda": True}, "cuda, cpu")],
)
def test_a_device_that_is_not_there_is_told(accelerator, there, possible, monkeypatch):
    with_gpus(monkeypatch, **there)
    with pytest.raises(
        Problem, match=f"trainer.accelerator={accelerator} is not to be had here; possible: {possible}$"
    ):
        device(accelerator)


def test_words_that_speak_of_the_data():
    words = ["job=occlude", "data=folder", "+data.limit=3", "datax=1", "~data.root", "model=zfnet"]
    assert said(words, "data") == ["data=folder", "data.limit=3", "data.root"]
