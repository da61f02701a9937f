"""Images, bars and marks stand where they should, and words stay in their place."""

import numpy as np
import pytest

from convscope.analyses.neighbors import figure
from convscope.analyses.neighbors.figure import SIDE, Answer, Bar, Neighbor, neighbors_sheet, percent


def flat(color):
    return np.full((32, 32, 3), color, np.uint8)


def answer(bars=(), nearest=(), name="cat", note=""):
    return Answer(flat((250, 0, 250)), name, list(bars), note, list(nearest))


def drawn(*answers):
    return np.asarray(neighbors_sheet(answers, "title", "fc7"))


def at(sheet, color):
    """Rows and columns where the sheet has exactly this color."""
    return np.nonzero((sheet == color).all(2))


def test_a_row_per_image_with_its_neighbors_in_order():
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    near = [Neighbor(flat(color), "cat", 1.5, True) for color in colors]
    sheet = drawn(answer(nearest=near), answer(nearest=near[::-1]))
    firsts = [at(sheet, color) for color in colors]
    upper, lower = ([cols[(rows > rows.min() + SIDE) == low].min() for rows, cols in firsts] for low in (False, True))
    assert upper == sorted(upper) and lower == upper[::-1]
    rows, cols = at(sheet, (250, 0, 250))
    assert len(rows) == 2 * SIDE**2 and cols.max() < min(upper)


def test_bars_are_as_long_as_the_classes_are_probable():
    sheet = drawn(answer([Bar("a", 0.5, True), Bar("b", 0.25, False), Bar("c", 0.0, False)]))
    true, rest = (at(sheet, color) for color in (figure.TRUE, figure.OTHER))
    middle = [row for row in np.unique(true[0]) if (true[0] == row).sum() > 40][5]
    assert abs((true[0] == middle).sum() - 0.5 * figure.LENGTH) <= 2
    middle = np.unique(rest[0])[5]
    assert abs((rest[0] == middle).sum() - 0.25 * figure.LENGTH) <= 2


def test_the_true_class_is_told_by_a_mark_and_not_by_color_alone():
    places = [drawn(answer([Bar("cat", 0.0, True)])), drawn(answer([Bar("cat", 0.0, False)]))]
    words = np.s_[: -SIDE // 2, SIDE + 40 : SIDE + 40 + figure.NAMES]  # where the names of the bars are
    assert (places[0][words] != places[1][words]).any()


@pytest.mark.parametrize("second", [True, False])
def test_neighbors_of_the_class_are_marked(second):
    near = [Neighbor(flat(0), "cat", 1.0, same) for same in (True, second)]
    names = drawn(answer(nearest=near))[76:96]
    right = names.shape[1] - SIDE - 20  # where the second one begins
    assert np.array_equal(names[:, right - SIDE - 10 : right - 10], names[:, right : right + SIDE]) == second


def test_long_names_are_shortened_to_their_room():
    near = [Neighbor(flat(9), name, 1.0, True) for name in ("west highland white terrier of the north", "x")]
    bars = [Bar("an endless name of a class " * 3, 0.3, True)]
    long = drawn(answer(bars, near, "a very long name of a class", "a note that does not end " * 9))
    short = drawn(answer([Bar("a", 0.3, True)], [near[1], near[1]], "a"))
    assert long.shape == short.shape
    assert np.array_equal(long[:, -SIDE - 20 :], short[:, -SIDE - 20 :])  # the last neighbor is not written over
    start = SIDE + 40 + figure.NAMES + 5
    bar = np.s_[80 : 80 + SIDE, start : start + figure.LENGTH]
    assert np.array_equal(long[bar], short[bar])


def test_the_same_image_says_so():
    same_sheet, different_sheet = (
        drawn(answer(nearest=[Neighbor(flat(9), "x", 0.0, True, same)])) for same in (True, False)
    )
    assert (same_sheet != different_sheet).any()


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (0.004, "< 1 %"), (0.01, "1 %"), (0.256, "26 %"), (0.994, "99 %"), (0.9951, "> 99 %"), (1, "100 %")],
)
def test_percent(share, words):
    assert percent(share) == words
