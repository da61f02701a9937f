"""MLflow: every picture and number under its name, with the epoch as step; all runs in one database.

The step of a picture of the whole run is the last epoch before it was drawn.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from pytorch_lightning.loggers import MLFlowLogger

from convscope.runs.atomic_io import write
from convscope.runs.heartbeat import Outcome
from convscope.runs.record import Picture

DATABASE = "sqlite:///outputs/mlflow.db"
STATUS: dict[Outcome, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}  # of MLflow
UNLESS_SET = {  # variables of MLflow
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing leaves this machine unless the user asks
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is gone stops a run for seconds; by MLflow's 7 for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",  # MLflow's git library else prints twenty lines where there is no git
}


class MlflowPictures:
    """A run of MLflow. A resumed run goes on in its run of MLflow, by <run folder>/mlflow/run_id."""

    def __init__(self, logger: MLFlowLogger, folder: Path):
        self.logger, self.folder = logger, folder
        self.epoch = 0  # the latest one sent

    def picture(self, picture: Picture, path: Path) -> None:
        self.epoch = max(self.epoch, picture.epoch or 0)
        step = picture.epoch or self.epoch
        pixels = Image.open(path).convert("RGB")
        self.logger.experiment.log_image(self.logger.run_id, pixels, key=picture.name, step=step)

    def row(self, epoch: int, values: Mapping[str, float]) -> None:
        self.epoch = max(self.epoch, epoch)
        self.logger.log_metrics({"epoch": epoch, **values}, epoch)

    def close(self, outcome: Outcome) -> None:
        if (self.folder / "top9").is_dir():
            self.logger.experiment.log_artifacts(self.logger.run_id, str(self.folder / "top9"), "top9")
        self.logger.finalize(STATUS[outcome])


def _retry_briefly(uri: str) -> None:
    """Lets MLflow try a database for three seconds; its own ten tries take two minutes."""
    if "://" in uri and not uri.startswith(("http", "databricks")):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 5


def _id_at(uri: str, run_id: str | None) -> str | None:
    """The id, where the tracking place has a run of this id: it may be another place than at an earlier start."""
    if run_id is None:
        return None
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        return str(MlflowClient(uri).get_run(run_id).info.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def open_logger(settings: Mapping[str, Any], folder: Path, config: dict[str, Any]) -> MlflowPictures:
    """The logger of a run. settings: experiment, tracking_uri; null: those of MLflow's environment, else ours."""
    for name, value in UNLESS_SET.items():
        os.environ.setdefault(name, value)
    id_file = folder / "mlflow" / "run_id"
    earlier_id = id_file.read_text(encoding="utf-8").strip() if id_file.is_file() else None
    for name in ("mlflow", "alembic", "pytorch_lightning.loggers.mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)  # their messages are about MLflow's own tables
    uri, artifacts = settings["tracking_uri"] or os.environ.get("MLFLOW_TRACKING_URI") or DATABASE, None
    experiment = settings["experiment"] or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "convscope"
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        database.parent.mkdir(parents=True, exist_ok=True)
        with open(database, "ab"):  # at once an error where it cannot be written
            pass
        name = database.stem if database.suffix else f"{database.name}_artifacts"
        artifacts = str(database.with_name(name))  # beside the database; MLflow's default is the current folder
    _retry_briefly(uri)
    earlier_id = _id_at(uri, earlier_id)
    logger = MLFlowLogger(experiment, folder.name, uri, run_id=earlier_id, artifact_location=artifacts)
    write(id_file, f"{logger.run_id}\n")
    if earlier_id is None:
        logger.log_hyperparams({key: value for key, value in config.items() if key != "words"})
    else:
        logger.experiment.update_run(earlier_id, status="RUNNING")  # it has the status of its earlier end
    return MlflowPictures(logger, folder)
