"""job=occlude: a gray square at every position over some images, and the net's answers (section 4.2, Fig. 7)."""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from convscope.analyses.claims.compute import FAILS, HOLDS, MIN_CASES, OCCLUSION, verdict
from convscope.analyses.inputs import Inputs
from convscope.analyses.occlusion.about import OcclusionConfig
from convscope.analyses.occlusion.compute import Occluded, Occluder, check_occluder, default_occluder, strongest_map
from convscope.analyses.occlusion.compute.examples import OccludedImage, OcclusionSetup, occlude_example
from convscope.analyses.occlusion.compute.localization import (
    ALL,
    GroupRates,
    Located,
    located_objects,
    sample_of_boxes,
    sample_with_boxes,
    sample_with_masks,
)
from convscope.analyses.occlusion.figure import example_case, figure, picture, shared_scales
from convscope.analyses.subject import Examples, Subject
from convscope.analyses.visualize.compute import SplitPixels, layer_rule, search_top9
from convscope.engine.layers import layer_roles
from convscope.engine.progress import track
from convscope.metrics.intervals import Interval, in_percent, mean_interval
from convscope.metrics.localization import LocalizationRates, pearson_correlation
from convscope.runs.record import Arrays, Conclusion, Number, Picture, Result, Table

MOST = 12  # images in one figure
COLUMNS = "object", "images", "n", "what", "value", "low", "high"  # of the table "localization"


def results(inputs: Inputs, config: OcclusionConfig) -> Iterator[Result]:
    """Opens the net and yields what job=occlude finds."""
    return occlude(inputs.subject(), config, inputs.seed)


def occlude(subject: Subject, plan: OcclusionConfig, seed: int, boxes: ArrayLike | None = None) -> Iterator[Result]:
    """Yields what came out, Fig. 7 for each image and for all, a table, how often the worst position is on the object.

    boxes: an object in each image of the split [N, 4], in place of a csv. Raises UserError for an unknown layer or
    image and for faulty boxes before anything is computed.
    """
    size = subject.data.settings.image_size
    occluder, layer = covering_square(plan, size), plan.layer or layer_roles(subject.net, subject.data.image_shape).maps
    examples = subject.examples(plan.split, plan.images, seed)
    strongest_map(subject.net, examples.image[0].to(subject.device), layer)  # raises for a layer without maps
    boxed = sample_with_boxes(subject, plan.boxes, plan.scored, seed) if plan.boxes else None
    if boxes is not None:
        boxed = sample_of_boxes(subject, plan.split, boxes, plan.scored, seed)
    index = subject.data.choose(plan.split, plan.searched or subject.data.size(plan.split), seed)
    top = search_top9(subject.net, subject.data, plan.split, [layer], index)[layer]
    rule = layer_rule(subject.net, SplitPixels(subject.data, plan.split), layer, top)
    covered = yield from _cover(OcclusionSetup(subject, plan.split, layer, occluder, top, rule), plan, examples)
    located = list[Located]()
    if subject.truth:
        masked = sample_with_masks(subject, plan.split, plan.scored, seed)
        located.append(located_objects(subject.net, masked, (layer, occluder), ("occlusion", "mask")))
    if boxed:
        located.append(located_objects(subject.net, boxed, (layer, occluder), ("occlusion/boxes", "box")))
    rates = {of.annotation: of.groups[ALL].rates for of in located if of.groups}
    yield Conclusion("occlusion", in_words(occluder.size, covered.rows, rates))
    yield from _image_results(covered, plan)
    for of in located:
        yield from _localization(of)


class CoveredImages(NamedTuple):
    """The images that were covered, with their rows of the table. engines: how, by the reason."""

    setup: OcclusionSetup
    names: list[str]
    cases: list[Any]
    rows: list[dict[str, Any]]
    engines: dict[str, str]


