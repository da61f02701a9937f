"""Weights & Biases: features as they evolve, as pictures over the epochs, a table of projections, and artifacts.

A run is online where there is a key. Otherwise it is stored in <run folder>/wandb for `wandb sync`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from PIL import Image
from pytorch_lightning.loggers import WandbLogger

from convscope.errors import UserError
from convscope.loggers.projection_table import ProjectionRow, projection_rows
from convscope.runs.atomic_io import write
from convscope.runs.reading import enclosing_sweep
from convscope.runs.record import Picture

# wandb records machine, user, paths of programs and git remote unless it is told not to: these are private
PRIVATE: dict[str, Any] = {"x_disable_meta": True, "disable_git": True, "disable_code": True, "save_code": False}
GRID_KB, ROW_KB = 16, 4  # of one map in a grid; of the two pictures of a table row; measured on photographs
ARTIFACTS = {"top9": "top9", "checkpoints": "checkpoints"}  # name of an artifact -> its folder in the run folder


class WandbPictures:
    """A key for each picture name and each column of metrics.csv, with `epoch` as x axis.

    So wandb's step slider plays the evolution. table: rows of the table of projections, which is logged when the run
    ends. artifacts: folders that become artifacts.
    """

    def __init__(self, logger: WandbLogger, folder: Path, table: int, artifacts: list[str]):
        self.logger, self.folder, self.table, self.artifacts = logger, folder, table, artifacts
        self.latest: dict[str, tuple[Picture, Path]] = {}  # pictures of the whole run, which are drawn again and again

    def picture(self, picture: Picture, path: Path) -> None:
        if picture.epoch is None:
            self.latest[picture.name] = picture, path
        else:
            self.logger.experiment.log({picture.name: _image(picture, path), "epoch": picture.epoch})

    def row(self, epoch: int, values: Mapping[str, float]) -> None:
        self.logger.experiment.log({"epoch": epoch, **values})

    def close(self) -> None:
        try:
            for name, (picture, path) in self.latest.items():
                self.logger.experiment.log({name: _image(picture, path)})
            if rows := projection_rows(self.folder, self.table):
                table = wandb.Table(list(ProjectionRow._fields), [_cells(row) for row in rows])
                self.logger.experiment.log({"features": table})
            for name in self.artifacts:
                if (self.folder / ARTIFACTS[name]).is_dir():
                    artifact = wandb.Artifact(f"{self.folder.name}-{name}", type=name)
                    artifact.add_dir(str(self.folder / ARTIFACTS[name]))
                    self.logger.experiment.log_artifact(artifact)
        finally:
            wandb.finish()  # otherwise the next run of a sweep logs into this one


def _image(picture: Picture, path: Path) -> wandb.Image:
    return wandb.Image(str(path), caption=picture.caption or None)  # the file itself: no second encoding


def _cells(row: ProjectionRow) -> list[Any]:
    return [wandb.Image(cell, file_type="jpg") if isinstance(cell, Image.Image) else cell for cell in row]


def open_logger(settings: Mapping[str, Any], folder: Path, config: dict[str, Any]) -> WandbPictures:
    """The logger of a run. settings: project, mode, table (its most rows), artifacts. Runs of a sweep form a group.

    Raises UserError for a table or artifacts that are not possible.
    """
    table, artifacts = settings["table"], list(settings["artifacts"] or [])
    if type(table) is not int or table < 0:
        raise UserError(f"logger.wandb.table={table} is no number of rows; take 0 for no table, or e.g. 2000")
    if unknown := [name for name in artifacts if name not in ARTIFACTS]:
        raise UserError(
            f"logger.wandb.artifacts: unknown {', '.join(map(str, unknown))}; possible: {', '.join(ARTIFACTS)}"
        )
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # an offline run does not use the network
    mode: Any = settings.get("mode") or ("online" if _has_key() else "offline")
    id_file = folder / "wandb" / "run_id"
    earlier_id = id_file.read_text(encoding="utf-8").strip() if id_file.is_file() else None
    sweep = enclosing_sweep(folder)
    logger = WandbLogger(
        project=settings["project"], name=folder.name, save_dir=str(folder), config=config, id=earlier_id,
        group=sweep.name if sweep else None, job_type=config.get("job"), resume="allow" if earlier_id else None,
        settings=wandb.Settings(mode=mode, console="off", **PRIVATE),
    )  # fmt: skip
    logger.experiment.define_metric("epoch")
    logger.experiment.define_metric("*", step_metric="epoch")
    write(id_file, f"{logger.experiment.id}\n")
    return WandbPictures(logger, folder, table, artifacts)


def logging_volume(settings: Mapping[str, Any], epochs: int, layers: int, maps: int) -> str:
    """A line with the volume of what a training run will upload. For epochs and maps see `logging_volumes`."""
    pictures = epochs * (layers + 1) + layers + 2  # grids and filters; the evolution of each layer; two plots
    projections = epochs * maps * 9
    rows = min(settings["table"], projections)
    size = (epochs * maps * GRID_KB + rows * ROW_KB) / 1000
    line = f"Weights & Biases gets {pictures:,} pictures (a grid of each of {layers} layers at {epochs} epochs)"
    line += f" and a table of {rows:,} of {projections:,} projections" if rows else ""
    return f"{line}, about {max(1, round(size)):,} MB; fewer with evolution.epochs, evolution.maps, logger.wandb.table"


def _has_key() -> bool:
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return bool(os.environ.get("WANDB_API_KEY")) or (netrc.is_file() and "wandb" in netrc.read_text(errors="ignore"))
