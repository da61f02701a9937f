"""Trainers of Lightning, of either of its namespaces: what a callback reads of them without their classes."""

import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from convscope.errors import UserError, did_you_mean

NAMESPACES = "pytorch_lightning", "lightning.pytorch"  # whose classes do not know each other


@cache
def callback_class(cls: Any, names: tuple[str, ...]) -> type:
    """The class as a callback of the Trainers of these namespaces."""
    callbacks = tuple(import_module(name).Callback for name in names)
    return type(cls.__name__, (cls, *callbacks), {"__module__": cls.__module__, "__doc__": cls.__doc__})


def namespaces() -> tuple[str, ...]:
    """The namespaces of Lightning that the user has imported; else the first that is installed."""
    imported = tuple(name for name in NAMESPACES if hasattr(sys.modules.get(name), "Callback"))
    installed = [name for name in NAMESPACES if importlib.util.find_spec(name.partition(".")[0])]
    if not imported and not installed:
        raise UserError("FeatureEvolution is a callback of PyTorch Lightning, which is not installed; type pip install "
                        "pytorch-lightning, or in a loop of your own use convscope.watch")  # fmt: skip
    return imported or tuple(installed[:1])


def is_fitting(trainer: Any) -> bool:
    """Whether the Trainer is in fit, and not in validate, test or predict."""
    return str(getattr(trainer.state.fn, "value", trainer.state.fn)) == "fit"


def is_last_of_epoch(trainer: Any) -> bool:
    """Whether no other validation follows in this epoch; true where that is not known."""
    batches, interval = trainer.num_training_batches, trainer.val_check_batch
    if interval is None or batches == float("inf") or interval == float("inf"):
        return True
    return bool(trainer.fit_loop.epoch_loop.batch_progress.current.ready + interval > batches)


def val_loader(trainer: Any, chosen: int | str) -> tuple[int, Any]:
    """Number and loader of the chosen validation loader. Raises UserError for one that is not there."""
    loaders = getattr(trainer.val_dataloaders, "iterables", trainer.val_dataloaders)  # those of a CombinedLoader
    names: list[int | str]
    if isinstance(loaders, Mapping):
        names, several = list(loaders), list(loaders.values())
    else:
        several = list(loaders) if isinstance(loaders, list | tuple) else [loaders]
        names = list(range(len(several)))
    if chosen in names:
        return names.index(chosen), several[names.index(chosen)]
    if type(chosen) is int and 0 <= chosen < len(several):
        return chosen, several[chosen]
    raise UserError(
        f"loader={chosen!r} is no validation loader{did_you_mean(str(chosen), map(str, names))}; possible: "
        f"{', '.join(map(repr, names))}"
    )
