"""Parts of a subject's images (section 4.3): which are covered where, and Table 1 with intervals."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from convscope.analyses.correspondence.compute import Pairs, random_squares, squares
from convscope.analyses.subject import Subject
from convscope.data.part_annotations import ImagesWithParts, critters_with_parts, photographs_with_parts
from convscope.engine.blocks import default_layers
from convscope.engine.hidden_layers import hidden
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, agreement, difference
from convscope.metrics.papers import paper as printed
from convscope.models.build import ConvNet
from convscope.models.rows import Conv, Full
from convscope.runs.record import Number, Result, Table

NOTHING = 1e-9  # a difference of shares that is only rounding
MEAN, RANDOM, TOGETHER = "mean of the parts", "random", "same place"
BASELINES = {RANDOM: "random places, others in each image", TOGETHER: "random places, the same in all images"}
BASELINE_NAMES = {RANDOM: "random_places", TOGETHER: "same_place"}  # of their tables
MEASURES = {  # properties of look.correspondence.Pairs, and what they count; the first is the paper's
    "distance": "of all features (the paper's)",
    "distance_of_changed": "of those changed in either image",
    "opposite": "of those changed in both (chance: 0.5)",
}


@dataclass(frozen=True)
class Correspond:
    """conf/job/correspond.yaml: which images, parts and layers, and what covers them."""

    images: int | list[int] | None = 5
    split: Literal["train", "val"] = "val"
    parts: str | None = None
    only: dict[str, Any] | None = None
    layers: list[str] | None = None
    mask: int | None = None
    value: float = 0.0
    random: int = 20

    def __post_init__(self) -> None:
        if self.split not in ("train", "val"):
            raise UserError(f"correspond.split={self.split} is unknown; possible: train, val")
        count = len(set(self.images)) if isinstance(self.images, list) else self.images
        if count is not None and count < 2:
            raise UserError(f"correspond.images={self.images}: two or more are needed, because it is two that agree")
        if isinstance(self.images, list) and count != len(self.images):
            raise UserError(
                f"correspond.images={self.images} names an image twice, which agrees with itself; name each once"
            )
        if self.random < 1:
            raise UserError(f"correspond.random={self.random} leaves nothing to compare with; 1 or more, e.g. 20")
        if self.layers is not None and not self.layers:
            raise UserError("correspond.layers=[] names no layer; leave it out for every layer")

    def side(self, image_size: int) -> int:
        """Pixels of the square that covers."""
        return round(image_size / 7) if self.mask is None else self.mask


def every_layer(net: nn.Module, image_size: int) -> list[str]:
    """Convolutions and full rows of a row net; of another net at most five convolutions and the paper's layers."""
    if isinstance(net, ConvNet):
        return [name for name, row in net.rows.items() if isinstance(row, Conv | Full)]
    wanted = {*default_layers(net, image_size), *hidden(net, image_size)}
    return [name for name, _ in net.named_modules() if name in wanted]


def marked_images(subject: Subject, plan: Correspond, seed: int) -> ImagesWithParts:
    """Images that show all their parts: of the csv plan.parts, else critters, whose parts are known.

    UserError: else.
    """
    if plan.parts is not None:
        return photographs_with_parts(subject.data, plan.parts, plan.only or {}, plan.images, seed)
    if subject.truth is None:
        raise UserError(
            "where the parts of these photographs are is not known; type correspond.parts=<csv with columns "
            "path,part,x,y or path,<part>_x,<part>_y>, or look at drawn animals: data=critters"
        )
    return critters_with_parts(subject.data, subject.truth, plan.split, plan.images, seed)


def all_masks(marked: ImagesWithParts, plan: Correspond, image_size: int, seed: int) -> tuple[Tensor, dict[str, slice]]:
    """Boxes [M, n, 4]: each part's, then plan.random at places drawn for each image (the paper's control), then as many
    at one place in all images (ours: how much features agree because of the place alone); and which are which."""
    side, (count, parts) = plan.side(image_size), marked.places.shape[:2]
    over = torch.stack([squares(marked.places[:, part], side, image_size) for part in range(parts)])
    anywhere = random_squares((plan.random, count), side, image_size, seed)
    together = random_squares((plan.random, 1), side, image_size, seed + 1).expand(-1, count, -1)
    groups = {name: slice(part, part + 1) for part, name in enumerate(marked.parts)} | {MEAN: slice(0, parts)}
    groups |= {RANDOM: slice(parts, parts + plan.random), TOGETHER: slice(parts + plan.random, None)}
    return torch.cat([over, anywhere, together]), groups


