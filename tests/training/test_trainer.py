"""conf/trainer: what is refused, in which words, and what Lightning gets to see."""

import re

import pytest
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy, StrategyRegistry

from convscope.errors import UserError
from convscope.training.trainer import PRECISIONS, build_trainer, check_precision, check_trainer


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_epoch": 2}, "trainer.max_epoch is no key .did you mean max_epochs"),
        ({"max_epochs": "many"}, "trainer.max_epochs=many is not a whole number or null"),
        ({"max_epochs": 0}, "trainer.max_epochs=0 is no number of epochs"),
        ({"max_epochs": True}, "trainer.max_epochs=True is not a whole number or null"),
        ({"callbacks": [1]}, "trainer.callbacks is set by the program"),
        ({"detect_anomaly": [1]}, r"trainer.detect_anomaly=\[1\] is not true or false"),
        ({"max_time": 7}, r"trainer.max_time=7 is not a word, a mapping such as .* or null"),
        ({"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches=0 is too small; it is 1 or more"),
        ({"max_steps": 100}, "trainer.max_steps=100 would end a run within an epoch; type trainer.max_epochs"),
        ({"max_time": "00:11:00:00"}, "would end a run within an epoch .* type timeout .*11h python src/run.py"),
        ({"fast_dev_run": True}, "type trainer=smoke"),
        ({"check_val_every_n_epoch": 2}, "every epoch ends with a validation"),
        ({"val_check_interval": 0.5}, "every epoch ends with a validation"),
        (
            {"strategy": "ddp_spawn"},
            "trainer.strategy=ddp_spawn starts processes by itself.*; type trainer.strategy=ddp",
        ),
        ({"strategy": "ddpp"}, "trainer.strategy=ddpp is unknown .did you mean ddp..; type trainer.strategy=ddp"),
        ({"limit_val_batches": 0}, "limit_val_batches=0 leaves an epoch without images"),
        ({"limit_train_batches": 0.0}, "limit_train_batches=0 leaves an epoch without images"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(settings, said):
    with pytest.raises(UserError, match=said):
        check_trainer({"max_epochs": 2} | settings)


@pytest.mark.parametrize(
    ("precision", "device", "said"),
    [
        ("bf16-tru", "cpu", "trainer.precision=bf16-tru is unknown .did you mean bf16-true.*; possible: 32-true, bf16"),
        (8, "cuda", "trainer.precision=8 is unknown.*possible: 32-true"),
        ("64-true", "mps", "Apple's GPUs have no float64; type trainer.accelerator=cpu"),
        (64, "mps", "Apple's GPUs have no float64"),
        (
            "16-mixed",
            "mps",
            "16-mixed: Lightning mixes precisions on CUDA and CPUs alone; .*=32-true",
        ),
        ("bf16", "mps", "trainer.precision=bf16: Lightning mixes precisions"),
        ("transformer-engine", "cuda", "needs the package transformer_engine.*type trainer.precision=bf16-mixed"),
    ],
)
def test_a_precision_that_is_not_to_be_had_is_told_before_images_are_read(precision, device, said):
    with pytest.raises(UserError, match=said):
        check_precision({"precision": precision}, device)


def test_a_precision_that_a_cpu_does_not_have_is_told_by_its_own_name():
    told = "is for GPUs; on this CPU the run computes in bf16-mixed"
    assert told in str(check_precision({"precision": "16-mixed"}, "cpu"))
    words = [*PRECISIONS, "16", "32", "64", "bf16", None, 16, 32, 64]
    assert [each for each in words if check_precision({"precision": each}, "cpu")] == ["16-mixed", "16", 16]
    assert all(check_precision({"precision": each}, "cuda") is None for each in words)
    assert check_precision({}, "mps") is None


def test_what_is_no_mapping_is_told():
    with pytest.raises(UserError, match="trainer=3 holds no keys"):
        check_trainer(3)


@pytest.mark.parametrize(
    "settings",
    [{"max_steps": -1}, {"check_val_every_n_epoch": 1, "fast_dev_run": False}, {"precision": 32},
     {"precision": "bf16-mixed"}, {"devices": [0]}, {"deterministic": "warn"}, {"limit_train_batches": 3},
     {"limit_train_batches": 0.5}, {"gradient_clip_val": None}],
)  # fmt: skip
def test_what_lightning_takes_passes(settings):
    check_trainer({"max_epochs": 2} | settings)
    if settings != {"devices": [0]}:  # of a GPU
        build_trainer({"max_epochs": 2, "accelerator": "cpu", "logger": False} | settings)


def test_what_lightning_refuses_is_told_in_its_words():
    with pytest.raises(UserError, match="^Lightning refuses the settings of trainer: .*gradient_clip_algorithm.*"):
        build_trainer({"max_epochs": 2, "accelerator": "cpu", "gradient_clip_algorithm": "none"})


@pytest.mark.parametrize("strategy", [*StrategyRegistry.available_strategies(), "auto", "DDP"])
def test_a_strategy_that_lightning_knows_builds_a_trainer_or_is_refused_with_another(strategy):
    settings = {"max_epochs": 2, "accelerator": "cpu", "strategy": strategy}
    try:
        check_trainer(settings)
    except UserError as refusal:
        start, end = f"trainer.strategy={strategy} ", "; type trainer.strategy=ddp, or auto for a single device"
        assert re.fullmatch(f"{start}(starts|spreads|is) .*{end}", str(refusal))
    else:
        built = build_trainer({**settings, "logger": False}).strategy
        assert type(built) in (DDPStrategy, SingleDeviceStrategy)  # of processes that have been started
