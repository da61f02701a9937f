"""MLflow: every picture under its name, the epoch as its step; all runs in one database."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from pytorch_lightning.loggers import MLFlowLogger

from convscope.problem import Problem
from convscope.record import Picture, write


class MlflowPictures:
    """A run of MLflow; of a resumed run the one it had before, by <run folder>/mlflow/run_id."""

    def __init__(self, logger: MLFlowLogger, folder: Path):
        self.logger, self.folder = logger, folder

    def picture(self, picture: Picture, path: Path) -> None:
        shown = Image.open(path).convert("RGB")
        self.logger.experiment.log_image(self.logger.run_id, shown, key=picture.name, step=picture.epoch or 0)

    def close(self) -> None:
        if (self.folder / "top9").is_dir():
            self.logger.experiment.log_artifacts(self.logger.run_id, str(self.folder / "top9"), "top9")
        self.logger.finalize("success")


def begun(settings: Mapping[str, Any], folder: Path, config: dict[str, Any]) -> MlflowPictures:
    """settings: experiment, tracking_uri. Raises Problem where MLflow is not installed."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves this machine unasked
    noted = folder / "mlflow" / "run_id"
    before = noted.read_text(encoding="utf-8").strip() if noted.is_file() else None
    uri = str(settings["tracking_uri"])
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).absolute().parent.mkdir(parents=True, exist_ok=True)
    try:
        logger = MLFlowLogger(settings["experiment"], folder.name, uri, run_id=before)
    except ModuleNotFoundError:
        raise Problem("logger=mlflow needs MLflow; type pip install 'convscope[mlflow]'") from None
    write(noted, f"{logger.run_id}\n")
    if before is None:
        logger.log_hyperparams({key: value for key, value in config.items() if key != "words"})
    return MlflowPictures(logger, folder)
