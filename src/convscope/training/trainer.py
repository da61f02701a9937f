"""Lightning's Trainer: checks of its settings (conf/trainer) with errors in plain words."""

import copy
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_type_hints

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from convscope.config import check_type
from convscope.errors import UserError, command_line, did_you_mean, reason_of
from convscope.runs.number_format import counted

SET_BY_PROGRAM = ("callbacks", "logger", "plugins", "default_root_dir", "num_sanity_val_steps",
                  "use_distributed_sampler", "log_every_n_steps", "enable_model_summary", "enable_progress_bar",
                  "enable_checkpointing")  # fmt: skip

PRECISIONS = ("32-true", "bf16-true", "16-true", "64-true", "bf16-mixed", "16-mixed")
OLDER_PRECISIONS = ("16", "32", "64", "bf16", "None")  # Lightning's older names, and its default
TRANSFORMER_ENGINE = ("transformer-engine", "transformer-engine-float16")

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
OTHER_STRATEGIES = (  # part of a name -> why not
    dict.fromkeys(("_spawn", "_fork", "_notebook"), "starts processes by itself, which trainer.devices=<n> does here")
    | dict.fromkeys(
        ("fsdp", "deepspeed", "parallel"), "spreads the net over processes, and each of them needs all of it"
    )
    | dict.fromkeys(("xla", "tpu"), "is for TPUs, which this program does not know")
)

MINIMA = {"accumulate_grad_batches": 1, "reload_dataloaders_every_n_epochs": 0, "min_epochs": 0, "min_steps": 0,
          "gradient_clip_val": 0}  # fmt: skip

_NO_OTHER_VALIDATION = "is not to be had: every epoch ends with a validation; leave it out"
FIXED_KEYS = {  # keys that must keep Lightning's default -> why, and what to type instead
    "max_steps": "would end a run within an epoch; type trainer.max_epochs, and trainer.limit_train_batches for "
    "short epochs",
    "max_time": "would end a run within an epoch as if it were through; type timeout --foreground --preserve-status "
    f"11h {command_line()} ...: at its SIGTERM the run is kept, and resume=<its folder> goes on",
    "fast_dev_run": "would end a run within an epoch; type trainer=smoke",
    "val_check_interval": _NO_OTHER_VALIDATION,
    "check_val_every_n_epoch": _NO_OTHER_VALIDATION,
}


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Checks the keys of conf/trainer, their types and their ranges.

    Raises UserError for a key that the Trainer does not have, or that the program sets, and for a value that the
    Trainer or the program cannot work with.
    """
    if not isinstance(settings, Mapping):
        raise UserError(f"trainer={settings} holds no keys; type e.g. trainer.max_epochs=12")
    hints = get_type_hints(pl.Trainer.__init__)
    for key, value in settings.items():
        check_trainer_key(key)
        check_type(f"trainer.{key}", value, hints[key])
        _check_value(key, value)
    epochs = settings.get("max_epochs")
    if type(epochs) is not int or not 0 < epochs < 2**31:
        value = "null" if epochs is None else epochs
        raise UserError(f"trainer.max_epochs={value} is no number of epochs; take a whole number from 1, e.g. 12")


def check_trainer_key(key: str) -> None:
    """Raises UserError for a key that Lightning's Trainer does not have, or that the program sets."""
    possible = [name for name in inspect.signature(pl.Trainer.__init__).parameters if name != "self"]
    possible = [name for name in possible if name not in SET_BY_PROGRAM]
    if key in SET_BY_PROGRAM:
        raise UserError(f"trainer.{key} is set by the program; leave it out")
    if key not in possible:
        raise UserError(f"trainer.{key} is no key{did_you_mean(key, possible)}; possible: {', '.join(possible)}")


def _check_value(key: str, value: Any) -> None:
    """Raises UserError for a value of the right type with which a run of the program could not end as it should."""
    default = inspect.signature(pl.Trainer.__init__).parameters[key].default
    if key in FIXED_KEYS and value not in (None, default):
        raise UserError(f"trainer.{key}={value} {FIXED_KEYS[key]}")
    if value is not None and key in MINIMA and value < MINIMA[key]:
        raise UserError(f"trainer.{key}={value} is too small; it is {MINIMA[key]} or more")
    if key in ("limit_train_batches", "limit_val_batches") and value == 0:
        raise UserError(f"trainer.{key}=0 leaves an epoch without images; take a small number, e.g. 2")
    if key == "strategy" and str(value).lower() not in STRATEGIES:
        reasons = [reason for part, reason in OTHER_STRATEGIES.items() if part in str(value).lower()]
        why = f"{reasons[0]}; type" if reasons else f"is unknown{did_you_mean(str(value), STRATEGIES)}; type"
        raise UserError(f"trainer.strategy={value} {why} trainer.strategy=ddp, or auto for a single device")


