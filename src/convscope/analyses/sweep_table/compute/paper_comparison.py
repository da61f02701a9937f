"""A sweep's rows beside the paper's: the table they repeat, and in what they depart from what the paper did."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from convscope.errors import UserError
from convscope.metrics.papers import PaperTable, PrintedNumber, published_table
from convscope.models.build import build
from convscope.runs.reading import value_at
from convscope.runs.sweep_runs import SeedGroup

MEASURES = {  # the papers' columns -> column of metrics.csv, whether the papers print its error
    "train top-1": ("train/top1", True),
    "val top-1": ("val/top1", True),
    "val top-5": ("val/top5", True),
    "class accuracy": ("val/class_mean", False),
}
EXPERIMENTS = {  # conf/experiment -> key of papers.yaml
    "table2": "zf_table2",
    "table3": "zf_table3",
    "vgg_table3": "vgg_table3",
}


def percent(group: SeedGroup, column: str) -> PrintedNumber | None:
    """A column of MEASURES in percent: the value of one run, or mean and standard deviation over several seeds."""
    name, error = MEASURES[column]
    share = group.over_seeds(name)
    if share is None:
        return None
    return PrintedNumber(100 * (1 - share.mean if error else share.mean), share.deviation and 100 * share.deviation)


def paper_table(groups: Sequence[SeedGroup], key: str | None) -> PaperTable | None:
    """The table of `key`; without one that of the runs' experiment, or Table 3 where two of its nets are among them."""
    if key is not None:
        return published_table(key)
    experiments = {training.run.choices.get("experiment") for group in groups for training in group.runs}
    for experiment, table_key in EXPERIMENTS.items():
        if experiment in experiments:
            return published_table(table_key)
    table3 = published_table("zf_table3")
    return table3 if len({paper_row(group, table3) for group in groups} - {None}) > 1 else None


def ensemble_table(kinds: Sequence[Iterable[str]]) -> PaperTable | None:
    """The paper's table that has a row of nets of one of these kinds together, the first of two."""
    tables = [published_table(key) for key in ("zf_table2", "vgg_table6")]
    return next((table for table in tables if any(table.ensemble(nets, "") for nets in kinds)), None)


def paper_row(group: SeedGroup, table: PaperTable) -> str | None:
    """The row of the table that these runs repeat, by the name of their net or of the group."""
    names = (value_at(group.settings, "model", "name"), group.name)
    return next((table.runs[name] for name in names if name in table.runs), None)


def in_paper_order(groups: Sequence[SeedGroup], table: PaperTable) -> list[SeedGroup]:
    """The groups in the order of the paper's rows; groups that repeat no row last, in their present order."""
    order = {row: place for place, row in enumerate(table.rows)}
    return sorted(groups, key=lambda group: order.get(paper_row(group, table) or "", len(order)))


def departures(group: SeedGroup) -> list[str]:
    """In what a group departs from ImageNet with its 1000 classes at full size; empty where it does not."""
    summaries = [training.run.summary for training in group.runs]
    classes = next((len(summary["classes"]) for summary in summaries if summary.get("classes")), None)
    return settings_departures(group.settings, classes)


def settings_departures(settings: Mapping[str, Any], classes: int | None) -> list[str]:
    """In what the settings of a run depart from the same. classes: their number, None if unknown."""
    data, width = settings.get("data") or {}, value_at(settings, "model", "width")
    phrases: list[str] = []
    if data.get("source") != "imagenet":
        phrases.append(f"data {data.get('source', 'unknown')}")
    phrases += [f"{classes} classes"] if classes not in (None, 1000) else []
    phrases += [f"{data['limit']} images"] if data.get("limit") else []
    phrases += [f"width {width}"] if width not in (None, 1) else []
    phrases += [f"{data['image_size']} px"] if data.get("image_size") not in (None, 224) else []
    return phrases


def full_size_parameters(settings: Mapping[str, Any]) -> int | None:
    """Parameters of a net of rows at width 1, 224 pixels and 1000 classes.

    None for another net, and for a net that is too small for 224 pixels.
    """
    rows = value_at(settings, "model", "layers")
    if not rows:
        return None
    try:
        with torch.device("meta"):  # shapes alone, no memory
            return sum(weight.numel() for weight in build(rows, 224, 1000).parameters())
    except UserError:
        return None


def printed_figure(table: PaperTable, row: str | None, column: str) -> PrintedNumber | None:
    """The paper's number in this row and column, None where the paper has none."""
    return table.figure(row, column) if row in table.rows and column in table.columns and row is not None else None
