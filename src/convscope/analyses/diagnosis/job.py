"""job=diagnose: one net, or with diagnose.runs the nets of a sweep side by side (section 4.1, Fig. 6)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.analyses.claims.compute.histories import first_convolution, radius_reached, renorm_radius
from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.analyses.diagnosis.compute import ConvolutionMaps, Diagnosis, FirstLayer, filters
from convscope.analyses.diagnosis.compute.examination import Examined, diagnosis_numbers, examine
from convscope.analyses.diagnosis.compute.verdicts import OPEN_VERDICT, Count, Finding, faults, findings
from convscope.analyses.diagnosis.figure import first_layer_plot, montage
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import FeatureView
from convscope.analyses.visualize.figure import feature_grid, projection_tiles
from convscope.errors import UserError
from convscope.plots.grid import filter_grid, side_by_side
from convscope.runs.reading import Run, is_run_folder, read_run
from convscope.runs.record import Conclusion, Number, Picture, Result, Table

PICTURED = 48  # maps of the second layer in the picture, one projection of each
COLUMNS = 8  # of them in a row


class ExaminedRun(NamedTuple):
    """A run of the sweep and its net examined. label: its first layer and its renormalization, in words."""

    label: str
    run: Run
    examined: Examined


def compare(folder: Path, opened: Callable[[Path], Subject], plan: DiagnosisConfig, seed: int) -> Iterator[Result]:
    """Yields a table with a row for each run of the sweep's `folder`, pictures of their filters and second layers.

    opened: a function from a checkpoint to its net with its images. A run that did not finish, or whose checkpoint does
    not load, is left out and listed. Raises UserError for a folder without runs, or without a run that can be compared.
    """
    runs = training_runs(folder)
    examined, reasons = [], []
    for run in runs:
        try:
            examined.append(_examined(run, opened, plan, seed))
        except UserError as problem:
            reasons.append({"run": run.folder.name, "left out because": str(problem)})
    if reasons:
        yield Table("diagnosis/left_out", reasons, "Runs that could not be compared")
    if not examined:
        raise UserError(f"no run of {folder} can be compared; {reasons[0]['run']}: {reasons[0]['left out because']}")
    labeled = _with_distinct_labels(examined)
    yield Conclusion("diagnosis", runs_in_words(labeled))
    yield from _pictures(labeled, plan)
    rows = [_row(entry) for entry in examined]
    yield Table("diagnosis/runs", rows, f"The {len(examined)} runs of {folder.name}{_caution(rows)}")
    for entry in examined:
        for name, (value, caption) in diagnosis_numbers(entry.examined).items():
            yield Number(f"diagnosis/{entry.run.folder.name}/{name}", value, f"{entry.label}: {caption}")


def training_runs(folder: Path) -> list[Run]:
    """The training runs in a sweep's folder, in order of their numbers. Raises UserError for a folder without any."""
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


def _examined(run: Run, opened: Callable[[Path], Subject], plan: DiagnosisConfig, seed: int) -> ExaminedRun:
    if not run.summary.get("finished"):
        raise UserError(str(run.summary.get("problem") or "it did not finish"))
    subject = opened(run.folder / "checkpoints" / "last.ckpt")
    examined = examine(subject, plan.split, plan.images, plan.maps, plan.radius, seed)
    return ExaminedRun(f"{examined.diagnosis.first}, {_renorm(run)}", run, examined)


def _renorm(run: Run) -> str:
    """Words on whether a radius held the run's filters; where no filter came to it, the run is as one without."""
    radius, layer = renorm_radius(run), first_convolution(run.settings)
    if radius is None:
        return "free"
    if radius_reached(run) is False:
        return f"never at {radius:g}"
    return f"held at {radius:g}" + (f", {layer} never" if layer and radius_reached(run, layer) is False else "")


