"""The two panels of job=transfer: where the lines are, and whose names they bear."""

import numpy as np

from convscope.analyses.transfer.figure import Curve, transfer_curves


def test_lines_are_where_the_numbers_are(tmp_path):
    layers = ["conv1", "conv2", "fc3"]
    over_layers = [
        Curve("SVM", layers, [20, 40, 30], [2, 1, 3]), Curve("chance", layers, [5] * 3, [0] * 3, "chance"),
    ]  # fmt: skip
    by_images = [
        Curve("conv2", [5, 30], [25, 40], [4, 1], "best"),
        Curve("paper", [15, 60], [65.7, 74.2], [0] * 2, "paper"),
    ]
    figure = transfer_curves(over_layers, by_images, ("by layer", "by images"))
    left, right = figure.axes
    assert [text.get_text() for text in left.get_xticklabels()] == layers
    assert left.get_lines()[0].get_ydata().tolist() == [20, 40, 30]
    assert np.array_equal(right.get_lines()[1].get_xdata(), [15, 60])
    bars = left.collections[0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [[18, 22], [39, 41], [27, 33]]
    assert {text.get_text() for axes in figure.axes for text in axes.texts} == {"SVM", "chance", "conv2", "paper"}
    assert right.get_ylim()[1] > 74.2
    figure.savefig(tmp_path / "curves.png")
    one_size = [Curve("conv2", [30], [40], [1], "best"), by_images[1]]  # what is beside it would be one column of dots
    assert len(transfer_curves(over_layers, one_size, ("by layer", "by images")).axes) == 1


def test_names_of_layers_do_not_overlap():
    layers = [f"features.{number}.expand1x1" for number in range(6)]
    curve = Curve("SVM", layers, [20] * 6, [2] * 6)
    figure = transfer_curves([curve], [Curve("a", [5, 30], [25, 40], [4, 1])], ("by layer", "by images"))
    figure.draw_without_rendering()
    names = figure.axes[0].get_xticklabels()
    tilt = {name.get_rotation() for name in names}
    boxes = [name.get_window_extent() for name in names]
    assert tilt == {40} and min(box.y0 for box in boxes) >= 0
    ends = [box.x1 for box in boxes]
    assert all(
        later - earlier > 20 for earlier, later in zip(ends, ends[1:], strict=False)
    )  # pixels: two lines of text
