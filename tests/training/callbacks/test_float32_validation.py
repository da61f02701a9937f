"""Nets that train in other numbers than float32: what is seen of them is float32, and nothing of them is lost by it."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from convscope.analyses.subject import saved_subject
from convscope.analyses.visualize.about import FeatureConfig
from convscope.analyses.visualize.compute import SplitPixels, drawn_maps, feature_view, search_top9
from convscope.analyses.visualize.figure import feature_grid
from convscope.cli.jobs import JOBS
from convscope.config import read_config
from convscope.engine.top9 import to_arrays
from convscope.models.renorm import filter_rms
from convscope.runs.map_tiles import strongest_of
from convscope.training.callbacks.float32_validation import ValidateInFloat32, in_float32
from random_settings import composed

TINY = ["data.train=12", "data.val=12", "data.image_size=64", "model.width=0.05", "optim.batch_size=6", "seed=3",
        "optim=paper", "optim.init=he", "optim.lr=0.01", "trainer.accelerator=cpu", "data.workers=0",
        "evolution.maps=2", "evolution.layers=[conv1,conv3]"]  # fmt: skip
TRUE = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}


def run(folder, *words):
    settings = composed([*TINY, *words])
    JOBS[settings["job"]]({**settings, "words": list(words)}, folder)
    return folder


def state(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def looked_at(trained, words):
    """The net of the checkpoint as every job opens it, and its images."""
    return saved_subject({**composed([*TINY, words[1]]), "ckpt": f"{trained}/checkpoints/last.ckpt", "words": []})


@pytest.fixture(scope="module", params=[*TRUE, "bf16-mixed"])
def unbroken(request, tmp_path_factory, cache):
    """A run of two epochs that clips its gradients, and the words that made it."""
    words = [f"trainer.precision={request.param}", f"data.cache_dir={cache}", "+trainer.gradient_clip_val=1000"]
    return run(tmp_path_factory.mktemp("run") / "run", *words, "trainer.max_epochs=2"), words


def test_a_job_finds_on_the_checkpoint_what_training_found_and_projected(unbroken):
    """The same images at the same places with the same scores, and the same projections of those very units."""
    trained, words = unbroken
    subject = looked_at(trained, words)
    afterwards = search_top9(subject.net, subject.data, "val", ["conv1", "conv3"])
    in_training = load_file(trained / "top9" / "epoch_002.safetensors")
    for name, values in to_arrays(afterwards).items():
        assert values.dtype == in_training[name].dtype == (torch.float32 if "score" in name else torch.int64)
        torch.testing.assert_close(values, in_training[name], rtol=1e-5, atol=1e-5)
    for layer, top in afterwards.items():
        maps = drawn_maps(read_config(FeatureConfig, composed([*TINY])), layer, len(top.score), 3)
        images = SplitPixels(subject.data, "val")
        view = feature_view(subject.net, images, layer, top, maps)
        drawn, tiles = feature_grid(view, ""), strongest_of(trained, layer, 2)
        corners = zip(maps, drawn.sheet["projections"], drawn.sheet["count"], strict=True)
        for map_, (x, y) in ((map_, corner) for map_, corner, count in corners if count):
            expected = np.asarray(drawn.image).astype(int)[y : y + 96, x : x + 96]
            stored = np.asarray(tiles[map_]).astype(int)
            assert abs(stored - expected).mean() < 6 < expected.std()  # it is stored with losses


def test_the_score_of_a_float32_pass_written_by_hand(unbroken):
    trained, words = unbroken
    subject = looked_at(trained, words)
    weights = {name.removeprefix("net."): value.float() for name, value in state(trained)["state_dict"].items()}
    images = subject.data.images("val", range(12))
    first = nn.functional.conv2d(images, weights["conv1.weight"], weights["conv1.bias"], 2, 1)
    best = first.relu().amax((2, 3)).sort(0, descending=True).values[:9].T
    stored = load_file(trained / "top9/epoch_002.safetensors")["conv1.score"]
    torch.testing.assert_close(stored, best, rtol=1e-5, atol=1e-5)


def test_the_net_goes_on_in_its_own_numbers_and_filters_stay_on_the_radius(unbroken):
    trained, words = unbroken
    dtype = TRUE.get(words[0].partition("=")[2], torch.float32)
    checkpoint = state(trained)
    weights = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("net.")}
    assert {value.dtype for value in weights.values()} == {dtype}
    ratios = torch.cat([filter_rms(value).float() / 0.1 for value in weights.values() if value.dim() == 4])
    assert float(ratios.max()) <= 1 + 1e-6 and float(ratios.max()) > 1 - 32 * torch.finfo(
        torch.float32
    ).eps - torch.finfo(dtype).eps * (dtype.itemsize == 2)
    if dtype != torch.float32:
        assert {
            buffers["momentum_buffer"].dtype for buffers in checkpoint["optimizer_states"][0]["state"].values()
        } == {dtype}


def test_a_run_that_goes_on_equals_an_unbroken_one(unbroken, tmp_path):
    whole, words = unbroken
    run(tmp_path / "run", *words, "trainer.max_epochs=1")
    (tmp_path / "run/summary.json").unlink()
    again = run(tmp_path / "run", *words, "trainer.max_epochs=2")
    unbroken_state, resumed_state = state(whole), state(again)
    assert unbroken_state["global_step"] == resumed_state["global_step"] == 4
    for name, value in unbroken_state["state_dict"].items():
        assert torch.equal(value, resumed_state["state_dict"][name]), name
    for name in ("top9", "evolution"):
        files = [load_file(folder / name / "epoch_002.safetensors") for folder in (whole, again)]
        assert all(torch.equal(files[0][key], files[1][key]) for key in files[0]), name
    measured = {"seconds", "images_per_second"}
    rows = [list(csv.DictReader((folder / "metrics.csv").open())) for folder in (whole, again)]
    same = [[{key: row[key] for key in row.keys() - measured} for row in table] for table in rows]
    assert same[0] == same[1] and len(same[0]) == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_are_float32_for_a_while_and_come_back_as_the_same_objects(dtype):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)).to(dtype)
    net[3].weight, net[0].bias.requires_grad = net[2].weight, False
    net[2].weight.grad = torch.ones_like(net[2].weight)
    before = {name: (value, value.detach().clone()) for name, value in net.state_dict(keep_vars=True).items()}
    with pytest.raises(ZeroDivisionError), torch.inference_mode(), in_float32(net):
        assert net[3].weight is net[2].weight and not net[0].bias.requires_grad and net[1].num_batches_tracked == 0
        for name, value in net.state_dict(keep_vars=True).items():
            assert torch.equal(value, before[name][1].to(value.dtype)) and not value.is_inference()
            assert value.dtype == (torch.float32 if value.is_floating_point() else torch.int64)
        1 / 0  # noqa: B018
    for name, value in net.state_dict(keep_vars=True).items():
        assert value is before[name][0] and torch.equal(value, before[name][1]), name
    assert net[2].weight.grad.dtype == dtype


def test_tf32_is_off_in_validation_and_comes_back_after_an_error(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    trainer = SimpleNamespace(strategy=SimpleNamespace(), precision_plugin=None)
    callback, module = ValidateInFloat32(), SimpleNamespace(net=nn.Linear(1, 1))
    for end in (callback.on_validation_end, callback.on_exception):
        callback.on_validation_start(trainer, module)
        assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
        end(trainer, module)
        assert torch.backends.cudnn.allow_tf32
