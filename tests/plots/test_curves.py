import io
import math
import re
import warnings

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from convscope.plots.curves import convergence_curves, training_curves
from convscope.plots.figure_files import save_figure

LAYERS = ["conv1", "conv2", "conv3"]


def metrics(epochs, layers=LAYERS):
    """Rows as csv.DictReader gives them."""
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "train/loss": 2 / epoch, "val/loss": 2.5 / epoch}
        row |= {"train/top1": 1 - 0.8 / epoch, "val/top1": 1 - 0.9 / epoch, "val/top5": 1 - 0.3 / epoch}
        for depth, layer in enumerate(layers):
            row[f"stayed/{layer}"] = 0 if epoch == 1 else 1 - 0.9 ** (epoch / (depth + 1))
            row |= {f"similarity/{layer}": "" if epoch == 1 else 0.9, f"dead/{layer}": 0.01 * depth}
        rows.append({key: str(value) for key, value in row.items()})
    return rows


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}


def picture(figure):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("L")).astype(int)


def test_curves_show_loss_and_accuracy_in_percent():
    loss, accuracy = training_curves(metrics(4)).axes
    assert lines(loss)["validation"] == ([1, 2, 3, 4], pytest.approx([2.5, 1.25, 2.5 / 3, 0.625]))
    assert lines(accuracy)["training"][1] == pytest.approx([20, 60, 100 - 80 / 3, 80])


def test_mean_average_precision_is_drawn_where_it_was_measured():
    rows = [{**row, "val/mean_ap": str(0.1 * number)} for number, row in enumerate(metrics(4))]
    assert lines(training_curves(rows).axes[1])["validation, mean AP"][1] == pytest.approx([0, 10, 20, 30])
    plain = training_curves(metrics(4)).axes[1]
    assert "validation, mean AP" not in lines(plain) and "precision" not in plain.get_title()


def test_a_missing_value_is_a_gap():
    rows = metrics(4)
    rows[1]["val/loss"] = ""
    del rows[2]["val/loss"]
    heights = lines(training_curves(rows).axes[0])["validation"][1]
    assert [math.isnan(height) for height in heights] == [False, True, True, False]


def test_epochs_at_which_nothing_was_looked_at_do_not_break_the_lines():
    rows = metrics(5)
    for layer in LAYERS:
        rows[2][f"similarity/{layer}"] = ""
    epochs, heights = lines(convergence_curves(rows, LAYERS, "").axes[1])["conv1"]
    assert epochs == [2, 4, 5] and not np.isnan(heights).any()


def test_the_first_epoch_has_nothing_to_have_stayed_from():
    rows = metrics(5)
    rows[0]["similarity/conv2"] = 0  # as a run writes it
    stayed, similarity, dead = convergence_curves(rows, LAYERS, "").axes
    assert lines(stayed)["conv2"][0] == [2, 3, 4, 5]
    assert math.isnan(lines(similarity)["conv2"][1][0]) or lines(similarity)["conv2"][0] == [2, 3, 4, 5]
    assert lines(dead)["conv2"] == ([1, 2, 3, 4, 5], pytest.approx([1.0] * 5))


def test_every_line_is_labeled_at_its_end_and_no_two_labels_touch():
    layers = [f"block{i}.conv" for i in range(14)]
    figure = convergence_curves(metrics(6, layers), layers, "")
    picture(figure)  # places the words
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == layers
        boxes = sorted((Text.get_window_extent(text) for text in axes.texts), key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 for low, high in zip(boxes, boxes[1:], strict=False))


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [0, 1, 2, 60])
def test_nothing_is_clipped_at_the_border(epochs):
    layers = [f"layer{i}.1.conv2" for i in range(5)]
    for figure in (
        training_curves(metrics(epochs)),
        convergence_curves(metrics(epochs, layers), layers, "a long answer " * 30),
    ):
        pixels = picture(figure)
        pixels[3:-3, 3:-3] = pixels[0, 0]
        assert (pixels == pixels[0, 0]).all()


def test_the_answer_in_words():
    words = " ".join(text.get_text() for text in convergence_curves(metrics(3), LAYERS, "conv1 settled first").texts)
    assert words == "Do lower layers settle first? conv1 settled first"


def test_letters_stay_letters_in_files_of_lines(tmp_path):
    for form in ("svg", "pdf"):
        save_figure(training_curves(metrics(2)), tmp_path / f"curves.{form}", form)
    letters = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "curves.svg").read_text())
    assert {"training", "validation, top-5", "epoch"} <= set(letters)
    pdf = (tmp_path / "curves.pdf").read_bytes()
    assert b"/Type42" in pdf or (b"/FontFile2" in pdf and b"/Type3" not in pdf)  # TrueType, which programs edit


def test_lines_differ_without_color():
    for axes in [*training_curves(metrics(3)).axes, *convergence_curves(metrics(3), LAYERS, "").axes]:
        assert len({line.get_marker() for line in axes.get_lines()}) == len(axes.get_lines())