def _with_distinct_labels(examined: list[ExaminedRun]) -> list[ExaminedRun]:
    """The runs, with the folder's name in labels that several runs share, as runs that differ elsewhere do."""
    labels = [entry.label for entry in examined]
    return [
        entry._replace(label=f"{entry.label}, {entry.run.folder.name}") if labels.count(entry.label) > 1 else entry
        for entry in examined
    ]


def _row(entry: ExaminedRun) -> dict[str, Any]:
    first, maps = entry.examined.diagnosis.first, list(entry.examined.diagnosis.maps.values())
    low, mid, high, _ = first.bands
    return {
        "first layer": str(first),
        "filters": _renorm(entry.run),
        "val accuracy": (entry.run.metrics.get("val/top1") or [None])[-1],
        "dead conv 1": f"{len(maps[0].dead)} of {maps[0].maps}",
        "dead conv 2": f"{len(maps[1].dead)} of {maps[1].maps}" if len(maps) > 1 else "",
        "never learned": len(first.weak) + len(first.noise),
        "doubles": filters.redundant_count(first.doubles.same, len(first.weight)),
        "low": f"{low:.0%}",
        "mid": f"{mid:.0%}",
        "high": f"{high:.0%}",
        "grid": "; ".join(_grids(entry.examined)),
        "max / median RMS": maps[0].norms.dominance,
        "at radius": maps[0].norms.at_radius,
    }


def _caution(rows: Sequence[Mapping[str, Any]]) -> str:
    never = any("never" in row["filters"] for row in rows)
    return ". Never: no filter was at the radius at the end of any epoch, as without renormalization" if never else ""


def _grids(examined: Examined) -> list[str]:
    """Each period in pixels, with the share of the second layer's energy in a grid of it beyond other periods."""
    pairs = zip(examined.grids, examined.excess, strict=True)
    return [f"{grid.period} px {excess.value:.1%}" for grid, excess in pairs]


def _pictures(runs: list[ExaminedRun], plan: DiagnosisConfig) -> Iterator[Picture]:
    labels, firsts = [entry.label for entry in runs], [entry.examined.diagnosis.first for entry in runs]
    for scale, words in (("common", "one scale per run"), ("own", "each on its own scale")):
        sheets = [filter_grid(first.weight.numpy(), scale == "common", first.layer) for first in firsts]
        name = f"diagnosis/runs_filters_{scale}_scale"
        yield Picture(name, side_by_side(sheets, labels), f"The first layers of the runs, {words}", plot=True)
    seconds = {entry.label: entry.examined.second for entry in runs if entry.examined.second is not None}
    if seconds:
        sheets = [montage(_strongest_tiles(second), COLUMNS) for second in seconds.values()]
        caption = "What excites the second layers' maps most, projected: does a grid run through?"
        yield Picture("diagnosis/runs_second_layer", side_by_side(sheets, list(seconds)), caption)
    caption = "The first filters of the runs: energy by frequency, and how strong each filter is"
    plot = first_layer_plot(dict(zip(labels, firsts, strict=True)), plan.radius)
    yield Picture("diagnosis/runs_frequencies", plot, caption, plot=True)


def _strongest_tiles(second: FeatureView) -> list[Any]:
    """Tiles of the strongest projection of each map that is not dead."""
    alive = second.top.score[:, 0] > 0
    return projection_tiles(second.projections[alive, 0][:PICTURED], 72)


FINDING_COLUMNS = ("what", "layer", "found", "verdict", "what the paper did")
DRAWN = 16  # maps of the second layer in its picture


def results(inputs: Inputs, config: DiagnosisConfig) -> Iterator[Result]:
    """Yields what job=diagnose finds of one net, or with diagnose.runs of all nets of a sweep, each on its images."""
    if config.runs is None:
        return diagnose(inputs.subject(), config, inputs.seed)
    folder = Path(config.runs).expanduser()
    inputs.facts["runs"] = str(folder)
    return compare(folder, inputs.open, config, inputs.seed)


