"""The tiles and the sides, for few layers and for many."""

import numpy as np
import pytest

from convscope.analyses.receptive_field.compute import CentralUnit, EffectiveField
from convscope.analyses.receptive_field.figure import fields_figure, sides_plot
from convscope.engine.receptive_fields import Box


def field(layer, side, visible, rows=40, cols=60):
    heat = np.zeros((rows, cols))
    heat[rows // 2, cols // 2] = 1
    box = Box(rows // 2 - visible // 2, cols // 2 - visible // 2, visible, visible)
    unit = CentralUnit(layer, 3, 3, (rows // 2, cols // 2), box)
    sides = np.arange(1.0, visible + 1, 2)
    return EffectiveField(unit, heat, sides, (sides >= side)[None].astype(float), 0)


@pytest.mark.parametrize("count", [1, 5, 20])
def test_each_layer_has_a_tile_of_the_whole_image_with_both_squares(count):
    fields = {f"layer{number}": field(f"layer{number}", 5, 7 + 2 * number) for number in range(count)}
    fresh = {layer: field(layer, 3, 7) for layer in fields}
    figure = fields_figure(fields, fresh)
    assert len(figure.axes) == 2 * count
    assert all(axes.get_xlim() == (-0.5, 59.5) and axes.get_ylim() == (39.5, -0.5) for axes in figure.axes)
    boxes = [[(patch.get_width(), patch.get_height()) for patch in axes.patches] for axes in figure.axes]
    assert boxes[0] == [(7, 7), (5, 5)] and boxes[1] == [(7, 7), (3, 3)]
    assert figure.axes[0].get_title("left") == "layer0\n5 of 7 px, 71%"
    edges = [axes.get_position() for axes in figure.axes]
    assert all(0 < edge.x0 < edge.x1 < 1 and 0 < edge.y0 < edge.y1 < 1 for edge in edges)
    insets = [bool(axes.child_axes) for axes in figure.axes[::2]]  # small fields alone are enlarged
    assert insets == [7 + 2 * number <= 10 for number in range(count)]


@pytest.mark.parametrize("box", [None, Box(-7, -20, 80, 100)])
def test_a_field_of_the_whole_image_is_drawn_on_its_frame_and_called_so(box):
    """The unit's center is off the middle: the square that holds all pixels is larger than the image."""
    unit = CentralUnit("conv5", 3, 3, (14, 22), box)
    sides = np.arange(1.0, 77, 2)
    whole = field("conv5", 5, 9)._replace(unit=unit, sides=sides, within=(sides >= 35)[None].astype(float))
    figure = fields_figure({"conv5": whole}, {})
    assert whole.sees_all and whole.visible > 60
    assert figure.axes[0].get_title("left") == "conv5\n35 px of the whole image"
    frame, effective = (patch.get_bbox().extents.tolist() for patch in figure.axes[0].patches)
    assert frame == [-0.5, -0.5, 59.5, 39.5]
    assert effective == [4.5, -0.5, 39.5, 31.5]  # 3.5 pixels of it are above the image
    cut = whole._replace(unit=unit._replace(box=Box(-7, -20, 80, 79)))  # one column short
    assert not cut.sees_all


def test_a_layer_without_a_gradient_is_drawn_and_named():
    dead = field("conv3", 5, 9)._replace(within=np.zeros((0, 5)), silent=4)
    figure = fields_figure({"conv3": dead}, {})
    assert figure.axes[0].get_title("left") == "conv3\nno gradient" and len(figure.axes[0].patches) == 1
    nothing = (np.nan, np.nan, np.nan)
    assert len(sides_plot({"conv3": dead}, {"conv3": nothing}, {}).axes) == 2


def test_sides_are_drawn_in_pixels_and_in_percent_of_what_is_visible():
    fields = {"a": field("a", 5, 9), "b": field("b", 9, 19)}
    figure = sides_plot(fields, {"a": (5, 3, 7), "b": (9, -np.inf, np.inf)}, {"a": (9, 9, 9), "b": (9, 9, 9)})
    pixels, shares = ([line.get_ydata() for line in axes.containers[1][:1]][0] for axes in figure.axes)
    assert list(pixels) == [5, 9] and list(shares) == pytest.approx([500 / 9, 900 / 19])
    ends = figure.axes[0].containers[1][2][0].get_segments()
    assert [segment[:, 1].tolist() for segment in ends] == [[3, 7], [9, 9]]
