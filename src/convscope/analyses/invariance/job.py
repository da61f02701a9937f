"""job=invariance: images shifted, enlarged and turned, and how far a net's features move (section 4.1, Fig. 5)."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from convscope.analyses.claims.compute import MIN_CASES
from convscope.analyses.inputs import Inputs
from convscope.analyses.invariance.about import Fill, InvarianceConfig
from convscope.analyses.invariance.compute import distance_to_others
from convscope.analyses.invariance.compute.tolerance import (
    MeasuredTransform,
    class_stability,
    finite_mean,
    layer_difference,
    measure_transform,
)
from convscope.analyses.invariance.compute.warp import Transform, paper_transforms
from convscope.analyses.invariance.figure import invariance_figure, transform_row
from convscope.analyses.subject import Examples, Subject
from convscope.engine.layers import layer_roles
from convscope.engine.trace import ImageSize, unknown_layer_message
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, interval_text
from convscope.runs.number_format import listed
from convscope.runs.record import Arrays, Conclusion, Number, Picture, Result, Table


def results(inputs: Inputs, config: InvarianceConfig) -> Iterator[Result]:
    """Opens the net and yields what job=invariance finds."""
    return invariance(inputs.subject(), config, inputs.seed)


def invariance(subject: Subject, plan: InvarianceConfig, seed: int) -> Iterator[Result]:
    """Yields Fig. 5 of this net, tables of how much each layer tolerates, the highest against the lowest."""
    net, size = subject.net, subject.data.settings.image_size
    layers = compared_layers(plan.layers, net, subject.data.image_shape)
    examples = subject.examples(plan.split, plan.images, seed)
    scored = subject.examples(plan.split, plan.scored, seed)
    between_images = distance_to_others(net, scored.image, layers)
    measured = [
        measure_transform(net, (scored, examples), layers, transform, plan.fill, between_images)
        for transform in paper_transforms(size)
    ]
    yield Conclusion("invariance", in_words(measured))
    yield _picture(subject, examples, measured, plan.fill)
    yield tolerance_table(measured)
    if len(layers) > 1:
        yield difference_table(measured)
    yield Table("invariance/curves", curves(measured), "Means over the images, for each value of each transform")
    for of_transform in measured:
        yield from numbers(of_transform)
    yield Arrays("invariance/sweeps", tensors(measured) | {"images": scored.index})


def in_words(measured: Sequence[MeasuredTransform]) -> str:
    """What came out: a small step in the highest layer against the lowest, and how far the class stays the same."""
    layers = [tolerance.layer for tolerance in measured[0].tolerances]
    steps, stays = list[str](), list[str]()
    for of_transform in measured:
        transform = of_transform.scored.transform
        moved = finite_mean(of_transform.tolerances[-1].relative)
        words = f"moves {layers[0]} by {moved}"
        if len(layers) > 1:
            moved = layer_difference(of_transform).relative
            verdict = _verdict(moved, layers[0], layers[-1])
            words = f"{'' if verdict.startswith('moves') else 'makes '}{verdict}".replace("makes cannot", "cannot")
            words += f" ({moved})" if math.isfinite(moved.value) else ""
        steps.append(f"of {transform.name} {words}")
        stays.append(_amount(transform, finite_mean(class_stability(of_transform.scored))))
    count = len(measured[0].scored.probability)
    average = f", mean of {count} images" if count > 1 else ", one image"
    return (
        f"A small step {'; '.join(steps)} (in distances between different images{average}). The most probable class "
        f"stays the same up to {listed(stays)}."
    )


def _amount(transform: Transform, until: Interval) -> str:
    """An amount of change, of the farthest one; of an enlargement the ratio."""
    if transform.unit == "ratio-1":
        ratio = interval_text(1 + until.value, 1 + until.low, 1 + until.high)
        return f"{ratio} of {1 + transform.farthest:g} times the size"
    return f"{until} of {transform.farthest:g} {transform.unit} of {transform.name}"


def _picture(subject: Subject, examples: Examples, measured: Sequence[MeasuredTransform], fill: Fill) -> Picture:
    names = [subject.classes[target] for target in examples.target.tolist()]
    count = len(measured[0].scored.probability)
    note = (
        f"thin: {len(names)} examples, numbered as in the pictures; thick and shaded: mean and middle 80 % of {count} "
        f"images; others: mean distance between different images; what comes in from outside: {fill}"
    )
    rows = [transform_row(of_transform, examples.pixels, fill) for of_transform in measured]
    figure = invariance_figure(rows, names, "How far do features move when the image does?", note)
    caption = (
        "Images shifted, enlarged and turned (Fig. 5). Distance: Euclidean, of a layer's features from those of the "
        "unchanged image. The paper finds that small changes matter much in its first layer and little in its "
        "seventh, where distance grows about in proportion to shift and scale, and that rotation is not tolerated. The "
        "class is the true one, or the net's own choice where it does not know that class."
    )
    return Picture("invariance/curves", figure, caption, plot=True)


def tolerance_table(measured: Sequence[MeasuredTransform]) -> Table:
    """Means with intervals of half, relative and far, for each transform and layer."""
    rows = []
    for layer in (layer for of_transform in measured for layer in of_transform.tolerances):
        means = {field: str(finite_mean(getattr(layer, field))) for field in ("half", "relative", "far")}
        rows.append({"transform": f"{layer.transform}, {layer.unit}", "layer": layer.layer, **means})
    transforms = [of_transform.scored.transform for of_transform in measured]
    small, far = (", ".join(f"{getattr(kind, at):g}" for kind in transforms) for at in ("small", "farthest"))
    caption = (
        f"How much each layer tolerates: mean [95 % interval] over {len(measured[0].scored.probability)} images. half: "
        "how far until the distance reaches half its maximum (larger: more tolerant; half the range where distance "
        f"grows in proportion). relative: distance after a small step ({small}) over that between different images "
        f"(smaller: more tolerant; 1: as different as another image). far: the same at the farthest ({far})"
    )
    return Table("invariance/tolerance", rows, caption)


def difference_table(measured: Sequence[MeasuredTransform]) -> Table:
    """The highest layer against the lowest, for each transform, with a verdict on a small step."""
    lower, upper = measured[0].tolerances[0].layer, measured[0].tolerances[-1].layer
    rows = []
    for of_transform in measured:
        difference = layer_difference(of_transform)
        means = {field: str(interval) for field, interval in difference._asdict().items()}
        transform = of_transform.scored.transform
        words = _verdict(difference.relative, lower, upper)
        rows.append({"transform": f"{transform.name}, {transform.unit}", **means, "a small step": words})
    caption = (
        f"{upper} minus {lower}, image by image: mean [95 % interval]. half above 0 and relative below 0: {upper} "
        "tolerates more, as the paper says of shift and scale"
    )
    return Table("invariance/difference", rows, caption)


def _verdict(relative: Interval, lower: str, upper: str) -> str:
    """Words on a small step, by the interval of `relative`."""
    if relative.n < MIN_CASES or not math.isfinite(relative.low + relative.high):
        return "cannot be told"
    if relative.low <= 0 <= relative.high:
        return f"no clear difference between {upper} and {lower}"
    return f"moves {upper} {'less' if relative.value < 0 else 'more'} than {lower}"


def numbers(measured: MeasuredTransform) -> Iterator[Number]:
    """Yields each layer's tolerance, the difference between the highest and the lowest, and numbers on the class."""
    transform = measured.scored.transform
    place, unit = f"invariance/{transform.name}", transform.unit
    for tolerance in measured.tolerances:
        for field, words in _meanings(transform).items():
            layer, mean = tolerance.layer, finite_mean(getattr(tolerance, field))
            yield Number(f"{place}/{layer}/{field}", mean.value, f"{layer}, {words}: {mean}", layer=layer)
    if len(measured.tolerances) > 1:
        pair = f"{measured.tolerances[-1].layer} minus {measured.tolerances[0].layer}"
        for field, interval in layer_difference(measured)._asdict().items():
            words = f"{pair}, {_meanings(transform)[field]}: {interval}"
            yield Number(f"{place}/difference/{field}", interval.value, words)
    amounts = transform.amounts.abs()
    for name, at in (("unchanged", amounts.min()), ("farthest", amounts.max())):
        mean = finite_mean(measured.scored.probability[:, amounts == at].mean(1))
        words = f"mean probability of the class {at:g} {unit} away: {mean}"
        yield Number(f"{place}/probability_{name}", mean.value, words)
    stays = finite_mean(class_stability(measured.scored))
    words = f"how far the most probable class stays the same, of at most {transform.farthest:g} {unit}: {stays}"
    yield Number(f"{place}/class_stays", stays.value, words)


