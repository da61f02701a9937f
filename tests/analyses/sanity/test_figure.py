"""The strip has each tile at its place; the plot has the numbers that it was given."""

import numpy as np
import torch

from convscope.analyses.sanity.compute import LayerSanity, RuleSanity, StripRow
from convscope.analyses.sanity.figure import SIDE, dependence_plot, strip_sheet
from convscope.engine.dependence import MEASURES, MapDependence
from convscope.engine.projection_rule import RuleChoice


def by_rule(rows):
    empty = torch.zeros(0, dtype=torch.float64)
    return RuleSanity(MapDependence([], *[empty] * 4), None, empty[None], empty[None], empty, empty, rows)


def row(map_, likeness):
    """A red patch; projections of which the first is white at its left, the others the other way."""
    half = torch.ones(3, SIDE, SIDE)
    half[:, :, SIDE // 2 :] = -1
    patch = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, SIDE, SIDE)
    return StripRow(map_, patch, torch.stack([half, -half, -half, -half, -half]), likeness)


def test_each_tile_of_a_strip_is_at_its_place():
    rows = [row(3, [1.0, -1.0, -1.0, float("nan"), -1.0]), row(12, [1.0] + [-1.0] * 4)]
    measured = LayerSanity(
        "conv3", RuleChoice("guided"), ["conv3", "conv1"], {"deconvnet": by_rule(rows), "guided": by_rule(rows)}
    )
    sheet = np.asarray(strip_sheet(measured, "conv3"))
    red = (sheet == [255, 0, 0]).all(2)
    tops = np.flatnonzero(np.diff(red.any(1).astype(int)) == 1) + 1
    assert len(tops) == 4 and red.sum() == 4 * SIDE * SIDE  # two maps by two rules
    left = int(np.flatnonzero(red.any(0))[0])
    white = [(sheet[top + SIDE // 2] == 255).all(1) for top in tops]
    black = [(sheet[top + SIDE // 2] == 1).all(1) for top in tops]
    for number in range(4):
        assert white[number].sum() == black[number].sum() == (4 if number % 2 == 0 else 5) * SIDE // 2
        assert white[number][left + SIDE :].argmax() < black[number][left + SIDE :].argmax()  # the first one


def test_the_plot_has_a_line_and_a_band_for_each_rule():
    layers, rules = ["conv1", "conv2", "conv3"], ["deconvnet", "guided", "gradient"]
    ends = {
        rule: np.array([[0.1, 0.5, 0.9], [0.0, 0.4, 0.8], [0.2, 0.6, 1.0]]) + number / 100
        for number, rule in enumerate(rules)
    }
    of_all = dict.fromkeys(MEASURES, ends)
    figure = dependence_plot(layers, of_all, of_all, dict.fromkeys(MEASURES, np.ones(3)), "What came out")
    assert len(figure.axes) == 4 and figure.texts[0].get_text() == "What came out"
    for axes in figure.axes:
        lines = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}
        assert lines == {rule: ends[rule][0].tolist() for rule in rules} | {"chance": [1, 1, 1]}
        assert [tick.get_text() for tick in axes.get_xticklabels()] == layers and len(axes.collections) == 6


def test_one_layer_and_a_rule_that_gives_no_picture():
    alone, nothing = np.array([[0.5], [0.4], [0.6]]), np.full((3, 1), np.nan)
    of_all = dict.fromkeys(MEASURES, {"deconvnet": alone, "guided": nothing})
    figure = dependence_plot(["conv1"], of_all, of_all, dict.fromkeys(MEASURES, np.ones(1)), "")
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["deconvnet", "chance"]
    figure.canvas.draw()
