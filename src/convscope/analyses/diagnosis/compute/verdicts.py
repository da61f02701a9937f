"""Findings of a diagnosis: each number against a threshold, a verdict, and the paper's remedy.

All thresholds are ours: section 4.1 of Zeiler & Fergus (2013) judges its pictures by eye.
"""

from collections.abc import Sequence
from typing import NamedTuple

from convscope.analyses.diagnosis.compute import Diagnosis, filters
from convscope.analyses.diagnosis.compute.examination import Examined
from convscope.analyses.diagnosis.compute.frequencies import white_noise_shares

DEAD = 0.05  # share of a layer's maps or units from which too many are dead
DOUBLE = 0.1  # share of the first filters that one of a pair of doubles could replace
DOMINANCE = 3.0  # RMS of the strongest filter over the median, from which a few dominate
MID = 0.2  # share of mid frequencies below which they are hardly covered; white noise has about a quarter
GRID = 0.05  # share of a projection's energy in a grid, beyond what it has at other periods
ALWAYS = 0.05  # share of linear units that every image turns on, from which too many are saturated
SURE = 0.9  # share of images with a probability above 0.999, from which the logits are saturated

SHRANK = "shrank 11x11 stride 4 to 7x7 stride 2"
RENORMALIZED = "held each filter's RMS at 0.1 at most"


class Finding(NamedTuple):
    """One row of the table diagnosis/findings. measured: the numbers. paper: the paper's remedy, "" without one."""

    what: str
    layer: str
    measured: str
    verdict: str
    paper: str = ""


OPEN_VERDICT = "cannot be told"
FAULTS = (  # beginnings of the verdicts of numbers beyond their threshold
    "too many", "many doubles", "a mix", "mostly", "a few dominate", "aliasing", "saturated",
)  # fmt: skip


def faults(rows: Sequence[Finding]) -> list[Finding]:
    """The findings beyond their thresholds."""
    return [row for row in rows if row.verdict.startswith(FAULTS)]


class Count(NamedTuple):
    """A number of a total."""

    number: int
    total: int

    @property
    def share(self) -> float:
        return self.number / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{self.number} of {self.total}"


def findings(examined: Examined, radius: float | None) -> list[Finding]:
    """All findings of one net, from the pixels up. radius: of the renormalization, None without."""
    diagnosis, first = examined.diagnosis, examined.diagnosis.first
    count = len(first.weight)
    pairs = first.doubles
    extra = filters.redundant_count(pairs.same, count)
    rows = [
        useless_filters(first.layer, Count(len(first.weak), count), Count(len(first.noise), count)),
        double_filters(first.layer, Count(extra, count), (len(pairs[0]), len(pairs[1]), len(pairs[2]))),
        frequencies(first.layer, first.bands[:3], white_noise_shares()),
        *_norm_findings(diagnosis, radius),
        *_dead_findings(examined),
    ]
    if examined.second is not None:
        rows += _grid_findings(examined, examined.second.layer)
    for layer, linear in diagnosis.units.items():
        dead, always = Count(linear.dead, linear.units), Count(linear.always, linear.units)
        rows.append(units(layer, dead, always, linear.mean))
    return [*rows, logits("classes", diagnosis.sure)]


def _norm_findings(diagnosis: Diagnosis, radius: float | None) -> list[Finding]:
    """The first convolution, and of the others the one where the strongest filter stands out most."""
    first, norms = diagnosis.first.layer, {name: maps.norms for name, maps in diagnosis.maps.items()}
    upper = [name for name in norms if name != first]
    worst = max(upper, key=lambda name: norms[name].dominance, default=first)
    layers = dict.fromkeys([first, worst])
    return [dominance(name, norms[name].dominance, norms[name].at_radius, radius) for name in layers]


def _dead_findings(examined: Examined) -> list[Finding]:
    """The first two convolutions each in a row, those above together."""
    maps, first = examined.diagnosis.maps, examined.diagnosis.first.layer
    names = list(maps)
    rows = [
        dead_maps(name, Count(len(maps[name].dead), maps[name].maps), name == first, examined.images)
        for name in names[:2]
    ]
    if above := names[2:]:
        dead, count = sum(len(maps[name].dead) for name in above), sum(maps[name].maps for name in above)
        label = above[0] if len(above) == 1 else f"{above[0]} to {above[-1]}"
        rows.append(dead_maps(label, Count(dead, count), False, examined.images))
    return rows


