"""Recipes: what conf/optim promises is what the optimizer does."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from convscope.errors import UserError
from convscope.models.build import build
from convscope.training.recipe import PIXEL_STD, build_optimizer, build_schedule, initialize_, read_recipe

CONF = Path(__file__).resolve().parents[2] / "conf/optim"
ROWS = {
    "conv1": {"kind": "conv", "maps": 32, "kernel": 5},
    "conv2": {"kind": "conv", "maps": 32, "kernel": 3, "bias": 1.0},
    "fc3": {"kind": "full", "units": "classes"},
}


def settings(name):
    file = OmegaConf.load(CONF / f"{name}.yaml")
    above = OmegaConf.load(CONF / f"{file.defaults[0]}.yaml") if "defaults" in file else OmegaConf.create({})
    merged = OmegaConf.to_container(OmegaConf.merge(above, file))
    merged.pop("defaults", None)
    return merged


def net():
    torch.manual_seed(0)
    return build(ROWS, image_size=12, classes=4)


def test_the_papers_recipe_is_the_papers():
    recipe = read_recipe(settings("paper"))
    sgd = build_optimizer(net(), recipe)
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"], recipe.batch_size) == (0.01, 0.9, 0, 128)
    assert recipe.renorm == 0.1


def test_initial_weights_by_recipe():
    paper, quick = net(), net()
    initialize_(paper, read_recipe(settings("paper")))
    assert paper.conv1.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert paper.conv1.bias.abs().max() == 0 and (paper.conv2.bias == 1).all()  # the row says so
    initialize_(quick, read_recipe(settings("quick")))
    grey = torch.randn(64, 3, 12, 12) * PIXEL_STD
    with torch.no_grad():
        quick.conv2.bias.zero_()
        assert 0.03 < quick.conv2(quick.conv1(grey)).std() < 0.3  # grey levels in, a tenth of 1 inside


def test_the_first_layers_steps_have_the_size_of_its_weights():
    """AdamW on a net that eats grey levels moves as it would on the same net fed with grey levels / 58."""
    grey, small = net(), net()
    recipe = read_recipe({**settings("quick"), "weight_decay": 0.0})
    initialize_(grey, recipe)
    small.load_state_dict(grey.state_dict())
    with torch.no_grad():
        small.conv1.weight.mul_(PIXEL_STD)
    images = torch.randn(8, 3, 12, 12) * PIXEL_STD
    for model, inputs, scale in ((grey, images, 1.0), (small, images / PIXEL_STD, 1 / PIXEL_STD)):
        chosen = build_optimizer(model, recipe, scale)
        for _ in range(3):
            chosen.zero_grad()
            nn.functional.cross_entropy(model(inputs), torch.arange(8) % 4).backward()
            chosen.step()
    assert torch.allclose(grey(images), small(images / PIXEL_STD), atol=1e-4)


def test_what_weights_begin_as_fades_and_biases_stay():
    """Without gradients nothing but AdamW's decay acts: by 1 - rate * decay in a step, and the first layer's rate."""
    quick = net()
    recipe = read_recipe(settings("quick"))
    initialize_(quick, recipe)
    began = {name: weight.detach().clone() for name, weight in quick.named_parameters()}
    chosen = build_optimizer(quick, recipe)
    for weight in quick.parameters():
        weight.grad = torch.zeros_like(weight)
    for _ in range(300):
        chosen.step()
    left = {name: float(weight.detach().norm() / began[name].norm()) for name, weight in quick.named_parameters()}
    kept = (1 - recipe.lr * recipe.weight_decay) ** 300
    assert left["conv2.weight"] == pytest.approx(kept, rel=1e-3) and left["fc3.weight"] == pytest.approx(kept, rel=1e-3)
    assert kept < 0.6 < 0.85 < left["conv1.weight"] < 1
    assert torch.equal(quick.conv2.bias, began["conv2.bias"]) and began["conv2.bias"].min() == 1


@pytest.mark.parametrize(("name", "fades"), [("quick", True), ("finetune", False), ("alexnet_2012", False)])
def test_what_was_learned_before_is_not_to_fade(name, fades):
    recipe = read_recipe(settings(name))
    assert recipe.forgetting_warning(learned=False) is None
    assert ("optim=finetune" in (recipe.forgetting_warning(learned=True) or "")) is fades


def test_annealing_by_ten_on_the_plateau():
    recipe = read_recipe({**settings("paper"), "patience": 2})
    sgd = build_optimizer(net(), recipe)
    plateau = build_schedule(sgd, recipe, steps=0)["scheduler"]
    rates = []
    for top1 in (0.1, 0.2, 0.2, 0.2, 0.2, 0.3):
        plateau.step(top1)
        rates.append(round(sgd.param_groups[0]["lr"], 6))
    assert rates == [0.01, 0.01, 0.01, 0.01, 0.001, 0.001]


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 6, 10])
def test_one_cycle_of_few_steps_has_a_rate_for_each(steps):
    recipe = read_recipe(settings("quick"))
    adamw = build_optimizer(net(), recipe)
    cycle = build_schedule(adamw, recipe, steps=steps)["scheduler"]
    for _ in range(steps - 1):
        adamw.step()
        cycle.step()
        assert 0 < adamw.param_groups[0]["lr"] <= recipe.lr * (1 + 1e-9)


def test_one_cycle_rises_and_ends_near_zero():
    recipe = read_recipe(settings("quick"))
    adamw = build_optimizer(net(), recipe)
    cycle = build_schedule(adamw, recipe, steps=50)["scheduler"]
    rates = []
    for _ in range(49):
        adamw.step()
        cycle.step()
        rates.append(adamw.param_groups[0]["lr"])
    assert max(rates) == pytest.approx(recipe.lr) and rates.index(max(rates)) < 15 and rates[-1] < recipe.lr / 1000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"algorithm": "lamb"}, "optim.algorithm=lamb is unknown; possible: sgd, adamw"),
        ({"schedule": "poly"}, "optim.schedule=poly is unknown; possible: plateau, cycle, constant"),
        ({"init": "zero"}, "optim.init=zero is unknown; possible: normal, he"),
        ({"lr": 0}, "optim.lr=0 is too small; it is above 0, e.g. optim.lr=0.01"),
        ({"batch_size": 0}, "optim.batch_size=0 is too small; it is 1 or more"),
        ({"renorm": -0.1}, "optim.renorm=-0.1 is too small; it is above 0, or null, e.g. optim.renorm=0.1"),
        ({"nesterov": True}, "optim.nesterov is no key; possible: algorithm"),
    ],
)
def test_bad_recipes_are_told(change, said):
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        read_recipe({**settings("paper"), **change})
