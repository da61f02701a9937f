import numpy as np

from convscope.analyses.visualize.figure import GAP, RulesOfMap, rules_grid


def flat(color):
    return np.full((8, 8, 3), color, np.uint8)


def places(sheet, color):
    rows, cols = np.nonzero((np.asarray(sheet) == color).all(2))
    return rows.min(), cols.min(), len(rows)


def test_a_group_of_tiles_for_each_rule_in_the_order_of_the_patches():
    patches = [(200, 0, 0), (0, 200, 0)]
    rules = [[(0, 0, 200), (200, 200, 0)], [(0, 200, 200), (200, 0, 200)]]
    one = RulesOfMap("map 3", [flat(each) for each in patches], [[flat(each) for each in rule] for rule in rules])
    sheet = rules_grid([one], ["deconvnet", "guided"], "title", most=2, side=40)
    found = [places(sheet, color) for color in [*patches, *rules[0], *rules[1]]]
    assert len({top for top, _, _ in found}) == 1 and all(count == 1600 for _, _, count in found)
    lefts = [left for _, left, _ in found]
    assert lefts == sorted(lefts) and lefts[1] - lefts[0] == 40 + GAP
    assert lefts[2] - lefts[0] == lefts[4] - lefts[2] > 2 * 40  # groups of equal width


def test_missing_images_leave_outlines_and_no_maps_a_title():
    one = RulesOfMap("map 3 · dead", [], [[], []])
    empty = np.asarray(rules_grid([one], ["guided", "gradient"], "title", most=3))
    tile = RulesOfMap("map 3 · dead", [flat(0)], [[flat(0)], [flat(0)]])
    assert empty.shape == np.asarray(rules_grid([tile], ["guided", "gradient"], "title", most=3)).shape
    assert (empty == (218, 218, 222)).all(2).sum() >= 9 * 4 * 71
    assert rules_grid([], ["guided"], "title", most=3).height > 50


def test_a_long_name_of_a_layer_moves_the_columns():
    short, long = (
        rules_grid([RulesOfMap(name, [flat(0)], [[flat(0)]])], ["guided"], "t", 1) for name in ("c", "c" * 40)
    )
    assert long.width > short.width + 200
