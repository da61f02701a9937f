"""What projections depend on: nets whose answer is known by hand, and the engine over whole images as an oracle."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import nn

from convscope.engine.deconvnet import RULES, Units, project
from convscope.engine.dependence import (
    Dependence,
    blurred,
    first_units,
    measure,
    probe,
    recovery,
    shuffled,
    similarity,
    similarity_of_images,
)
from convscope.engine.projection import project_fields
from convscope.engine.randomization import randomized


def units(maps, images, at):
    count = len(maps) * images
    return Units(torch.arange(images).repeat(len(maps)), torch.tensor(maps).repeat_interleave(images),
                 *[torch.full((count,), at)] * 2)  # fmt: skip


def photographs(count, side, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.randn(count, 3, side // 4, side // 4, generator=draw), side, mode="bicubic")


def measured(net, images, layer, chosen, rule, seed=0):
    projections = {rule: project_fields(net, images, layer, chosen, rule)}
    return measure(net, images, layer, chosen, projections, seed)[rule]


def pooled(maps=6):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, maps, 3, 1, 1)).eval()


def cosine(a, b):
    return float(F.cosine_similarity(a.flatten().double(), b.flatten().double(), 0))


@pytest.mark.parametrize("rule", RULES)
def test_a_linear_net_shows_its_filters(rule):
    """A convolution alone: each projection is a filter, so dependence is 1 - the cosine of two filters."""
    torch.manual_seed(0)
    net, images = nn.Sequential(nn.Conv2d(3, 5, 5)).eval(), photographs(3, 16)
    net[0].bias.data[:] = 5.0  # all maps answer everywhere, those of the random net too
    chosen = units([1, 3], 3, 4)
    result, compared = measured(net, images, "0", chosen, rule), probe(net, images, "0", chosen)
    learned, others = net[0].weight.detach().clone(), compared.other_units().map
    with randomized(net, compared.layers, images):
        random = net[0].weight.detach().clone()
    assert result.maps == [1, 3] and result.image.tolist() == [0, 0]
    for number, map_ in enumerate(result.maps):
        other = others[3 * number : 3 * number + 3].tolist()
        assert map_ not in other
        mean = np.mean([1 - cosine(learned[map_], learned[another]) for another in other])
        assert float(result.unit[number]) == pytest.approx(mean, abs=1e-6)
        assert float(result.weights[number]) == pytest.approx(1 - cosine(learned[map_], random[map_]), abs=1e-6)


def test_a_net_that_ignores_the_image_whatever_its_weights():
    """No switches, and all weights and pixels positive: every ReLU is open, so that all rules give the same picture."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()).eval()
    for weight in net.parameters():
        weight.data.abs_()
    for rule in RULES:
        assert measured(net, photographs(4, 32).abs(), "3", units([0, 5], 4, 4), rule).image.tolist() == [0, 0]


def test_identical_images_and_identical_units_change_nothing():
    net = pooled()
    net[3].weight.data[:] = net[3].weight.data[:1]
    net[3].bias.data[:] = 5.0
    result = measured(net, photographs(1, 32).expand(3, -1, -1, -1), "3", units([0, 4], 3, 7), "deconvnet")
    assert result.image.tolist() == [0, 0] and result.unit.tolist() == [0, 0]
    assert (result.weights > 0.1).all()


def test_permuted_maps_have_permuted_numbers():
    net, permuted, images = pooled(), pooled(), photographs(4, 32)
    order = torch.tensor([4, 2, 0, 5, 1, 3])  # map k of the permuted net is map order[k]
    permuted[3].weight.data, permuted[3].bias.data = net[3].weight.data[order], net[3].bias.data[order]
    plain = measured(net, images, "3", units([0, 1, 2, 3, 4, 5], 4, 7), "guided")
    moved = measured(permuted, images, "3", units([0, 1, 2, 3, 4, 5], 4, 7), "guided")
    assert torch.allclose(moved.image, plain.image[order]) and torch.allclose(moved.recovery, plain.recovery[order])


