"""Weights & Biases and TensorBoard: opened as Lightning loggers, handed the run's pictures, closed.

The only file that knows either of them; both are imported when they are chosen.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from convscope.problem import Problem
from convscope.record import Picture


class WandbPictures:
    """One key per picture name, with `epoch` as its own x axis: wandb's step slider then plays the evolution."""

    def __init__(self, logger: WandbLogger):
        self.logger = logger

    def picture(self, picture: Picture, path: Path) -> None:
        import wandb

        shown = wandb.Image(str(path), caption=picture.caption or None)  # the file itself: no second encoding
        epoch = {} if picture.epoch is None else {"epoch": picture.epoch}
        self.logger.experiment.log({picture.name: shown, **epoch})


class TensorBoardPictures:
    """Pictures under their name, epoch as the step."""

    def __init__(self, logger: TensorBoardLogger):
        self.logger = logger

    def picture(self, picture: Picture, path: Path) -> None:
        import numpy as np
        from PIL import Image

        pixels = np.asarray(Image.open(path).convert("RGB"))  # [H, W, 3]
        self.logger.experiment.add_image(picture.name, pixels, picture.epoch or 0, dataformats="HWC")


@contextmanager
def opened(choices: Mapping[str, Mapping[str, Any]], folder: Path, config: dict[str, Any]) -> Iterator[list[Any]]:
    """The chosen loggers as picture loggers, each with its Lightning logger in `.logger`; closed on the way out.

    choices: logger name -> its settings (conf/logger). config: what the run is, as plain values.
    Raises Problem for a name that is neither wandb nor tensorboard.
    """
    unknown = sorted(set(choices) - {"wandb", "tensorboard"})
    if unknown:
        raise Problem(
            f"unknown logger {', '.join(unknown)}; possible: logger=local, wandb, tensorboard or '[wandb,tensorboard]'"
        )
    loggers: list[Any] = []
    try:
        if "tensorboard" in choices:
            logger = TensorBoardLogger(str(folder), name="tensorboard", version="", **choices["tensorboard"])
            loggers.append(TensorBoardPictures(logger))
        if "wandb" in choices:
            loggers.append(WandbPictures(_wandb(choices["wandb"], folder, config)))
        yield loggers
    finally:
        for opened_logger in loggers:
            _close(opened_logger.logger)


def _wandb(settings: Mapping[str, Any], folder: Path, config: dict[str, Any]) -> WandbLogger:
    import wandb

    mode: Any = settings.get("mode") or ("online" if _has_key() else "offline")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no network in an offline run
    logger = WandbLogger(
        project=settings["project"], name=folder.name, save_dir=str(folder), config=config,
        settings=wandb.Settings(mode=mode, console="off"),
    )  # fmt: skip
    for key in ("top9/*", "filters/*", "evolution/*"):
        logger.experiment.define_metric(key, step_metric="epoch")
    return logger


def _has_key() -> bool:
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return bool(os.environ.get("WANDB_API_KEY")) or (netrc.is_file() and "wandb" in netrc.read_text(errors="ignore"))


def _close(logger: Logger) -> None:
    if isinstance(logger, WandbLogger):
        import wandb

        wandb.finish()  # else the next run of a sweep logs into this one
    else:
        logger.finalize("success")
