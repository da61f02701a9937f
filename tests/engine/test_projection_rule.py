"""The chosen rule for nets with a known answer, and for measurements with a known answer."""

import math

import pytest
import torch
from torch import nn

from convscope.engine.deconvnet import Units
from convscope.engine.dependence import Dependence
from convscope.engine.projection_rule import RuleChoice, choose_rule, measured_maps, suits
from convscope.engine.top9 import Top9, empty


def picks(maps, images, at):
    return Units(
        torch.arange(images).repeat(maps),
        torch.arange(maps).repeat_interleave(images),
        *[torch.full((maps * images,), at)] * 2,
    )


def photographs(count, side, seed=0):
    """Smooth random images, like photographs and unlike noise."""
    draw = torch.Generator().manual_seed(seed)
    return nn.functional.interpolate(torch.randn(count, 3, side // 4, side // 4, generator=draw), side, mode="bicubic")


def strided():
    torch.manual_seed(0)
    steps = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 6, 3, 1, 1)]
    return nn.Sequential(*steps).eval()


def pooled():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 6, 3, 1, 1)).eval()


def test_without_switches_the_deconvnet_ignores_the_image_and_guided_is_chosen():
    """Strided convolutions and ReLU alone: the deconvnet's projection is the same for every image."""
    choice = choose_rule(strided(), photographs(6, 32), "4", picks(3, 6, 4))
    assert choice.rule == "guided" and abs(choice.deconvnet.image) < 1e-6 < 0.1 < choice.guided.image
    assert "hardly depend on the image: 0.00" in choice.words


def test_where_nothing_on_the_way_depends_on_the_image_the_papers_rule_stays():
    """The projection of a first convolution is its filter, for every image and rule."""
    choice = choose_rule(strided(), photographs(6, 32), "0", picks(3, 6, 4))
    assert choice.words == "deconvnet (the same picture by every rule)"


def test_a_chain_with_max_pooling_keeps_the_papers_deconvnet():
    choice = choose_rule(pooled(), photographs(6, 32), "3", picks(3, 6, 7))
    assert choice.rule == "deconvnet" and choice.chain and choice.deconvnet.image > 0.1
    assert choice.words == "deconvnet (a plain chain with max pooling)"


class Branches(nn.Module):
    """Two ways down: one to the edges of the image, which its ReLUs let pass where there are any; one of noise, which
    they do not. Guided projections are edges, the deconvnet's are noise; both depend on the image by the switches.
    """

    def __init__(self):
        super().__init__()
        self.pool, self.edges, self.rough = nn.MaxPool2d(2), nn.Conv2d(3, 2, 5, 1, 2), nn.Conv2d(3, 8, 5, 1, 2)
        self.mix = nn.Conv2d(10, 2, 7, 1, 3)
        edge = torch.full((3, 5, 5), -1 / 25)
        edge[:, 2, 2] += 1
        with torch.no_grad():
            self.edges.weight.copy_(torch.stack([edge, -edge])), self.edges.bias.zero_()
            self.rough.weight.normal_(generator=torch.Generator().manual_seed(0)), self.rough.bias.fill_(-1e4)
            self.mix.weight.fill_(1.0)

    def forward(self, x):
        x = self.pool(x)
        return self.mix(torch.cat([self.edges(x).relu(), self.rough(x).relu()], 1))


def test_across_branches_the_rule_that_shows_the_image_is_chosen():
    choice = choose_rule(Branches().eval(), photographs(6, 32), "mix", picks(2, 6, 7))
    assert choice.rule == "guided" and not choice.chain and choice.deconvnet.image > 0.5
    assert choice.deconvnet.recovery < 0.5 * choice.guided.recovery
    recoveries = f"{choice.guided.recovery:.2f} against {choice.deconvnet.recovery:.2f}"
    assert choice.words == f"guided (clearer than the deconvnet: correlation with the image {recoveries})"


