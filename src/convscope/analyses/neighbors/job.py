"""job=neighbors: most probable classes, and the training images nearest in features (Krizhevsky et al. 2012, 6.1)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convscope.analyses.inputs import Inputs
from convscope.analyses.neighbors.about import NeighborsConfig
from convscope.analyses.neighbors.compute import (
    Nearest,
    chance_of_same_class,
    count_doubles,
    nearest_training_images,
    query_images,
    same_class,
)
from convscope.analyses.neighbors.figure import Answer, Bar, Neighbor, neighbors_sheet
from convscope.analyses.subject import Examples, Subject
from convscope.data.shared_passes import process
from convscope.engine.layers import layer_roles
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, hit_interval, in_percent
from convscope.plots.lettering import percent
from convscope.plots.tile import Tile
from convscope.runs.record import Conclusion, Number, Picture, Result, Table

ROWS = 10  # test images of one picture


def results(inputs: Inputs, config: NeighborsConfig) -> Iterator[Result]:
    """Opens the net and yields what job=neighbors finds."""
    return neighbors(inputs.subject(), config, inputs.seed)


def neighbors(subject: Subject, plan: NeighborsConfig, seed: int) -> Iterator[Result]:
    """Yields what came out, the pictures, a table of all neighbors, and how often a neighbor is of its image's class.

    Of several processes the first does. An image that is in both splits is its own neighbor; it is shown and
    counted. Raises UserError for an unknown layer or image, more neighbors than training images, and features that are
    not finite.
    """
    data = subject.data
    layer = plan.layer or layer_roles(subject.net, data.image_shape).last
    if plan.nearest > (count := data.size("train")):
        raise UserError(f"neighbors.nearest={plan.nearest} is more than the {count} training images; ask for fewer")
    examples = subject.examples("val", plan.images, seed)
    scored = data.choose("val", plan.scored or data.size("val"), seed)
    queries = query_images(subject, layer, torch.cat([examples.index, scored]).unique())
    nearest = nearest_training_images(subject, layer, queries.features, plan.nearest)
    if process().rank:
        return
    rows = torch.searchsorted(queries.index, examples.index)  # of the examples
    agreement = _agreement(subject, scored, nearest.of(torch.searchsorted(queries.index, scored)), seed)
    yield Conclusion("neighbors", in_words(layer, plan.nearest, agreement))
    yield from _pictures(subject, examples, queries.probability[rows], nearest.of(rows), layer)
    yield from _tables(subject, examples, queries.probability[rows], nearest.of(rows))
    yield from _numbers(agreement, plan.nearest)


def _pictures(
    subject: Subject, examples: Examples, probability: Tensor, nearest: Nearest, layer: str
) -> Iterator[Picture]:
    answers = [
        _answer(subject, Examples(*(field[row] for field in examples)), probability[row], nearest.of(row))
        for row in range(len(examples.index))
    ]
    parts = [answers[start : start + ROWS] for start in range(0, len(answers), ROWS)]
    for number, part in enumerate(parts, 1):
        caption = f"What the net takes validation images for, and the training images nearest to them in {layer}"
        caption += f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        name = "neighbors/nearest" if number == 1 else f"neighbors/nearest_{number}"
        sheet = neighbors_sheet(part, "Most probable classes and nearest images", layer)
        yield Picture(name, sheet, caption, layer=layer)


def _answer(subject: Subject, example: Examples, probability: Tensor, nearest: Nearest) -> Answer:
    """One row of the picture. example: the fields of a single image; probability [K]; nearest: [k]."""
    classes, label = subject.data.classes, int(example.label)
    target = subject.targets[label]
    best = probability.topk(min(5, len(probability)))
    bars = [
        Bar(subject.classes[number], share, number == target)
        for share, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
    labels = subject.data.labels("train", nearest.index).tolist()
    pixels = subject.data.pixels("train", nearest.index)
    tiles = [
        Neighbor(_tile(image), classes[of], distance, of == label, torch.equal(image, example.pixels))
        for image, of, distance in zip(pixels, labels, nearest.distance.tolist(), strict=True)
    ]
    return Answer(_tile(example.pixels), classes[label], bars, _note(bars, probability, target), tiles)


def _tile(pixels: Tensor) -> Tile:
    return pixels.permute(1, 2, 0).numpy()


def _note(bars: list[Bar], probability: Tensor, target: int) -> str:
    """The true class's place and probability, where no bar is of that class."""
    if target < 0:
        return "the net has no such class"
    if any(bar.true for bar in bars):
        return ""
    place = int((probability > probability[target]).sum()) + 1
    return f"true class: place {place}, {percent(float(probability[target]))}"


