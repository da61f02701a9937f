"""The command of every job: one for all analyses, and those of annotate, convert, report, dashboard and export.

Heavy libraries are imported inside the functions, so that a wrong key is answered at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope import analyses
from convscope.analyses import About
from convscope.cli.annotate import annotate
from convscope.cli.environment import keep_freed_memory, quick_imports
from convscope.cli.named_nets import taking_folders
from convscope.cli.recording import Command, Settings, record_results, timed
from convscope.cli.run_start import begin_folder
from convscope.cli.training import check_path_keys, train
from convscope.cli.unused_words import unused_words
from convscope.config import PathText, check_path_key, config, read_config
from convscope.errors import UserError, command_line, install
from convscope.runs.atomic_io import write
from convscope.runs.reading import RUN_FILES, is_run_folder, read_run

if TYPE_CHECKING:
    from convscope.data.settings import DataSettings
    from convscope.data.sources import Source
    from convscope.data.stream.conversion import Conversion
    from convscope.runs.record import Result


def convert(settings: Settings, folder: Path) -> None:
    """job=convert: writes any set of images into chunks, once, for data=stream."""
    from convscope.cli.terminal import show_warning
    from convscope.data.config import data_settings, whole_source
    from convscope.data.stream.conversion import Conversion

    check_path_keys(settings)
    config, data = read_config(Conversion, settings), settings["data"]
    if config.to is None:
        raise UserError("job=convert writes a new folder; type convert.to=<folder>")
    source, images = whole_source(settings), data_settings(settings)
    facts = {key: settings[key] for key in ("job", "name", "seed")} | {"data": data["source"], "to": config.to}
    facts |= {"seconds": {}} | ({"warnings": list(source.remarks)} if source.remarks else {})
    for remark in source.remarks:
        show_warning(remark)
    record_results(convert_results(source, config, images), settings, folder, facts)
    words = ["data=stream", f"data.root={config.to}", f"data.image_size={images.image_size}"]
    print(f"train on it: {command_line(*words)}")


def convert_results(source: Source, config: Conversion, images: DataSettings) -> Iterator[Result]:
    """Yields tables of the splits and of the files left out, and their numbers. Raises UserError as `converted`."""
    from convscope.data.stream.conversion import converted
    from convscope.runs.record import Number, Table

    splits = list(converted(source, config, images.image_size, images.seed, images.on_bad_image))
    rows = [
        {
            "split": split.split, "images": split.images, "left out": len(split.bad), "MiB": split.bytes / 2**20,
            "KiB an image": split.bytes / split.images / 2**10, "images a second": split.images / split.seconds,
        }
        for split in splits
    ]  # fmt: skip
    yield Table("convert/splits", rows, "What was converted, and how fast")
    if left_out := [{"path": str(path), "reason": reason} for split in splits for path, reason in split.bad]:
        yield Table("convert/left_out", left_out, "Files that cannot be read and were left out")
    yield Number("convert/images", sum(split.images for split in splits), "images in chunks")
    yield Number("convert/bytes", sum(split.bytes for split in splits), "bytes of JPEGs")


def rebuild_report(settings: Settings, _: Path) -> None:
    """job=report: writes the page of a run or of a sweep anew, at any time, also after a crash.

    A run's classes are called as classes.csv of its images calls them now.
    """
    from convscope.report.page import write_page
    from convscope.report.sweep import write_sweep_page
    from convscope.training.class_names import rename_classes

    for key in ("run", "sweep"):
        check_path_key(settings, key)
    _warn_of_unused_words(settings)
    run, sweep = settings["run"], settings["sweep"]
    if (run is None) == (sweep is None):
        raise UserError(
            "job=report rebuilds the page of a run or of a sweep; type run=<a run folder>, such as one of "
            "outputs/train/, or sweep=<a sweep's folder>, such as one of outputs/sweep/"
        )
    folder = Path(run or sweep).expanduser()
    if sweep is not None:
        print(write_sweep_page(folder))
        return
    checked_run_folder(folder)
    try:
        if names := rename_classes(folder):
            print(f"the classes are called as in classes.csv now: {', '.join(names[:4])}{', ...' * (len(names) > 4)}")
    except UserError as problem:  # a damaged checkpoint or csv keeps no page from being written
        print(f"the classes keep their names: {problem}")
    print(write_page(folder))


def checked_run_folder(folder: Path) -> Path:
    """The folder. Raises UserError, with the run folders inside, where it is no run folder itself."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; type run=<a run folder>, such as one of outputs/train/")
    if not is_run_folder(folder):
        runs = sorted(path.name for path in folder.iterdir() if path.is_dir() and is_run_folder(path))
        hint = f"run={folder}/<one of {', '.join(runs)}>" if runs else "run=<a run folder>"
        raise UserError(f"{folder} is no run folder: none of {', '.join(RUN_FILES)} is in it; type {hint}")
    return folder


