"""Weights & Biases: features as they evolve, as pictures over the epochs, a table of projections, and artifacts.

wandb's own environment and settings files decide whether a run is online. Without them it is online where there is a
key; otherwise it is stored in <run folder>/wandb for `wandb sync`. All files of wandb lie there.
"""

import os
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import wandb
from PIL import Image
from pytorch_lightning.loggers import WandbLogger
from wandb.sdk import wandb_setup
from wandb.sdk.lib import module, runid

from convscope.errors import UserError, reason_of
from convscope.loggers.epoch_buffer import EpochBuffer, PictureFile
from convscope.loggers.projection_table import ProjectionRow, projection_rows
from convscope.loggers.wandb_mode import chosen_mode, has_key
from convscope.runs.atomic_io import write
from convscope.runs.heartbeat import Outcome
from convscope.runs.number_format import counted
from convscope.runs.picture_files import dashboard_picture
from convscope.runs.reading import enclosing_sweep

# wandb records machine, user, paths of programs and git remote unless it is told not to: these are private
PRIVATE: dict[str, Any] = {"x_disable_meta": True, "disable_git": True, "disable_code": True, "save_code": False}
PLACES = {"WANDB_DATA_DIR": "data", "WANDB_CACHE_DIR": "cache", "WANDB_ARTIFACT_DIR": "artifacts"}
WITHOUT_HOME = {"WANDB_CONFIG_DIR": "config", "NETRC": "netrc"}  # read there; wandb ends where HOME cannot be read
BEGIN_SECONDS = 15  # for the server to answer at the start of a run; wandb waits 90
FINISH_SECONDS, FINISH_SECONDS_OF_CHECKPOINTS = 90, 600  # for the last uploads; wandb waits for ever for a dead server
GRID_KB, ROW_KB = 0.32, 0.1  # of a map in a grid by pixel of a tile's side, on photographs; of a row of the table
ARTIFACTS = {"top9": "top9", "checkpoints": "checkpoints"}  # name of an artifact -> its folder in the run folder


class WandbSession:
    """wandb's process for one run, with its files in the run folder unless the user's environment names other places.

    The next run of a sweep has its own: wandb reads its environment once. WANDB_SERVICE, by which a notebook passes its
    process on, is set aside, for that process may have ended.
    """

    def __init__(self, folder: Path):
        self.folder = folder / "wandb"
        wandb.teardown()
        os.environ.pop("WANDB_SERVICE", None)
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # an offline run does not use the network
        places = PLACES if os.access(os.path.expanduser("~"), os.R_OK | os.X_OK) else PLACES | WITHOUT_HOME
        self.places = [name for name in places if not os.environ.get(name)]
        os.environ.update({name: str((self.folder / places[name]).absolute()) for name in self.places})

    def end(self, outcome: Outcome = "finished") -> None:
        """Sends what is left and ends the process. Raises RuntimeError for one that ends with an error, or too late."""
        try:
            try:
                wandb.finish(exit_code=int(outcome != "finished"))  # by any code but 0 wandb calls the run failed
            finally:
                module.unset_globals()  # the next run would log into a run that could not be finished
                wandb.teardown()
        except TimeoutError:
            raise RuntimeError(
                f"the last uploads took too long; to send them later type wandb sync {self.folder / 'latest-run'}"
            ) from None
        except SystemExit as error:  # wandb would end the program with its own process
            if error.code == 143:  # SIGTERM
                raise
            raise RuntimeError(f"wandb's process ended with status {error.code}") from None
        finally:
            for name in self.places:
                os.environ.pop(name, None)
            if "WANDB_CACHE_DIR" in self.places:
                shutil.rmtree(self.folder / PLACES["WANDB_CACHE_DIR"], ignore_errors=True)


class WandbPictures:
    """A key for each picture name and each column of metrics.csv, with `epoch` as x axis and as wandb's step.

    An epoch is one step, so that the step sliders of all layers move together and play the evolution. What is sent at
    the end of a session takes a step of its own, so that the epochs of a resumed run have later steps. table: rows of
    the table of projections, which is logged when the run ends. artifacts: folders that become artifacts.
    """

    def __init__(self, logger: WandbLogger, session: WandbSession, folder: Path, table: int, artifacts: list[str]):
        self.logger, self.session, self.folder = logger, session, folder
        self.table, self.artifacts = table, artifacts
        self.buffer = EpochBuffer(self._send)
        self.picture, self.row = self.buffer.picture, self.buffer.row
        self.step_file = folder / "wandb" / "next_step"  # an offline run would begin at 0 when it is resumed
        run: Any = logger.experiment
        self.next_step = max(_stored_step(self.step_file), run.starting_step)

    def _send(self, pictures: Sequence[PictureFile], values: Mapping[str, Any], epoch: int) -> None:
        step = max(epoch, self.next_step)
        sent: dict[str, Any] = {
            picture.name: wandb_image(path, picture.caption or None) for picture, path in pictures
        } | dict(values)
        self.logger.experiment.log(sent | ({"epoch": epoch} if epoch else {}), step=step, commit=True)
        self.next_step = step + 1
        write(self.step_file, f"{self.next_step}\n")

    def close(self, outcome: Outcome) -> None:
        try:
            rows = projection_rows(self.folder, self.table)
            self.buffer.end({"features": _table(rows)} if rows else {})
            for name in self.artifacts:
                if (self.folder / ARTIFACTS[name]).is_dir():
                    artifact = wandb.Artifact(f"{self.folder.name}-{name}", type=name)
                    artifact.add_dir(str(self.folder / ARTIFACTS[name]), skip_cache=True, policy="immutable")
                    self.logger.experiment.log_artifact(artifact)
        finally:
            self.session.end(outcome)