def _meanings(transform: Transform) -> dict[str, str]:
    over = "distance over that to other images"
    return {
        "half": f"{transform.unit} of {transform.name} until the distance is half its maximum",
        "relative": f"{over}, at {transform.small:g} {transform.unit} of {transform.name}",
        "far": f"{over}, at {transform.farthest:g} {transform.unit} of {transform.name}",
    }


def curves(measured: Sequence[MeasuredTransform]) -> list[dict[str, Any]]:
    """The thick lines of the figure, a row for each value."""
    rows = []
    for scored in (of_transform.scored for of_transform in measured):
        for number, value in enumerate(scored.values.tolist()):
            row = {"transform": scored.transform.name, "value": value}
            row |= {layer: float(distance[:, number].mean()) for layer, distance in scored.distance.items()}
            rows.append(row | {"probability": float(scored.probability[:, number].mean())})
    return rows


def tensors(measured: Sequence[MeasuredTransform]) -> dict[str, Tensor]:
    """Every scored image's curves, by transform and layer."""
    arrays: dict[str, Tensor] = {}
    for scored in (of_transform.scored for of_transform in measured):
        name = scored.transform.name
        arrays |= {f"{name}.values": scored.values, f"{name}.probability": scored.probability}
        arrays |= {f"{name}.{layer}": distance for layer, distance in scored.distance.items()}
    return arrays


def compared_layers(names: Sequence[str] | None, net: nn.Module, image: ImageSize) -> list[str]:
    """The layers of these names in the net's order; None: the paper's first and last. Raises UserError for another."""
    if names is None:
        paper = layer_roles(net, image)
        return list(dict.fromkeys([paper.first, paper.last]))
    layers = [name for name, _ in net.named_modules() if name]
    if unknown := [name for name in names if name not in layers]:
        raise UserError(unknown_layer_message(unknown[0], layers))
    return [name for name in layers if name in names]
