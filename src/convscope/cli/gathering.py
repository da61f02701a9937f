"""The jobs that need no net: they take images, or what other runs have left."""

from __future__ import annotations

import time
from pathlib import Path

from convscope.cli.recording import Command, Settings, recorded
from convscope.config import read_plan
from convscope.errors import UserError


def _overlap(settings: Settings, folder: Path) -> None:
    """No net: two sets of images."""
    from convscope.analyses.overlap.compute import Overlap
    from convscope.analyses.overlap.compute.collection import train_and_val, with_folder
    from convscope.analyses.overlap.job import overlap
    from convscope.cli.facts import net_device
    from convscope.data.config import data_settings, sized, source

    start, plan, data = (
        time.perf_counter(),
        read_plan(Overlap, "overlap", settings["overlap"]),
        sized(settings)["data"],
    )
    chosen = data_settings(settings)
    name = Path(data["root"]).name if data.get("root") else data["source"]
    found = source(data)
    if plan.other is None:
        pair = train_and_val(found, name, plan.size, chosen)
    else:
        pair = with_folder(found, name, Path(plan.other).expanduser(), plan.size, chosen)
    facts = {key: settings[key] for key in ("job", "name", "seed")} | {"data": data["source"], "other": plan.other}
    facts["seconds"] = {"preparation": time.perf_counter() - start}
    device = net_device(settings["trainer"]["accelerator"])
    recorded(overlap(*pair, plan, settings["seed"], device), settings, folder, facts)


def _table(settings: Settings, folder: Path) -> None:
    from convscope.analyses.sweep_table.job import SweepTable, table

    sweep = settings["sweep"]
    if sweep in (None, "???", []):
        raise UserError("job=table collects runs; type sweep=<a sweep's folder>, such as one of outputs/sweep/")
    folders = [Path(each).expanduser() for each in (sweep if isinstance(sweep, list) else [sweep])]
    about = {name: settings[name] for name in ("job", "name", "seed")}
    found = table(folders, read_plan(SweepTable, "table", settings["table"]), folder)
    recorded(found, settings, folder, {**about, "sweep": [str(each) for each in folders], "seconds": {}})


def _report(settings: Settings, _: Path) -> None:
    from convscope.cli.report import report
    from convscope.report.sweep import write_sweep_page

    run, sweep = settings["run"], settings["sweep"]
    if (run is None) == (sweep is None):
        raise UserError(
            "job=report rebuilds the page of a run or of a sweep; type run=<a run folder>, such as one of "
            "outputs/train/, or sweep=<a sweep's folder>, such as one of outputs/sweep/"
        )
    print(report(Path(run).expanduser()) if sweep is None else write_sweep_page(Path(sweep).expanduser()))


def _convert(settings: Settings, folder: Path) -> None:
    from convscope.cli.convert import convert
    from convscope.data.config import data_settings, whole_source
    from convscope.data.stream.conversion import Conversion

    plan, data = read_plan(Conversion, "convert", settings["convert"]), settings["data"]
    found, chosen = whole_source(settings), data_settings(settings)
    facts = {key: settings[key] for key in ("job", "name", "seed")} | {"data": data["source"], "to": plan.to}
    recorded(convert(found, plan, chosen), settings, folder, {**facts, "seconds": {}})
    print(f"train on it: python src/run.py data=stream data.root={plan.to} data.image_size={chosen.image_size}")


def _check_data(settings: Settings, folder: Path) -> None:
    """Also of a set that training refuses: it is read as it lies."""
    from convscope.analyses.check_data.compute import CheckData, complaints, survey
    from convscope.analyses.check_data.job import check_data, read_data_set
    from convscope.cli import terminal
    from convscope.cli.recording import write_bad_images
    from convscope.data.config import data_settings, whole_source
    from convscope.runs.record import Record

    plan, data = read_plan(CheckData, "check_data", settings["check_data"]), settings["data"]
    chosen = data_settings(settings)
    found = read_data_set(lambda: whole_source(settings), data)
    seen = survey(found, chosen.image_size)
    told = complaints(seen, plan)
    facts = {key: settings[key] for key in ("job", "name", "seed")} | {"data": data["source"], "warnings": told}
    if bad := seen.bad():
        write_bad_images(Record(folder), bad)
    facts |= {"bad_images": len(bad), "seconds": {}}
    recorded(check_data(seen, plan, settings["seed"]), settings, folder, facts)
    for line in told:
        terminal.show_warning(line)


GATHERING: dict[str, Command] = {
    "overlap": _overlap,
    "table": _table,
    "convert": _convert,
    "check_data": _check_data,
    "report": _report,
}