def diagnose(subject: Subject, plan: DiagnosisConfig, seed: int) -> Iterator[Result]:
    """Yields the pictures of Fig. 6, tables of findings with verdicts and of all convolutions, and the numbers."""
    examined = examine(subject, plan.split, plan.images, plan.maps, plan.radius, seed)
    first = examined.diagnosis.first
    judged = findings(examined, plan.radius)
    yield Conclusion("diagnosis", in_words(judged))
    yield from _filter_pictures(first)
    caption = "Left: what share of the first filters' energy lies at which frequency. Right: how strong they are"
    yield Picture("diagnosis/frequencies", first_layer_plot({first.layer: first}, plan.radius), caption, plot=True)
    if examined.second is not None:
        title = f"{examined.second.layer}: what excites its maps. Does a grid run through the projections?"
        grid = feature_grid(examined.second.first_maps(DRAWN), title)
        caption = "The second layer: the nine strongest units of some maps, projected, beside what each unit saw"
        yield Picture("diagnosis/second_layer", grid.image, caption, layer=examined.second.layer)
    rows = [_layer_row(layer, maps) for layer, maps in examined.diagnosis.maps.items()]
    yield Table("diagnosis/layers", rows, "Every convolution: dead maps and norms of its filters")
    rows = [dict(zip(FINDING_COLUMNS, finding, strict=True)) for finding in judged]
    yield Table("diagnosis/findings", rows, "What is wrong with this net, and what the paper did about it")
    for name, (value, caption) in diagnosis_numbers(examined).items():
        yield Number(f"diagnosis/{name}", float(value), caption)


def in_words(judged: Sequence[Finding]) -> str:
    """What came out: which numbers of the net are beyond their thresholds, which are ours."""
    decided = [finding for finding in judged if finding.verdict != OPEN_VERDICT]
    wrong = faults(decided)
    if not wrong:
        return f"Nothing is wrong with this net by {len(decided)} checks, whose thresholds are ours."
    words = [f"{finding.verdict} in {finding.layer} ({finding.measured})" for finding in wrong]
    return f"{len(wrong)} of {len(decided)} checks fail, whose thresholds are ours: {'; '.join(words)}."


def runs_in_words(runs: Sequence[ExaminedRun]) -> str:
    """What came out of several runs: in which of them most first maps are dead or never learned, and how few can be."""
    useless = {entry.label: _useless(entry.examined.diagnosis) for entry in runs}
    best, worst = (end(useless, key=lambda label: useless[label].share) for end in (min, max))
    words = "first filters are dead or have never learned"
    if useless[best].share == useless[worst].share:
        return f"{useless[best]} {words} in each of the {len(runs)} runs."
    return f"{useless[worst]} {words} in {worst}, the most of {len(runs)} runs; {useless[best]} in {best}, the fewest."


def _useless(diagnosis: Diagnosis) -> Count:
    first = diagnosis.first
    numbers = {*next(iter(diagnosis.maps.values())).dead.tolist(), *first.weak.tolist(), *first.noise.tolist()}
    return Count(len(numbers), len(first.weight))


def _filter_pictures(first: FirstLayer) -> Iterator[Picture]:
    title = f"{first.layer}: its {len(first.weight)} filters of {first}"
    scales = {
        "common": "on one scale for all, so that one that dominates or is nearly nothing shows",
        "own": "each on its own scale, so that noise shows",
    }
    for scale, words in scales.items():
        picture = filter_grid(first.weight.numpy(), scale == "common", title)
        name = f"diagnosis/filters_{scale}_scale"
        yield Picture(name, picture, f"{title}, {words}", layer=first.layer, plot=True)


def _layer_row(layer: str, maps: ConvolutionMaps) -> dict[str, Any]:
    return {
        "layer": layer,
        "maps": maps.maps,
        "dead": len(maps.dead),
        "dead share": len(maps.dead) / maps.maps,
        "median RMS": maps.norms.median,
        "largest / median": maps.norms.dominance,
        "at the radius": maps.norms.at_radius,
        "which are dead": " ".join(map(str, maps.dead.tolist())),
    }
