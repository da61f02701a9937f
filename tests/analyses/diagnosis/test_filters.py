"""Filters judged by their weights, on weights made by hand."""

import math

import torch

from convscope.analyses.diagnosis.compute.filters import (
    double_filters,
    filter_norms,
    noise_filters,
    redundant_count,
    weak_filters,
)


def filters(count=6, colors=3, size=7, seed=0):
    """Smooth, different filters: waves of other directions in each."""
    row, col = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = []
    for number in range(count):
        angle = math.pi * number / count
        phase = 0.9 * (row * math.cos(angle) + col * math.sin(angle)) + seed
        waves.append(torch.stack([torch.cos(phase)] * colors))
    return torch.stack(waves)


def test_norms_are_those_of_filters_with_known_rms():
    weight = torch.stack([torch.full((3, 5, 5), value) for value in (0.02, -0.05, 0.1, 0.4)])
    norms = filter_norms(weight, 0.1)
    assert math.isclose(norms.median, 0.05, rel_tol=1e-5)  # torch's median is the lower of the two in the middle
    assert math.isclose(norms.dominance, 8, rel_tol=1e-5) and norms.at_radius == 0.5
    assert filter_norms(weight, 0.5).at_radius == 0 and math.isnan(filter_norms(weight, None).at_radius)


def test_a_filter_that_was_renormalized_counts_as_held_and_one_below_does_not():
    assert filter_norms(torch.full((1, 3, 5, 5), 0.0999), 0.1).at_radius == 1
    assert filter_norms(torch.full((1, 3, 5, 5), 0.098), 0.1).at_radius == 0


def test_norms_of_zeros():
    assert math.isinf(filter_norms(torch.zeros(4, 3, 5, 5), 0.1).dominance)


def test_weak_filters_are_those_far_below_the_median():
    weight = filters(10)
    weight[3] *= 0.05
    weight[7] *= 0.2
    weight[8] = 0
    assert weak_filters(weight).tolist() == [3, 8]
    assert weak_filters(torch.zeros(3, 3, 5, 5)).tolist() == [0, 1, 2]


def test_noise_is_found_and_structure_is_not():
    draw = torch.Generator().manual_seed(0)
    weight = torch.cat([filters(20), torch.randn(200, 3, 7, 7, generator=draw)])
    noise = set(noise_filters(weight).tolist())
    assert not noise & set(range(20))
    assert len(noise) >= 190  # three standard errors, in three directions, let about one in a hundred go
    checkers = (-1.0) ** (torch.arange(7)[:, None] + torch.arange(7))
    assert not noise_filters(checkers.expand(1, 3, 7, 7)).tolist()  # as far from smooth as can be, but no noise
    assert not noise_filters(torch.randn(5, 3, 1, 1)).tolist()  # nothing to tell it by


def test_doubles_of_every_kind():
    draw = torch.Generator().manual_seed(0)
    weight = torch.zeros(6, 3, 9, 9)
    weight[:, :, 2:7, 2:7] = torch.randn(6, 3, 5, 5, generator=draw)
    weight[2] = 3 * weight[0] + 0.05 * torch.randn(3, 9, 9, generator=draw)  # the same, stronger
    weight[4] = -0.5 * weight[1]
    weight[5] = weight[3].roll((1, -2), (1, 2))
    doubles = double_filters(weight)
    assert doubles.same.tolist() == [[0, 2]]
    assert doubles.opposite.tolist() == [[1, 4]]
    assert doubles.shifted.tolist() == [[3, 5]]


def test_a_filter_of_zeros_is_no_double():
    assert not len(double_filters(torch.zeros(3, 3, 5, 5)).same)


def test_of_three_alike_two_could_go():
    assert redundant_count(torch.tensor([[0, 3], [3, 5], [1, 2]]), 8) == 3
    assert redundant_count(torch.empty(0, 2, dtype=torch.int64), 8) == 0
