"""Do lower layers settle first? (section 4, "Feature Evolution during Training", Fig. 4), in words for one run.

What has settled is said by metrics/convergence.py, in one measure for the page, its atlas and the claims.
"""

import re
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import NamedTuple

from convscope.metrics.convergence import TopImages, convergence_epoch, layer_overlap
from convscope.runs.top9_records import layer_images

NAMED = 6  # dead maps that are told by number
Columns = Mapping[str, Sequence[float | None]]
PER_LAYER = re.compile("(stayed|similarity|dead)/")  # columns of feature evolution
NOTHING: Mapping[str, Sequence[int]] = {}


class Story(NamedTuple):
    """One layer of one run.

    epochs, stayed: where the share of top-9 images that stayed was measured, and that share (0..1), of living maps.
    settled: first settled epoch, None when never. dead: share of maps that no image excites at the end.
    maps: how many maps the layer has, None unknown. numbers: the dead ones, where the record tells.
    """

    layer: str
    epochs: list[int]
    stayed: list[float]
    settled: int | None
    dead: float | None
    maps: int | None
    numbers: Sequence[int] = ()

    @property
    def dead_maps(self) -> str:
        """The dead maps in words: "3 of 96: maps 5, 7, 20", "4 %" when the number is unknown, "" when not measured."""
        if self.dead is None:
            return ""
        if self.maps is None:
            return f"{100 * self.dead:.0f} %"
        counted = f"{round(self.dead * self.maps)} of {self.maps}"
        named = ", ".join(map(str, self.numbers[:NAMED])) + (" ..." if len(self.numbers) > NAMED else "")
        return f"{counted}: map{'s' * (len(self.numbers) > 1)} {named}" if named else counted

    @property
    def gone(self) -> bool:
        """Whether all its maps are dead, so that nothing is left that could settle."""
        return self.dead == 1

    @property
    def barely(self) -> bool:
        """Settled, but by the last measurement alone."""
        return self.settled is not None and self.settled == self.epochs[-1]


def remeasured(folder: Path, metrics: Columns) -> dict[str, list[float | None]]:
    """The columns with stayed/<layer> measured anew wherever the records of an epoch and of the shown one before are
    there: version 0.1 counted dead maps as settled, and repeated its last numbers at epochs that were not shown.

    A run whose records are gone keeps what its metrics.csv says.
    """
    columns = {name: list(values) for name, values in metrics.items()}
    layers = [name.partition("/")[2] for name in columns if name.startswith("stayed/")]
    before: Mapping[str, TopImages] = {}
    for row, epoch in enumerate(columns.get("epoch", []) if layers else []):
        now = {} if epoch is None else layer_images(folder, int(epoch))
        if not now and before and _repeats(metrics, row):
            for name in filter(PER_LAYER.match, columns):
                columns[name][row] = None
        for layer in now.keys() & before.keys() & set(layers):
            if before[layer].shape == now[layer].shape:
                share = layer_overlap(before[layer], now[layer])
                columns[f"stayed/{layer}"][row] = None if isnan(share) else share
        before = now or before
    return columns


def _repeats(metrics: Columns, row: int) -> bool:
    """Whether a row says of every layer what the row before says."""
    return all(values[row] == values[row - 1] for name, values in metrics.items() if PER_LAYER.match(name))


def stories(metrics: Columns, maps: Mapping[str, int], dead: Mapping[str, Sequence[int]] = NOTHING) -> list[Story]:
    """One story per column stayed/<layer> of metrics.csv, in order. maps, dead: how many a layer has, and which of them
    are dead at the end, where known.
    """
    told = []
    for column, values in metrics.items():
        kind, _, layer = column.partition("/")
        if kind != "stayed":
            continue
        measured = [(e, v) for e, v in zip(metrics["epoch"], values, strict=True) if e is not None and v is not None]
        epochs, stayed = [int(e) for e, _ in measured], [v for _, v in measured]
        shares = [value for value in metrics.get(f"dead/{layer}", ()) if value is not None]
        share = shares[-1] if shares else None
        settled = None if share == 1 else convergence_epoch(epochs, stayed)
        told.append(Story(layer, epochs, stayed, settled, share, maps.get(layer), dead.get(layer, ())))
    return told


def answer(told: Sequence[Story], ended: bool = True, learned: bool = True) -> str:
    """Which layer settled first and last, which did not, and where maps are dead: a short paragraph, or "".

    Of a net that has learned nothing only the dead maps: its layers stay as they are because nothing moves them.
    """
    measured = [story for story in told if len(story.epochs) > 1 or story.gone]
    if not any(len(story.epochs) > 1 for story in told):
        return ""
    living = [story for story in measured if not story.gone]
    order = _order(living) if learned else "The net has not learned, so nothing can be said of what settles."
    return " ".join(part for part in (order if ended else f"So far: {order}", _dead(measured)) if part)


def _order(told: Sequence[Story]) -> str:
    settled = {story.layer: story.settled for story in told if story.settled is not None}
    if not told:
        return "Nothing can settle: every map is dead."
    if not settled:
        return "No layer has settled: from each shown epoch to the next, many of the strongest images still change."
    low, high = min(settled.values()), max(settled.values())
    first = _listed([layer for layer, epoch in settled.items() if epoch == low])
    never = _listed([story.layer for story in told if story.settled is None])
    if never:
        verb = "has" if len(told) - len(settled) == 1 else "have"
        return f"{first} settled first, at epoch {low}; {never} {verb} not settled."
    if low == high:
        return f"{first} settled at epoch {low}."
    last = _listed([layer for layer, epoch in settled.items() if epoch == high])
    barely = " (by the last comparison alone)" if any(story.barely for story in told) else ""
    return f"{first} settled first, at epoch {low}; {last} settled last, at epoch {high}{barely}."


def _dead(told: Sequence[Story]) -> str:
    known = [story for story in told if story.dead is not None]
    if not known:
        return ""
    some = [f"{story.layer} ({story.dead_maps})" for story in known if story.dead]
    return f"Dead maps: {_listed(some)}." if some else "No map is dead: some image excites each of them."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else ""
