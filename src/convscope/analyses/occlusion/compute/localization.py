"""Does the position whose covering hurts most lie on the object? For images with masks or boxes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from convscope.analyses.occlusion.compute import Occluder, occlude, occluder_edges, strongest_map
from convscope.analyses.subject import Subject
from convscope.data.annotations import read_boxes
from convscope.data.classnames import class_numbers, readable
from convscope.data.module import SplitName
from convscope.data.sources import evenly
from convscope.engine.progress import track
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, mean_interval
from convscope.metrics.localization import (
    Inside,
    LocalizationHit,
    LocalizationRates,
    in_boxes,
    in_mask,
    localization_hit,
    localization_rates,
    pearson_correlation,
)

RIGHT, WRONG, UNKNOWN = "correctly classified", "misclassified", "class unknown to the net"
ALL = "all"


class Sample(NamedTuple):
    """n images whose object is annotated.

    image [n, 3, S, S]; target [n]: class whose probability is followed; inside: whether a point is on the object;
    group: RIGHT, WRONG, or UNKNOWN, where the target is the most probable class. note: on the choice of the images.
    """

    image: Tensor
    target: Tensor
    inside: list[Inside]
    group: list[str]
    note: str


class GroupRates(NamedTuple):
    """Rates of a group of images, and the mean of Pearson's correlation of activity and probability, None without."""

    images: int
    rates: LocalizationRates
    correlation: Interval | None


class Located(NamedTuple):
    """Rates of how often the worst position is on the object, by group of images; no group without images.

    name: the start of the results' names. annotation: of the object, "mask" or "box". note: on the choice of images.
    """

    name: str
    annotation: str
    groups: dict[str, GroupRates]
    note: str


def located_objects(net: nn.Module, sample: Sample, watched: tuple[str, Occluder], words: tuple[str, str]) -> Located:
    """The rates of this sample. watched: the layer and the square. words: name and annotation."""
    return Located(*words, localize(net, sample, *watched) if len(sample.image) else {}, sample.note)


def localize(net: nn.Module, sample: Sample, layer: str, occluder: Occluder) -> dict[str, GroupRates]:
    """Covers every position of all images of the sample; watched is the strongest map of the layer.

    The rates of each group of the sample, and those of ALL images.
    """
    device, size = next(net.parameters()).device, sample.image.shape[-1]
    centers = np.array(occluder_edges(size, occluder)) + occluder.size / 2
    hits, correlations = list[LocalizationHit](), list[float]()
    for number in track(range(len(sample.image)), "covering the images whose object is known"):
        image = sample.image[number].to(device)
        map_ = strongest_map(net, image, layer)
        occluded = occlude(net, image, layer, map_, int(sample.target[number]), occluder)
        hits.append(localization_hit(occluded.probability, centers, size, sample.inside[number]))
        correlations.append(pearson_correlation(occluded.activity, occluded.probability))
    groups = {}
    for group in (*sorted(set(sample.group), key=[RIGHT, WRONG, UNKNOWN].index), ALL):
        members = [number for number, of in enumerate(sample.group) if group in (of, ALL)]
        finite = [correlations[number] for number in members if np.isfinite(correlations[number])]
        mean = mean_interval(finite, bounds=(-1, 1)) if finite else None
        groups[group] = GroupRates(len(members), localization_rates([hits[number] for number in members]), mean)
    return groups


def sample_with_masks(subject: Subject, split: SplitName, count: int, seed: int) -> Sample:
    """The correctly classified ones of `count` drawn images, whose masks are known."""
    assert subject.truth
    examples = subject.examples(split, count, seed)
    in_net = torch.tensor(subject.targets)[examples.label] == examples.target
    right = in_net & (_predicted(subject, examples.image) == examples.target)
    chosen = right.nonzero()[:, 0]
    masks = subject.truth(split, examples.index[chosen].tolist()).masks if len(chosen) else ()
    note = f"{len(right)} images of {split}, the {len(right) - len(chosen)} misclassified ones left out"
    insides = [in_mask(mask) for mask in masks]
    return Sample(examples.image[chosen], examples.target[chosen], insides, [RIGHT] * len(chosen), note)


