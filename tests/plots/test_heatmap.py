"""A value's color stands over its own place; colors rise with the value; numbers at the bar tell values apart."""

import math

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from convscope.plots.heatmap import (
    LABEL_COLORS,
    NO_VALUE,
    OTHER_COLOR,
    ColorScale,
    blended,
    distinct_labels,
    draw_color_bar,
    heat_tile,
    label_tile,
    nearest_value_map,
    scale_of,
)


@pytest.mark.parametrize("centers", [[4.5, 8.5, 12.5], [2.0, 5.0, 9.0, 13.5], [7.0, 9.0]])
@pytest.mark.parametrize("side", [16, 50, 11])
def test_each_pixel_has_the_value_of_the_nearest_place(centers, side):
    """Brute force; pixels half way between two places may take either."""
    count = len(centers)
    values = np.arange(count * count).reshape(count, count)
    drawn = nearest_value_map(values, centers, 16, side)
    first, last = centers[0] - (centers[1] - centers[0]) / 2, centers[-1] + (centers[-1] - centers[-2]) / 2
    for row in range(side):
        for col in range(side):
            y, x = (row + 0.5) * 16 / side, (col + 0.5) * 16 / side
            if not (first < y < last and first < x < last):
                assert math.isnan(drawn[row, col]) or y in (first, last) or x in (first, last)
                continue
            near = [[abs(center - at) for center in centers] for at in (y, x)]
            chosen = divmod(int(drawn[row, col]), count)
            assert [distances[at] for distances, at in zip(near, chosen, strict=True)] == [
                min(distances) for distances in near
            ]


def test_one_place_covers_all():
    assert (nearest_value_map([[3.0]], [8.0], 16, 5) == 3).all()


def test_colors_are_viridis_and_grow_lighter():
    tile = heat_tile(np.linspace(2, 5, 256)[None], ColorScale(2, 5))
    assert np.abs(tile[0] / 255 - colormaps["viridis"](np.linspace(0, 1, 256))[:, :3]).max() < 0.003
    lightness = tile[0].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -1).all() and lightness[-1] - lightness[0] > 150


def test_odd_values_have_a_color_too():
    assert (heat_tile([[np.nan, np.inf]], ColorScale(0, 1)) == NO_VALUE).all()
    assert (heat_tile([[7.0, 7.0]], scale_of([[7.0, 7.0]]))[0] == heat_tile([[0.0]], ColorScale(0, 1))[0]).all()
    assert scale_of([[np.nan, 2, -1, np.inf]]) == (-1, 2) and scale_of([[np.nan]]) == (0, 0)
    assert np.array_equal(heat_tile([[-9, 9]], ColorScale(0, 1)), heat_tile([[0, 1]], ColorScale(0, 1)))


def test_labels():
    tile = label_tile([[0, 1, len(LABEL_COLORS) - 1, len(LABEL_COLORS), 99, np.nan]])[0]
    assert [tuple(color) for color in tile.tolist()] == [
        *LABEL_COLORS[:2],
        LABEL_COLORS[-1],
        OTHER_COLOR,
        OTHER_COLOR,
        tuple(NO_VALUE.tolist()),
    ]


def test_laid_over_the_image():
    image, red = np.zeros((1, 2, 3), np.uint8), np.full((1, 2, 3), [200, 0, 0], np.uint8)
    image[..., 1] = 90  # green, gray of 30
    assert blended(image, red, [[1.0, np.nan]], share=0.5).tolist() == [[[115, 15, 15], [30, 30, 30]]]


@pytest.mark.parametrize(
    "values, words",
    [
        ([0.9987, 0.9999], ["0.9987", "0.9999"]),
        ([0, 0.5, 1], ["0.0", "0.5", "1.0"]),
        ([6.13, 12.41], ["6.1", "12.4"]),
        ([0, 2500], ["0", "2500"]),
        ([1e-7, 3e-7], ["1e-07", "3e-07"]),
        ([0, 3e6], ["0", "3e+06"]),
        ([0.25, 0.25], ["0.25", "0.25"]),
        ([0, 0], ["0", "0"]),
    ],
)
def test_numbers_as_long_as_they_must_be(values, words):
    assert distinct_labels(values) == words


def test_the_bar_runs_from_low_to_high_and_marks_a_value():
    def bar(low=0.0, high=1.0, mark=math.nan):
        sheet = Image.new("RGB", (120, 100), "white")
        draw_color_bar(sheet, (20, 0), 100, ColorScale(low, high), mark)
        return np.asarray(sheet)

    plain = bar()
    assert np.abs(plain[0, 25].astype(int) - heat_tile([[1.0]], ColorScale(0, 1))[0, 0]).max() <= 3
    assert np.abs(plain[99, 25].astype(int) - heat_tile([[0.0]], ColorScale(0, 1))[0, 0]).max() <= 3
    arrow = np.nonzero((bar(mark=0.75)[:, :20] < 128).all(2))[0]
    assert len(arrow) and arrow.mean() == pytest.approx(24.75, abs=0.8)
    assert (plain[:, :20] == 255).all() and (bar(mark=1.5)[:, :20] == 255).all()  # off the bar: no arrow
    assert (bar(3.0, 3.0)[:, 20:32] == heat_tile([[0.0]], ColorScale(0, 1))[0, 0]).all()
    assert (bar(-1234.5, 9876.5)[:, 80:] == 255).all()  # letters stay in their room
