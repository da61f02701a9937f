"""Weights & Biases, TensorBoard and MLflow: opened as Lightning loggers, filled with what a run records, closed.

weights_and_biases, tensorboard, mlflow   one logger each, imported when it is chosen
projection_table                          rows of single projections, for the table in Weights & Biases
dashboard                                 a workspace of Weights & Biases that shows the evolution of features

The run folder is complete without any logger. Nothing is computed here: loggers send what is in the run folder.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from convscope.errors import UserError

MODULES = {"wandb": "weights_and_biases", "tensorboard": "tensorboard", "mlflow": "mlflow"}


@contextmanager
def open_loggers(choices: Mapping[str, Mapping[str, Any]], folder: Path, config: dict[str, Any]) -> Iterator[list[Any]]:
    """The chosen loggers, each with its Lightning logger in `.logger`. All are closed at the end, also after an error.

    choices: logger name -> its settings (conf/logger). config: the run's config as plain values.
    Raises UserError for an unknown name, and where a logger's package is not installed.
    """
    if unknown := sorted(set(choices) - set(MODULES)):
        raise UserError(
            f"unknown logger {', '.join(unknown)}; possible: logger=local, wandb, tensorboard, mlflow "
            "or several as '[wandb,tensorboard]'"
        )
    loggers: list[Any] = []
    try:
        for name in choices:
            module = import_module(f"convscope.loggers.{MODULES[name]}")
            loggers.append(module.open_logger(choices[name], folder, config))
        yield loggers
    finally:
        for logger in loggers:
            logger.close()


def logging_volumes(choices: Mapping[str, Mapping[str, Any]], epochs: int, layers: int, maps: int) -> Iterator[str]:
    """Lines for the terminal with the volume of what a training run will upload, one for each logger that uploads.

    epochs: those at which features are drawn. maps: feature maps drawn, of all layers together.
    """
    if "wandb" in choices:
        from convscope.loggers.weights_and_biases import logging_volume

        yield logging_volume(choices["wandb"], epochs, layers, maps)
