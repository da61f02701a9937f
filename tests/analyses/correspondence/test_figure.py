"""The grid of covered images holds its tiles where it should; the plot draws every line, also where one is unknown."""

import numpy as np
import pytest

from convscope.analyses.correspondence.figure import Course, CoveredImage, by_layer, covered_grid


def tile(color, side=96):
    return np.full((side, side, 3), color, np.uint8)


def test_every_tile_is_in_its_row_and_column():
    colors = [[(250, 0, 0), (0, 250, 0), (0, 0, 250)], [(250, 250, 0), (0, 250, 250), (250, 0, 250)]]
    rows = [CoveredImage(f"image {number}", [tile(color) for color in line]) for number, line in enumerate(colors)]
    grid = np.asarray(covered_grid(rows, ["the image", "nose", "a random place"], "What is covered", side=50))
    centers = {}
    for line, row in enumerate(colors):
        for column, color in enumerate(row):
            y, x = np.nonzero((grid == color).all(-1))
            assert len(y) == 50 * 50
            centers[line, column] = y.mean(), x.mean()
    for line, column in centers:
        y, x = centers[line, column]
        assert y - centers[0, column][0] == line * 54 and x - centers[line, 0][1] == column * 54


def test_a_long_name_takes_no_room_from_the_images():
    grid = covered_grid([CoveredImage("a name without end " * 20, [tile(9)] * 2)], ["the image", "nose"], "t", side=50)
    assert grid.width < 400


def courses(layers, label="parts"):
    values = np.linspace(0.1, 0.4, layers)
    return [Course(label, values, values - 0.05, values + 0.05), Course("random", values + 0.2, values, values + 0.3)]


def test_lines_are_where_the_numbers_are():
    figure = by_layer(["conv1", "conv2", "fc3"], {"all": courses(3), "changed": courses(3)}, "title")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["all", "changed"]
    parts, random = figure.axes[0].get_lines()
    assert list(parts.get_ydata()) == pytest.approx([0.1, 0.25, 0.4]) and list(parts.get_xdata()) == [0, 1, 2]
    assert [words.get_text() for words in figure.axes[0].get_xticklabels()] == ["conv1", "conv2", "fc3"]
    assert {words.get_text() for words in figure.axes[0].texts} == {"parts", "random"}
    low, high = figure.axes[0].get_ylim()
    assert low == 0 and high >= 0.7  # the band too


def test_unknown_intervals_and_a_single_layer(tmp_path):
    endless = Course("parts", [0.2], [-np.inf], [np.inf])
    by_layer(["layer4.1.conv2"], {"all": [endless]}, "title").savefig(tmp_path / "plot.png")
    nothing = Course("parts", [0.0, 0.0], [0.0, 0.0], [0.0, 0.0])
    figure = by_layer(["a", "b"], {"all": [nothing]}, "title")
    assert figure.axes[0].get_ylim()[1] > 0