def _tables(subject: Subject, examples: Examples, probability: Tensor, nearest: Nearest) -> Iterator[Table]:
    data, images, pairs = subject.data, list[dict[str, Any]](), list[dict[str, Any]]()
    entries = zip(data.names("val", examples.index), examples.index.tolist(), examples.label.tolist(), strict=True)
    for row, (name, index, label) in enumerate(entries):
        best, (distance, neighbor_index) = probability[row].max(0), nearest.of(row)
        about = {"index": index, "class": data.classes[label], "predicted": subject.classes[int(best.indices)]}
        labels, distances = data.labels("train", neighbor_index).tolist(), distance.tolist()
        counts = {"same": labels.count(label), "nearest": distances[0], "farthest": distances[-1]}
        images.append({**about, "probability": float(best.values)} | counts)
        files = zip(data.names("train", neighbor_index), neighbor_index.tolist(), labels, distances, strict=True)
        for rank, (file, number, of, length) in enumerate(files, 1):
            neighbor = {"neighbor": file, "at": number, "shows": data.classes[of], "distance": length}
            pairs.append({"image": name, **about, "rank": rank, **neighbor})
    k = nearest.index.shape[1]
    caption = f"Validation images, and how many of their {k} neighbors are of their class"
    yield Table("neighbors/images", images, caption)
    yield Table("neighbors/nearest", pairs, "The nearest training images of each validation image, nearest first")


class ClassAgreement(NamedTuple):
    """How often a neighbor is of the image's class, and how often a training image drawn blindly would be.

    doubles: how many of the images are training images as well.
    """

    share: Interval
    chance: float
    doubles: int


def _agreement(subject: Subject, scored: Tensor, nearest: Nearest, seed: int) -> ClassAgreement:
    share = hit_interval(same_class(subject, scored, nearest).double().mean(1).numpy(), seed)
    doubles = count_doubles(subject, scored, nearest.index[:, 0])
    return ClassAgreement(share, chance_of_same_class(subject, scored), doubles)


def in_words(layer: str, k: int, agreement: ClassAgreement) -> str:
    """What came out: the share of neighbors that are of the image's class, beside that of images drawn blindly."""
    share, chance, doubles = agreement
    words = f"In {layer}, {in_percent(share)} of the {k} nearest training images are of the image's class"
    words += f" ({share.n} validation images; drawn blindly {100 * chance:.1f} % would be)"
    if share.low <= chance <= share.high:
        words += ": no more than by chance"
    note = f"; {doubles} of these images are training images as well, and their own neighbors" if doubles else ""
    return f"{words}{note}."


def _numbers(agreement: ClassAgreement, k: int) -> Iterator[Number]:
    mean, chance, doubles = agreement
    words = f"share of the {k} nearest training images that are of the image's class, over {mean.n} validation images"
    yield Number("neighbors/agreement", mean.value, words)
    yield Number("neighbors/agreement_low", mean.low, "lower end of its 95 % interval")
    yield Number("neighbors/agreement_high", mean.high, "upper end of its 95 % interval")
    yield Number("neighbors/chance", chance, "the same share for training images drawn blindly")
    words = f"of the {mean.n} validation images are also training images, so that they are their own neighbors"
    yield Number("neighbors/doubles", doubles, words)
