import numpy as np
import pytest

from convscope.analyses.claims.figure import IntervalBar, forest

NAN = float("nan")
BARS = [
    IntervalBar("a claim that holds", 0.3, 0.2, 0.4, 0.0, 0.1, "holds"),
    IntervalBar("a claim against a bound", 0.3, 0.2, 0.4, 0.5, 0.1, "does not hold"),
    IntervalBar("one without numbers", NAN, NAN, NAN, 0.0, 0.1, "not enough data"),
    IntervalBar("one whose interval has no end", 0.1, -np.inf, np.inf, 0.0, 0.1, "not enough data"),
    IntervalBar("nothing but zeros", 0.0, 0.0, 0.0, 0.0, 0.0, "not enough data"),
]


def words(figure):
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]


def test_every_claim_has_its_words_and_its_verdict():
    texts = words(forest(BARS, "title"))
    for bar in BARS:
        assert bar.claim in texts and bar.verdict in texts
    assert texts.count("not measured") == 2


@pytest.mark.parametrize(("bar", "side"), [(BARS[0], 1), (BARS[1], -1)])
def test_the_side_of_the_line_is_the_side_of_the_bound(bar, side):
    interval = forest([bar], "").axes[0].get_lines()[2]  # after the line of the bound and the row's rule
    ends = np.asarray(interval.get_xdata(), float)
    assert (np.sign(ends) == side).all() and (np.abs(ends) < 1).all()


def test_the_figure_can_be_written_however_few_claims(tmp_path):
    for number, bars in enumerate((BARS, BARS[:1])):
        forest(bars, "title").savefig(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 1000


def test_the_line_of_the_bound_crosses_no_numbers():
    ends = [(0.53, -0.13, 1.1), (0.0138, 0.007, 0.0211), (-0.01, -0.02, 0.01), (-0.9, -0.92, -0.8), (0.9, 0.8, 0.95)]
    figure = forest([IntervalBar("claim", *interval, 0.0, 0.05, "holds") for interval in ends], "")
    axes = figure.axes[0]
    figure.canvas.draw()
    for text in axes.texts:
        box = axes.transData.inverted().transform(text.get_window_extent())
        assert box[0, 0] > 0 or box[1, 0] < 0, text.get_text()
