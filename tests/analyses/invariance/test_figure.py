"""Fig. 5's parts: strips and curves in their places, values drawn as given, nothing clipped."""

import io
import warnings

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from convscope.analyses.invariance.figure import GAP, SIDE, Panel, TransformRow, invariance_figure

VALUES = np.arange(-4.0, 5.0)


def panel(title, count=3, others=None):
    curves = np.abs(VALUES) * np.arange(1, count + 1)[:, None]
    return Panel(title, curves, np.concatenate([curves, 2 * curves]), others)


def row(label, panels, count=3, side=32):
    levels = np.arange(2 * count).reshape(count, 2) * 20
    tiles = np.broadcast_to(levels[..., None, None, None], (count, 2, side, side, 3)).astype(np.uint8)
    return TransformRow(label, VALUES, ["-4", "4"], tiles, panels)


def figure(panels, count=3, names=("fox", "owl", "cat")):
    rows = [row(label, panels, count) for label in ("translation, pixels", "scale factor", "rotation, degrees")]
    return invariance_figure(rows, names, "How far do features move?", "thin: examples; thick: the mean of all images")


def picture(drawn):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("L")).astype(int)


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_large_distances_have_short_numbers_beside_them():
    far = panel("Distance, features.5", others=250_000.0)
    drawn = figure([panel("Distance, conv1", others=5.0), far])
    drawn.draw_without_rendering()
    labels = [[label.get_text() for label in axes.get_yticklabels()] for axes in drawn.axes[1:3]]
    assert "200k" in labels[1] and max(map(len, labels[1])) <= 5
    assert not any("k" in label for label in labels[0])


def test_curves_are_drawn_as_given():
    drawn = figure([panel("Distance, conv1", others=5.0), panel("Probability")])
    assert len(drawn.axes) == 9
    strips, distance, probability, *_ = drawn.axes
    curves = lines(distance)
    assert set(curves) == {"1", "2", "3", "mean", "others"} and set(lines(probability)) == {"1", "2", "3", "mean"}
    np.testing.assert_allclose(curves["3"].get_ydata(), 3 * np.abs(VALUES))
    np.testing.assert_allclose(curves["mean"].get_ydata(), np.abs(VALUES) * 3)  # (1 + 2 + 3 + 2 + 4 + 6) / 6
    assert set(curves["others"].get_ydata()) == {5.0}
    assert distance.get_xlim() == (-4, 4) and distance.get_ylim()[1] >= 12
    assert [axes.get_xlabel() for axes in drawn.axes[::3]] == [
        "translation, pixels",
        "scale factor",
        "rotation, degrees",
    ]
    assert not lines(strips)


def test_lines_differ_by_more_than_color():
    curves = lines(figure([panel("Distance", 7)], 7, [f"animal {number}" for number in range(7)]).axes[1])
    looks = [(line.get_linestyle(), line.get_marker(), line.get_color()) for line in curves.values()]
    assert len({look[:2] for look in looks[:5]}) == 5 and len({str(look) for look in looks}) == len(looks)


def test_strips_hold_the_pictures_in_their_places():
    strips = figure([panel("Distance")]).axes[0]
    sheet = np.asarray(strips.get_images()[0].get_array())
    step = SIDE + GAP
    assert sheet.shape == (3 * step - GAP, 2 * step - GAP, 3)
    for number in range(6):
        down, right = number // 2 * step, number % 2 * step
        assert (sheet[down : down + SIDE, right : right + SIDE] == 20 * number).all()
    assert [label.get_text() for label in strips.get_yticklabels()] == ["1  fox", "2  owl", "3  cat"]
    assert [label.get_text() for label in strips.get_xticklabels()] == ["-4", "4"]


@pytest.mark.slow
@pytest.mark.parametrize("columns, count", [(1, 1), (2, 3), (4, 12)])
def test_nothing_is_clipped_and_no_words_meet(columns, count):
    names = [f"a breed with a long name {number}" for number in range(count)]
    drawn = figure([panel(f"Distance, layer{n}.1.a_long_module.conv2", count) for n in range(columns)], count, names)
    pixels = picture(drawn)
    edge = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel(), pixels[:, -3:].ravel()])
    assert edge.min() > 245
    words = [text for text in drawn.findobj(Text) if text.get_text().strip() and text.get_visible()]
    boxes = [text.get_window_extent() for text in words]
    assert all(box.x0 >= 0 and box.x1 <= pixels.shape[1] and box.y0 >= 0 for box in boxes)
    titles = sorted((box.x0, box.x1) for text, box in zip(words, boxes, strict=True) if text.get_text()[:5] == "Dista")
    assert all(right < left for (_, right), (left, _) in zip(titles, titles[1:], strict=False))


def test_one_image_and_flat_curves():
    flat = Panel("Distance", np.zeros((1, 9)), np.zeros((1, 9)), float("nan"))
    assert set(lines(figure([flat], 1, ["fox"]).axes[1])) == {"1", "mean"}
    assert picture(figure([flat], 1, ["fox"])).std() > 5


def test_names_of_classes_take_two_lines_where_one_is_too_short():
    names = ("English springer", "owl", "a name that is far too long for two lines of it")
    labels = [label.get_text() for label in figure([panel("Distance")], names=names).axes[0].get_yticklabels()]
    assert labels[:2] == ["1  English\nspringer", "2  owl"]
    assert labels[2].count("\n") == 1 and labels[2].endswith("…")
