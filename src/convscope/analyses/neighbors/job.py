"""job=neighbors: most probable classes and the training images that a net finds alike (Krizhevsky et al. 2012, 6.1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convscope.analyses.neighbors.compute import Nearest, enter_neighbors, no_neighbors
from convscope.analyses.neighbors.figure import Answer, Bar, Neighbor, neighbors_sheet, percent
from convscope.analyses.subject import Examples, Subject
from convscope.engine.features import features
from convscope.engine.hidden_layers import hidden
from convscope.engine.progress import track
from convscope.errors import UserError
from convscope.metrics.intervals import hit_interval
from convscope.plots.tile import Tile
from convscope.runs.record import Number, Picture, Result, Table

ROWS = 10  # test images of one picture


@dataclass(frozen=True)
class Neighbors:
    """conf/job/neighbors. images: how many validation images are asked about, or which. scored: None: all."""

    images: int | list[int] = 8
    nearest: int = 6
    layer: str | None = None
    scored: int | None = 200

    def __post_init__(self) -> None:
        if self.nearest < 1:
            raise UserError(f"neighbors.nearest={self.nearest} asks for no images; it is 1 or more")
        if self.scored is not None and self.scored < 1:
            raise UserError(f"neighbors.scored={self.scored} is too small; it is 1 or more, or null for all images")


class Asked(NamedTuple):
    """Validation images index [Q], their features [Q, D] on the net's device, and probabilities [Q, K]."""

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    features: Tensor
    probable: Tensor


def neighbors(subject: Subject, plan: Neighbors, seed: int) -> Iterator[Result]:
    """Yields the pictures, a table of all neighbors, and how often a neighbor is of its image's class.

    An image that is in both splits is its own neighbor; it is shown and counted. Raises UserError for an unknown
    layer or image, more neighbors than training images, and features that are not numbers.
    """
    data, net = subject.data, subject.net
    layer = plan.layer or hidden(net, data.settings.image_size).last
    if plan.nearest > (count := data.size("train")):
        raise UserError(f"neighbors.nearest={plan.nearest} is more than the {count} training images; ask for fewer")
    shown = subject.examples("val", plan.images, seed)
    scored = data.choose("val", plan.scored or data.size("val"), seed)
    asked = _asked(subject, layer, torch.cat([shown.index, scored]).unique())
    found = _search(subject, layer, asked.features, plan.nearest)
    rows = torch.searchsorted(asked.index, shown.index)  # of the shown images
    one = Nearest(*(field[rows] for field in found))
    yield from _pictures(subject, shown, asked.probable[rows], one, layer)
    yield from _tables(subject, shown, asked.probable[rows], one)
    rows = torch.searchsorted(asked.index, scored)
    yield from _agreement(subject, scored, Nearest(*(field[rows] for field in found)), seed)


def _asked(subject: Subject, layer: str, index: Tensor) -> Asked:
    vectors, probable = [], []
    for part in track(index.split(64), "features of the test images"):
        seen = features(subject.net, subject.data.images("val", part), [layer], _vector)
        vectors.append(_finite(seen.layers[layer], layer))
        probable.append(seen.logits.float().softmax(1).cpu())
    return Asked(index, torch.cat(vectors), torch.cat(probable))


def _search(subject: Subject, layer: str, queries: Tensor, k: int) -> Nearest:
    """One pass over the training images, none of whose features is kept."""
    found = no_neighbors(len(queries), k)
    for batch in track(subject.data.ordered_dataloader("train"), f"nearest training images in {layer}"):
        seen = features(subject.net, batch.image, [layer], _vector).layers[layer]
        found = enter_neighbors(found, queries, _finite(seen, layer), batch.index)
    return found


def _vector(output: Tensor) -> Tensor:
    return output.flatten(1).clone()


def _finite(values: Tensor, layer: str) -> Tensor:
    if not values.isfinite().all():
        raise UserError(f"layer {layer} puts out values that are not finite, so nothing is near; choose another net")
    return values


def _pictures(subject: Subject, shown: Examples, probable: Tensor, found: Nearest, layer: str) -> Iterator[Picture]:
    answers = [
        _answer(subject, Examples(*(field[row] for field in shown)), probable[row], Nearest(*(f[row] for f in found)))
        for row in range(len(shown.index))
    ]
    parts = [answers[start : start + ROWS] for start in range(0, len(answers), ROWS)]
    for number, part in enumerate(parts, 1):
        caption = f"What the net takes validation images for, and the training images nearest to them in {layer}"
        caption += f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        name = "neighbors/nearest" if number == 1 else f"neighbors/nearest_{number}"
        sheet = neighbors_sheet(part, "Most probable classes and nearest images", layer)
        yield Picture(name, sheet, caption, layer=layer)


