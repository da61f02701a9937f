"""The settings of job=export, and what a run has of the layers, maps and epochs that they name."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from convscope.config import NewPathText, PathText, config
from convscope.errors import UserError, did_you_mean
from convscope.plots.poster import Paper
from convscope.report.atlas import in_atlas
from convscope.runs.reading import Run

FORMATS = {"page": ("html",), "film": ("mp4", "webp", "gif"), "poster": ("pdf", "svg", "png"), "figure": ("svg", "pdf")}


@config("export", elsewhere={"run": "run"})
class ExportConfig:
    """what: of the run is written. layer, map, epoch: None means what conf/job/export.yaml says. out: a folder."""

    what: Literal["page", "film", "poster", "figure"] = "page"
    layer: str | None = None
    map: Annotated[int, Field(ge=0)] | None = None
    epoch: Annotated[int, Field(ge=0)] | None = None
    format: Literal["mp4", "webp", "gif", "pdf", "svg", "png", "html"] | None = None
    paper: Paper = "a3"
    dpi: Annotated[int, Field(ge=50, le=1200)] = 300
    megabytes: Annotated[float, Field(gt=0, le=1000)] = 10.0
    out: NewPathText | None = None
    run: PathText | None = None


def check_plan(plan: ExportConfig) -> None:
    """Raises UserError for keys that do not belong together."""
    possible = FORMATS[plan.what]
    if plan.format is not None and plan.format not in possible:
        words = f"possible: {', '.join(possible)}, or null"
        raise UserError(f"export.what={plan.what} has no export.format={plan.format}; {words}")
    if plan.map is not None and plan.layer is None:
        raise UserError(f"export.map={plan.map} is a map of which layer? type export.layer=<a layer> too")
    if plan.map is not None and plan.what not in ("film", "poster"):
        raise UserError(f"export.map={plan.map} is for export.what=film and poster; leave it out")
    if plan.epoch is not None and (plan.what != "poster" or plan.map is not None):
        raise UserError(f"export.epoch={plan.epoch} is for export.what=poster of a layer; leave it out")


def output_folder(run: Run, plan: ExportConfig) -> Path:
    """The folder for the files: export.out, or exports/ in the run folder."""
    return Path(plan.out).expanduser() if plan.out else run.folder / "exports"


def chosen_layers(run: Run, plan: ExportConfig) -> list[str]:
    """The layer of the plan, or every layer with top-9 grids. Raises UserError where the run has no such layer."""
    layers = list(_epochs_by_layer(run))
    if not layers:
        is_there = (run.folder / "pictures").is_dir()  # folders are sent without it, to be small
        advice = "name a folder of job=train or job=visualize" if is_there else "its folder pictures/ is missing"
        raise UserError(f"{run.folder} has no top-9 grids to show; {advice}")
    if plan.layer is None:
        return layers
    if plan.layer not in layers:
        hint = did_you_mean(plan.layer, layers)
        raise UserError(f"{run.folder} shows no export.layer={plan.layer}{hint}; possible: {', '.join(layers)}")
    return [plan.layer]


def drawn_epochs(run: Run, layer: str) -> list[int | None]:
    """The epochs with a grid of the layer, ascending; [None] for the grid of a net that was not trained in this run."""
    numbers: list[int | None] = [*sorted(epoch for epoch in _epochs_by_layer(run)[layer] if epoch is not None)]
    return numbers or [None]


def several_epochs(run: Run, layer: str, what: str) -> list[int]:
    """The epochs with a grid of the layer, which `what` needs. Raises UserError where there are fewer than two."""
    epochs = [epoch for epoch in drawn_epochs(run, layer) if epoch is not None]
    if len(epochs) < 2:
        shows = f"epoch {epochs[0]} alone" if epochs else "the net at one time"
        raise UserError(f"{what} needs several epochs, and {run.folder} shows {shows}; take a run of job=train")
    return epochs


def check_map(run: Run, layer: str, number: int) -> None:
    """Raises UserError for a map that is not drawn."""
    sheets = [entry.sheet or {} for entry in run.entries if entry.name == f"top9/{layer}" and in_atlas(entry)]
    maps = sorted({shown for sheet in sheets for shown in sheet["maps"]})
    if number not in maps:
        listed = ", ".join(map(str, maps[:40])) + (", ..." if len(maps) > 40 else "")
        raise UserError(f"{run.folder} does not show export.map={number} of {layer}; possible: {listed}")


def file_stem(layer: str, number: int | None = None) -> str:
    """A file name that every system allows, without its ending."""
    letters = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in layer)
    return letters + ("" if number is None else f"_map{number}")


def _epochs_by_layer(run: Run) -> dict[str, list[int | None]]:
    epochs: dict[str, list[int | None]] = {}
    for entry in run.entries:
        if in_atlas(entry) and entry.name == f"top9/{entry.layer}":
            epochs.setdefault(str(entry.layer), []).append(entry.epoch)
    return epochs
