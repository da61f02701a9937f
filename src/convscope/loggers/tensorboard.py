"""TensorBoard: every picture and number under its name, with the epoch as step.

The step of a picture of the whole run is the last epoch before it was drawn.
"""

import shlex
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorboard  # noqa: F401  # Lightning imports it only with the first picture
from pytorch_lightning.loggers import TensorBoardLogger

from convscope.loggers.image_summary import add_picture_file
from convscope.runs.heartbeat import Outcome
from convscope.runs.record import Picture


class TensorBoardPictures:
    """Event files in <run folder>/tensorboard."""

    def __init__(self, logger: TensorBoardLogger):
        self.logger = logger
        self.epoch = 0  # the latest one sent

    def picture(self, picture: Picture, path: Path) -> None:
        self.epoch = max(self.epoch, picture.epoch or 0)
        add_picture_file(self.logger.experiment, picture.name, path, picture.epoch or self.epoch)

    def row(self, epoch: int, values: Mapping[str, float]) -> None:
        self.epoch = max(self.epoch, epoch)
        self.logger.log_metrics({"epoch": epoch, **values}, epoch)

    def close(self, _: Outcome) -> None:
        self.logger.finalize("success")


def viewing_hint(folder: Path) -> str:
    """What to type to see every picture; TensorBoard shows ten of each name unless it is told to show more."""
    return f"view them all: tensorboard --logdir {shlex.quote(str(folder))} --samples_per_plugin images=1000"


def open_logger(settings: Mapping[str, Any], folder: Path, _: dict[str, Any]) -> TensorBoardPictures:
    """The logger of a run. settings: arguments of Lightning's TensorBoardLogger."""
    return TensorBoardPictures(TensorBoardLogger(str(folder), name="tensorboard", version="", **settings))


def _without_writer(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """The hook for errors of threads without those of TensorBoard's writer, which the next picture or number raises."""

    def report(error: Any) -> None:
        if "tensorboard" not in type(error.thread).__module__:
            hook(error)

    return report


threading.excepthook = _without_writer(threading.excepthook)
