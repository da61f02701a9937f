"""What a run writes and opens when it begins: the record of its settings, and its loggers.

Nothing of it is done before all that was typed has been checked, so that a refused start leaves a folder as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from convscope.cli.processes import RELAUNCHED_BY, is_first_process
from convscope.errors import UserError
from convscope.runs.atomic_io import write

if TYPE_CHECKING:
    from convscope.runs.record import Record

Settings = dict[str, Any]
WORDS = "words.json"  # beside the config of processes that a command starts: the overrides of that command
_WRITE_SETTINGS = ContextVar[Callable[[], None]]("write_settings")  # of this run, into its folder


@contextmanager
def settings_written_by(write_settings: Callable[[], None]) -> Iterator[None]:
    """Within the block, `begin_folder` calls the function, which writes the settings of the run into its folder."""
    token = _WRITE_SETTINGS.set(write_settings)
    try:
        yield
    finally:
        _WRITE_SETTINGS.reset(token)


def begin_folder() -> None:
    """Writes the settings of this run into its folder, in place of those of an earlier start.

    To be called when every setting has been checked: a start that is refused leaves the folder as it was.
    """
    _WRITE_SETTINGS.get(lambda: None)()


@contextmanager
def open_record(record: Record, settings: Settings) -> Iterator[Callable[[], None]]:
    """Yields a function that begins the record: it opens the loggers and writes the settings of the run.

    The loggers are closed at the end; one that fails then is a warning, also in summary.json.
    """
    from convscope import loggers
    from convscope.cli import terminal

    chosen = logger_settings(settings)
    with ExitStack() as opened:

        def begin() -> None:
            run_loggers: list[Any] = []
            if is_first_process():
                opening = loggers.open_loggers(chosen, record.folder, settings, terminal.show_warning)
                run_loggers = opened.enter_context(opening)
                begin_folder()
            record.begin(run_loggers)

        yield begin
        working = [logger for logger in record.loggers if not getattr(logger, "failure", "")]
    if failures := logger_failures(working):
        _add_warnings(record.folder / "summary.json", failures)
    for line in loggers.viewing_hints(chosen, record.folder):
        print(line, flush=True)


def logger_failures(run_loggers: Iterable[Any]) -> list[str]:
    """The warnings of the loggers that have failed."""
    return [failure for logger in run_loggers if (failure := getattr(logger, "failure", ""))]


def _add_warnings(path: Path, warnings: Sequence[str]) -> None:
    """Adds warnings to a finished summary.json, and to the page."""
    from convscope.report.page import write_page

    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["warnings"] = [*summary.get("warnings", []), *warnings]
    write(path, json.dumps(summary, indent=2) + "\n")
    write_page(path.parent)


def logger_settings(settings: Settings) -> dict[str, Any]:
    """The settings of conf/logger; none in all processes but the first. Raises UserError for those without keys."""
    loggers = settings.get("logger") or {}
    for name, values in loggers.items() if isinstance(loggers, Mapping) else [("", loggers)]:
        if not isinstance(values, Mapping):
            key = f"logger.{name}" if name else "logger"
            raise UserError(f"{key}={values} holds no keys; type logger=<name>, e.g. logger=wandb")
    return dict(loggers) if is_first_process() else {}


def write_hydra_record(cfg: DictConfig, run: Path, place: Path | None = None) -> None:
    """Writes Hydra's record of a run: its settings, and how they were composed. place: in place of its folder .hydra.

    Hydra itself would write it before the settings are checked. Here it is written when nothing of the start can be
    refused any more (`begin_folder`): a refused start leaves the record of an earlier one.
    """
    record = run / ".hydra"
    hydra_settings: Any = OmegaConf.to_container(HydraConfig.get())
    runtime = {key: hydra_settings["runtime"][key] for key in ("version", "choices")}  # no paths of this machine
    contents: dict[str, Any] = {"config.yaml": cfg}
    if config_folder() != record.resolve():  # a resumed run keeps the overrides of its first start
        contents["hydra.yaml"] = {"hydra": {**hydra_settings, "runtime": runtime}}
        contents["overrides.yaml"] = hydra_settings["overrides"]["task"]
    for name, content in contents.items():
        write((place or record) / name, OmegaConf.to_yaml(OmegaConf.create(content)))


def write_run_record(cfg: DictConfig, run: Path) -> None:
    """Writes the record of a run that begins.

    Of several processes that one command started, the first takes over the record that the command has written.
    """
    if RELAUNCHED_BY in os.environ:
        for path in config_folder().glob("*.yaml"):
            write(run / ".hydra" / path.name, path.read_bytes())
    else:
        write_hydra_record(cfg, run)


def write_training_record(cfg: DictConfig, run: Path) -> None:
    """Writes the record of a training run that begins or goes on. The summary of an earlier end no longer holds."""
    write_run_record(cfg, run)
    (run / "summary.json").unlink(missing_ok=True)


def typed_words() -> list[str]:
    """The overrides of the command line; of a process that a command started, those of that command."""
    if RELAUNCHED_BY in os.environ:
        return list(json.loads((config_folder() / WORDS).read_text(encoding="utf-8")))
    return list(HydraConfig.get().overrides.task)


def is_in_sweep() -> bool:
    """Whether the run of this moment is one of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def config_folder() -> Path:
    """The folder of the primary config of this start: conf/, or the record of a run that goes on."""
    sources = HydraConfig.get().runtime.config_sources
    return Path(next(source.path for source in sources if source.provider == "main")).resolve()
