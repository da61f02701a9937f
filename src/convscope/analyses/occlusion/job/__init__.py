"""job=occlude: a gray square over every place of some images, and what the net makes of it (section 4.2, Fig. 7)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscope.analyses.occlusion.compute import Occluder, check_square, default_square, strongest_map
from convscope.analyses.occlusion.figure import figure, picture
from convscope.analyses.occlusion.job.case import OccludedImage, OcclusionSetup, case, look
from convscope.analyses.occlusion.job.localization import localize, on_boxes, on_masks
from convscope.analyses.subject import Examples, Subject
from convscope.analyses.visualize.compute import SplitPixels, rule_of, strongest
from convscope.data.module import SplitName
from convscope.engine.layer_roles import layer_roles
from convscope.engine.progress import track
from convscope.engine.top9 import Top9
from convscope.errors import UserError
from convscope.metrics.intervals import mean_interval
from convscope.metrics.localization import correlation
from convscope.runs.record import Arrays, Number, Picture, Result, Table

MOST = 12  # images in one figure


@dataclass(frozen=True)
class Occlude:
    """conf/job/occlude.yaml says what each key is."""

    images: int | list[int] = 5
    split: SplitName = "val"
    layer: str | None = None
    size: int | None = None
    stride: int | None = None
    value: float = 0.0
    projections: bool = True
    searched: int | None = 2000
    scored: int = 100
    boxes: str | None = None

    def __post_init__(self) -> None:
        if self.split not in ("train", "val"):
            raise UserError(f"occlude.split={self.split} is unknown; possible: train, val")
        for name, value in (("searched", self.searched), ("scored", self.scored)):
            if value is not None and value < 1:
                raise UserError(f"occlude.{name}={value} is too small; it is 1 or more")

    def square(self, image_size: int) -> Occluder:
        """The default square where no size is given, moved by a quarter of its side where no stride is."""
        size = default_square(image_size).size if self.size is None else self.size
        square = Occluder(size, max(1, size // 4) if self.stride is None else self.stride, self.value)
        check_square(square, image_size)
        return square


def occlude(subject: Subject, plan: Occlude, seed: int) -> Iterator[Result]:
    """Yields Fig. 7 for each image and for all, a table of them, and how often the worst place is on the object."""
    image_size = subject.data.settings.image_size
    square, layer = plan.square(image_size), plan.layer or layer_roles(subject.net, image_size).maps
    examples = subject.examples(plan.split, plan.images, seed)
    strongest_map(subject.net, examples.image[0].to(subject.device), layer)  # a wrong layer is told before the work,
    boxed = on_boxes(subject, plan.boxes, plan.scored, seed) if plan.boxes else None  # and so is a wrong csv
    top = _top(subject, plan, layer, seed)
    rule = rule_of(subject.net, SplitPixels(subject.data, plan.split), layer, top)
    way = OcclusionSetup(subject, plan.split, layer, square, top, rule)
    yield from _shown(way, plan, examples)
    if subject.truth:
        sample = on_masks(subject, plan.split, plan.scored, seed)
        yield from localize(subject, sample, (layer, square), ("occlusion", "mask"))
    if boxed:
        yield from localize(subject, boxed, (layer, square), ("occlusion/boxes", "box"))


def _top(subject: Subject, plan: Occlude, layer: str, seed: int) -> Top9:
    """The strongest images of all maps of the layer, by one pass over as many images of the split as are searched."""
    index = subject.data.choose(plan.split, plan.searched or subject.data.size(plan.split), seed)
    return strongest(subject.net, subject.data, plan.split, [layer], index)[layer]


def _shown(way: OcclusionSetup, plan: Occlude, examples: Examples) -> Iterator[Result]:
    """The pictures, their table and two means."""
    names = _distinct(way.subject.data.names(plan.split, examples.index), examples.index.tolist())
    title = f"What happens where a gray square of {way.square.size} pixels covers the image"
    cases, rows, engines = [], [], {}
    for number, name in enumerate(track(names, "covering the images")):
        one = Examples(*(field[number] for field in examples))
        seen = look(way, one, plan.projections)
        cases.append(case(way, one, name, seen))
        rows.append(_row(way, one, name, seen))
        engines[seen.found.why] = _engine(seen)
        yield Arrays(f"occlusion/{name}", _arrays(way, seen))
    searched = f"the map's other top images are from {_among(plan, way.subject)}"
    if len(cases) > 1:
        caption = f"Fig. 7, {way.square.size} pixels moved by {way.square.stride}; {searched}"
        yield Picture("occlusion/figure7", figure(cases[:MOST], title), caption, layer=way.layer)
    caption = f"Images under a square of {way.square.size} pixels, followed in {way.layer}"
    caption += f"; {'; '.join(engines.values())}; projections by {way.rule.words}"
    yield Table("occlusion/images", rows, caption, layer=way.layer)
    yield from _means(rows)
    for name, one_case in zip(names, cases, strict=True):
        yield Picture(f"occlusion/{name}", picture(one_case, title), one_case.title, layer=way.layer)


def _row(way: OcclusionSetup, one: Examples, name: str, seen: OccludedImage) -> dict[str, Any]:
    """x, y: center of the square at its worst place. stays: share of places at which the class looked at is the most
    probable. r: correlation of activity and probability."""
    found, (row, col) = seen.found, seen.worst
    r = correlation(found.activity, found.probability)
    class_ = way.subject.classes[int(one.target)]
    known = way.subject.targets[int(one.label)] == int(one.target)
    return {
        "image": name,
        "class": class_ if known else f"{way.subject.data.classes[int(one.label)]}, seen as {class_}",
        "p": seen.probability,
        "lowest p": float(found.probability.min()),
        "x": float(way.centers[col]),
        "y": float(way.centers[row]),
        "stays": float((found.probable == int(one.target)).double().mean()),
        "map": seen.map,
        "r": r if np.isfinite(r) else None,
        "incremental": "yes" if found.incremental else "no",
    }


def _means(rows: Sequence[dict[str, Any]]) -> Iterator[Number]:
    known = [row["r"] for row in rows if row["r"] is not None]
    words = "Correlation over the places of the map's activity with the probability, mean over the images"
    if known:
        interval = mean_interval(known, most=1)
        yield Number("occlusion/correlation", interval.value, f"{words}: {interval}" if len(known) > 1 else words)
    lost = [row["p"] - row["lowest p"] for row in rows]
    yield Number("occlusion/lost", float(np.mean(lost)), "Probability lost at the worst place, mean over the images")


def _engine(seen: OccludedImage) -> str:
    if seen.found.incremental:
        return "only what the square can change is computed again"
    return f"every covered image goes through the whole net ({seen.found.why})"


def _arrays(way: OcclusionSetup, seen: OccludedImage) -> dict[str, Tensor]:
    found = seen.found
    arrays = {"probability": found.probability, "probable": found.probable, "activity": found.activity}
    arrays |= {} if seen.change is None else {"change": seen.change}
    arrays["centers"] = torch.from_numpy(way.centers)
    return {name: values.contiguous() for name, values in arrays.items()}


def _among(plan: Occlude, subject: Subject) -> str:
    count = subject.data.size(plan.split)
    return f"{min(count, plan.searched or count)} of the {count} images of {plan.split}"


def _distinct(names: Sequence[str], indices: Sequence[int]) -> list[str]:
    """Names that can be names of files: without suffix, with the index where two images share one."""
    plain = [re.sub(r"[^\w.-]+", "_", name.rsplit(".", 1)[0]) for name in names]
    return [name if plain.count(name) == 1 else f"{name}_{index}" for name, index in zip(plain, indices, strict=True)]
