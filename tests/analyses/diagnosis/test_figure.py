"""The plot of the first filters, and tiles put together."""

import numpy as np
import pytest

from convscope.analyses.diagnosis.figure import FirstFilters, first_filters, montage


def plot(radius, rms=(0.1, 0.02, 0.2)):
    nets = [FirstFilters("one", [0.2, 0.5, 0.3], rms), FirstFilters("other", [0.1, 0.1, 0.8], (0.01,))]
    return first_filters(nets, [0.2, 0.6, 1.2], [0.1, 0.3, 0.6], (1 / 3, 2 / 3), radius)


def test_a_line_for_each_net_and_what_it_is_compared_with():
    left, right = plot(0.1).axes
    assert [line.get_label() for line in left.get_lines()] == ["one", "other", "white noise"]
    assert left.get_lines()[0].get_ydata() == pytest.approx([20, 50, 30])
    assert [line.get_label() for line in right.get_lines()] == ["one", "other", "radius 0.1"]
    assert right.get_lines()[0].get_ydata() == pytest.approx([0.2, 0.1, 0.02])  # strongest first
    assert [text.get_text() for text in left.texts][:3] == ["low", "mid", "high"]


def test_a_radius_far_above_all_filters_is_not_drawn():
    assert [line.get_label() for line in plot(10).axes[1].get_lines()] == ["one", "other"]
    assert [line.get_label() for line in plot(None).axes[1].get_lines()] == ["one", "other"]


def test_a_montage_puts_tiles_in_rows():
    tiles = [np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30)]
    sheet = np.asarray(montage(tiles, 2, side=4, gap=1))
    assert sheet.shape == (9, 9, 3)
    assert (sheet[:4, :4] == 10).all() and (sheet[:4, 5:] == 20).all() and (sheet[5:, :4] == 30).all()
    assert (sheet[4] == 247).all() and (sheet[5:, 5:] == 247).all()
    assert (np.asarray(montage([], 2, side=4)) == 128).any()
