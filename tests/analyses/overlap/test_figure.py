"""Images stand beside one another in the order given; the plot holds the numbers it is drawn from."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from convscope.analyses.overlap.figure import GAP, SIDE, ImagePair, correlation_plot, pairs_sheet


def flat(color, side=32):
    return np.full((side, side, 3), color, np.uint8)


def corner(sheet, color):
    rows, cols = np.nonzero((sheet == color).all(2))
    return rows.min(), cols.min(), len(rows)


def test_pairs_side_by_side_row_by_row():
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 0, 200), (0, 200, 200), (200, 200, 0)]
    pairs = [ImagePair(flat(a), flat(b, 7), "a\nb", "c", "1.0") for a, b in zip(colors[::2], colors[1::2], strict=True)]
    sheet = np.asarray(pairs_sheet(pairs, "title", ("one", "other"), columns=2))
    places = [corner(sheet, color) for color in colors]
    assert all(area == (SIDE - 2) ** 2 for *_, area in places)  # whole, within their outline
    for (top, left, _), (y, x, _) in zip(places[::2], places[1::2], strict=True):
        assert y == top and x == left + SIDE + GAP
    assert places[2][0] == places[0][0] and places[2][1] > places[1][1]  # the second beside the first
    assert places[4][0] > places[0][0] + SIDE and places[4][1] == places[0][1]  # the third below


def test_words_stay_in_the_picture_however_long():
    sheet = pairs_sheet([ImagePair(flat(0), flat(255), "x" * 300, "y" * 300, "z" * 300)], "t" * 500, ("s" * 200, ""))
    assert sheet.width <= 1300


def test_the_plot_counts_every_image_and_shares_of_copies():
    best = np.array([0.1, 0.5, 0.5, 0.98, -0.2])
    figure = correlation_plot(best, {"small": np.array([0.96, 0.99]), "cropped": np.array([0.5])}, 0.97)
    assert isinstance(figure, Figure)
    left, right = figure.axes
    assert sum(bar.get_height() for bar in left.patches) == 5
    lines = {line.get_label(): line.get_xydata() for line in right.get_lines()}
    at = {name: dict(np.round(points, 6).tolist()) for name, points in lines.items() if len(points) == 400}
    for name, values in (("best of each image", best), ("copies: small", [0.96, 0.99]), ("copies: cropped", [0.5])):
        assert all(np.isclose(share, 100 * np.mean(np.array(values) >= x)) for x, share in at[name].items())


@pytest.mark.slow
def test_a_threshold_of_one_can_be_drawn():
    correlation_plot(np.array([1.0]), {}, 1.0).canvas.draw()
