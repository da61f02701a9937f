"""The words and numbers of made-up sweeps whose answers are known."""

import math

import pytest
import torch

from convscope.analyses.invariance.compute import Sweep
from convscope.analyses.invariance.compute.tolerance import MeasuredTransform, tolerances
from convscope.analyses.invariance.compute.warp import Transform, translated
from convscope.analyses.invariance.job import difference_table, numbers, tolerance_table

SHIFTS = Transform("translation", "px", (-20, -10, 0, 10, 20), translated, float, 10, 20)
APART = 10.0  # distance between different images


def measured_shifts(images=12, **per_pixel):
    """Layers whose distance is proportional to the shift, so much per pixel, a little different in each image."""
    spread = torch.linspace(0.9, 1.1, images, dtype=torch.float64)[:, None]
    distance = {layer: spread * slope * SHIFTS.amounts.abs() for layer, slope in per_pixel.items()}
    probability = (1 - SHIFTS.amounts.abs() / 40).expand(images, -1)
    predicted = torch.tensor([1, 0, 0, 0, 1]).expand(images, -1)
    sweep = Sweep(SHIFTS, torch.tensor(SHIFTS.values).double(), distance, probability, predicted)
    apart = {layer: torch.full((images,), APART) for layer in per_pixel}
    return MeasuredTransform(sweep, sweep, apart, tolerances(sweep, apart))


def verdict(measured):
    return difference_table([measured]).rows[0]["a small step"]


def test_a_layer_that_moves_less_is_told_from_one_that_moves_more():
    assert verdict(measured_shifts(conv1=0.8, fc7=0.2)) == "moves fc7 less than conv1"
    assert verdict(measured_shifts(conv1=0.2, fc7=0.8)) == "moves fc7 more than conv1"
    assert verdict(measured_shifts(conv1=0.5, fc7=0.5)) == "no clear difference between fc7 and conv1"
    assert verdict(measured_shifts(1, conv1=0.8, fc7=0.2)) == "cannot be told"


def test_the_numbers_of_proportional_distances():
    by_name = {
        number.name.removeprefix("invariance/translation/"): number
        for number in numbers(measured_shifts(conv1=0.8, fc7=0.2))
    }
    values = {name: number.value for name, number in by_name.items()}
    assert values == pytest.approx(
        {
            "conv1/half": 10, "conv1/relative": 0.8, "conv1/far": 1.6, "fc7/half": 10, "fc7/relative": 0.2,
            "fc7/far": 0.4, "difference/half": 0, "difference/relative": -0.6, "difference/far": -1.2,
            "probability_unchanged": 1, "probability_farthest": 0.5, "class_stays": 10,
        }
    )  # fmt: skip
    caption = "fc7, distance over that to other images, at 20 px of translation: 0.400 ["
    assert by_name["fc7/far"].caption.startswith(caption)
    assert by_name["fc7/far"].layer == "fc7"


def test_a_dead_layer_has_no_half_distance_and_takes_none_from_others():
    measured = measured_shifts(conv1=0.5, fc7=0.0)
    rows = tolerance_table([measured]).rows
    assert rows[0]["half"].startswith("10.0 [") and rows[1]["half"] == ""
    values = {number.name: number.value for number in numbers(measured)}
    assert math.isnan(values["invariance/translation/difference/half"])
    assert values["invariance/translation/fc7/relative"] == 0


def test_one_layer_has_no_difference():
    assert not [number for number in numbers(measured_shifts(conv1=0.5)) if "difference" in number.name]