def layer_rows(layer: str, pairs: Pairs, groups: Mapping[str, slice]) -> list[dict[str, Any]]:
    """The numbers of one layer: a row for each part, their mean, and the two kinds of random places."""
    rows = []
    for group, chosen in groups.items():
        row: dict[str, Any] = {"layer": layer, "covered": group, "features": pairs.features}
        row["changed"] = float(pairs.share_changed[chosen].mean())
        for measure in MEASURES:
            mean, spread = agreement(getattr(pairs, measure)[chosen])
            row |= {measure: mean.value, f"{measure}_spread": spread}
            row |= {f"{measure}_low": mean.low, f"{measure}_high": mean.high}
        rows.append(row)
    return rows


def table_1(rows: Sequence[Mapping[str, Any]], paper: Mapping[int, str], images: int) -> Iterator[Table]:
    """The paper's table for the layers that stand for its 5 and 7, as far as they were measured, its numbers beside;
    then the same table by our two measures."""
    cells = {(row["layer"], row["covered"]): row for row in rows}
    shown = {number: layer for number, layer in paper.items() if (layer, MEAN) in cells}
    if not shown:
        return
    first, second = [], []
    for covered in dict.fromkeys(row["covered"] for row in rows):
        theirs, ours = {"covered": covered}, {"covered": covered}
        for number, layer in shown.items():
            row = cells[layer, covered]
            theirs |= {layer: _plus_minus(row, "distance"), f"paper, {number}": _printed(covered, number)}
            ours[f"{layer}, either"] = _plus_minus(row, "distance_of_changed")
            ours[f"{layer}, both"] = _plus_minus(row, "opposite")
        first.append(theirs)
        second.append(ours)
    stands = " and ".join(f"{layer} stands for the paper's layer {number}" for number, layer in shown.items())
    caption = (
        f"Share of a layer's features whose change has another sign in two images where the same part is covered: mean "
        f"± standard deviation over pairs of the {images} images and over places (the paper does not define its ±). "
        f"Smaller: the net treats the part alike in different images. {stands}; the paper's numbers (Table 1, section "
        "4.3, five photographs of dogs) are of other images, masks and nets and not comparable."
    )
    yield Table("correspondence/table", first, caption)
    caption = "The same share (ours) of features that changed in either image; in both images, where chance is 0.5"
    yield Table("correspondence/changed_features", second, caption)


def _printed(covered: str, number: int) -> str:
    """What Table 1 has of this part and its layer 5 or 7; "" where it covers no such part."""
    table = printed("zf_table1")
    figure = table.figure(covered, f"layer{number}") if covered in table.rows else None
    return "" if figure is None else figure.text(".3f")


def _plus_minus(row: Mapping[str, Any], measure: str) -> str:
    return f"{row[measure]:.3f} ± {row[f'{measure}_spread']:.3f}"


def differences(
    pairs: Mapping[str, Pairs], groups: Mapping[str, slice], baseline: str, numbered: Collection[str]
) -> Iterator[Result]:
    """For each layer the parts' mean minus that of random places, with a verdict; of `numbered` layers as numbers."""
    rows, images = [], 0
    for layer, mine in pairs.items():
        row: dict[str, Any] = {"layer": layer}
        for measure, counted in MEASURES.items():
            distances = getattr(mine, measure)
            found = difference(distances[groups[MEAN]], distances[groups[baseline]])
            row[f"% {counted}"], images = told(found), found.n
            if layer in numbered:
                name = f"correspondence/{layer}/{measure}_minus_{baseline.replace(' ', '_')}"
                words = f"{layer}: share {counted} whose change has another sign, parts minus {BASELINES[baseline]}"
                yield Number(name, found.value, f"{words} ({images} images): {found}", layer=layer)
        rows.append(row)
    caption = (
        f"Do parts correspond more than {BASELINES[baseline]}? The difference of the means [95 % interval, from "
        f"resampling the {images} images]; negative: more. A feature that did not change counts as agreement in the "
        "paper's measure, so squares that change little look alike; the other two measures are ours"
    )
    yield Table(f"correspondence/parts_minus_{BASELINE_NAMES[baseline]}", rows, caption)


def told(found: Interval) -> str:
    """The parts' distance minus that of random places in percent, and whether parts correspond more."""
    verdict = "more" if found.high < -NOTHING else "less" if found.low > NOTHING else "unclear"
    return f"{100 * found.value:.2f} [{100 * found.low:.2f}, {100 * found.high:.2f}] {verdict}"