@pytest.mark.parametrize(
    "deconvnet, guided, in_branches, in_chains",
    [
        ((0.8, 0.4, 0.9, 0.60), (0.8, 0.4, 0.9, 0.65), True, True),  # about as clear
        ((0.8, 0.4, 0.9, 0.50), (0.8, 0.4, 0.9, 0.65), False, True),  # noise beside guided, but the paper's net
        ((0.8, 0.4, 0.1, 0.65), (0.8, 0.4, 0.9, 0.65), False, False),  # the same picture for every image
        ((0.8, 0.0, 0.9, 0.65), (0.8, 0.4, 0.9, 0.65), False, False),  # for every unit
        ((0.3, 0.4, 0.9, 0.65), (0.8, 0.4, 0.9, 0.65), False, False),  # with random weights
        ((0.8, 0.4, 0.0, 0.65), (0.8, 0.4, 0.01, 0.65), True, True),  # no rule depends on the image
        ((0.8, 0.4, 0.9, -0.005), (0.8, 0.4, 0.9, 0.004), True, True),  # noise is as clear as noise
        ((0.8, 0.4, 0.9, 0.6), (0.8, 0.4, 0.9, -0.2), True, True),
        ((0.8, math.nan, 0.9, 0.6), (0.8, math.nan, 0.9, 0.6), True, True),  # a layer of one map
        ((math.nan,) * 4, (math.nan,) * 4, True, True),  # nothing measured: the paper's rule
        ((0.8, 0.4, 0.9, 0.6), (math.nan, 0.4, 0.9, 0.6), True, True),  # guided gives no picture
    ],
)
def test_the_measurements_and_the_choice(deconvnet, guided, in_branches, in_chains):
    measured = Dependence(*deconvnet), Dependence(*guided)
    assert (suits(*measured, chain=False), suits(*measured, chain=True)) == (in_branches, in_chains)


def test_maps_that_one_image_excites_are_not_measured():
    record = Top9(*(field.clone() for field in empty(10)))
    record.image[:6, :3], record.score[:6, :3] = torch.arange(3), 1.0
    record.score[2, 1:] = 0.0  # one image alone excites map 2
    assert measured_maps(record, limit=9) == [0, 1, 3, 4, 5] and measured_maps(record, limit=2) == [0, 3]
    assert measured_maps(record, limit=3) == [0, 1, 4]
    assert measured_maps(empty(4)) == []


def test_a_choice_says_what_it_was_and_goes_through_plain_values():
    chosen = RuleChoice("gradient")
    assert (
        chosen.words == "gradient"
        and not chosen.measured
        and RuleChoice.from_state(chosen.state_dict()).rule == "gradient"
    )
    measured = choose_rule(pooled(), photographs(3, 32), "3", picks(1, 3, 7))
    state = measured.state_dict()
    assert measured.measured and RuleChoice.from_state(state) == measured
    assert all(type(value) in (str, bool, list) for value in state.values())
    assert all(type(number) is float for name in ("deconvnet", "guided") for number in state[name])


def test_choices_of_earlier_checkpoints():
    """Which hold other measurements: the rule stays, and its reason where it can still be given."""
    numbers = {
        "chain": False,
        "dependence": 0.05,
        "guided_dependence": 0.56,
        "smoothness": -0.01,
        "guided_smoothness": 0.2,
    }
    strided_choice = RuleChoice.from_state({"rule": "guided", **numbers})
    assert (
        strided_choice.words == "guided (the deconvnet's projections hardly depend on the image: 0.05, guided's 0.56)"
    )
    rough = RuleChoice.from_state({"rule": "guided", **numbers, "dependence": 0.89})
    assert rough.words == "guided" and rough.measured
    assert RuleChoice.from_state({"rule": "deconvnet", **numbers, "chain": True, "dependence": 0.9}).words == (
        "deconvnet (a plain chain with max pooling)"
    )
    unmeasured = dict.fromkeys(numbers, math.nan) | {"rule": "gradient", "chain": False}
    assert RuleChoice.from_state(unmeasured).words == "gradient" and not RuleChoice.from_state(unmeasured).measured