def sample_with_boxes(subject: Subject, csv: str, count: int, seed: int) -> Sample:
    """At most `count` images of a csv of boxes, evenly over their folders; an image's boxes count as one object.

    A folder stands for the net's class of that name, or for the class whose id data/classnames.py maps to it.
    """
    settings = subject.data.settings
    boxes = read_boxes(csv, settings.image_size, settings.stored)
    annotated = list(dict.fromkeys(boxes.paths))
    folders = sorted({path.parent.name for path in annotated})
    chosen = evenly(np.array([folders.index(path.parent.name) for path in annotated]), count, seed)
    paths = [annotated[number] for number in chosen]
    image, target = subject.data.read(paths)[0], _classes_of_folders(subject, csv, paths)
    predicted = _predicted(subject, image)
    group = _groups(target, predicted)
    counts = [
        (len(paths) - group.count(UNKNOWN), "with their true class looked at"),
        (group.count(UNKNOWN), "with the most probable one, as their folder names no class of the net"),
        (len(annotated) - len(paths), "beyond occlude.scored left out"),
        (boxes.cut_away, f"{'box' if boxes.cut_away == 1 else 'boxes'} cut away by the center crop"),
    ]
    note = ", ".join(f"{number} {words}" for number, words in counts if number)
    insides = [in_boxes(boxes.boxes[[box_path == path for box_path in boxes.paths]]) for path in paths]
    return Sample(image, target.where(target >= 0, predicted), insides, group, note)


def sample_of_boxes(subject: Subject, split: SplitName, boxes: ArrayLike, count: int, seed: int) -> Sample:
    """At most `count` images of the split that have a box. boxes: x0, y0, x1, y1 of each image [N, 4] in pixels of the
    net's input, nan for none. Raises UserError for boxes of another shape, and for none at all.
    """
    total = subject.data.size(split)
    try:
        corners = np.asarray(boxes, float)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.shape != (total, 4):
        raise UserError(f"boxes: they are no [{total}, 4] numbers: x0, y0, x1, y1 for each of the {total} images")
    boxed = np.flatnonzero(np.isfinite(corners).all(1))
    if not len(boxed):
        raise UserError(f"boxes: none of the {total} images has a box")
    chosen = boxed[evenly(subject.data.labels(split, boxed.tolist()).numpy(), count, seed)]
    examples = subject.examples(split, chosen.tolist())
    true_class = torch.tensor(subject.targets)[examples.label]
    predicted = _predicted(subject, examples.image)
    group = _groups(true_class, predicted)
    note = f"{len(chosen)} of the {len(boxed)} images of {split} that have a box"
    return Sample(examples.image, examples.target, [in_boxes(corners[place]) for place in chosen], group, note)


def _classes_of_folders(subject: Subject, csv: str, paths: list[Path]) -> Tensor:
    """The net's class that each file's folder names, -1 where it names none."""
    folders = sorted({path.parent.name for path in paths})
    numbers = class_numbers(
        readable(folders, Path(csv).parent), folders, subject.classes, subject.wnids, subject.folders
    )
    return torch.tensor([numbers[folders.index(path.parent.name)] for path in paths])


def _groups(true_class: Tensor, predicted: Tensor) -> list[str]:
    """The group of each image. true_class: the net's, below 0 where it is unknown."""
    return [
        UNKNOWN if number < 0 else RIGHT if number == guess else WRONG
        for number, guess in zip(true_class.tolist(), predicted.tolist(), strict=True)
    ]


def _predicted(subject: Subject, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([subject.net(part.to(subject.device)).argmax(1).cpu() for part in images.split(64)])
