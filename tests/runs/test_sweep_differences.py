from convscope.runs.config_diff import LONGEST_DIFFERENCE, differences_in_words
from convscope.runs.reading import Run
from convscope.runs.sweep_runs import SeedGroup, images_per_second, varied_settings
from convscope.runs.training_runs import TrainingRun

ROWS = {
    "conv1": {"kind": "conv", "kernel": 7, "stride": 2},
    "conv2": {"kind": "conv", "kernel": 3, "stride": 1},
    "fc3": {"kind": "full", "units": "classes"},
}


def group(name, lr=0.1, seed=0, images_per_second=(), **rows):
    layers = {row: fields for row, fields in {**ROWS, **rows}.items() if fields is not None}
    metrics = {"images_per_second": list(images_per_second)}
    model = "\n".join(f"    {row}: {fields}" for row, fields in layers.items())
    config = f"seed: {seed}\nname: {name}\noptim: {{lr: {lr}}}\nmodel:\n  source: rows\n  layers:\n{model}\n"
    run = Run(None, [], metrics, {}, config, [], {}, [])
    return SeedGroup(name, [TrainingRun(run, seed, {}, 1, "finished")])


def words(*groups):
    return differences_in_words(varied_settings(groups))


def test_two_rows_are_told_by_both_their_values():
    wide = {"kind": "conv", "kernel": 11, "stride": 4}
    assert words(group("a"), group("b", conv1=wide)) == ["conv1 kernel 7, stride 2", "conv1 kernel 11, stride 4"]


def test_what_most_rows_have_is_not_said():
    assert words(group("a"), group("b"), group("c", lr=0.2)) == ["", "", "lr 0.2"]


def test_a_row_taken_out_of_the_net():
    assert words(group("a"), group("b"), group("c", conv2=None)) == ["", "", "no conv2"]


def test_names_and_seeds_are_no_variation():
    assert varied_settings([group("a"), group("b", seed=4)]) == [{}, {}] and words(group("a"), group("b", seed=4)) == [
        "",
        "",
    ]


def test_recipes_come_before_the_rows_and_long_texts_are_cut():
    many = {f"conv{n}": {"kind": "conv", "kernel": 3, "stride": 1} for n in range(4, 9)}
    first, second = words(group("a", lr=0.5), group("b", **many))
    assert first.startswith("lr 0.5; ") and second.startswith("lr 0.1; conv4 kind conv, kernel 3, stride 1; ")
    assert second.endswith(" more") and len(second) < LONGEST_DIFFERENCE + 15


def test_every_setting_by_its_key():
    assert varied_settings([group("a"), group("b", lr=0.2)]) == [{"optim.lr": 0.1}, {"optim.lr": 0.2}]


def test_images_a_second_are_a_mean_over_epochs():
    assert images_per_second(group("a", images_per_second=[100, None, 201])) == 150
    assert images_per_second(group("a")) is None