def check_precision(settings: Mapping[str, Any], device: str) -> str | None:
    """Raises UserError for a trainer.precision that does not exist, or not on this device.

    Returns a warning where Lightning would replace it by another one, else None. device: torch's type of the device.
    """
    precision = str(settings.get("precision"))
    if precision not in (*PRECISIONS, *OLDER_PRECISIONS, *TRANSFORMER_ENGINE):
        raise UserError(
            f"trainer.precision={precision} is unknown{did_you_mean(precision, PRECISIONS)}; possible: "
            f"{', '.join(PRECISIONS)}"
        )
    if precision in TRANSFORMER_ENGINE and importlib.util.find_spec("transformer_engine") is None:
        raise UserError(
            f"trainer.precision={precision} needs the package transformer_engine, which is not installed; "
            "type trainer.precision=bf16-mixed"
        )
    if precision in ("64", "64-true") and device == "mps":
        raise UserError(
            f"trainer.precision={precision}: Apple's GPUs have no float64; type trainer.accelerator=cpu, or "
            "trainer.precision=32-true"
        )
    if device == "mps" and (precision.endswith("-mixed") or precision in ("16", "bf16")):
        raise UserError(
            f"trainer.precision={precision}: Lightning mixes precisions on CUDA and CPUs alone; on Apple's GPUs type "
            "trainer.precision=32-true, or bf16-true"
        )
    if precision in ("16", "16-mixed") and device == "cpu":
        return f"trainer.precision={precision} is for GPUs; on this CPU the run computes in bf16-mixed"
    return None


def check_image_numbers(sizes: Mapping[str, int], batch_size: int, processes: int, settings: Mapping[str, Any]) -> None:
    """Raises UserError where a process would have no validation image, or an epoch no batch.

    sizes: images of "train" and "val". The other processes would wait for such a process for ever.
    """
    if sizes["val"] < processes:
        fewer = f", or fewer processes, e.g. trainer.devices={sizes['val']}" if sizes["val"] else ""
        raise UserError(
            f"{counted(sizes['val'], 'validation image')} for {counted(processes, 'process', 'es')}, each of which "
            f"needs one; take more images (e.g. a larger data.limit){fewer}"
        )
    fewest = {"train": -(-sizes["train"] // processes), "val": sizes["val"] // processes}
    for split, images in fewest.items():
        batches, key = -(-images // batch_size), f"limit_{split}_batches"
        if _reached(batches, settings.get(key)) == 0:
            share = " of a process" if processes > 1 else ""
            raise UserError(
                f"trainer.{key}={settings[key]} of {counted(batches, 'batch', 'es')}{share} is less than one; type a "
                f"number of batches, e.g. trainer.{key}=1"
            )


def check_sync_batchnorm(settings: Mapping[str, Any], device: str, processes: int) -> None:
    """Raises UserError where batch norms shall be counted over processes on the CPU, which torch cannot."""
    if settings.get("sync_batchnorm") and processes > 1 and device == "cpu":
        raise UserError("trainer.sync_batchnorm=true is for GPUs: torch does not synchronize on the CPU; leave it out")


def joins_last_image(net: nn.Module, side: int, images: int, batch_size: int, settings: Mapping[str, Any]) -> bool:
    """Whether training needs a last batch of one image to be joined to the batch before.

    images: of one process. side: of the net's input. Raises UserError where there is no batch of two or more images for
    a net that needs them. A net that takes one image keeps the batches that it had in earlier versions.
    """
    batches = -(-images // batch_size)
    last_is_reached = _reached(batches, settings.get("limit_train_batches")) == batches
    if batch_size > 1 and not (images % batch_size == 1 and last_is_reached):
        return False
    if takes_one_image(net, side):
        return False
    needs = "the batch norms of this net need two images or more at a time"
    if batch_size == 1:
        raise UserError(f"optim.batch_size=1: {needs}; type optim.batch_size=2 or more")
    if images == 1:
        raise UserError(f"one training image in each process: {needs}; take more images (e.g. a larger data.limit)")
    return True


def takes_one_image(net: nn.Module, side: int) -> bool:
    """Whether the net, in training, computes a batch of one image; batch norms refuse it where its maps are 1 x 1."""
    probe = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            probe(torch.zeros(1, 3, side, side))
        except ValueError:  # torch's "Expected more than 1 value per channel when training"
            return False
    return True


def _reached(batches: int, limit: float | None) -> int:
    """How many of an epoch's batches Lightning takes. limit: their number, a part (float), or None for all."""
    if limit is None:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)


def build_trainer(settings: Mapping[str, Any], **set_by_program: Any) -> pl.Trainer:
    """The Trainer of these settings and of those of the program. Raises UserError with Lightning's reason to refuse."""
    with lightning_refusals(Exception):  # Lightning checks some settings only by using them
        return pl.Trainer(**settings, **set_by_program)


@contextmanager
def lightning_refusals(kind: type[Exception] = MisconfigurationException) -> Iterator[None]:
    """Turns Lightning's errors about the settings into UserError, also those that come up only during training."""
    try:
        yield
    except kind as error:
        prefix = "" if isinstance(error, MisconfigurationException | ValueError) else f"{type(error).__name__}: "
        raise UserError(f"Lightning refuses the settings of trainer: {prefix}{reason_of(error, 300)}") from error
