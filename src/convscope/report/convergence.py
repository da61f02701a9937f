"""Do lower layers converge first? (section 4.1, "Feature Evolution during Training", Fig. 4) The answer for one run.

metrics/convergence.py has the measure, which the page, its atlas and the claims share.
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from pathlib import Path
from typing import Any, NamedTuple

from convscope.metrics.convergence import TopImages, convergence_epoch, layer_overlap
from convscope.metrics.goals import TOP1
from convscope.metrics.intervals import in_percent, share_interval
from convscope.runs.number_format import listed, percent
from convscope.runs.reading import Run
from convscope.runs.top9_records import exciting_images
from convscope.runs.training_runs import has_learned

MAX_NUMBERS = 6  # dead maps that are listed by number
Columns = Mapping[str, Sequence[float | None]]  # of metrics.csv
PER_LAYER = re.compile("(stayed|similarity|dead)/")  # columns of feature evolution
NO_NUMBERS: Mapping[str, Sequence[int]] = {}


class LayerConvergence(NamedTuple):
    """The convergence of one layer in one run.

    epochs, overlaps: where the overlap with the previous top-9 images was measured, and the overlap, a share (0..1),
    mean over living maps. convergence_epoch: None for a layer that has not settled. dead_share: share of maps that no
    image excites at the end, None if not measured. maps: number of maps, None if unknown. dead_numbers: which maps are
    dead, empty if unknown.
    """

    layer: str
    epochs: list[int]
    overlaps: list[float]
    convergence_epoch: int | None
    dead_share: float | None
    maps: int | None
    dead_numbers: Sequence[int] = ()

    @property
    def dead_maps(self) -> str:
        """The dead maps in words: "3 of 96: maps 5, 7, 20"; "4 %" without their number; "" if not measured."""
        if self.dead_share is None:
            return ""
        if self.maps is None:
            return f"{100 * self.dead_share:.0f} %"
        count = f"{round(self.dead_share * self.maps)} of {self.maps}"
        numbers = ", ".join(map(str, self.dead_numbers[:MAX_NUMBERS]))
        numbers += " ..." if len(self.dead_numbers) > MAX_NUMBERS else ""
        return f"{count}: map{'s' * (len(self.dead_numbers) > 1)} {numbers}" if numbers else count

    @property
    def all_dead(self) -> bool:
        """Whether all maps are dead, so that none is left that could settle."""
        return self.dead_share == 1

    @property
    def settled_at_last(self) -> bool:
        """Whether only the last comparison says that the layer has settled."""
        return self.convergence_epoch is not None and self.convergence_epoch == self.epochs[-1]


def remeasure_overlap(folder: Path, metrics: Columns) -> dict[str, list[float | None]]:
    """The columns of metrics.csv, with stayed/<layer> measured anew from the top-9 records of the run folder.

    Version 0.1 counted dead maps as settled, and repeated its last numbers at epochs without a record. A run that has
    lost its records keeps the numbers of its metrics.csv.
    """
    columns = {name: list(values) for name, values in metrics.items()}
    layers = [name.partition("/")[2] for name in columns if name.startswith("stayed/")]
    previous: Mapping[str, TopImages] = {}
    for row, epoch in enumerate(columns.get("epoch", []) if layers else []):
        current = {} if epoch is None else exciting_images(folder, int(epoch))
        if not current and previous and _repeats(metrics, row):
            for name in filter(PER_LAYER.match, columns):
                columns[name][row] = None
        for layer in current.keys() & previous.keys() & set(layers):
            if previous[layer].shape == current[layer].shape:
                share = layer_overlap(previous[layer], current[layer])
                columns[f"stayed/{layer}"][row] = None if isnan(share) else share
        previous = current or previous
    return columns


def _repeats(metrics: Columns, row: int) -> bool:
    """Whether a row has the values of the row before it in every column of feature evolution."""
    return all(values[row] == values[row - 1] for name, values in metrics.items() if PER_LAYER.match(name))


def layer_convergences(
    metrics: Columns, maps: Mapping[str, int], dead_numbers: Mapping[str, Sequence[int]] = NO_NUMBERS
) -> list[LayerConvergence]:
    """One for each column stayed/<layer> of metrics.csv, in order.

    maps: layer -> number of maps. dead_numbers: layer -> its dead maps at the end. Either may lack layers.
    """
    layers = [name.removeprefix("stayed/") for name in metrics if name.startswith("stayed/")]
    return [_layer_convergence(layer, metrics, maps.get(layer), dead_numbers.get(layer, ())) for layer in layers]


def _layer_convergence(layer: str, metrics: Columns, maps: int | None, dead: Sequence[int]) -> LayerConvergence:
    rows = zip(metrics["epoch"], metrics[f"stayed/{layer}"], strict=True)
    measured = [(int(epoch), share) for epoch, share in rows if epoch is not None and share is not None]
    epochs, overlaps = [epoch for epoch, _ in measured], [share for _, share in measured]
    dead_shares = [share for share in metrics.get(f"dead/{layer}", ()) if share is not None]
    dead_share = dead_shares[-1] if dead_shares else None
    settled = None if dead_share == 1 else convergence_epoch(epochs, overlaps)
    return LayerConvergence(layer, epochs, overlaps, settled, dead_share, maps, dead)


def convergence_in_words(layers: Sequence[LayerConvergence], ended: bool = True, learned: bool = True) -> str:
    """Which layer settled first and last, which did not, and where maps are dead: a short paragraph.

    "" where no layer was measured twice. ended: whether the run has. learned: False for a net that has learned nothing;
    its layers stay the same because nothing moves them, so that only dead maps are reported.
    """
    measured = [layer for layer in layers if len(layer.epochs) > 1 or layer.all_dead]
    if not any(len(layer.epochs) > 1 for layer in layers):
        return ""
    living = [layer for layer in measured if not layer.all_dead]
    order = _order(living) if learned else "The net has not learned, so nothing can be said of what settles."
    return " ".join(part for part in (order if ended else f"So far: {order}", _dead(measured)) if part)


def training_in_words(run: Run, layers: Sequence[LayerConvergence]) -> list[str]:
    """What a training run has reached, and which of its layers have settled; without what was not measured."""
    accuracy = accuracy_in_words(run.metrics, run.summary)
    reached = f"{accuracy[:1].upper()}{accuracy[1:]}." if accuracy else ""
    return [part for part in (reached, settled_in_words(run, layers)) if part]


def settled_in_words(run: Run, layers: Sequence[LayerConvergence]) -> str:
    """`convergence_in_words` of a run."""
    return convergence_in_words(layers, bool(run.summary.get("finished")), has_learned(run))


def accuracy_in_words(metrics: Columns, facts: Mapping[str, Any]) -> str:
    """What a training run has reached: its last epoch, with an interval over the images, the best one, and chance.

    facts: of about.json and summary.json. "" where no epoch has ended.
    """
    if not (top1 := _measured(metrics, TOP1)):
        return ""
    goal = {"metric": TOP1, "mode": "max"} | (facts.get("goal") or {})
    (epoch, share), images = top1[-1], (facts.get("images") or {}).get("val") or 0
    text = percent(share)
    if images:
        text = f"{in_percent(share_interval(round(images * share), images))} of {images:,} images"
    words, label = f"the validation accuracy (top-1) is {text} after epoch {epoch}", ""
    aims = _measured(metrics, goal["metric"])
    if goal["metric"] != TOP1 and aims:
        label = f"{goal.get('label', goal['metric'])} "
        words += f", {label}{percent(aims[-1][1])}"
    at, best = (min if goal["mode"] == "min" else max)(aims, key=lambda pair: pair[1], default=(epoch, share))
    words += "" if at == epoch else f"; best {label}{percent(best)} after epoch {at}"
    return f"{words}; chance is {percent(goal['chance'])}" if "chance" in goal else words


def _measured(metrics: Columns, column: str) -> list[tuple[int, float]]:
    """The epochs at which a column was measured, with its finite values."""
    rows = zip(metrics.get("epoch", ()), metrics.get(column, ()), strict=False)
    return [(int(epoch), value) for epoch, value in rows if epoch is not None and value is not None and isfinite(value)]


def _order(layers: Sequence[LayerConvergence]) -> str:
    if not layers:
        return "Nothing can settle: every map is dead."
    settled = {layer.layer: layer.convergence_epoch for layer in layers if layer.convergence_epoch is not None}
    if not settled:
        return "No layer has settled: from each shown epoch to the next, many of the strongest images still change."
    low, high = min(settled.values()), max(settled.values())
    first, last = (listed([name for name, epoch in settled.items() if epoch == end]) for end in (low, high))
    unsettled = [layer.layer for layer in layers if layer.convergence_epoch is None]
    if unsettled:
        verb = "has" if len(unsettled) == 1 else "have"
        return f"{first} settled first, at epoch {low}; {listed(unsettled)} {verb} not settled."
    if low == high:
        return f"{first} settled at epoch {low}."
    remark = " (by the last comparison alone)" if any(layer.settled_at_last for layer in layers) else ""
    return f"{first} settled first, at epoch {low}; {last} settled last, at epoch {high}{remark}."


def _dead(layers: Sequence[LayerConvergence]) -> str:
    measured = [layer for layer in layers if layer.dead_share is not None]
    if not measured:
        return ""
    with_dead_maps = [f"{layer.layer} ({layer.dead_maps})" for layer in measured if layer.dead_share]
    if not with_dead_maps:
        return "No map is dead: some image excites each of them."
    return f"Dead maps: {listed(with_dead_maps)}."
