"""Real runs that go wrong in every way that can be caused: warnings and errors name layer and epoch."""

import copy
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from convscope.analyses.visualize.about import FeatureConfig
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.errors import UserError
from convscope.metrics.goals import GOALS, Chance
from convscope.models.build import ConvNet, build
from convscope.models.checkpoints import describe
from convscope.models.library_nets import torchvision_net
from convscope.runs.record import Record
from convscope.training.callbacks.failure_checks import LAST_LAYER, WarnAtChance, remedies, watched_layers
from convscope.training.callbacks.finite_numbers import FirstBadStep, StopWhenNotFinite, first_bad_layer
from convscope.training.classifier import Classifier
from convscope.training.job import TrainingPlan, train
from convscope.training.recipe import Recipe, initialize_, read_recipe

ROWS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 3},
    "pool1": {"kind": "pool", "kernel": 2, "stride": 2},
    "conv2": {"kind": "conv", "maps": 8, "kernel": 3},
    "fc3": {"kind": "full", "units": 16},
    "fc4": {"kind": "full", "units": "classes"},
}
RECIPE = Recipe("sgd", 0.01, 0.9, 0.0, 20, "constant", 0, 0.0, "he", 0.01, [], None)
CONF = Path(__file__).resolve().parents[3] / "conf/optim"
OFF = FeatureConfig(None, 4, [], "val")


@pytest.fixture
def data(tmp_path):
    return images_in(tmp_path)


def images_in(place, batch_size=20, mean=None):
    """Two classes of 16 x 16 images, dark ones and bright ones, in noise."""
    draw, label = np.random.default_rng(0), np.arange(40) % 2
    images = (draw.integers(0, 150, (40, 18, 18, 3)) + 100 * label[:, None, None, None]).astype(np.uint8)
    settings = DataSettings(image_size=16, batch_size=batch_size, cache_dir=str(place / "cache"))
    return ImageData(Source(["dark", "bright"], Pixels(images, label), Pixels(images[:20], label[:20])), settings, mean)


def made(recipe=RECIPE):
    torch.manual_seed(0)
    net = build(ROWS, image_size=16, classes=2)
    initialize_(net, recipe)
    return net


def run(net, data, place, recipe=RECIPE, epochs=2, choice=OFF):
    record = Record(place / "run")
    record.about({"job": "train"})
    settings = {"max_epochs": epochs, "accelerator": "cpu", "devices": 1}
    plan = TrainingPlan(settings, choice, 0, {"net": describe(net)} if isinstance(net, ConvNet) else {})
    return train(Classifier(net, recipe, 2), data, plan, record), record


def about(record):
    return json.loads((record.folder / "about.json").read_text())


def test_a_net_that_learns_is_told_nothing(data, tmp_path, capsys):
    outcome, record = run(made(), data, tmp_path, epochs=5)
    assert outcome["final"]["val/top1"] > 0.9 and outcome["warnings"] == []
    assert "warnings" not in about(record) and "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("layer", ["conv2", "fc3"])
def test_a_layer_without_a_living_map_is_named_once_with_the_epoch(layer, data, tmp_path, capsys):
    net = made()
    with torch.no_grad():
        net.fc3.bias.fill_(1.0)
        net.get_submodule(layer).bias.fill_(-1e3)  # no gradient passes: it stays dead
        net.get_submodule(layer).weight.mul_(1e-3)
    outcome, record = run(net, data, tmp_path)
    (warning,) = outcome["warnings"]
    assert warning.startswith(f"epoch 1: {layer}: no validation image excites any map there")
    assert "optim.lr" in warning and "optim.init" in warning
    assert about(record)["warnings"] == [warning]  # for the page of a run that still goes on
    assert f"warning: {warning}\n" in capsys.readouterr().out
    assert not any(part._forward_hooks for part in net.modules())


@pytest.mark.parametrize(("activation", "dead"), [("relu", True), ("leaky_relu", False), ("gelu", True)])
def test_units_below_zero_are_dead_where_their_activation_lets_nothing_through(activation, dead, data, tmp_path):
    """A leaky ReLU does let something through, and GELU at -1000 nothing."""
    torch.manual_seed(0)
    net = build(ROWS | {"conv2": {**ROWS["conv2"], "activation": activation}}, image_size=16, classes=2)
    initialize_(net, RECIPE)
    with torch.no_grad():
        net.conv2.bias.fill_(-1e3)
        net.conv2.weight.mul_(1e-3)
    warnings = run(net, data, tmp_path, replace(RECIPE, lr=1e-6), 1)[0]["warnings"]
    assert any(re.search("conv2.*: no validation image excites any map", warning) for warning in warnings) == dead


