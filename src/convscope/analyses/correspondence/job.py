"""job=correspond: the same part of several images covered; do their features change alike (section 4.3, Table 1)?"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.analyses.correspondence.about import CorrespondenceConfig
from convscope.analyses.correspondence.compute import (
    MEAN,
    MEASURES,
    RANDOM,
    TOGETHER,
    Pairs,
    check_side,
    correspondence,
    covered_pixels,
    covered_side,
    marked_images,
    part_masks,
)
from convscope.analyses.correspondence.figure import CoveredImage, covered_grid, measures_by_layer
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.data.part_annotations import ImagesWithParts, images_with_places
from convscope.engine.blocks import default_layers
from convscope.engine.layers import layer_roles
from convscope.engine.progress import track
from convscope.engine.trace import ImageSize, unknown_layer_message
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, distance_agreement, distance_difference, interval_text
from convscope.metrics.papers import published_table as printed
from convscope.models.build import ConvNet
from convscope.models.rows import ConvRow, LinearRow
from convscope.runs.number_format import listed
from convscope.runs.record import Arrays, Conclusion, Number, Picture, Result, Table

PICTURED = 8  # images in Fig. 8
ROUNDING = 1e-9  # a difference of shares up to it is none
MOST_NAMED = 5  # layers in the sentence; of more, how many
BASELINES = {RANDOM: "random places, others in each image", TOGETHER: "random places, the same in all images"}
BASELINE_NAMES = {RANDOM: "random_places", TOGETHER: "same_place"}  # of their tables


def results(inputs: Inputs, config: CorrespondenceConfig) -> Iterator[Result]:
    """Opens the net and yields what job=correspond finds."""
    return correspond(inputs.subject(), config, inputs.seed)


def correspond(
    subject: Subject, plan: CorrespondenceConfig, seed: int, places: Mapping[str, NDArray[Any]] | None = None
) -> Iterator[Result]:
    """Yields Fig. 8, Table 1 for the layers that stand for the paper's 5 and 7, every layer's numbers and a plot.

    places: part -> its middle (x, y) in each image of the split [N, 2], in place of a csv of parts.
    """
    net, size = subject.net, subject.data.settings.image_size
    side = covered_side(plan, size)
    check_side(side, size)
    paper, shape = layer_roles(net, subject.data.image_shape), subject.data.image_shape
    layers = plan.layers or measured_layers(net, shape)
    if unknown := [layer for layer in layers if layer not in dict(net.named_modules())]:
        raise UserError(unknown_layer_message(unknown[0], measured_layers(net, shape)))
    if places is None:
        marked = marked_images(subject, plan.parts, plan.only or {}, plan.images, plan.split, seed)
    else:
        marked = images_with_places(subject.data, places, plan.split, plan.images, seed)
    masks, groups = part_masks(marked, side, plan.random, seed)
    covering = track(masks, f"covering parts of {len(marked.names)} images")
    pairs = correspondence(net, marked.image, covering, layers, plan.value)
    rows = [row for layer in track(layers, "intervals by layer") for row in layer_rows(layer, pairs[layer], groups)]
    gaps = {
        baseline: layer_gaps(pairs, groups, baseline)
        for baseline in track((RANDOM, TOGETHER), "intervals of the differences")
    }
    yield Conclusion("correspondence", in_words(gaps[RANDOM]))
    yield _covered_picture(marked, masks, plan, subject)
    yield from table_1(rows, {5: paper.maps, 7: paper.last}, len(marked.names))
    yield Table("correspondence/layers", rows, "Share of features whose change differs in sign, by layer and part")
    for baseline, by_layer in gaps.items():
        yield from differences(by_layer, baseline, (paper.maps, paper.last))
    caption = f"Parts against random places, mean over pairs of {len(marked.names)} images with 95 % intervals"
    caption += "; lower: they correspond more"
    yield Picture("correspondence/by_layer", measures_by_layer(rows, layers), caption, plot=True)
    counts = {f"{layer}.{kind}": getattr(pairs[layer], kind) for layer in layers for kind in ("differ", "changed")}
    tensors = {name: torch.from_numpy(values) for name, values in counts.items()}
    yield Arrays("correspondence/pairs", {"masks": masks.contiguous(), **tensors})


def measured_layers(net: nn.Module, image: ImageSize) -> list[str]:
    """Convolutions and linear layers of a row net; of another net at most five convolutions and the paper's layers."""
    if isinstance(net, ConvNet):
        return [name for name, row in net.rows.items() if isinstance(row, ConvRow | LinearRow)]
    names = {*default_layers(net, image), *layer_roles(net, image)}
    return [name for name, _ in net.named_modules() if name in names]


