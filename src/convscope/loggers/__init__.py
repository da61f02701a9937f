"""Weights & Biases, TensorBoard and MLflow: opened as Lightning loggers, filled with what a run records, closed.

weights_and_biases, tensorboard, mlflow   one logger each, imported when it is chosen
projection_table                          rows of single projections, for the table in Weights & Biases
dashboard                                 a workspace of Weights & Biases that shows the evolution of features
epoch_buffer                              the pictures of an epoch until its row comes, to send all of it at once
image_summary                             a picture file as it is, for TensorBoard
trainer_loggers                           the loggers of a Trainer that is not ours, which get the grids

The run folder is complete without any logger. Nothing is computed here: loggers send what is in the run folder.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from convscope.errors import UserError, install, reason_of
from convscope.runs.heartbeat import Outcome
from convscope.runs.record import Picture
from convscope.runs.unfinished import unchanged_if_refused

MODULES = {"wandb": "weights_and_biases", "tensorboard": "tensorboard", "mlflow": "mlflow"}


class FaultTolerantLogger:
    """A logger that ends no run: its first error is a warning, after which it receives nothing more.

    opened: what the module of the logger has opened, with its Lightning logger in `.logger`.
    """

    def __init__(self, name: str, opened: Any, warn: Callable[[str], None]):
        self.name, self.opened, self.warn = name, opened, warn
        self.failure = ""  # the warning

    @property
    def logger(self) -> Any:
        return self.opened.logger

    def picture(self, picture: Picture, path: Path) -> None:
        self._pass_on(lambda: self.opened.picture(picture, path))

    def row(self, epoch: int, values: Mapping[str, float]) -> None:
        self._pass_on(lambda: self.opened.row(epoch, values))

    def close(self, outcome: Outcome = "finished") -> None:
        self._pass_on(lambda: self.opened.close(outcome), despite_failure=True)

    def close_after(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        """Closes it at the end of a block of `with`. error: what has ended the block."""
        by_signal = isinstance(error, SystemExit | KeyboardInterrupt)
        self.close("finished" if error is None else "stopped" if by_signal else "failed")

    def _pass_on(self, call: Callable[[], None], despite_failure: bool = False) -> None:
        if self.failure and not despite_failure:
            return
        try:
            call()
        except Exception as error:  # each library has errors of its own for networks, servers, keys and files
            if not self.failure:
                reason = f"logger={self.name} has failed ({reason_of(error.__cause__ or error)})"
                self.failure = f"{reason} and receives nothing more; the run folder has everything"
                self.warn(self.failure)


@contextmanager
def open_loggers(
    choices: Mapping[str, Mapping[str, Any]], folder: Path, config: dict[str, Any], warn: Callable[[str], None] = print
) -> Iterator[list[FaultTolerantLogger]]:
    """The chosen loggers, each with its Lightning logger in `.logger`. All are closed at the end, also after an error,
    and tell by it how the run ended.

    choices: logger name -> its settings (conf/logger). config: the run's config as plain values. warn: gets a line for
    each logger that fails later. Raises UserError for an unknown name, and where a logger cannot begin: what loggers
    have left in the folder is removed then.
    """
    if unknown := sorted(set(choices) - set(MODULES)):
        raise UserError(
            f"unknown logger {', '.join(unknown)}; possible: logger=local, wandb, tensorboard, mlflow "
            "or several as '[wandb,tensorboard]'"
        )
    loggers: list[FaultTolerantLogger] = []
    with unchanged_if_refused(folder), ExitStack() as begun:  # closed before what they have written is removed
        for name, settings in choices.items():
            if opened := _opened(name, settings, folder, config):
                loggers.append(FaultTolerantLogger(name, opened, warn))
                begun.push(loggers[-1].close_after)
        closing = begun.pop_all()
    with closing:
        yield loggers


def _opened(name: str, settings: Mapping[str, Any], folder: Path, config: dict[str, Any]) -> Any:
    """What the module of a logger opens; None for one that is switched off. Raises UserError where it cannot begin."""
    try:
        return import_module(f"convscope.loggers.{MODULES[name]}").open_logger(settings, folder, config)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(f"logger={name} needs {error.name or name}; type {install(name)}") from None
    except Exception as error:  # each library has errors of its own for networks, servers, keys and files
        raise UserError(f"logger={name} cannot begin: {reason_of(error)}; mend this, or type logger=local") from None


def logging_volumes(
    choices: Mapping[str, Mapping[str, Any]], epochs: int, layers: int, maps: int, tile: int
) -> Iterator[str]:
    """Lines for the terminal with the volume of what a training run will upload, one for each logger that uploads.

    epochs: those at which features are drawn. maps: feature maps drawn, of all layers together. tile:
    side of their tiles, in pixels.
    """
    if "wandb" in choices:
        from convscope.loggers.weights_and_biases import logging_volume

        yield logging_volume(choices["wandb"], epochs, layers, maps, tile)


def viewing_hints(choices: Mapping[str, Mapping[str, Any]], folder: Path) -> Iterator[str]:
    """Lines for the terminal at the end of a run: how to view what its loggers have stored on this machine."""
    if "tensorboard" in choices:
        from convscope.loggers.tensorboard import viewing_hint

        yield viewing_hint(folder)
