import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from convscope.plots.receptive_fields import LayerField, receptive_field_figure

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
SIGHTS = [
    LayerField("conv1", (28, 28, 7, 7), range(2, 62, 2), range(2, 62, 2)),
    LayerField("conv2", (20, 22, 23, 23), range(8, 60, 8), range(8, 60, 8)),
    LayerField("conv3", (18, 20, 27, 27), range(8, 60, 8), range(8, 60, 8)),
    LayerField("conv4", (-10, -12, 91, 91), range(8, 60, 16), range(8, 60, 16)),
    LayerField("fc5", None),
]


@pytest.fixture(scope="module")
def figure():
    return receptive_field_figure(IMAGE, SIGHTS)


def texts(axes):
    return [child for child in axes.get_children() if isinstance(child, Annotation)]


def test_boxes_lie_over_the_pixels_they_speak_of(figure):
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    corners = [(box.get_y() + 0.5, box.get_x() + 0.5, box.get_height(), box.get_width()) for box in boxes]
    assert corners[:3] == [SIGHTS[0].box, SIGHTS[1].box, SIGHTS[2].box]
    assert corners[3] == corners[4] == (0, 0, 64, 64)  # no smaller than the image: its border


def test_labels_name_layers_and_sizes_and_do_not_touch(figure):
    words = texts(figure.axes[0])
    assert {word.get_text() for word in words} == {
        "conv1\n7 px", "conv2\n23 px", "conv3\n27 px", "conv4\nthe whole image (91 px)", "fc5\nthe whole image",
    }  # fmt: skip
    figure.draw_without_rendering()
    spans = sorted((word.get_window_extent().y0, word.get_window_extent().y1) for word in words)
    assert all(top <= bottom + 1 for (_, top), (bottom, _) in zip(spans, spans[1:], strict=False))


def test_one_small_image_for_each_stride_with_its_units(figure):
    small = figure.axes[1:]
    assert [axes.get_title(loc="left") for axes in small] == [
        "conv1\n30 × 30, every 2 px", "conv2\n7 × 7, every 8 px", "conv4\n4 × 4, every 16 px",
    ]  # fmt: skip
    x, y = small[2].get_lines()[0].get_data()
    assert sorted(set(x)) == sorted(set(y)) == [8, 24, 40, 56] and len(x) == 16


def test_unequal_sides_and_long_names_can_be_drawn():
    long = LayerField("features.denseblock1.denselayer12.conv2", (1, 2, 3, 5), range(0, 60, 1), range(0, 60, 2))
    figure = receptive_field_figure(IMAGE, [long, LayerField("pool", (0, 0, 9, 9), [31.5], [31.5])])
    words = [word.get_text() for word in texts(figure.axes[0])]
    assert sorted(word.split("\n")[1] for word in words) == ["3 × 5 px", "9 px"]
    name = next(word for word in words if "conv2" in word).split("\n")[0]
    assert len(name) == 22 and long.name.endswith(name[1:])
    assert figure.axes[2].get_title(loc="left") == "pool\n1 × 1, one place"
    assert "every 1 × 2 px" in figure.axes[1].get_title(loc="left")


def test_a_field_that_reaches_beyond_one_border_only_is_no_whole_image():
    assert not LayerField("conv", (-30, -30, 63, 80)).covers(IMAGE) and LayerField("conv", (-30, -30, 64, 64)).covers(
        IMAGE
    )
