"""The runs of a sweep diagnosed side by side, as section 4.1 compares first layers (experiment=first_layers)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.analyses.claims.compute.histories import first_convolution, radius_reached, renorm_radius
from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.analyses.diagnosis.compute import filters
from convscope.analyses.diagnosis.figure import montage
from convscope.analyses.diagnosis.job.examination import Examined, examine
from convscope.analyses.diagnosis.job.fig6 import first_filter_plot, numbers
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.figure import projection_tiles
from convscope.errors import UserError
from convscope.plots.grid import filter_grid, side_by_side
from convscope.runs.reading import Run, is_run_folder, read_run
from convscope.runs.record import Number, Picture, Result, Table

SHOWN = 48  # maps of the second layer in the picture, one projection of each
WIDE = 8  # of them in a row


class Compared(NamedTuple):
    """One run of the sweep and its net examined. label: its first layer and its renormalization, in words."""

    label: str
    run: Run
    examined: Examined


def compare(folder: Path, opened: Callable[[Path], Subject], plan: DiagnosisConfig, seed: int) -> Iterator[Result]:
    """A table with a row for each run of the sweep's `folder`, the runs' filters and second layers as pictures.

    opened: a checkpoint's net with its images. A run that did not finish, or whose checkpoint does not load, is named
    and left out. Raises UserError for a folder without runs, or where none is left.
    """
    runs = training_runs(folder)
    compared, reasons = [], []
    for run in runs:
        try:
            compared.append(_compared(run, opened, plan, seed))
        except UserError as problem:
            reasons.append({"run": run.folder.name, "left out because": str(problem)})
    if reasons:
        yield Table("diagnosis/left_out", reasons, "Runs that could not be compared")
    if not compared:
        raise UserError(f"no run of {folder} can be compared; {reasons[0]['run']}: {reasons[0]['left out because']}")
    yield from _pictures(_told_apart(compared), plan)
    rows = [_row(one) for one in compared]
    yield Table("diagnosis/runs", rows, f"The {len(compared)} runs of {folder.name}{_caution(rows)}")
    for one in compared:
        for name, (value, caption) in numbers(one.examined).items():
            yield Number(f"diagnosis/{one.run.folder.name}/{name}", value, f"{one.label}: {caption}")


def training_runs(folder: Path) -> list[Run]:
    """The training runs in a sweep's folder, in order of their numbers. UserError where it holds none."""
    if not folder.is_dir():
        raise UserError(f"diagnose.runs={folder} is no folder; give that of a sweep, e.g. outputs/sweep/<sweep>")
    inside = [path for path in folder.iterdir() if path.is_dir() and is_run_folder(path)]
    runs = [run for run in map(read_run, sorted(inside, key=_number)) if _job(run) == "train"]
    if not runs:
        raise UserError(f"{folder} holds no training runs; give a sweep's folder, e.g. outputs/sweep/<sweep>")
    return runs


def _number(path: Path) -> tuple[float, str]:
    head = path.name.partition("_")[0]
    return (int(head) if head.isdigit() else float("inf")), path.name


def _job(run: Run) -> Any:
    return run.settings.get("job") or run.summary.get("job")


def _compared(run: Run, opened: Callable[[Path], Subject], plan: DiagnosisConfig, seed: int) -> Compared:
    if not run.summary.get("finished"):
        raise UserError(str(run.summary.get("problem") or "it did not finish"))
    examined = examine(opened(run.folder / "checkpoints" / "last.ckpt"), plan, seed)
    return Compared(f"{examined.found.first}, {_renorm(run)}", run, examined)


def _renorm(run: Run) -> str:
    """Whether a radius held the run's filters; where none of them came to it the run is as a free one."""
    radius, layer = renorm_radius(run), first_convolution(run.settings)
    if radius is None:
        return "free"
    if radius_reached(run) is False:
        return f"never at {radius:g}"
    return f"held at {radius:g}" + (f", {layer} never" if layer and radius_reached(run, layer) is False else "")


def _told_apart(compared: list[Compared]) -> list[Compared]:
    """With the folder's name in labels that are the same, as those of runs that differ elsewhere are."""
    labels = [one.label for one in compared]
    return [
        one._replace(label=f"{one.label}, {one.run.folder.name}") if labels.count(one.label) > 1 else one
        for one in compared
    ]


def _row(one: Compared) -> dict[str, Any]:
    found = one.examined.found
    first, maps = found.first, list(found.maps.values())
    low, mid, high, _ = first.bands
    return {
        "first layer": str(first),
        "filters": _renorm(one.run),
        "val accuracy": (one.run.metrics.get("val/top1") or [None])[-1],
        "dead conv 1": f"{len(maps[0].dead)} of {maps[0].maps}",
        "dead conv 2": f"{len(maps[1].dead)} of {maps[1].maps}" if len(maps) > 1 else "",
        "never learned": len(first.weak) + len(first.noise),
        "doubles": filters.extra(first.doubles.same, len(first.weight)),
        "low": f"{low:.0%}",
        "mid": f"{mid:.0%}",
        "high": f"{high:.0%}",
        "grid": "; ".join(_grids(one.examined)),
        "max / median RMS": maps[0].norms.dominance,
        "at radius": maps[0].norms.held,
    }


def _caution(rows: Sequence[Mapping[str, Any]]) -> str:
    never = any("never" in row["filters"] for row in rows)
    return ". Never: no filter was at the radius at the end of any epoch, as without renormalization" if never else ""


def _grids(examined: Examined) -> list[str]:
    """Each period in pixels, with the share of the second layer's energy in a grid of it beyond other periods."""
    return [f"{one.period} px {excess.value:.1%}" for one, excess in zip(examined.grids, examined.excess, strict=True)]


def _pictures(compared: list[Compared], plan: DiagnosisConfig) -> Iterator[Picture]:
    labels = [one.label for one in compared]
    for common, name, how in ((True, "common", "one scale per run"), (False, "own", "each on its own scale")):
        sheets = [
            filter_grid(one.examined.found.first.weight.numpy(), common, one.examined.found.first.layer)
            for one in compared
        ]
        caption = f"The first layers of the runs, {how}"
        yield Picture(f"diagnosis/runs_filters_{name}_scale", side_by_side(sheets, labels), caption, plot=True)
    seconds = [one for one in compared if one.examined.second is not None]
    if seconds:
        sheets = [montage(_strongest(one.examined), WIDE) for one in seconds]
        caption = "What excites the second layers' maps most, projected: does a grid run through?"
        yield Picture("diagnosis/runs_second_layer", side_by_side(sheets, [one.label for one in seconds]), caption)
    lines = {one.label: one.examined for one in compared}
    caption = "The first filters of the runs: energy by frequency, and how strong each filter is"
    yield Picture("diagnosis/runs_frequencies", first_filter_plot(lines, plan.radius), caption, plot=True)


def _strongest(examined: Examined) -> list[Any]:
    """Tiles of the strongest projection of each map that is not dead."""
    assert examined.second is not None
    alive = examined.second.top.score[:, 0] > 0
    return projection_tiles(examined.second.projections[alive, 0][:SHOWN], 72)