def _stored_step(path: Path) -> int:
    """The first step that an earlier session has not taken; 0 without one, and for a damaged file."""
    text = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0


def wandb_image(path: Path, caption: str | None = None) -> wandb.Image:
    """The file itself, or a jpeg of a webp file, which wandb does not take."""
    if path.suffix != ".webp":
        return wandb.Image(str(path), caption=caption)
    with Image.open(BytesIO(dashboard_picture(path))) as picture:
        return wandb.Image(picture, caption=caption, file_type="jpg")


def _table(rows: Iterable[ProjectionRow]) -> wandb.Table:
    """The rows with their grids: one picture for each layer and epoch, not two for each row."""
    grids: dict[Path, wandb.Image] = {}
    table = wandb.Table(list(ProjectionRow._fields))
    for row in rows:
        if row.grid not in grids:
            grids[row.grid] = wandb_image(row.grid)
        patch, projection = (" ".join(map(str, box)) for box in (row.patch, row.projection))
        table.add_data(*row[:-3], patch, projection, grids[row.grid])
    return table


def open_logger(settings: Mapping[str, Any], folder: Path, config: dict[str, Any]) -> WandbPictures | None:
    """The logger of a run, None where wandb is disabled. Runs of a sweep form a group.

    settings: project (null: WANDB_PROJECT, else convscope), mode, table (its most rows), artifacts. Raises UserError
    for settings that are not possible, and for an online run without a key.
    """
    table, artifacts = settings["table"], list(settings["artifacts"] or [])
    if type(table) is not int or table < 0:
        raise UserError(f"logger.wandb.table={table} is no number of rows; take 0 for no table, or e.g. 2000")
    if unknown := [name for name in artifacts if name not in ARTIFACTS]:
        raise UserError(
            f"logger.wandb.artifacts: unknown {', '.join(map(str, unknown))}; possible: {', '.join(ARTIFACTS)}"
        )
    session = WandbSession(folder)
    try:
        mode = chosen_mode(settings)
        if mode == "disabled":
            session.end()
            return None
        if mode == "online" and not has_key():
            raise UserError(
                "logger=wandb cannot begin online without a key; set WANDB_API_KEY, or type wandb login, or "
                "logger.wandb.mode=offline"
            )
        if mode == "online":
            _check_server(wandb_setup.singleton().settings.base_url)
        return WandbPictures(_begun(settings, mode, folder, config), session, folder, table, artifacts)
    except BaseException:
        session.end()
        raise


def _begun(settings: Mapping[str, Any], mode: Any, folder: Path, config: dict[str, Any]) -> WandbLogger:
    """Lightning's logger with its run begun, the same as before where the run folder has one. Its x axis is `epoch`."""
    id_file = folder / "wandb" / "run_id"
    earlier_id = id_file.read_text(encoding="utf-8").strip() if id_file.is_file() else None
    sweep = enclosing_sweep(folder)
    own_id = earlier_id or (runid.generate_id() if sweep else None)  # WANDB_RUN_ID would be that of all its runs
    finish = FINISH_SECONDS_OF_CHECKPOINTS if "checkpoints" in (settings["artifacts"] or ()) else FINISH_SECONDS
    limits: dict[str, Any] = {"init_timeout": BEGIN_SECONDS, "finish_timeout": finish, "finish_timeout_raises": True}
    limits = {name: value for name, value in limits.items() if f"WANDB_{name.upper()}" not in os.environ}
    run = wandb.init(  # Lightning's logger would pass on a setting that warns at each start
        project=settings["project"] or os.environ.get("WANDB_PROJECT") or "convscope",
        name=os.environ.get("WANDB_NAME") or folder.name,
        dir=os.environ.get("WANDB_DIR") or str(folder), config=config, id=own_id,
        group=sweep.name if sweep else None, job_type=config.get("job"), resume="allow" if earlier_id else None,
        settings=wandb.Settings(mode=mode, console="off", **limits, **PRIVATE),
    )  # fmt: skip
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")
    write(id_file, f"{run.id}\n")
    return WandbLogger(experiment=run)


def _check_server(address: str) -> None:
    """Raises UserError where nothing answers at the address of the server; wandb itself would wait for long."""
    try:
        urllib.request.urlopen(address, timeout=BEGIN_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # an answer
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # wandb has certificates and settings of its own
            raise UserError(
                f"logger=wandb cannot begin: {address} does not answer ({reason_of(reason)}); connect to the network, "
                "or type logger.wandb.mode=offline and upload the run later by wandb sync"
            ) from None


def logging_volume(settings: Mapping[str, Any], epochs: int, layers: int, maps: int, tile: int) -> str:
    """A line with the volume of what a training run will upload. For the numbers see `logging_volumes`."""
    if chosen_mode(settings) == "disabled":
        return "Weights & Biases is disabled: nothing is logged there"
    pictures = epochs * (layers + 1) + layers + 2  # grids and filters; the evolution of each layer; two plots
    projections = epochs * maps * 9
    rows = min(settings["table"], projections)
    grids = epochs * maps + min(rows, epochs * maps)  # those of the pictures, and again those of the table
    size = (grids * GRID_KB * tile + rows * ROW_KB) / 1000
    places = f"{counted(layers, 'layer')} at {counted(epochs, 'epoch')}"
    line = f"Weights & Biases gets {pictures:,} pictures (a grid of each of {places})"
    line += f" and a table of {rows:,} of {projections:,} projections" if rows else ""
    return f"{line}, about {max(1, round(size)):,} MB; fewer with evolution.epochs, evolution.maps, logger.wandb.table"
