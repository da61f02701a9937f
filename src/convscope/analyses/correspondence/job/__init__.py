"""job=correspond: the same part of several images covered; do their features change alike (section 4.3, Table 1)?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.analyses.correspondence.compute import check_side, correspondence, cover_parts
from convscope.analyses.correspondence.figure import Course, Figure, Row, by_layer, covered_grid
from convscope.analyses.correspondence.job.table1 import (
    MEAN,
    MEASURES,
    RANDOM,
    TOGETHER,
    Correspond,
    all_masks,
    differences,
    every_layer,
    layer_rows,
    marked_images,
    table_1,
)
from convscope.analyses.subject import Subject
from convscope.data.part_annotations import ImagesWithParts
from convscope.engine.hidden_layers import hidden
from convscope.engine.progress import track
from convscope.engine.trace import no_layer
from convscope.errors import UserError
from convscope.runs.record import Arrays, Picture, Result, Table

SHOWN = 8  # images in the picture


def correspond(subject: Subject, plan: Correspond, seed: int) -> Iterator[Result]:
    """Yields Fig. 8, Table 1 for the layers that stand for the paper's 5 and 7, every layer's numbers and a plot."""
    size = subject.data.settings.image_size
    check_side(plan.side(size), size)
    paper = hidden(subject.net, size)
    layers = plan.layers or every_layer(subject.net, size)
    if unknown := [layer for layer in layers if layer not in dict(subject.net.named_modules())]:
        raise UserError(no_layer(unknown[0], every_layer(subject.net, size)))
    marked = marked_images(subject, plan, seed)
    masks, groups = all_masks(marked, plan, size, seed)
    words = f"A square of {plan.side(size)} pixels over each part, and one at random, as the net sees them (Fig. 8)"
    yield Picture("correspondence/covered", _covered(subject, marked, plan, masks), words)
    covering = track(masks, f"covering parts of {len(marked.names)} images")
    pairs = correspondence(subject.net, marked.image, covering, layers, plan.value)
    rows = [row for layer in track(layers, "intervals by layer") for row in layer_rows(layer, pairs[layer], groups)]
    yield from table_1(rows, {5: paper.maps, 7: paper.last}, len(marked.names))
    yield Table("correspondence/layers", rows, "Share of features whose change differs in sign, by layer and part")
    for baseline in track((RANDOM, TOGETHER), "intervals of the differences"):
        yield from differences(pairs, groups, baseline, (paper.maps, paper.last))
    words = f"Parts against random places, mean over pairs of {len(marked.names)} images with 95 % intervals"
    yield Picture("correspondence/by_layer", _plot(rows, layers), f"{words}; lower: they correspond more", plot=True)
    counts = {f"{layer}.{kind}": getattr(pairs[layer], kind) for layer in layers for kind in ("differ", "changed")}
    tensors = {name: torch.from_numpy(values) for name, values in counts.items()}
    yield Arrays("correspondence/pairs", {"masks": masks.contiguous(), **tensors})


def _covered(subject: Subject, marked: ImagesWithParts, plan: Correspond, masks: Tensor) -> Image.Image:
    """Fig. 8: the first images, each part of theirs covered as the net sees it, and one random place."""
    scale = torch.as_tensor(subject.data.settings.pixel_scale).view(-1, 1, 1)
    image, columns = marked.image[:SHOWN], [marked.pixels[:SHOWN].float()]
    for boxes in masks[: len(marked.parts) + 1, :SHOWN]:
        change = (cover_parts(image, boxes, plan.value) - image) / scale  # the mean image is in neither, and so stays
        columns.append(columns[0] + change)
    tiles = torch.stack(columns, 1).round().clamp(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()
    rows = [Row(name, list(line)) for name, line in zip(marked.names, tiles, strict=False)]
    return covered_grid(rows, ["the image", *marked.parts, "a random place"], "What is covered")


def _plot(rows: Sequence[Mapping[str, Any]], layers: Sequence[str]) -> Figure:
    sides = {}
    for measure, counted in MEASURES.items():
        courses = []
        for group, label in ((MEAN, "parts"), (RANDOM, RANDOM), (TOGETHER, TOGETHER)):
            mine = [row for row in rows if row["covered"] == group]
            courses.append(Course(label, *([row[f"{measure}{end}"] for row in mine] for end in ("", "_low", "_high"))))
        sides[counted[0].upper() + counted[1:]] = courses
    return by_layer(layers, sides, "How often two images' features change in different directions")
