import pytest

from convscope.runs.config_diff import (
    LONGEST_DIFFERENCE,
    differ_only_in,
    differences_in_words,
    differing_keys,
    flattened,
)

ONE = {"job": "train", "seed": 0, "name": "a", "optim": {"lr": 0.1, "renorm": 0.1}, "model": {"layers": {"conv1": {}}}}


def changed(**values):
    return ONE | values


def test_nested_keys_become_dotted_ones():
    assert flattened({"a": {"b": {"c": 1}, "d": None}, "e": [1]}) == {"a.b.c": 1, "a.d": None, "e": [1]}
    assert flattened({"a": {}}) == {"a": {}}


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        (ONE, set()),
        (changed(seed=1), {"seed"}),
        (changed(optim={"lr": 0.1, "renorm": None}), {"optim.renorm"}),
        (changed(optim={"lr": 0.1, "renorm": 0.1, "momentum": 0.9}), {"optim.momentum"}),  # absent in the other one
        (changed(optim={"lr": 0.1, "renorm": 0.1, "momentum": None}), set()),  # as good as absent
    ],
)
def test_differing_keys_of_either_side(settings, keys):
    assert differing_keys(ONE, settings) == keys == differing_keys(settings, ONE)


def test_alike_but_for_some_keys_and_for_what_is_no_part_of_a_result():
    free = changed(optim={"lr": 0.1, "renorm": None})
    assert differ_only_in(ONE, free, ["optim.renorm"]) and not differ_only_in(ONE, free, [])
    assert differ_only_in(ONE, changed(name="b", seed=7, logger={"x": 1}), [])
    assert not differ_only_in(ONE, changed(optim={"lr": 0.2, "renorm": None}), ["optim.renorm"])
    wider = changed(model={"layers": {"conv1": {"stride": 4}}})
    assert differ_only_in(ONE, wider, ["model.layers.*"]) and not differ_only_in(ONE, wider, ["model.layers.*.kernel"])


def row(name, **fields):
    return {f"model.layers.{name}.{field}": value for field, value in fields.items()}


def test_rows_of_the_net_in_words_by_all_their_values():
    settings = [row("conv1", kernel=7, stride=2), row("conv1", kernel=11, stride=4)]
    assert differences_in_words(settings) == ["conv1 kernel 7, stride 2", "conv1 kernel 11, stride 4"]


def test_the_value_of_more_than_half_of_three_or_more_is_omitted():
    assert differences_in_words([{"optim.lr": lr} for lr in (0.1, 0.1, 0.2)]) == ["", "", "lr 0.2"]
    assert differences_in_words([{"optim.lr": lr} for lr in (0.1, 0.2)]) == ["lr 0.1", "lr 0.2"]
    assert differences_in_words([{}, {}]) == ["", ""] and differences_in_words([]) == []


def test_a_row_taken_out_of_the_net():
    conv2 = row("conv2", kind="conv", kernel=3, stride=1)
    assert differences_in_words([conv2, conv2, dict.fromkeys(conv2)]) == ["", "", "no conv2"]


def test_recipes_come_before_the_rows_and_long_texts_are_cut():
    rows = {key: value for n in range(4, 9) for key, value in row(f"conv{n}", kind="conv", kernel=3, stride=1).items()}
    first, second = differences_in_words([dict.fromkeys(rows) | {"optim.lr": 0.5}, rows | {"optim.lr": 0.1}])
    assert first.startswith("lr 0.5; ") and second.startswith("lr 0.1; conv4 kind conv, kernel 3, stride 1; ")
    assert second.endswith(" more") and len(second) < LONGEST_DIFFERENCE + 15
