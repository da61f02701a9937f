"""Fig. 7 is drawn in register: what is at a place of the image is at the same place of every map beside it."""

import numpy as np
import pytest

from convscope.analyses.occlusion import figure as drawing
from convscope.analyses.occlusion.figure import Case, Label, Values, figure, picture, shared_scales
from convscope.plots.heatmap import LABEL_COLORS, NO_VALUE, OTHER_COLOR, ColorScale, heat_tile

SIDE = 150


LEGEND = [Label("cat", 0.75), Label("a very long name of a class, longer than its room", 0.25)]


def case(change=True, legend=LEGEND):
    """An image of 30 pixels, a square of 6 moved by 3: 9 places; the worst one at row 2, column 6."""
    centers = np.arange(9) * 3.0 + 3
    probability = np.full((9, 9), 0.8)
    probability[2, 6] = 0.1
    image = np.full((30, 30, 3), 200, np.uint8)
    covered = image.copy()
    covered[6:12, 18:24] = 128
    tiles = [np.full((20, 20, 3), 10 * number, np.uint8) for number in range(9)]
    labels = np.zeros((9, 9), np.int64)
    labels[2, 6] = len(legend) - 1
    activity = Values(np.arange(81.0).reshape(9, 9), 40.0)
    changed = Values(np.full((9, 9), np.nan)) if change else None
    worst, columns = (18, 6, 6), (tiles, tiles[:3])
    return Case(
        "7 · cat", image, covered, worst, centers, activity, changed, Values(probability, 0.8), labels, legend, *columns
    )


def column(sheet, name, change, y=104 + 26):
    x = drawing._starts(SIDE, change)[name]
    return sheet[y : y + SIDE, x : x + SIDE]


@pytest.mark.parametrize("change", [True, False])
def test_everything_is_where_the_square_is(change):
    """The square covers 18..24, 6..12 of 30 pixels; its place is 19.5..22.5, 7.5..10.5; 5 pixels drawn for 1."""
    sheet = np.asarray(figure([case(change)], "t", SIDE))
    covered = column(sheet, "a", change)
    assert (covered[41:49, 101:109] == 128).all() and (covered[80:, :] == 200).all()  # edges are smooth
    hot = (column(sheet, "d", change) == heat_tile([[0.0]], ColorScale(0, 1))[0, 0]).all(2)
    labeled = (column(sheet, "e", change) == LABEL_COLORS[1]).all(2)
    expected = np.zeros((SIDE, SIDE), bool)
    expected[38:52, 98:112] = True  # from 37.5 and 97.5 on: 37 and 97 are less than half inside
    for marked in (hot, labeled):
        assert (marked[expected]).all() and marked.sum() <= 16 * 16
    rim = column(sheet, "b", change)
    assert (
        (rim[:7] == NO_VALUE).all()
        and (rim[:, -7:] == NO_VALUE).all()
        and not (rim[8:-8, 8:-8] == NO_VALUE).all(2).any()
    )
    if change:
        assert (column(sheet, "change", True) == NO_VALUE).all()  # nan everywhere


def test_columns_do_not_touch_and_rows_follow():
    sheets = [np.asarray(figure([case()] * count, "t", SIDE)) for count in (1, 2)]
    starts = drawing._starts(SIDE, True)
    names = list(starts)
    for name, after in zip(names, names[1:], strict=False):
        gap = sheets[0][130 : 130 + SIDE, starts[after] - 12 : starts[after]]
        assert (gap == drawing.PAPER).all(), f"{name} reaches into {after}"
    assert (sheets[0][:, -drawing.MARGIN :] == drawing.PAPER).all()  # the long name is shortened
    assert np.array_equal(sheets[1][122 : 122 + SIDE], sheets[1][122 + SIDE + 42 : 122 + 2 * SIDE + 42])


def test_many_classes_share_one_color():
    legend = [Label(str(number), 0.05) for number in range(20)]
    sheet = np.asarray(figure([case(legend=legend)], "t", SIDE))
    x = drawing._starts(SIDE, True)["e"] + SIDE + 10
    beside = sheet[130 : 130 + SIDE, x : x + 12].reshape(-1, 3)
    assert [tuple(color) for color in dict.fromkeys(map(tuple, beside.tolist())) if color != drawing.PAPER] == [
        *LABEL_COLORS,
        OTHER_COLOR,
    ]


def test_the_nine_in_order_the_own_one_framed():
    sheet = np.asarray(figure([case()], "t", SIDE))
    nine, small = column(sheet, "c", True), (SIDE - 4) // 3
    middles = [nine[y * (small + 2) + 24, x * (small + 2) + 24, 0] for y in range(3) for x in range(3)]
    assert middles == [10 * number for number in range(9)]
    assert (nine[0, :small] == 0).all() and (nine[0, small + 2 :] != 0).any()
    assert (column(sheet, "patches", True)[small + 4 :] == drawing.PAPER).all()  # three patches: one row


def test_one_image_larger_with_its_maps_laid_over_it():
    scales = shared_scales([case()])
    sheet = np.asarray(picture(case(), "t", scales, SIDE))
    again = column(sheet, "a", True, y=130 + SIDE + drawing.GAP)
    assert (again == 200).all()
    over = column(sheet, "d", True, y=130 + SIDE + drawing.GAP)
    assert (over[:7] == 200).all()  # beyond the outermost places: the image alone
    worst = np.rint(0.45 * 200 + 0.55 * heat_tile([[0.0]], ColorScale(0, 1))[0, 0].astype(float))
    assert np.abs(over[45, 105] - worst).max() <= 1
    assert picture(case(change=False), "t", scales).width < picture(case(), "t", scales).width


def test_all_images_have_one_scale_and_the_value_without_the_square_is_on_it():
    """Probability falls from .8 by .7 in one image, and from .2 by .1 in the other: -70 and -10 points."""
    weak = np.full((9, 9), 0.2)
    weak[0, 0] = 0.1
    cases = [case(), case()._replace(probability=Values(weak, 0.2))]
    scales = shared_scales(cases)
    assert scales["d"] == pytest.approx((-70, 0)) and scales["b"] == pytest.approx((0, 200))  # 0..80 of 40
    sheet = np.asarray(figure(cases, "t", SIDE))
    lowest = [column(sheet, "d", True, y=130 + number * (SIDE + 42)) for number in (0, 1)]
    assert (lowest[0][45, 105] == heat_tile([[-70]], scales["d"])[0, 0]).all()
    assert (lowest[1][10, 10] == heat_tile([[-10]], scales["d"])[0, 0]).all()


def test_a_probability_that_hardly_changes_is_not_spread_over_all_colors():
    hardly = np.linspace(0.5, 0.501, 81).reshape(9, 9)
    assert shared_scales([case()._replace(probability=Values(hardly, 0.5))])["d"] == pytest.approx((-0.9, 0.1))