def _covered_picture(marked: ImagesWithParts, masks: Tensor, plan: CorrespondenceConfig, subject: Subject) -> Picture:
    """Fig. 8: the first images with each of their parts covered, and a random place."""
    first = marked._replace(image=marked.image[:PICTURED], pixels=marked.pixels[:PICTURED])
    settings = subject.data.settings
    tiles = covered_pixels(first, masks[: len(marked.parts) + 1, :PICTURED], plan.value, settings.pixel_scale).numpy()
    rows = [CoveredImage(name, list(columns)) for name, columns in zip(marked.names, tiles, strict=False)]
    grid = covered_grid(rows, ["the image", *marked.parts, "a random place"], "What is covered")
    side = covered_side(plan, settings.image_size)
    caption = f"A square of {side} pixels over each part, and one at random, as the net sees them (Fig. 8)"
    return Picture("correspondence/covered", grid, caption)


def layer_rows(layer: str, pairs: Pairs, groups: Mapping[str, slice]) -> list[dict[str, Any]]:
    """The numbers of one layer: a row for each part, their mean, and the two kinds of random places."""
    rows = []
    for group, members in groups.items():
        row: dict[str, Any] = {"layer": layer, "covered": group, "features": pairs.features}
        row["changed"] = float(pairs.share_changed[members].mean())
        for measure in MEASURES:
            mean, spread = distance_agreement(getattr(pairs, measure)[members])
            row |= {measure: mean.value, f"{measure}_spread": spread}
            row |= {f"{measure}_low": mean.low, f"{measure}_high": mean.high}
        rows.append(row)
    return rows


def table_1(rows: Sequence[Mapping[str, Any]], paper: Mapping[int, str], images: int) -> Iterator[Table]:
    """Yields the paper's table for the layers that stand for its 5 and 7 and were measured, with the paper's numbers;
    then the same table by our two measures."""
    cells = {(row["layer"], row["covered"]): row for row in rows}
    measured = {number: layer for number, layer in paper.items() if (layer, MEAN) in cells}
    if not measured:
        return
    first, second = [], []
    for covered in dict.fromkeys(row["covered"] for row in rows):
        theirs, ours = {"covered": covered}, {"covered": covered}
        for number, layer in measured.items():
            row = cells[layer, covered]
            theirs |= {layer: _plus_minus(row, "distance"), f"paper, {number}": _printed(covered, number)}
            ours[f"{layer}, either"] = _plus_minus(row, "distance_of_changed")
            ours[f"{layer}, both"] = _plus_minus(row, "opposite")
        first.append(theirs)
        second.append(ours)
    stands = " and ".join(f"{layer} stands for the paper's layer {number}" for number, layer in measured.items())
    if len(measured) > len({*measured.values()}):
        stands = f"{measured[5]} stands for the paper's layers 5 and 7"
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
    """The number of Table 1 for this part and its layer 5 or 7; "" where the paper covers no such part."""
    table = printed("zf_table1")
    figure = table.figure(covered, f"layer{number}") if covered in table.rows else None
    return "" if figure is None else figure.text(".3f")


def _plus_minus(row: Mapping[str, Any], measure: str) -> str:
    return f"{row[measure]:.3f} ± {row[f'{measure}_spread']:.3f}"


