"""job=invariance: images shifted, enlarged and turned, and how far a net's features move (section 4.1, Fig. 5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from convscope.analyses.invariance.compute import Sweep, joined, strangers, sweep, tolerances
from convscope.analyses.invariance.compute.warp import FILLS, Fill, Transform, paper_transforms
from convscope.analyses.invariance.figure import Panel, Row, invariance_figure
from convscope.analyses.invariance.job.tolerance import (
    MeasuredTolerance,
    curves,
    difference_table,
    numbers,
    tensors,
    tolerance_table,
)
from convscope.analyses.subject import Examples, Subject
from convscope.engine.layer_roles import layer_roles
from convscope.engine.progress import track
from convscope.engine.trace import unknown_layer_message
from convscope.errors import UserError
from convscope.runs.record import Arrays, Picture, Result, Table

FEW = 16  # images between two steps of the progress bar
PICTURES = 5  # of an image under one transform, in the figure
GRAY = 128  # the grey level that stands for the mean where pictures are shown
AXES = {
    "translation": "vertical translation, pixels down",
    "scale": "scale, fold",
    "rotation": "rotation, degrees counter-clockwise",
}


@dataclass(frozen=True)
class Invariance:
    """conf/job/invariance.yaml. Raises UserError for a split or fill that there is not, and for no layers."""

    images: int | list[int]
    scored: int
    split: Literal["val", "train"]
    layers: list[str] | None
    fill: Fill

    def __post_init__(self) -> None:
        if self.split not in ("val", "train"):
            raise UserError(f"invariance.split={self.split} is unknown; possible: val, train")
        if self.fill not in FILLS:
            raise UserError(f"invariance.fill={self.fill} is unknown; possible: {', '.join(FILLS)}")
        if self.layers is not None and not self.layers:
            raise UserError("invariance.layers=[] names no layer; leave it out for the first and the last hidden layer")

    def chosen(self, net: nn.Module, image_size: int) -> list[str]:
        """The layers in the net's order. Raises UserError for one that is not there."""
        if self.layers is None:
            paper = layer_roles(net, image_size)
            return list(dict.fromkeys([paper.first, paper.last]))
        known = [name for name, _ in net.named_modules() if name]
        if unknown := [layer for layer in self.layers if layer not in known]:
            raise UserError(unknown_layer_message(unknown[0], known))
        return [name for name in known if name in self.layers]


def invariance(subject: Subject, plan: Invariance, seed: int) -> Iterator[Result]:
    """Yields Fig. 5 of this net, tables of how much each layer tolerates, and its highest layer against its lowest."""
    size = subject.data.settings.image_size
    layers = plan.chosen(subject.net, size)
    examples = subject.examples(plan.split, plan.images, seed)
    scored = subject.examples(plan.split, plan.scored, seed)
    others = strangers(subject.net, scored.image, layers)
    found = []
    for transform in paper_transforms(size):
        swept = _swept(subject.net, scored, layers, transform, plan.fill)
        shown = _swept(subject.net, examples, layers, transform, plan.fill)
        found.append(MeasuredTolerance(swept, shown, others, tolerances(swept, others)))
    yield _picture(subject, examples, found, plan.fill)
    yield tolerance_table(found)
    if len(layers) > 1:
        yield difference_table(found)
    yield Table("invariance/curves", curves(found), "Means over the images, for each value of each transform")
    for one in found:
        yield from numbers(one)
    yield Arrays("invariance/sweeps", tensors(found) | {"images": scored.index})


def _swept(net: nn.Module, images: Examples, layers: Sequence[str], transform: Transform, fill: Fill) -> Sweep:
    parts = list(zip(images.image.split(FEW), images.target.split(FEW), strict=True))
    watched = track(parts, f"{transform.name} of {len(images.index)} images")
    return joined([sweep(net, image, target, layers, transform, fill) for image, target in watched])


def _picture(subject: Subject, examples: Examples, found: Sequence[MeasuredTolerance], fill: Fill) -> Picture:
    names = [subject.classes[target] for target in examples.target.tolist()]
    count = len(found[0].scored.probability)
    note = (
        f"thin: {len(names)} examples, numbered as in the pictures; thick and shaded: mean and middle 80 % of {count} "
        f"images; others: mean distance between different images; what comes in from outside: {fill}"
    )
    rows = [_row(one, examples, fill) for one in found]
    figure = invariance_figure(rows, names, "How far do features move when the image does?", note)
    caption = (
        "Images shifted, enlarged and turned (Fig. 5). Distance: Euclidean, of a layer's features from those of the "
        "unchanged image. The paper finds that small changes matter much in its first layer and little in its "
        "seventh, where distance grows about in proportion to shift and scale, and that rotation is not tolerated. The "
        "class is the true one, or the net's own choice where it does not know that class."
    )
    return Picture("invariance/curves", figure, caption, plot=True)


def _row(one: MeasuredTolerance, examples: Examples, fill: Fill) -> Row:
    """One row of the figure: pictures at a few values, a panel for each layer, one for the class."""
    transform = one.scored.transform
    chosen = np.linspace(0, len(transform.values) - 1, PICTURES).round().astype(int)
    shown = [transform.values[number] for number in chosen]
    centered = examples.pixels.float() - GRAY
    moved = torch.stack([transform.apply(centered, value, fill) for value in shown], 1) + GRAY
    tiles = moved.round().clamp(0, 255).byte().permute(0, 1, 3, 4, 2).numpy()  # [e, PICTURES, H, W, 3]
    panels = [
        Panel(
            f"Distance, {layer}", one.examples.distance[layer].numpy(), every.numpy(), float(one.others[layer].mean())
        )
        for layer, every in one.scored.distance.items()
    ]
    panels.append(Panel("Probability of the class", one.examples.probability.numpy(), one.scored.probability.numpy()))
    labels = [f"{value:g}" for value in shown]
    return Row(AXES[transform.name], one.scored.values.numpy(), labels, tiles, panels)
