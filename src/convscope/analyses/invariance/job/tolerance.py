"""What job=invariance says in numbers: what each layer tolerates, the highest against the lowest, and the class."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from convscope.analyses.claims.compute import MIN_CASES
from convscope.analyses.invariance.compute import Sweep, Tolerance, kept
from convscope.analyses.invariance.compute.warp import Transform
from convscope.metrics.intervals import Interval, mean_interval
from convscope.runs.record import Number, Table


class MeasuredTolerance(NamedTuple):
    """One transform: the scored images and the figure's examples under it.

    others {layer: [N]}: the scored images' mean distance to different images. tolerances: theirs, from the pixels up.
    """

    scored: Sweep
    examples: Sweep
    others: dict[str, Tensor]
    tolerances: list[Tolerance]


def tolerance_table(found: Sequence[MeasuredTolerance]) -> Table:
    rows = []
    for one in found:
        for each in one.tolerances:
            means = {field: str(_mean(getattr(each, field))) for field in ("half", "relative", "far")}
            rows.append({"transform": f"{each.transform}, {each.unit}", "layer": each.layer, **means})
    transforms = [one.scored.transform for one in found]
    small, far = (", ".join(f"{getattr(each, at):g}" for each in transforms) for at in ("small", "farthest"))
    caption = (
        f"How much each layer tolerates: mean [95 % interval] over {len(found[0].scored.probability)} images. half: "
        "how far until the distance reaches half its maximum (larger: more tolerant; half the range where distance "
        f"grows in proportion). relative: distance after a small step ({small}) over that between different images "
        f"(smaller: more tolerant; 1: as different as another image). far: the same at the farthest ({far})"
    )
    return Table("invariance/tolerance", rows, caption)


def difference_table(found: Sequence[MeasuredTolerance]) -> Table:
    lower, upper = found[0].tolerances[0].layer, found[0].tolerances[-1].layer
    rows = []
    for one in found:
        difference = _difference(one)
        means = {field: str(interval) for field, interval in difference._asdict().items()}
        transform = one.scored.transform
        words = _words(difference.relative, lower, upper)
        rows.append({"transform": f"{transform.name}, {transform.unit}", **means, "a small step": words})
    caption = (
        f"{upper} minus {lower}, image by image: mean [95 % interval]. half above 0 and relative below 0: {upper} "
        "tolerates more, as the paper says of shift and scale"
    )
    return Table("invariance/difference", rows, caption)


class Difference(NamedTuple):
    """The highest layer's tolerance minus the lowest's, image by image."""

    half: Interval
    relative: Interval
    far: Interval


def _difference(one: MeasuredTolerance) -> Difference:
    lower, upper = one.tolerances[0], one.tolerances[-1]
    return Difference(
        _mean(upper.half - lower.half), _mean(upper.relative - lower.relative), _mean(upper.far - lower.far)
    )


def _words(relative: Interval, lower: str, upper: str) -> str:
    """What a small step does, by the interval of `relative`."""
    if relative.n < MIN_CASES or not math.isfinite(relative.low + relative.high):
        return "cannot be told"
    if relative.low <= 0 <= relative.high:
        return f"no clear difference between {upper} and {lower}"
    return f"moves {upper} {'less' if relative.value < 0 else 'more'} than {lower}"


def _mean(values: Tensor) -> Interval:
    """Over the images that have the number: none where there is no other image, or where nothing ever moves."""
    known = values[values.isfinite()].double().numpy()
    return mean_interval(known) if len(known) else Interval(math.nan, math.nan, math.nan, 0)


def numbers(one: MeasuredTolerance) -> Iterator[Number]:
    """Each layer's tolerance, the difference between the highest and the lowest, and what becomes of the class."""
    transform = one.scored.transform
    place, unit = f"invariance/{transform.name}", transform.unit
    for each in one.tolerances:
        for field, words in _meanings(transform).items():
            mean = _mean(getattr(each, field))
            yield Number(
                f"{place}/{each.layer}/{field}", mean.value, f"{each.layer}, {words}: {mean}", layer=each.layer
            )
    if len(one.tolerances) > 1:
        pair = f"{one.tolerances[-1].layer} minus {one.tolerances[0].layer}"
        for field, interval in _difference(one)._asdict().items():
            words = f"{pair}, {_meanings(transform)[field]}: {interval}"
            yield Number(f"{place}/difference/{field}", interval.value, words)
    amounts = transform.amounts.abs()
    for name, at in (("unchanged", amounts.min()), ("farthest", amounts.max())):
        mean = _mean(one.scored.probability[:, amounts == at].mean(1))
        yield Number(
            f"{place}/probability_{name}", mean.value, f"mean probability of the class {at:g} {unit} away: {mean}"
        )
    stays = _mean(kept(one.scored))
    words = f"how far the most probable class stays the same, of at most {transform.farthest:g} {unit}: {stays}"
    yield Number(f"{place}/class_stays", stays.value, words)


def _meanings(transform: Transform) -> dict[str, str]:
    over = "distance over that to other images"
    return {
        "half": f"{transform.unit} of {transform.name} until the distance is half its maximum",
        "relative": f"{over}, at {transform.small:g} {transform.unit} of {transform.name}",
        "far": f"{over}, at {transform.farthest:g} {transform.unit} of {transform.name}",
    }


def curves(found: Sequence[MeasuredTolerance]) -> list[dict[str, Any]]:
    """The thick lines of the figure, a row for each value."""
    rows = []
    for one in found:
        for number, value in enumerate(one.scored.values.tolist()):
            row = {"transform": one.scored.transform.name, "value": value}
            row |= {layer: float(each[:, number].mean()) for layer, each in one.scored.distance.items()}
            rows.append(row | {"probability": float(one.scored.probability[:, number].mean())})
    return rows


def tensors(found: Sequence[MeasuredTolerance]) -> dict[str, Tensor]:
    """Every scored image's curves."""
    named: dict[str, Tensor] = {}
    for one in found:
        name = one.scored.transform.name
        named |= {f"{name}.values": one.scored.values, f"{name}.probability": one.scored.probability}
        named |= {f"{name}.{layer}": distance for layer, distance in one.scored.distance.items()}
    return named