def test_answers_that_explode_are_told_while_they_are_finite(data, tmp_path):
    net = made()
    with torch.no_grad():
        net.conv1.weight.mul_(1e9)
        net.conv2.weight.mul_(1e-9)
    frozen = Recipe("sgd", 1e-30, 0.9, 0.0, 20, "constant", 0, 0.0, "he", 0.01, [], None)
    outcome, _ = run(net, data, tmp_path, frozen)
    explosions = [warning for warning in outcome["warnings"] if "answers above 1e+08" in warning]
    assert (
        len(explosions) == 1
        and explosions[0].startswith("epoch 1: conv1: answers above")
        and "optim.init" in explosions[0]
    )


def test_a_learning_rate_of_a_million_stops_at_once_and_names_the_place(data, tmp_path):
    with pytest.raises(
        UserError, match=r"the loss became (nan|inf) in epoch 1, step 2; first bad layer: \w+; .*optim.lr"
    ):
        run(made(), data, tmp_path, Recipe("adamw", 1e15, 0.9, 0.0, 20, "constant", 0, 0.0, "he", 0.01, [], None))
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_the_last_step_of_an_epoch_leaves_no_checkpoint_of_weights_that_are_not_finite(tmp_path):
    """One step to an epoch: the loss is finite, and what the step makes of the weights is of no use."""
    wild = Recipe("sgd", 1e38, 0.9, 0.0, 40, "constant", 0, 0.0, "he", 0.01, [], None)
    with pytest.raises(
        UserError, match=r"epoch 1 the answers of conv1 to validation images are not finite; .*optim.lr"
    ):
        run(made(), images_in(tmp_path, batch_size=40), tmp_path, wild)
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_weights_that_are_not_finite_reach_no_checkpoint():
    net, trainer = made(), SimpleNamespace(current_epoch=4)
    module = Classifier(net, RECIPE, 2)
    StopWhenNotFinite().on_save_checkpoint(trainer, module, {})
    with torch.no_grad():
        net.conv2.bias[3] = float("inf")
    with pytest.raises(UserError, match=r"conv2\.bias is not finite after step 1 of epoch 5; .*optim.lr"):
        StopWhenNotFinite().on_save_checkpoint(trainer, module, {})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_reaches_the_host_late_stops_the_run_before_its_checkpoint(bad):
    """As on a GPU, where steps have followed."""
    trainer, check = SimpleNamespace(current_epoch=1), StopWhenNotFinite()
    check.first_bad = FirstBadStep(torch.device("cpu"))
    for step, loss in enumerate([1.0, 3e38, bad, 1.0, bad], 1):
        assert check.first_bad.wait() == check.first_bad.arrived == (3 if step > 3 else 0)
        check.first_bad.note(torch.tensor(loss, requires_grad=True), step)
    for reached in (check.on_save_checkpoint, lambda *of: check.on_validation_epoch_start(*of[:2])):
        with pytest.raises(UserError, match=r"^the loss became nan or inf in epoch 2, step 3; earlier .*optim.lr"):
            reached(trainer, Classifier(made(), RECIPE, 2), {})


def test_a_run_goes_on_from_the_checkpoint_before_its_numbers_went_bad(data, tmp_path):
    run(made(), data, tmp_path, epochs=1)
    last = tmp_path / "run/checkpoints/last.ckpt"
    before = last.read_bytes()
    bad = images_in(tmp_path, mean=torch.full((3, 18, 18), float("nan")))
    with pytest.raises(UserError, match="epoch 2, step 1; first bad layer: the images themselves"):
        run(made(), bad, tmp_path, epochs=3)
    assert last.read_bytes() == before
    outcome, _ = run(made(), data, tmp_path, epochs=3)
    assert outcome["final"]["epoch"] == 3


