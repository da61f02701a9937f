"""conf/trainer: arguments of Lightning's Trainer, told apart from mistakes before anything is read."""

import inspect
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from convscope.problem import Problem, meant

OURS = ("callbacks", "logger", "plugins", "default_root_dir", "num_sanity_val_steps", "use_distributed_sampler",
        "log_every_n_steps", "enable_model_summary", "enable_progress_bar", "enable_checkpointing")  # fmt: skip


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Raises Problem for a key that the Trainer does not have or the program sets, and for a number of epochs that is
    none.
    """
    known = [name for name in inspect.signature(pl.Trainer.__init__).parameters if name not in ("self", *OURS)]
    if not isinstance(settings, Mapping):
        raise Problem(f"trainer={settings} holds no keys; type e.g. trainer.max_epochs=12")
    for key in settings:
        if key in OURS:
            raise Problem(f"trainer.{key} is set by the program; leave it out")
        if key not in known:
            raise Problem(f"trainer.{key} is no key{meant(key, known)}; possible: {', '.join(known)}")
    epochs = settings.get("max_epochs")
    if type(epochs) is not int or not 0 < epochs < 2**31:
        told = "null" if epochs is None else epochs
        raise Problem(f"trainer.max_epochs={told} is no number of epochs; take a whole number from 1, e.g. 12")


def trainer(settings: Mapping[str, Any], **ours: Any) -> pl.Trainer:
    """The Trainer of these settings; Problem says what Lightning has against them."""
    try:
        return pl.Trainer(**settings, **ours)
    except (MisconfigurationException, TypeError, ValueError, ModuleNotFoundError, RuntimeError) as error:
        raise Problem(f"Lightning refuses the settings of trainer: {' '.join(str(error).split())[:300]}") from error
