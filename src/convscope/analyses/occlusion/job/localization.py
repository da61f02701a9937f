"""Where covering hurts most, held against where the object is: the part of job=occlude that knows the truth."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from convscope.analyses.occlusion.compute import Occluder, occlude, places, strongest_map
from convscope.analyses.subject import Subject
from convscope.data.annotations import read_boxes
from convscope.data.classnames import class_numbers, readable
from convscope.data.module import SplitName
from convscope.data.sources import evenly
from convscope.engine.progress import track
from convscope.metrics.intervals import Interval, mean_interval
from convscope.metrics.localization import (
    Inside,
    LocalizationHit,
    in_boxes,
    in_mask,
    localization_hit,
    localization_rates,
    pearson_correlation,
)
from convscope.runs.record import Number, Table

RIGHT, WRONG, UNKNOWN = "correctly classified", "misclassified", "class unknown to the net"
COLUMNS = "object", "images", "n", "what", "value", "low", "high"


class Sample(NamedTuple):
    """n images whose object is known. image [n, 3, S, S]; target [n]: class that is looked at; inside: whether a point
    is on the object; group: RIGHT, WRONG, or UNKNOWN, where the target is the most probable class. note: of the choice.
    """

    image: Tensor
    target: Tensor
    inside: list[Inside]
    group: list[str]
    note: str


class Measured(NamedTuple):
    """Of n images: where covering hurts most, and Pearson's correlation of activity and probability."""

    hits: list[LocalizationHit]
    correlation: list[float]


def localize(
    subject: Subject, sample: Sample, way: tuple[str, Occluder], about: tuple[str, str]
) -> Iterator[Table | Number]:
    """How often the place of the lowest probability is on the object. about: first words of the names; the object."""
    name, thing = about
    if not len(sample.image):
        yield Number(f"{name}/scored", 0, f"No image could be held against its {thing}: {sample.note}")
        return
    found = _measured(subject.net, sample, *way)
    rows = []
    for group in dict.fromkeys([*sorted(set(sample.group), key=[RIGHT, WRONG, UNKNOWN].index), "all"]):
        chosen = [number for number, each in enumerate(sample.group) if group in (each, "all")]
        if group != "all" or len(set(sample.group)) > 1:
            rows += _rows(thing, group, _part(found, chosen))
    whole = localization_rates(found.hits)
    caption = (
        f"The place where covering lowers the probability of the class most: is it on the object? {len(found.hits)} "
        f"images, object from its {thing}; {sample.note}"
    )
    yield Table(f"{name}/localization", rows, caption)
    yield Number(
        f"{name}/hit_rate",
        whole.lowest.value,
        f"The worst place lies on the object, by its {thing}: {_words(whole.lowest)}",
    )
    yield Number(f"{name}/center_rate", whole.center.value, f"The image's center lies on it: {_words(whole.center)}")
    yield Number(f"{name}/random_rate", whole.anywhere.value, f"A place at random lies on it: {_words(whole.anywhere)}")
    yield Number(f"{name}/scored", len(found.hits), "Images that these shares are of")


def on_masks(subject: Subject, split: SplitName, count: int, seed: int) -> Sample:
    """So many drawn images, of them those that the net classifies correctly."""
    assert subject.truth
    found = subject.examples(split, count, seed)
    known = torch.tensor(subject.targets)[found.label] == found.target
    right = known & (_probable(subject, found.image) == found.target)
    chosen = right.nonzero()[:, 0]
    masks = subject.truth(split, found.index[chosen].tolist()).masks if len(chosen) else ()
    note = f"{len(right)} images of {split}, the {len(right) - len(chosen)} misclassified ones left out"
    insides = [in_mask(mask) for mask in masks]
    return Sample(found.image[chosen], found.target[chosen], insides, [RIGHT] * len(chosen), note)


def on_boxes(subject: Subject, csv: str, count: int, seed: int) -> Sample:
    """At most so many images of a csv of boxes, evenly over their folders; an image's boxes count as one object.

    A folder is a class of the net where it has its name, or an id that data/classnames.py knows.
    """
    images = subject.data.settings
    boxes = read_boxes(csv, images.image_size, images.stored)
    every = list(dict.fromkeys(boxes.paths))
    folders = sorted({path.parent.name for path in every})
    chosen = evenly(np.array([folders.index(path.parent.name) for path in every]), count, seed)
    paths = [every[place] for place in chosen]
    image, target = subject.data.read(paths)[0], _classes(subject, csv, paths)
    probable = _probable(subject, image)
    group = [
        UNKNOWN if wanted < 0 else RIGHT if wanted == seen else WRONG
        for wanted, seen in zip(target.tolist(), probable.tolist(), strict=True)
    ]
    told = [
        (len(paths) - group.count(UNKNOWN), "with their true class looked at"),
        (group.count(UNKNOWN), "with the most probable one, as their folder names no class of the net"),
        (len(every) - len(paths), "images beyond occlude.scored left out"),
        (boxes.cut_away, "boxes cut away by the center crop"),
    ]
    note = ", ".join(f"{number} {words}" for number, words in told if number)
    insides = [in_boxes(boxes.boxes[[own == path for own in boxes.paths]]) for path in paths]
    return Sample(image, target.where(target >= 0, probable), insides, group, note)


def _classes(subject: Subject, csv: str, paths: list[Path]) -> Tensor:
    """The net's class that each file's folder names, -1 where it is none."""
    folders = sorted({path.parent.name for path in paths})
    numbers = class_numbers(readable(folders, Path(csv).parent), folders, subject.classes, subject.wnids)
    return torch.tensor([numbers[folders.index(path.parent.name)] for path in paths])


def _measured(net: nn.Module, sample: Sample, layer: str, square: Occluder) -> Measured:
    device, size = next(net.parameters()).device, sample.image.shape[-1]
    centers = np.array(places(size, square)) + square.size / 2
    found = Measured([], [])
    for number in track(range(len(sample.image)), "covering the images whose object is known"):
        image = sample.image[number].to(device)
        seen = occlude(net, image, layer, strongest_map(net, image, layer), int(sample.target[number]), square)
        found.hits.append(localization_hit(seen.probability, centers, size, sample.inside[number]))
        found.correlation.append(pearson_correlation(seen.activity, seen.probability))
    return found


def _part(found: Measured, chosen: list[int]) -> Measured:
    return Measured([found.hits[number] for number in chosen], [found.correlation[number] for number in chosen])


def _rows(thing: str, group: str, found: Measured) -> list[dict[str, object]]:
    whole = localization_rates(found.hits)
    known = [value for value in found.correlation if np.isfinite(value)]
    lines: dict[str, Interval] = {
        "share with the worst place on the object": whole.lowest,
        "share with the image's center on it": whole.center,
        "share expected of a place at random": whole.anywhere,
        "worst place minus center": whole.gain,
        "probability lost on rather than off the object": whole.drop,
    }
    if known:
        lines["correlation of the map's activity with it"] = mean_interval(known, bound=1)
    start = thing, group, len(found.hits)
    return [
        dict(zip(COLUMNS, (*start, what, each.value, _end(each.low), _end(each.high)), strict=True))
        for what, each in lines.items()
    ]


def _end(value: float) -> float | None:
    """An interval's end; None for one image, which has no interval."""
    return value if np.isfinite(value) else None


def _probable(subject: Subject, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([subject.net(part.to(subject.device)).argmax(1).cpu() for part in images.split(64)])


def _words(found: Interval) -> str:
    if found.n < 2:
        return f"{100 * found.value:.0f} % of one image"
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"