def _cover(setup: OcclusionSetup, plan: OcclusionConfig, examples: Examples) -> Generator[Result, None, CoveredImages]:
    """Covers every image, and yields its arrays."""
    names = _file_names(setup.subject.data.names(plan.split, examples.index), examples.index.tolist())
    covered = CoveredImages(setup, names, [], [], {})
    for number, name in enumerate(track(names, "covering the images")):
        image = occlude_example(setup, Examples(*(field[number] for field in examples)), plan.projections)
        covered.cases.append(example_case(name, image))
        covered.rows.append(_image_row(name, image))
        covered.engines[image.occluded.why] = _engine(image.occluded)
        yield Arrays(f"occlusion/{name}", _arrays(image))
    return covered


def in_words(side: int, rows: Sequence[Mapping[str, Any]], rates: Mapping[str, LocalizationRates]) -> str:
    """What came out: the probability that a square takes, and whether that is on the object.

    rates: by the annotation of the object. The verdict on the object is that of job=claims.
    """
    lost = [row["p"] - row["lowest p"] for row in rows]
    mean = mean_interval(lost, bounds=(-1, 1))
    mean, over = (
        mean._replace(low=max(mean.low, min(0.0, *lost))),
        f"mean of {len(lost)} images, at most {max(lost):.2f}",
    )
    words = f"A square of {side} pixels at its worst place takes {mean} off the probability of the class"
    words += f" ({over})" if len(lost) > 1 else " of the one image"
    for annotation, of in rates.items():
        chance = f"a place at random in {in_percent(of.anywhere)}, the image's center in {in_percent(of.center)}"
        words += f". The worst place lies on the object, by its {annotation}, in {in_percent(of.lowest)}; {chance}"
        if of.drop.n >= MIN_CASES:
            words += f". Covering the object costs {_cost(of.drop)}"
    return f"{words}."


def _cost(drop: Interval) -> str:
    """The probability lost on rather than off the object, and what that says."""
    outcome = verdict(drop, OCCLUSION.size)
    if outcome == HOLDS:
        return f"{drop} more than covering the rest"
    doubt = "this net hardly uses it" if outcome == FAILS else "more images would tell"
    return f"no clearly other probability than covering the rest (difference {drop}): {doubt}"


def _image_results(covered: CoveredImages, plan: OcclusionConfig) -> Iterator[Result]:
    """The pictures, their table and two means."""
    setup, names, cases, rows, engines = covered
    data, side = setup.subject.data, setup.occluder.size
    title = f"What happens where a gray square of {side} pixels covers the image"
    if len(cases) > 1:
        count = data.size(plan.split)
        among = f"{min(count, plan.searched or count)} of the {count} images of {plan.split}"
        caption = f"Fig. 7, {side} pixels moved by {setup.occluder.stride}; the map's other top images are from {among}"
        yield Picture("occlusion/figure7", figure(cases[:MOST], title), caption, layer=setup.layer)
    caption = f"Images under a square of {side} pixels, followed in {setup.layer}"
    caption += f"; {'; '.join(engines.values())}; projections by {setup.rule.words}"
    yield Table("occlusion/images", rows, caption, layer=setup.layer)
    yield from _means(rows)
    scales = shared_scales(cases)
    for name, case in zip(names, cases, strict=True):
        yield Picture(f"occlusion/{name}", picture(case, title, scales), case.title, layer=setup.layer)


def _image_row(name: str, image: OccludedImage) -> dict[str, Any]:
    """x, y: center of the square at its worst position. stays: share of positions at which the class that is followed
    is the most probable. r: correlation of activity and probability."""
    occluded, class_, (row, col) = image.occluded, image.classes[image.target], image.worst
    r = pearson_correlation(occluded.activity, occluded.probability)
    return {
        "image": name,
        "class": f"{image.unknown}, seen as {class_}" if image.unknown else class_,
        "p": image.probability,
        "lowest p": float(occluded.probability.min()),
        "x": float(image.centers[col]),
        "y": float(image.centers[row]),
        "stays": float((occluded.probable == image.target).double().mean()),
        "map": image.map,
        "r": r if np.isfinite(r) else None,
        "incremental": "yes" if occluded.incremental else "no",
    }