@config("dashboard", elsewhere={"run": "run"})
class DashboardConfig:
    """project, entity: of the workspace, and its owner. save: null: where WANDB_API_KEY is set."""

    project: str = "convscope"
    entity: str | None = None
    save: bool | None = None
    run: PathText | None = None


def write_dashboard(settings: Settings, folder: Path) -> None:
    """job=dashboard: writes dashboard.json, and saves the workspace to an account of Weights & Biases, if any."""
    try:
        from convscope.loggers.dashboard import default_entity, save_workspace, specification, workspace
    except ModuleNotFoundError:
        raise UserError(f"job=dashboard needs wandb-workspaces; type {install('dashboard')}") from None
    config = read_config(DashboardConfig, settings)
    _warn_of_unused_words(settings)
    run = Path(config.run).expanduser() if config.run else None
    layers = _convolutions(settings) if run is None else _drawn_layers(run)
    send = bool(os.environ.get("WANDB_API_KEY")) if config.save is None else config.save
    entity = config.entity or (default_entity() if send else "your-account")
    has_average_precision = run is not None and "val/mean_ap" in read_run(run, with_entries=False).metrics
    board = workspace(entity, config.project, layers, has_average_precision)
    if not is_run_folder(folder):
        begin_folder()
    write(folder / "dashboard.json", specification(board))
    print(f"{folder / 'dashboard.json'}: a workspace of {', '.join(layers)}", flush=True)
    print(save_workspace(board) if send else "not saved: set WANDB_API_KEY and start this again", flush=True)


def _warn_of_unused_words(settings: Settings) -> None:
    """Prints the words that change nothing, for jobs that leave no summary."""
    from convscope.cli import terminal

    for line in unused_words(settings):
        terminal.show_warning(line)


def _convolutions(settings: Settings) -> list[str]:
    """The convolutions among the rows of model=..."""
    from convscope.data.config import group_settings
    from convscope.models.rows import ConvRow, read_rows

    rows = group_settings(settings, "model").get("layers")
    if not rows:
        raise UserError("the rows of this net are not known before it is built; name a run of it with run=<run folder>")
    return [name for name, row in read_rows(rows, 2).items() if isinstance(row, ConvRow)]


def _drawn_layers(run: Path) -> list[str]:
    """The layers whose top-9 grids are in a run folder."""
    if not is_run_folder(run):
        raise UserError(f"run={run} is no run folder; name one of outputs/train/")
    names = [entry.name for entry in read_run(run).entries]
    layers = list(dict.fromkeys(name.removeprefix("top9/") for name in names if name.startswith("top9/")))
    if not layers:
        raise UserError(f"run={run} has no top-9 grids; name a folder of job=train or job=visualize")
    return layers


def export(settings: Settings, _: Path) -> None:
    """job=export: a film, a poster, a page in one file, or the figures of a run, to show and to send."""
    from convscope.cli.exports.job import export_run
    from convscope.cli.exports.plan import ExportConfig

    check_path_key(settings, "run")
    config = read_config(ExportConfig, settings)
    _warn_of_unused_words(settings)
    if config.run is None:
        raise UserError("job=export shows a run; type run=<a run folder>, such as one of outputs/train/")
    export_run(checked_run_folder(Path(config.run).expanduser()), config)


PROGRAM_JOBS: dict[str, Command] = {
    "annotate": annotate,
    "convert": convert,
    "report": rebuild_report,
    "dashboard": write_dashboard,
    "export": export,
}


def analysis_command(name: str, about: About) -> Command:
    """The command of an analysis: checks the config, opens the inputs, records what analyses/<name>/job.py yields."""

    def command(settings: Settings, folder: Path) -> None:
        start = time.perf_counter()
        check_common_paths(settings, about.images)
        config: Any = read_config(about.config, settings)

        with quick_imports():
            from convscope.analyses.inputs import Inputs
            from convscope.cli import terminal

        keep_freed_memory()
        inputs = Inputs(settings, folder, terminal.show_warning)
        results = import_module(f"convscope.analyses.{name}.job").results(inputs, config)
        inputs.facts["seconds"] = {"preparation": time.perf_counter() - start} if inputs.subjects else {}
        record_results(results, settings, folder, inputs.facts, inputs.subjects, inputs.weak_nets)
        for warning in inputs.last_warnings:
            terminal.show_warning(warning)

    return command


def check_common_paths(settings: Settings, images: bool = True) -> None:
    """Raises UserError for an impossible path at the keys that many jobs share. images: also at those of conf/data."""
    check_path_key(settings, "ckpt", several=settings["job"] in ("evaluate", "match"))
    check_path_keys(settings, images)


JOBS: dict[str, Command] = {
    name: timed(taking_folders(command))
    for name, command in {
        "train": train,
        **{about.job: analysis_command(name, about) for name, about in analyses.abouts().items()},
        **PROGRAM_JOBS,
    }.items()
}
