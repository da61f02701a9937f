"""Weights & Biases, TensorBoard and MLflow: opened as Lightning loggers, handed what a run records, closed.

One file for each, imported when it is chosen. The run folder is complete without any of them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from convscope.errors import UserError

FILES = {"wandb": "weights_and_biases", "tensorboard": "tensorboard", "mlflow": "mlflow"}


@contextmanager
def open_loggers(choices: Mapping[str, Mapping[str, Any]], folder: Path, config: dict[str, Any]) -> Iterator[list[Any]]:
    """The chosen loggers, each with its Lightning logger in `.logger`; closed on the way out, whatever happened.

    choices: logger name -> its settings (conf/logger). config: what the run is, as plain values.
    Raises UserError for an unknown name, and where a logger's package is not installed.
    """
    if unknown := sorted(set(choices) - set(FILES)):
        raise UserError(
            f"unknown logger {', '.join(unknown)}; possible: logger=local, wandb, tensorboard, mlflow "
            "or several as '[wandb,tensorboard]'"
        )
    loggers: list[Any] = []
    try:
        for name in choices:
            loggers.append(import_module(f"convscope.loggers.{FILES[name]}").open_logger(choices[name], folder, config))
        yield loggers
    finally:
        for each in loggers:
            each.close()


def logging_volumes(choices: Mapping[str, Mapping[str, Any]], epochs: int, layers: int, maps: int) -> Iterator[str]:
    """What a training run will send away, in words, before it begins; a line for each logger that sends anything."""
    if "wandb" in choices:
        from convscope.loggers.weights_and_biases import logging_volume

        yield logging_volume(choices["wandb"], epochs, layers, maps)
