"""The confusion picture, read back as pixels and words."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from convscope.analyses.evaluation.figure import LABELLED, confusion_plot


def words(figure):
    axes = figure.axes[0]
    ticks = [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return ticks, [text.get_text() for text in axes.texts]


def test_few_classes_are_named_and_counted():
    counts = np.array([[5, 1, 0], [0, 4, 2]])
    ticks, numbers = words(confusion_plot(counts, ["cat", "dog"]))
    assert ticks == ["cat", "dog", "another class", "cat", "dog"]
    assert sorted(numbers) == ["1", "2", "4", "5"]


def test_no_column_for_other_answers_where_there_are_none():
    ticks, _ = words(confusion_plot(np.array([[5, 1, 0], [0, 4, 0]]), ["cat", "dog"]))
    assert ticks == ["cat", "dog", "cat", "dog"]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [LABELLED, LABELLED + 1, 1000])
def test_single_mistakes_can_be_seen(classes):
    """One cell off the diagonal, drawn alone, changes the picture."""
    counts = np.zeros((classes, classes + 1), int)
    counts[:, :-1] = np.eye(classes) * 50
    pictures = []
    for mistakes in (0, 1):
        counts[3, classes - 4] = mistakes
        figure = confusion_plot(counts, [f"class {number}" for number in range(classes)])
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba()).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() > 10
    assert max(pictures[0].shape) < 2500