def _grid_findings(examined: Examined, layer: str) -> list[Finding]:
    if not examined.grids:
        return [no_grid(layer, "its projections show no grid of two pixels or more that could be told from an edge")]
    return [
        grid(layer, energy.period, float(energy.share.mean()), float(energy.beside.mean()), (excess.low, excess.high))
        for energy, excess in zip(examined.grids, examined.excess, strict=True)
    ]


def dead_maps(layer: str, dead: Count, first: bool, images: int) -> Finding:
    """Maps that none of `images` images excites. first: whether the layer is the first convolution."""
    verdict = "too many dead maps" if dead.share >= DEAD else "a few dead maps" if dead.number else "no dead map"
    return Finding("dead maps", layer, f"{dead} maps, by {images} images", verdict, SHRANK if first else "")


def useless_filters(layer: str, weak: Count, noise: Count) -> Finding:
    """First filters that are nearly zero beside the others, or look like noise."""
    useless = Count(weak.number + noise.number, weak.total)
    verdict = "a few dead filters" if useless.number else "all learned"
    verdict = "too many dead filters" if useless.share >= DEAD else verdict
    return Finding("dead filters", layer, f"{weak} nearly zero, {noise.number} like noise", verdict, SHRANK)


def double_filters(layer: str, extra: Count, pairs: tuple[int, int, int]) -> Finding:
    """First filters that are alike. pairs: counts of pairs alike, of opposite sign, alike once shifted.

    extra: filters that could go if one of each kind stayed.
    """
    same, opposite, shifted = pairs
    measured = f"{_pairs(same)} alike, {opposite} of opposite sign, {shifted} alike when shifted; {extra} could go"
    verdict = "many doubles" if extra.share >= DOUBLE else "a few doubles" if same else "no doubles"
    return Finding("double filters", layer, measured, verdict, f"{SHRANK}: more distinctive filters")


def frequencies(layer: str, shares: tuple[float, float, float], white: tuple[float, float, float]) -> Finding:
    """Shares of low, mid and high frequencies of the first filters; white: those of white noise."""
    low, mid, high = shares
    measured = (
        f"low {low:.0%}, mid {mid:.0%}, high {high:.0%} (white noise: {' / '.join(f'{part:.0%}' for part in white)})"
    )
    if mid >= MID:
        verdict = "mid frequencies are covered"
    elif low >= white[0] and high >= MID:
        verdict = "a mix of high and low, little coverage of the mid frequencies"
    else:
        verdict = f"mostly {'low' if low > high else 'high'} frequencies, little coverage of the mid ones"
    return Finding("frequencies", layer, measured, verdict, SHRANK)


def dominance(layer: str, ratio: float, at_radius: float, radius: float | None) -> Finding:
    """The strongest filter's RMS over the median one's; at_radius: share of filters at the radius or above."""
    measured = f"largest RMS is {ratio:.3g} x the median"
    measured += "" if radius is None else f"; {at_radius:.0%} at {radius:g} or more"
    verdict = "a few dominate" if ratio >= DOMINANCE else "none dominates"
    return Finding("filter norms", layer, measured, verdict, RENORMALIZED)


def grid(layer: str, period: int, share: float, beside: float, excess: tuple[float, float]) -> Finding:
    """A grid in the layer's projections. excess: ends of the interval of share beyond that of other periods, beside."""
    measured = f"{share:.1%} of the energy in a grid of {period} pixels, {beside:.1%} in others"
    if share - beside >= GRID and excess[0] > 0:
        verdict = "aliasing"
    else:
        verdict = "a trace of a grid" if excess[0] > 0 else "no aliasing"
    return Finding("aliasing", layer, measured, verdict, "reduced the first stride from 4 to 2")


def no_grid(layer: str, why: str) -> Finding:
    """A layer whose aliasing cannot be told, and the reason."""
    return Finding("aliasing", layer, why, OPEN_VERDICT)


def units(layer: str, dead: Count, always: Count, mean: float) -> Finding:
    """Hidden linear units; mean: share of images that a unit is on for, on average."""
    measured = f"{dead} never on, {always.number} always on; on for {mean:.0%} of the images"
    limits = (("dead", dead, DEAD), ("always on", always, ALWAYS))
    wrong = [word for word, count, limit in limits if count.share >= limit]
    return Finding("units", layer, measured, f"too many {' and '.join(wrong)}" if wrong else "they tell images apart")


def logits(layer: str, sure: float) -> Finding:
    """Saturated probabilities; sure: share of images whose most probable class has one above 0.999."""
    verdict = "saturated: probabilities say little" if sure >= SURE else "not saturated"
    return Finding("probabilities", layer, f"{sure:.0%} of the images above 0.999", verdict)


def _pairs(count: int) -> str:
    return f"{count} pair" if count == 1 else f"{count} pairs"
