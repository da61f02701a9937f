"""Loggers that somebody else has opened, such as those of a Trainer: pictures go to them, each under its own name.

The loggers of pytorch_lightning and of lightning.pytorch have the same names and methods, and are told apart from
others by their names. Their numbers come from the Trainer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from convscope.loggers import FaultTolerantLogger
from convscope.loggers.epoch_buffer import EpochBuffer, PictureFile
from convscope.loggers.image_summary import add_picture_file
from convscope.runs.heartbeat import Outcome
from convscope.runs.record import Picture

SENT = "top9/", "evolution/"  # first parts of the names of pictures; the others are in the run folder alone


def picture_loggers(loggers: Iterable[Any], warn: Callable[[str], None]) -> list[FaultTolerantLogger]:
    """Those of the loggers that take pictures. warn: gets a line for each that fails later."""
    opened = [(type(logger).__name__, _opened(logger)) for logger in loggers]
    return [FaultTolerantLogger(name, pictures, warn) for name, pictures in opened if pictures is not None]


def _opened(logger: Any) -> Any:
    names = {kind.__name__ for kind in type(logger).__mro__}
    if "WandbLogger" in names:
        return OpenLogger(logger, _to_wandb)
    if "TensorBoardLogger" in names:
        return OpenLogger(logger, _to_tensorboard)
    if "MLFlowLogger" in names:
        return OpenLogger(logger, _to_mlflow)
    return OpenLogger(logger, _to_any) if hasattr(logger, "log_image") else None


class OpenLogger:
    """Sends the grids of an epoch with it as x axis, and the latest picture of the whole run at the end."""

    def __init__(self, logger: Any, send: Callable[[Any, Sequence[PictureFile], int], None]):
        self.logger, self.send, self.buffer = logger, send, EpochBuffer(self._send_pictures)

    def picture(self, picture: Picture, path: Path) -> None:
        if picture.name.startswith(SENT):
            self.buffer.picture(picture, path)

    def row(self, epoch: int, values: Mapping[str, float]) -> None:
        self.buffer.row(epoch, values)

    def close(self, _: Outcome) -> None:  # the Trainer ends its loggers itself, and knows how the run ended
        self.buffer.end({})

    def _send_pictures(self, pictures: Sequence[PictureFile], values: Mapping[str, Any], epoch: int) -> None:
        if pictures:
            self.send(self.logger, pictures, epoch)


def _to_wandb(logger: Any, pictures: Sequence[PictureFile], epoch: int) -> None:
    """In one step, so that the step sliders of all layers move together."""
    from convscope.loggers.weights_and_biases import wandb_image

    run = logger.experiment
    run.define_metric("epoch")
    for name in SENT:
        run.define_metric(f"{name}*", step_metric="epoch")
    images = {picture.name: wandb_image(path, picture.caption or None) for picture, path in pictures}
    run.log({**images, "epoch": epoch})


def _to_tensorboard(logger: Any, pictures: Sequence[PictureFile], epoch: int) -> None:
    for picture, path in pictures:
        add_picture_file(logger.experiment, picture.name, path, epoch)


def _to_mlflow(logger: Any, pictures: Sequence[PictureFile], epoch: int) -> None:
    from PIL import Image

    for picture, path in pictures:
        pixels = Image.open(path).convert("RGB")
        logger.experiment.log_image(logger.run_id, pixels, key=picture.name, step=epoch)


def _to_any(logger: Any, pictures: Sequence[PictureFile], epoch: int) -> None:
    for picture, path in pictures:
        logger.log_image(key=picture.name, images=[str(path)], step=epoch)