Gaps = Mapping[str, Mapping[str, Interval]]  # layer -> measure -> the parts' mean minus that of random places


def layer_gaps(pairs: Mapping[str, Pairs], groups: Mapping[str, slice], baseline: str) -> Gaps:
    """The difference of the distances of parts and of the random places of this kind, by layer and measure."""
    return {
        layer: {
            measure: distance_difference(
                getattr(of_layer, measure)[groups[MEAN]], getattr(of_layer, measure)[groups[baseline]]
            )
            for measure in MEASURES
        }
        for layer, of_layer in pairs.items()
    }


def in_words(gaps: Gaps) -> str:
    """What came out: at which layers parts correspond more than random places, by the paper's measure and by ours."""
    by_measure = {
        measure: {layer: of[measure] for layer, of in gaps.items() if of[measure].high < -ROUNDING}
        for measure in ("distance", "opposite")
    }
    sure, (first, last) = by_measure["distance"], (list(gaps)[0], list(gaps)[-1])
    images = next(iter(gaps.values()))["distance"].n
    if images < 3:
        return f"Two images are one pair, which does not tell where parts correspond ({images} images; take three)."
    most = min(sure or gaps, key=lambda layer: gaps[layer]["distance"].value)
    if len(sure) > MOST_NAMED:
        words = f"Parts correspond at {_counted(sure, gaps)}, most at {most} ({sure[most]})"
    elif sure:
        where = listed([f"{layer} ({interval})" for layer, interval in sure.items()])
        extent = " only" if len(sure) < len(gaps) else ", at every layer" if len(gaps) > 1 else ""
        words = f"Parts correspond at {where}{extent}"
    else:
        where = f"do not correspond at {first}" if first == last else f"correspond at no layer of {first} to {last}"
        closest = f"{most} comes closest ({gaps[most]['distance']})"
        words = f"Parts {where} more than random places do; {closest}"
    ours = by_measure["opposite"]
    which = _counted(ours, gaps) if len(ours) > MOST_NAMED else listed(list(ours)) or "none"
    return (
        f"{words}: share of features whose change differs in sign, parts minus random places, {images} images. Among "
        f"features that changed in both images, where chance is a half: {which}."
    )


def _counted(some: Collection[str], layers: Collection[str]) -> str:
    return "every layer" if len(some) == len(layers) else f"{len(some)} of {len(layers)} layers"


def differences(gaps: Gaps, baseline: str, numbered: Collection[str]) -> Iterator[Result]:
    """Yields for each layer the parts' mean minus that of random places, with a verdict.

    numbered: the layers whose differences are recorded as numbers too.
    """
    rows, images = [], 0
    for layer, by_measure in gaps.items():
        row: dict[str, Any] = {"layer": layer}
        for measure, counted in MEASURES.items():
            gap = by_measure[measure]
            row[f"% {counted}"], images = with_verdict(gap), gap.n
            if layer in numbered:
                name = f"correspondence/{layer}/{measure}_minus_{baseline.replace(' ', '_')}"
                words = f"{layer}: share {counted} whose change has another sign, parts minus {BASELINES[baseline]}"
                yield Number(name, gap.value, f"{words} ({images} images): {gap}", layer=layer)
        rows.append(row)
    caption = (
        f"Do parts correspond more than {BASELINES[baseline]}? The difference of the means [95 % interval, from "
        f"resampling the {images} images]; negative: more. A feature that did not change counts as agreement in the "
        "paper's measure, so squares that change little look alike; the other two measures are ours"
    )
    yield Table(f"correspondence/parts_minus_{BASELINE_NAMES[baseline]}", rows, caption)


def with_verdict(gap: Interval) -> str:
    """The parts' distance minus that of random places in percent, and whether parts correspond more."""
    verdict = "more" if gap.high < -ROUNDING else "less" if gap.low > ROUNDING else "unclear"
    return f"{interval_text(100 * gap.value, 100 * gap.low, 100 * gap.high)} {verdict}"
