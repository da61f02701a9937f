"""Do lower layers settle first? (section 4, "Feature Evolution during Training", Fig. 4), in words for one run.

A layer has settled from the first epoch on from which, to the end of the run, at least half of its maps' nine strongest
images were among them at the epoch shown before. The threshold of one half is ours; the paper judges by eye.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

HALF = 0.5
NAMED = 6  # dead maps that are told by number
Columns = Mapping[str, Sequence[float | None]]
NOTHING: Mapping[str, Sequence[int]] = {}


class Story(NamedTuple):
    """One layer of one run.

    epochs, stayed: where the share of top-9 images that stayed was measured, and that share (0..1).
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
    def barely(self) -> bool:
        """Settled, but by the last measurement alone."""
        return self.settled is not None and self.settled == self.epochs[-1]


def settled_from(epochs: Sequence[int], stayed: Sequence[float]) -> int | None:
    """The first epoch from which every share to the end is at least one half; None when the last is not."""
    first = None
    for epoch, share in zip(reversed(epochs), reversed(stayed), strict=True):
        if share < HALF:
            break
        first = epoch
    return first


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
        told.append(
            Story(layer, epochs, stayed, settled_from(epochs, stayed), share, maps.get(layer), dead.get(layer, ()))
        )
    return told


def answer(told: Sequence[Story], ended: bool = True, learned: bool = True) -> str:
    """Which layer settled first and last, which did not, and where maps are dead: a short paragraph, or "".

    Of a net that has learned nothing only the dead maps: its layers stay as they are because nothing moves them.
    """
    measured = [story for story in told if len(story.epochs) > 1]
    if not measured:
        return ""
    order = _order(measured) if learned else "The net has not learned, so nothing can be said of what settles."
    return " ".join(part for part in (order if ended else f"So far: {order}", _dead(measured)) if part)


def _order(told: Sequence[Story]) -> str:
    settled = {story.layer: story.settled for story in told if story.settled is not None}
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
