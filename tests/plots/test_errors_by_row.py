import numpy as np

from convscope.plots.errors_by_row import MAX_NAME, RowError, errors_by_row


def points(axes):
    return [
        (float(line.get_xdata()[0]), int(line.get_ydata()[0])) for line in axes.get_lines() if line.get_marker() == "o"
    ]


def test_dots_stand_at_their_errors_row_by_row():
    dots = [RowError("one", 30.0, 2.0, 40.5), RowError("two", 35.5, None, None), RowError("three", None, None, 38.4)]
    runs, paper = errors_by_row(dots, "error, %").axes
    assert points(runs) == [(30.0, 0), (35.5, 1)] and points(paper) == [(40.5, 0), (38.4, 2)]
    assert [label.get_text() for label in runs.get_yticklabels()] == ["one", "two", "three"]
    bars = [line.get_xdata() for line in runs.get_lines() if line.get_marker() != "o"]
    assert np.array_equal(bars, [[28.0, 32.0]])
    low, high = runs.get_xlim()
    assert low < 28 and high > 35.5 and runs.get_ylim() == (2.5, -0.5)


def test_one_panel_where_no_paper_has_numbers():
    assert [axes.get_title(loc="left") for axes in errors_by_row([RowError("a", 1.0)], "%").axes] == ["Here"]


def test_unfinished_rows_are_hollow():
    (axes,) = errors_by_row([RowError("a", 1.0), RowError("b", 2.0, finished=False)], "%").axes
    assert [line.get_markerfacecolor() == "none" for line in axes.get_lines()] == [False, True]


def test_nothing_measured_yet_and_long_names():
    figure = errors_by_row([RowError("x" * 90, None)], "%")
    assert (
        figure.axes[0].get_xlim() == (0, 100)
        and figure.axes[0].get_yticklabels()[0].get_text() == "x" * (MAX_NAME - 1) + "…"
    )
    figure.canvas.draw()
