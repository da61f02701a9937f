"""What a diagnosis means: each number held against a threshold, in plain words, beside what the paper did about it.

All thresholds are ours and stand here: section 4.1 of Zeiler & Fergus (2013) judges its pictures by eye.
"""

from typing import NamedTuple

DEAD = 0.05  # share of a layer's maps or units from which too many are dead
DOUBLE = 0.1  # share of the first filters that one of a pair of doubles could replace
DOMINANCE = 3.0  # RMS of the strongest filter over the median, from which a few dominate
MID = 0.2  # share of mid frequencies below which they are hardly covered; white noise has about a quarter
GRID = 0.05  # share of a projection's energy in a grid, beyond what it has at other periods
ALWAYS = 0.05  # share of full units that every image turns on, from which too many are saturated
SURE = 0.9  # share of images with a probability above 0.999, from which the logits are saturated

SHRANK = "shrank 11x11 stride 4 to 7x7 stride 2"
HELD = "held each filter's RMS at 0.1 at most"


class Finding(NamedTuple):
    """One row of the table diagnosis/findings. paper: what the paper did about it, nothing where it names nothing."""

    what: str
    layer: str
    found: str
    verdict: str
    paper: str = ""


class Count(NamedTuple):
    """So many of all."""

    some: int
    of: int

    @property
    def share(self) -> float:
        return self.some / self.of if self.of else 0.0

    def __str__(self) -> str:
        return f"{self.some} of {self.of}"


def dead_maps(layer: str, dead: Count, first: bool, images: int) -> Finding:
    """Maps that none of `images` images excites."""
    verdict = "too many dead maps" if dead.share >= DEAD else "a few dead maps" if dead.some else "no dead map"
    return Finding("dead maps", layer, f"{dead} maps, by {images} images", verdict, SHRANK if first else "")


def useless_filters(layer: str, weak: Count, noise: Count) -> Finding:
    """First filters that are nearly nothing beside the others, or look like noise."""
    worse = Count(weak.some + noise.some, weak.of).share >= DEAD
    verdict = "too many dead filters" if worse else "a few dead filters" if weak.some + noise.some else "all learned"
    return Finding("dead filters", layer, f"{weak} nearly zero, {noise.some} like noise", verdict, SHRANK)


def double_filters(layer: str, extra: Count, pairs: tuple[int, int, int]) -> Finding:
    """pairs: alike, of opposite sign, alike once shifted. extra: filters that could go if one of each kind stayed."""
    same, opposite, shifted = pairs
    found = f"{_pairs(same)} alike, {opposite} of opposite sign, {shifted} alike when shifted; {extra} could go"
    verdict = "many doubles" if extra.share >= DOUBLE else "a few doubles" if same else "no doubles"
    return Finding("double filters", layer, found, verdict, f"{SHRANK}: more distinctive filters")


def frequencies(layer: str, shares: tuple[float, float, float], white: tuple[float, float, float]) -> Finding:
    """Shares of low, mid and high frequencies of the first filters; white: those of white noise."""
    low, mid, high = shares
    found = (
        f"low {low:.0%}, mid {mid:.0%}, high {high:.0%} (white noise: {' / '.join(f'{part:.0%}' for part in white)})"
    )
    if mid >= MID:
        verdict = "mid frequencies are covered"
    elif low >= white[0] and high >= MID:
        verdict = "a mix of high and low, little coverage of the mid frequencies"
    else:
        verdict = f"mostly {'low' if low > high else 'high'} frequencies, little coverage of the mid ones"
    return Finding("frequencies", layer, found, verdict, SHRANK)


def dominance(layer: str, ratio: float, held: float, radius: float | None) -> Finding:
    """The strongest filter's RMS over the median one's; the share of filters at the radius or above."""
    found = f"largest RMS is {ratio:.3g} x the median" + (
        "" if radius is None else f"; {held:.0%} at {radius:g} or more"
    )
    return Finding("filter norms", layer, found, "a few dominate" if ratio >= DOMINANCE else "none dominates", HELD)


def grid(layer: str, period: int, share: float, beside: float, excess: tuple[float, float]) -> Finding:
    """excess: ends of the interval of the share beyond that of other periods (`beside`)."""
    found = f"{share:.1%} of the energy in a grid of {period} pixels, {beside:.1%} in others"
    if share - beside >= GRID and excess[0] > 0:
        verdict = "aliasing"
    else:
        verdict = "a trace of a grid" if excess[0] > 0 else "no aliasing"
    return Finding("aliasing", layer, found, verdict, "reduced the first stride from 4 to 2")


def no_grid(layer: str, why: str) -> Finding:
    """Where aliasing cannot be told."""
    return Finding("aliasing", layer, why, "cannot be told")


def units(layer: str, dead: Count, always: Count, mean: float) -> Finding:
    """Hidden full units; mean: share of images that a unit is on for, on average."""
    found = f"{dead} never on, {always.some} always on; on for {mean:.0%} of the images"
    wrong = [word for word, count, most in (("dead", dead, DEAD), ("always on", always, ALWAYS)) if count.share >= most]
    return Finding("units", layer, found, f"too many {' and '.join(wrong)}" if wrong else "they tell images apart")


def logits(layer: str, sure: float) -> Finding:
    """sure: share of images whose most probable class has a probability above 0.999."""
    verdict = "saturated: probabilities say little" if sure >= SURE else "not saturated"
    return Finding("probabilities", layer, f"{sure:.0%} of the images above 0.999", verdict)


def _pairs(count: int) -> str:
    return f"{count} pair" if count == 1 else f"{count} pairs"