def test_a_net_that_does_not_move_stands_at_chance(data, tmp_path, capsys):
    still = Recipe("sgd", 1e-30, 0.9, 0.0, 20, "constant", 0, 0.0, "normal", 0.0, [], None)
    net = made(still)  # weights of zero: it answers with its biases alone
    with torch.no_grad():
        net.fc4.bias[:] = torch.tensor([0.0, 1e-3])
    outcome, _ = run(net, data, tmp_path, still, epochs=4)
    (warning,) = [text for text in outcome["warnings"] if "at chance" in text]
    beginning = "epoch 3: the net has stood at chance for 3 epochs (val top-1 50.0%, loss 0.693; chance is"
    assert warning.startswith(beginning)
    assert capsys.readouterr().out.count("at chance") == 1


def after_epochs(callback, metrics):
    for epoch, (loss, top1) in enumerate(metrics):
        trainer = SimpleNamespace(
            callback_metrics={"val/loss": torch.tensor(loss), "val/top1": torch.tensor(top1)}, current_epoch=epoch,
            is_global_zero=True,
        )  # fmt: skip
        callback.on_train_epoch_end(trainer, Classifier(made(), RECIPE, 10))
    return callback.warnings


def test_chance_is_told_after_three_epochs_of_it_and_never_for_the_two_of_the_papers_recipe(tmp_path):
    stuck, learning = (2.3026, 0.1), (2.0, 0.3)
    ten = GOALS["softmax"], Chance(0.1, math.log(10))
    assert after_epochs(WarnAtChance(Record(tmp_path), *ten), [stuck, stuck, learning, stuck, learning]) == []
    (warning,) = after_epochs(WarnAtChance(Record(tmp_path), *ten), [stuck] * 6)
    assert "epoch 3: the net has stood at chance for 3 epochs" in warning and "optim=quick" in warning


def config(name):
    """conf/optim/<name>.yaml with what it is made of."""
    settings = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return (config(settings.pop("defaults")[0]) if "defaults" in settings else {}) | settings


@pytest.mark.parametrize("scale", [1, 1 / 58])
@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_advice_names_nothing_that_is_in_use(name, scale):
    """Whatever the advice asks for differs from the recipe that is in use."""
    recipe = read_recipe(config(name))
    for net in (made(), torchvision_net("squeezenet1_1", None, 2).net):
        words = remedies(Classifier(net, recipe, 2, scale))
        assert f"a smaller optim.lr than {recipe.lr:g}" in words
        advice = dict(re.findall(r"(?:optim|data)\.(init|pixel_scale)=(\w+)", words))
        assert advice.get("init") != recipe.init and ("pixel_scale" not in advice or scale != 1)
        assert ("optim=quick" in words) == (name not in ("quick", "finetune"))  # finetune is quick with less decay
        assert "trainer.precision" not in words
        narrow = remedies(Classifier(copy.deepcopy(net).bfloat16(), recipe, 2, scale))
        assert narrow == f"trainer.precision=bf16-mixed, {words}"
        if not isinstance(net, ConvNet):  # its initial weights and its pixels are its own
            assert not advice


def test_a_resumed_run_still_knows_what_was_told(data, tmp_path):
    net = made()
    with torch.no_grad():
        net.fc3.bias.fill_(-1e6)
    first, _ = run(net, data, tmp_path, epochs=1)
    again, record = run(made(), data, tmp_path, epochs=2)
    assert again["warnings"] == first["warnings"] == about(record)["warnings"] and len(first["warnings"]) == 1


def test_rectified_layers_of_any_net_are_watched_and_its_answer():
    ours = [name for name, _ in watched_layers(build(ROWS, image_size=16, classes=2))]
    assert ours == ["conv1", "conv2", "fc3", LAST_LAYER]
    assert len(watched_layers(torchvision_net("alexnet", None, 2).net)) == 8


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc3"])
def test_the_first_bad_layer_is_the_one_that_was_broken(layer):
    net = build(ROWS, image_size=16, classes=2)
    images = torch.randn(2, 3, 16, 16)
    assert first_bad_layer(net, images) == "none in the forward pass: the loss itself"
    with torch.no_grad():
        net.get_submodule(layer).bias[0] = float("nan")
    assert first_bad_layer(net, images) == layer
    assert not any(module._forward_hooks for module in net.modules())
    assert first_bad_layer(net, images * float("inf")) == "the images themselves"
