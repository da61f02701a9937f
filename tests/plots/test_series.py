"""The figures and the page give a series the same color, dash and words; the two have no file in common."""

import json
import re
from importlib.resources import files

import pytest
from matplotlib.colors import to_rgb

from convscope.plots.series import COLORS, DASHES, LAYER_COLORS, LINE_PIXELS, MARKERS, SERIES, layer_style, series_style

ASSETS = files("convscope.report") / "assets"


def asset(name):
    return (ASSETS / name).read_text(encoding="utf-8")


def css_colors(prefix):
    light = asset("page.css").split('[data-theme="dark"]')[0]
    return dict(re.findall(rf"--({prefix}-\d+): (#[0-9a-f]{{6}})", light))


def test_colors_of_the_page_in_light_are_those_of_the_figures():
    assert css_colors("line") == {f"line-{number}": color for number, color in enumerate(COLORS)}
    assert css_colors("layer") == {f"layer-{number}": color for number, color in enumerate(LAYER_COLORS)}
    assert f"const LAYER_COLORS = {len(LAYER_COLORS)};" in asset("curves.js")


def test_dashes_are_the_same():
    dashes = re.search(r"const DASHES = (\[.*?\]);", asset("curves.js"))[1]
    assert json.loads(dashes) == list(DASHES)
    assert f".chart path.line {{ fill: none; stroke-width: {LINE_PIXELS:g};" in asset("page.css")


def test_words_and_numbers_of_the_series_are_the_same():
    table = re.search(r"const SERIES = \{(.*?)\};", asset("training.js"), re.DOTALL)[1]
    page = {column: (words, int(number)) for column, words, number in re.findall(r'"(.*?)": \["(.*?)", (\d)\]', table)}
    assert page == {column: tuple(series) for column, series in SERIES.items()}


def lightness(color):
    """Luminance by ITU-R BT.709 of linear light: what is left in print without color."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("layers", [1, 2, 5, 12])
def test_layers_grow_lighter_from_the_pixels_up_and_stay_dark_enough_for_white_paper(layers):
    shades = [lightness(layer_style(number, layers)["color"]) for number in range(layers)]
    assert all(low < high for low, high in zip(shades, shades[1:], strict=False))
    assert all(1.05 / (shade + 0.05) > 2.7 for shade in [*shades, *map(lightness, COLORS)])


def test_series_differ_without_color():
    looks = [series_style(number) for number in range(36)]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks[:6]}) == 6
    assert len({str(look) for look in looks}) == 36 and len(set(MARKERS)) == 6