@pytest.mark.parametrize("rule", RULES)
def test_the_numbers_are_those_of_projections_over_whole_images(rule):
    net, images, chosen = pooled(), photographs(3, 32), units([0, 4], 3, 7)
    compared = probe(net, images, "3", chosen, seed=3)
    whole, other = (project(net, images, "3", of, rule) for of in (chosen, compared.other_units()))
    result = measured(net, images, "3", chosen, rule, seed=3)
    for number in (0, 1):
        of_map = [3 * number, 3 * number + 1, 3 * number + 2]
        pairs = [cosine(whole[a], whole[b]) for a in of_map for b in of_map if a < b]
        assert float(result.image[number]) == pytest.approx(1 - np.mean(pairs), abs=1e-5)
        assert float(result.unit[number]) == pytest.approx(
            1 - np.mean([cosine(whole[a], other[a]) for a in of_map]), abs=1e-5
        )


def test_another_unit_answers_at_the_same_place_where_one_does():
    net, images = pooled(maps=12), photographs(5, 32)
    chosen = units([0, 7], 5, 7)
    other = probe(net, images, "3", chosen).other_units()
    with torch.no_grad():
        values = net(images)[:, :, 7, 7]
    assert (other.map != chosen.map).all() and (values[other.image, other.map] > 0).all()
    assert torch.equal(other.row, chosen.row) and torch.equal(other.image, chosen.image)


def test_what_cannot_be_compared_is_nan_and_not_a_number():
    """A layer of one map has no other unit; a map of one image no other image; a unit that is off no picture."""
    net = nn.Sequential(*pooled(maps=1), nn.ReLU()).eval()
    net[3].bias.data[:] = -100.0
    result = measured(net, photographs(1, 32), "4", units([0], 1, 7), "guided")
    assert all(math.isnan(value) for value in result.mean) and result.mean.words == ""
    net[3].bias.data[:] = 5.0
    mean = measured(net, photographs(1, 32), "4", units([0], 1, 7), "guided").mean
    assert mean.words == f"depends on the weights {mean.weights:.2f}".replace(" 0.", " .")
    assert Dependence(0.81, 0.64, 1.0).words == "depends on the weights .81, on the unit .64, on the image 1.00"


def test_similarity_is_of_pictures_whatever_their_contrast():
    values = torch.randn(3, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    assert similarity(values, 1e-20 * values).tolist() == [1, 1, 1]
    assert similarity(values, -values).tolist() == [-1, -1, -1]
    assert similarity_of_images(torch.cat([values[:1]] * 3), torch.tensor([2, 2, 2])).tolist() == [1]
    pixels = shuffled(values, seed=1)
    assert torch.equal(pixels.flatten(2).sum(1).sort(1).values, values.flatten(2).sum(1).sort(1).values)
    assert similarity(values, pixels).abs().max() < 0.6


def test_recovery_is_the_weighted_correlation_with_the_high_frequencies():
    draw = torch.Generator().manual_seed(0)
    patch, projection = photographs(2, 40), torch.randn(2, 3, 40, 40, generator=draw)
    projection[:, :, :, :20] *= 0.1
    for value, picture, image in zip(recovery(projection, patch), projection, patch, strict=True):
        gray, edges = (values.double().mean(0).numpy() for values in (picture, image))
        edges = edges - gaussian_filter(edges, 2.0, mode="nearest", truncate=3.0)
        weight = gaussian_filter(gray**2, 4.0, mode="nearest", truncate=3.0)
        covariance = np.cov(gray.ravel(), edges.ravel(), aweights=weight.ravel(), ddof=0)
        expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert float(value) == pytest.approx(expected, abs=1e-6)
    edges = patch.double().mean(1, keepdim=True)
    edges = edges - blurred(edges, 2.0)
    assert recovery(edges, patch) == pytest.approx([1, 1]) and recovery(-edges, patch) == pytest.approx([-1, -1])
    assert recovery(torch.zeros_like(patch), patch).isnan().all()


def test_the_first_units_of_each_map():
    maps = torch.tensor([4, 4, 2, 4, 2, 9])
    assert first_units(Units(maps, maps, maps, maps), 2).tolist() == [0, 1, 2, 4, 5]
