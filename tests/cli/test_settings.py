"""Random settings, rows and sizes: every case trains two batches or is refused in one line, never anything else.

CONVSCOPE_CASES=1000 tries so many cases in place of the few of an ordinary run of the tests.
"""

import inspect

import pytest
import pytorch_lightning as pl
from hypothesis import example, given, strategies

from convscope.models import memory
from random_settings import VALUES, done_or_refused, tried

TINY = ["trainer=smoke", "model.width=0.05", "optim.batch_size=6", "evolution=off",
        "data.train=20", "data.val=20", "data.image_size=64"]  # fmt: skip

SIZES = strategies.sampled_from([0, 1, 2, 3, 4, 5, 7, 11, 13, 64, 200, -1, 10**4, 10**9, 2**40, "null", "1.5", "x"])
KEYS = [
    "seed",
    "name",
    "data.train",
    "data.val",
    "data.draw_seed",
    "data.image_size",
    "data.limit",
    "data.workers",
    "data.on_bad_image",
    "data.cache_dir",
    "data.cache_gib",
    "data.color_noise",
    "data.pixel_scale",
    "data.source",
    "optim.algorithm",
    "optim.lr",
    "optim.momentum",
    "optim.weight_decay",
    "optim.batch_size",
    "optim.schedule",
    "optim.patience",
    "optim.label_smoothing",
    "optim.init",
    "optim.init_std",
    "optim.bias_ones",
    "optim.renorm",
    "optim.loss",
    "evolution.layers",
    "evolution.maps",
    "evolution.epochs",
    "evolution.images",
    "model.width",
    "model.init",
    "model.take",
    "model.freeze",
    "model.layers",
    "model.source",
    "model.layers.conv3",
    "trainer.max_epochs",
    "trainer.accelerator",
    "trainer.precision",
    "trainer.limit_train_batches",
    "checkpoint.every_minutes",
    "checkpoint.every_steps",
    "+other",
    "+optim.other",
    "+data.root",
    "+data.other",
    "+model.in_chans",
    "+logger.wandb.project",
    "+occlude.size",
    "+net",
    "model.name",
]
MANY = {"devices", "num_nodes", "strategy"}  # processes: launch.py sees to them before a job begins
KEYS += [
    f"++trainer.{name}" for name in inspect.signature(pl.Trainer.__init__).parameters if name not in MANY | {"self"}
]
ROWS = ["conv1", "pool1", "norm1", "conv2", "pool2", "conv5", "pool5", "fc6", "fc8"]
FIELDS = ["maps", "kernel", "stride", "padding", "towers", "units", "dropout", "size", "alpha", "beta", "k", "bias",
          "ceil", "kind"]  # fmt: skip

overridden = strategies.builds("{}={}".format, strategies.sampled_from(KEYS), VALUES)
rowed = strategies.builds(
    "++model.layers.{}.{}={}".format, strategies.sampled_from(ROWS), strategies.sampled_from(FIELDS), SIZES
)
removed = strategies.builds("~{}".format, strategies.sampled_from([key for key in KEYS if key[0] not in "+sn"]))
without = strategies.builds("~model.layers.{}".format, strategies.sampled_from(ROWS))
sized = strategies.builds("data.image_size={}".format, SIZES)
PRECISIONS = ["32-true", "bf16-true", "16-true", "64-true", "bf16-mixed", "16-mixed", "16", "bf16", "bf16-tru", "null",
              "transformer-engine"]  # fmt: skip
precise = strategies.builds("trainer.precision={}".format, strategies.sampled_from(PRECISIONS))
LOOKING = ["evolution=every", "evolution.maps=1", "evolution.layers=[conv1,conv5]", "data.train=12", "data.val=10"]

words = strategies.lists(strategies.one_of(overridden, rowed, rowed, removed, without, sized), min_size=1, max_size=3)


@pytest.fixture
def small_machine(monkeypatch, tmp_path):
    """Of 2 GiB, so that what fits is soon trained; in a folder of its own, where a word may be that of a cache."""
    monkeypatch.chdir(tmp_path)
    real = memory.free_memory
    monkeypatch.setattr(memory, "free_memory", lambda: min(real() or 2**31, 2**31))


@tried(16)
@given(words)
@example(["data.image_size=100000"])
@example(["++model.layers.conv3.maps=1000000000"])
@example(["++model.layers.conv3.stride=-1"])
@example(["++model.layers.conv3.kernel=1000000000"])
@example(["++model.layers.fc6.units=1000000000"])
@example(["optim.batch_size=1000000000"])
@example(["data.train=1000000000"])
@example(["+trainer.callbacks=[1]"])
def test_every_setting_trains_or_is_refused_in_one_line(tmp_path_factory, cache, small_machine, overrides):
    done_or_refused([*TINY, f"data.cache_dir={cache}", *overrides], tmp_path_factory.mktemp("case") / "run")


@tried(3, 4)
@given(precise, strategies.lists(strategies.one_of(overridden, rowed), max_size=1))
@example("trainer.precision=bf16-true", ["optim.algorithm=adamw"])
@example("trainer.precision=16-true", ["model.layers.norm1.beta=0.5"])
@example("trainer.precision=16-mixed", ["++trainer.gradient_clip_val=1"])
def test_every_precision_trains_and_looks_inside_or_is_refused(
    tmp_path_factory, cache, small_machine, precision, overrides
):
    said = [*TINY, *LOOKING, f"data.cache_dir={cache}", precision, *overrides]
    ended = done_or_refused(said, tmp_path_factory.mktemp("case") / "run")
    assert overrides or ended == ("refused" if precision.endswith(("engine", "tru")) else "done")