def _answer(subject: Subject, one: Examples, probable: Tensor, found: Nearest) -> Answer:
    """One row of the picture. one: the fields of a single image; probable [K]; found [k]."""
    classes, target = subject.data.classes, subject.targets[int(one.label)]
    best = probable.topk(min(5, len(probable)))
    bars = [
        Bar(subject.classes[number], share, number == target)
        for share, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
    labels = subject.data.labels("train", found.index).tolist()
    pixels = subject.data.pixels("train", found.index)
    nearest = [
        Neighbor(_tile(image), classes[label], distance, label == int(one.label), torch.equal(image, one.pixels))
        for image, label, distance in zip(pixels, labels, found.distance.tolist(), strict=True)
    ]
    return Answer(_tile(one.pixels), classes[int(one.label)], bars, _note(bars, probable, target), nearest)


def _tile(pixels: Tensor) -> Tile:
    return pixels.permute(1, 2, 0).numpy()


def _note(bars: list[Bar], probable: Tensor, target: int) -> str:
    """What the bars do not tell of the true class."""
    if target < 0:
        return "the net has no such class"
    if any(bar.true for bar in bars):
        return ""
    place = int((probable > probable[target]).sum()) + 1
    return f"true class: place {place}, {percent(float(probable[target]))}"


def _tables(subject: Subject, shown: Examples, probable: Tensor, found: Nearest) -> Iterator[Table]:
    data, images, pairs = subject.data, list[dict[str, Any]](), list[dict[str, Any]]()
    names = data.names("val", shown.index)
    for row, (name, index, label) in enumerate(zip(names, shown.index.tolist(), shown.label.tolist(), strict=True)):
        best, near = probable[row].max(0), found.index[row]
        said = subject.classes[int(best.indices)]
        about = {"index": index, "class": data.classes[label], "predicted": said}
        labels, distances = data.labels("train", near).tolist(), found.distance[row].tolist()
        counts = {"same": labels.count(label), "nearest": distances[0], "farthest": distances[-1]}
        images.append({**about, "probability": float(best.values)} | counts)
        files = zip(data.names("train", near), near.tolist(), labels, distances, strict=True)
        pairs += [
            {
                "image": name,
                **about,
                "rank": rank,
                "neighbor": file,
                "at": number,
                "shows": data.classes[of],
                "distance": distance,
            }
            for rank, (file, number, of, distance) in enumerate(files, 1)
        ]
    k = found.index.shape[1]
    yield Table(
        "neighbors/images", images, f"Validation images, and how many of their {k} neighbors are of their class"
    )
    yield Table("neighbors/nearest", pairs, "The nearest training images of each validation image, nearest first")


def _agreement(subject: Subject, scored: Tensor, found: Nearest, seed: int) -> Iterator[Number]:
    """How often a neighbor is of the image's class, and how often a training image drawn blindly would be."""
    labels, k = subject.data.labels("val", scored), found.index.shape[1]
    same = subject.data.labels("train", found.index.flatten()).view_as(found.index) == labels[:, None]
    mean = hit_interval(same.double().mean(1).numpy(), seed)
    words = f"share of the {k} nearest training images that are of the image's class, over {mean.n} validation images"
    yield Number("neighbors/agreement", mean.value, words)
    yield Number("neighbors/agreement_low", mean.low, "lower end of its 95 % interval")
    yield Number("neighbors/agreement_high", mean.high, "upper end of its 95 % interval")
    whole = subject.data.labels("train", range(subject.data.size("train")))
    shares = whole.bincount(minlength=len(subject.data.classes)).double() / len(whole)
    yield Number("neighbors/chance", float(shares[labels].mean()), "the same share for training images drawn blindly")
    words = f"of the {mean.n} validation images are also training images, so that they are their own neighbors"
    yield Number("neighbors/doubles", _doubles(subject, scored, found.index[:, 0]), words)


def _doubles(subject: Subject, index: Tensor, nearest: Tensor) -> int:
    """How many images are their nearest neighbor, pixel for pixel; distances differ a little with the batch."""
    pairs = zip(index.split(64), nearest.split(64), strict=True)
    both = ((subject.data.pixels("val", some), subject.data.pixels("train", near)) for some, near in pairs)
    return sum(int((one == other).flatten(1).all(1).sum()) for one, other in both)
