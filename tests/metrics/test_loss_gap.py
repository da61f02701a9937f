"""Why the training loss lies above the validation loss: said where it does, with what the run had."""

import math

import pytest

from convscope.metrics.loss_gap import conditions_of_settings, loss_gap_in_words, training_conditions


def test_the_floor_of_label_smoothing_is_the_least_cross_entropy():
    """By search over the probability of the true class: nothing is below the printed floor, and it is reached."""
    classes, smoothing = 10, 0.1
    (words,) = training_conditions(False, False, 0.0, smoothing, classes)[1:]
    aim_true, aim_other = 1 - smoothing + smoothing / classes, smoothing / classes
    losses = [
        -aim_true * math.log(p) - (classes - 1) * aim_other * math.log((1 - p) / (classes - 1))
        for p in (step / 10_000 for step in range(1, 10_000))
    ]
    assert f"{min(losses):.2f}" in words


@pytest.mark.parametrize("training, validation", [([2.0, 0.4], [1.0, 0.5]), ([], []), ([1.0], [None])])
def test_nothing_is_said_where_training_is_not_above(training, validation):
    assert loss_gap_in_words(training, validation, ["dropout"]) == ""


def test_it_names_only_what_the_run_had():
    plain = training_conditions(dropout=False, crops=True, color_noise=0, smoothing=0, classes=10)
    words = loss_gap_in_words([3, 1.2], [3, 0.9], plain)
    assert "random crops and mirror images" in words and "dropout" not in words and "smoothing" not in words
    rich = training_conditions(dropout=True, crops=False, color_noise=0.1, smoothing=0.2, classes=4)
    words = loss_gap_in_words([1.2, None], [0.9, None], rich)
    assert "dropout, mirror images, color noise and label smoothing of 0.2" in words and "crops" not in words
    assert loss_gap_in_words([1.2], [0.9], None) == "" == loss_gap_in_words([1.2], [0.9], [])


def test_an_old_run_has_the_conditions_of_its_config():
    config = {"optim": {"label_smoothing": 0.0}, "data": {"color_noise": 0.5}, "model": {"layers": {}}}
    config["model"]["layers"] = {"conv1": {"maps": 3}, "fc6": {"units": 9, "dropout": 0.5}}
    assert conditions_of_settings(config, 10) == ["dropout", "random crops and mirror images", "color noise"]
    assert conditions_of_settings({}, 10) == [] == conditions_of_settings({"optim": None, "data": 3}, 10)
    assert "dropout" not in conditions_of_settings(config | {"model": {"name": "vgg16"}}, 10)
