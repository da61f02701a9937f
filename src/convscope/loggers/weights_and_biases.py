"""Weights & Biases: features as they evolve, as pictures over the epochs, a table of projections, and artifacts.

A run goes online where a key is, else it is kept offline in <run folder>/wandb for `wandb sync`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from PIL import Image
from pytorch_lightning.loggers import WandbLogger

from convscope.errors import UserError
from convscope.loggers.projections import Projection, projections
from convscope.runs.atomic_io import write
from convscope.runs.reading import enclosing_sweep
from convscope.runs.record import Picture

# wandb's own notes of machine, user, paths of programs and git remote stay away: nobody has asked to publish them
PRIVATE: dict[str, Any] = {"x_disable_meta": True, "disable_git": True, "disable_code": True, "save_code": False}
GRID_KB, ROW_KB = 16, 4  # of one map in a grid; of the two pictures of a row: seen on photographs
ARTIFACTS = {"top9": "top9", "checkpoints": "checkpoints"}  # what may be kept -> its folder in the run folder


class WandbPictures:
    """One key for each picture's name and each column of metrics.csv, with `epoch` as its x axis: the step slider then
    plays the evolution.

    table: rows of the table of projections that is logged when the run ends. kept: folders that become artifacts.
    """

    def __init__(self, logger: WandbLogger, folder: Path, table: int, kept: list[str]):
        self.logger, self.folder, self.table, self.kept = logger, folder, table, kept
        self.latest: dict[str, tuple[Picture, Path]] = {}  # pictures of the whole run, drawn anew as it goes on

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
            if rows := projections(self.folder, self.table):
                shown = wandb.Table(list(Projection._fields), [_cells(row) for row in rows])
                self.logger.experiment.log({"features": shown})
            for name in self.kept:
                if (self.folder / ARTIFACTS[name]).is_dir():
                    artifact = wandb.Artifact(f"{self.folder.name}-{name}", type=name)
                    artifact.add_dir(str(self.folder / ARTIFACTS[name]))
                    self.logger.experiment.log_artifact(artifact)
        finally:
            wandb.finish()  # else the next run of a sweep logs into this one


def _image(picture: Picture, path: Path) -> wandb.Image:
    return wandb.Image(str(path), caption=picture.caption or None)  # the file itself: no second encoding


def _cells(row: Projection) -> list[Any]:
    return [wandb.Image(cell, file_type="jpg") if isinstance(cell, Image.Image) else cell for cell in row]


def open_logger(settings: Mapping[str, Any], folder: Path, config: dict[str, Any]) -> WandbPictures:
    """settings: project, mode, table (rows at most), artifacts. Runs of a sweep are one group.

    Raises UserError for settings that are none.
    """
    table, kept = settings["table"], list(settings["artifacts"] or [])
    if type(table) is not int or table < 0:
        raise UserError(f"logger.wandb.table={table} is no number of rows; take 0 for no table, or e.g. 2000")
    if unknown := [name for name in kept if name not in ARTIFACTS]:
        raise UserError(
            f"logger.wandb.artifacts: unknown {', '.join(map(str, unknown))}; possible: {', '.join(ARTIFACTS)}"
        )
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no network in an offline run
    mode: Any = settings.get("mode") or ("online" if _has_key() else "offline")
    noted = folder / "wandb" / "run_id"
    before = noted.read_text(encoding="utf-8").strip() if noted.is_file() else None
    sweep = enclosing_sweep(folder)
    logger = WandbLogger(
        project=settings["project"], name=folder.name, save_dir=str(folder), config=config, id=before,
        group=sweep.name if sweep else None, job_type=config.get("job"), resume="allow" if before else None,
        settings=wandb.Settings(mode=mode, console="off", **PRIVATE),
    )  # fmt: skip
    logger.experiment.define_metric("epoch")
    logger.experiment.define_metric("*", step_metric="epoch")
    write(noted, f"{logger.experiment.id}\n")
    return WandbPictures(logger, folder, table, kept)


def cost(settings: Mapping[str, Any], epochs: int, layers: int, maps: int) -> str:
    """What a training run will send, in a line. epochs: shown ones. maps: shown of all layers."""
    pictures = epochs * (layers + 1) + layers + 2  # grids and filters; how each layer evolved; two plots
    most = epochs * maps * 9
    rows = min(settings["table"], most)
    size = (epochs * maps * GRID_KB + rows * ROW_KB) / 1000
    told = f"Weights & Biases gets {pictures:,} pictures (a grid of each of {layers} layers at {epochs} epochs)"
    told += f" and a table of {rows:,} of {most:,} projections" if rows else ""
    return f"{told}, about {max(1, round(size)):,} MB; fewer with evolution.epochs, evolution.maps, logger.wandb.table"


def _has_key() -> bool:
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return bool(os.environ.get("WANDB_API_KEY")) or (netrc.is_file() and "wandb" in netrc.read_text(errors="ignore"))