def _means(rows: Sequence[dict[str, Any]]) -> Iterator[Number]:
    correlations = [row["r"] for row in rows if row["r"] is not None]
    words = "Correlation over the places of the map's activity with the probability, mean over the images"
    if correlations:
        mean = mean_interval(correlations, bounds=(-1, 1))
        yield Number("occlusion/correlation", mean.value, f"{words}: {mean}" if len(correlations) > 1 else words)
    lost = [row["p"] - row["lowest p"] for row in rows]
    yield Number("occlusion/lost", float(np.mean(lost)), "Probability lost at the worst place, mean over the images")


def _engine(occluded: Occluded) -> str:
    if occluded.incremental:
        return "only what the square can change is computed again"
    return f"every covered image goes through the whole net ({occluded.why})"


def _arrays(image: OccludedImage) -> dict[str, Tensor]:
    arrays = {name: getattr(image.occluded, name) for name in ("probability", "probable", "activity")}
    arrays |= {} if image.change is None else {"change": image.change}
    arrays["centers"] = torch.from_numpy(image.centers)
    return {name: values.contiguous() for name, values in arrays.items()}


def _file_names(names: Sequence[str], indices: Sequence[int]) -> list[str]:
    """Names that files can have: without suffix, with the index where two images share one."""
    plain = [re.sub(r"[^\w.-]+", "_", name.rsplit(".", 1)[0]) for name in names]
    return [name if plain.count(name) == 1 else f"{name}_{index}" for name, index in zip(plain, indices, strict=True)]


def _localization(located: Located) -> Iterator[Table | Number]:
    """How often the position of the lowest probability is on the object."""
    name, annotation, groups, note = located
    if not groups:
        yield Number(f"{name}/scored", 0, f"No image could be held against its {annotation}: {note}")
        return
    total, overall = groups[ALL].images, groups[ALL].rates
    caption = (
        f"The place where covering lowers the probability of the class most: is it on the object? {total} images, "
        f"object from its {annotation}; {note}"
    )
    parts = {group: of for group, of in groups.items() if group != ALL or len(groups) > 2}
    rows = [row for group, of in parts.items() for row in _rate_rows((annotation, group), of)]
    yield Table(f"{name}/localization", rows, caption)
    lowest, center, anywhere = (in_percent(rate) for rate in (overall.lowest, overall.center, overall.anywhere))
    caption = f"The worst place lies on the object, by its {annotation}: {lowest}"
    yield Number(f"{name}/hit_rate", overall.lowest.value, caption)
    yield Number(f"{name}/center_rate", overall.center.value, f"The image's center lies on it: {center}")
    yield Number(f"{name}/random_rate", overall.anywhere.value, f"A place at random lies on it: {anywhere}")
    yield Number(f"{name}/scored", total, "Images that these shares are of")


def _rate_rows(start: tuple[str, str], group: GroupRates) -> list[dict[str, object]]:
    lines: dict[str, Interval] = {
        "share with the worst place on the object": group.rates.lowest,
        "share with the image's center on it": group.rates.center,
        "share expected of a place at random": group.rates.anywhere,
        "worst place minus center": group.rates.gain,
        "probability lost on rather than off the object": group.rates.drop,
    }
    if group.correlation is not None:
        lines["correlation of the map's activity with it"] = group.correlation
    return [
        dict(zip(COLUMNS, (*start, group.images, what, rate.value, _end(rate.low), _end(rate.high)), strict=True))
        for what, rate in lines.items()
    ]


def _end(value: float) -> float | None:
    """An interval's end; None for one image, which has no interval."""
    return value if np.isfinite(value) else None


def covering_square(config: OcclusionConfig, image_size: int) -> Occluder:
    """The square of these settings: a default size where none is set, moved by a quarter of its side.

    Raises UserError for a size or stride that does not fit the image.
    """
    size = default_occluder(image_size).size if config.size is None else config.size
    occluder = Occluder(size, max(1, size // 4) if config.stride is None else config.stride, config.value)
    check_occluder(occluder, image_size)
    return occluder
