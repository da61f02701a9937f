"""The chosen rule for nets with a known answer; the measures against independent formulas."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from convscope.engine import projection_rule
from convscope.engine.deconvnet import Units
from convscope.engine.projection_rule import (
    RuleChoice,
    autocorrelation,
    choose_rule,
    image_dependence,
    measured_maps,
)
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
    assert choice.rule == "guided" and abs(choice.dependence) < 1e-6 < 0.1 < choice.guided_dependence
    assert "hardly depend on the image: 0.00" in choice.words


def test_where_nothing_on_the_way_depends_on_the_image_the_papers_rule_stays():
    """The projection of a first convolution is its filter, for every image and rule."""
    choice = choose_rule(strided(), photographs(6, 32), "0", picks(3, 6, 4))
    assert choice.words == "deconvnet (the same picture by every rule)"


def test_a_chain_with_max_pooling_keeps_the_papers_deconvnet():
    choice = choose_rule(pooled(), photographs(6, 32), "3", picks(3, 6, 7))
    assert choice.rule == "deconvnet" and choice.chain and choice.dependence > 0.1
    assert choice.words.startswith("deconvnet (a plain chain with max pooling")


class Branches(nn.Module):
    """Two ways down to the same pool: a smooth one, which the unit's ReLU lets pass, and one of noise, which it does
    not: guided projections are smooth, the deconvnet's are not."""

    def __init__(self):
        super().__init__()
        self.pool, self.smooth, self.rough = nn.MaxPool2d(2), nn.Conv2d(3, 4, 9, 1, 4), nn.Conv2d(3, 4, 9, 1, 4)
        self.mix = nn.Conv2d(8, 2, 1)
        with torch.no_grad():
            self.smooth.weight.fill_(0.1), self.smooth.bias.fill_(5.0)
            self.rough.weight.normal_(generator=torch.Generator().manual_seed(0)), self.rough.bias.fill_(-1e4)
            self.mix.weight.fill_(1.0)

    def forward(self, x):
        x = self.pool(x)
        return self.mix(torch.cat([self.smooth(x).relu(), self.rough(x).relu()], 1))


def test_across_branches_the_smoother_rule_is_chosen():
    choice = choose_rule(Branches().eval(), photographs(6, 32).abs(), "mix", picks(2, 6, 7))
    assert choice.rule == "guided" and not choice.chain
    assert choice.smoothness < 0.9 * choice.guided_smoothness
    assert f"{choice.guided_smoothness:.2f} against {choice.smoothness:.2f}" in choice.words


def test_noise_is_as_smooth_as_noise(monkeypatch):
    """Smoothnesses that print as the same number give no reason for a rule, above and below 0."""
    for smoothness, guided, rule in [
        (-0.011, -0.010, "deconvnet"),
        (0.001, 0.004, "deconvnet"),
        (-0.3, -0.2, "guided"),
    ]:
        values = iter([smoothness, guided])
        monkeypatch.setattr(projection_rule, "autocorrelation", lambda _, values=values: torch.tensor(next(values)))
        choice = choose_rule(Branches().eval(), photographs(6, 32).abs(), "mix", picks(2, 6, 7))
        assert choice.rule == rule


def test_autocorrelation_is_numpys_of_shifted_luminance():
    values = torch.randn(3, 3, 20, 24, generator=torch.Generator().manual_seed(0)).cumsum(3)
    for picture, value in zip(values.double().numpy(), autocorrelation(values).tolist(), strict=True):
        gray = picture.mean(0) - picture.mean(0).mean()
        shifted = np.sum(gray[1:] * gray[:-1]) + np.sum(gray[:, 1:] * gray[:, :-1])
        assert value == pytest.approx(shifted / 2 / np.sum(gray**2))
    noise = torch.randn(20, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert abs(float(autocorrelation(noise).mean())) < 0.01
    assert float(autocorrelation(torch.zeros(1, 3, 5, 5))) == 0


def test_dependence_is_the_mean_over_pairs_of_the_same_map():
    values = torch.randn(7, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    maps = torch.tensor([4, 4, 4, 9, 9, 9, 9])
    means = []
    for group in (values[:3], values[3:]):
        pairs = [(a, b) for a in range(len(group)) for b in range(a)]
        cosines = [float(nn.functional.cosine_similarity(group[a].flatten(), group[b].flatten(), 0)) for a, b in pairs]
        means.append(1 - sum(cosines) / len(cosines))
    assert image_dependence(values, maps) == pytest.approx(sum(means) / 2, abs=1e-6)
    assert image_dependence(values[:1].expand(4, -1, -1, -1), torch.zeros(4)) == pytest.approx(0, abs=1e-6)


def test_maps_that_one_image_excites_are_not_measured():
    record = Top9(*(field.clone() for field in empty(10)))
    record.image[:6, :3], record.score[:6, :3] = torch.arange(3), 1.0
    record.score[2, 1:] = 0.0  # one image alone excites map 2
    assert measured_maps(record, limit=9) == [0, 1, 3, 4, 5] and measured_maps(record, limit=2) == [0, 3]
    assert measured_maps(record, limit=3) == [0, 1, 4]
    assert measured_maps(empty(4)) == []


def test_a_choice_says_what_it_was_and_goes_through_plain_values():
    chosen = RuleChoice("gradient")
    assert chosen.words == "gradient" and not chosen.measured
    assert RuleChoice(**dict(choose_rule(pooled(), photographs(3, 32), "3", picks(1, 3, 7))._asdict())).measured
    assert all(type(value) in (str, bool, float) for value in chosen) and math.isnan(chosen.smoothness)
