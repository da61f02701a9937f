"""Some maps of a layer with the projections of their strongest units and the image patches that these see."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn

from convscope.data.module import ImageData
from convscope.look.cropped import Watch, patches, project_fields
from convscope.look.deconvnet import Picks
from convscope.look.rules import AUTO, RuleChoice, choose_rule, measured_maps
from convscope.look.top9 import Top9

OUTSIDE = 128  # grey level drawn where a receptive field leaves the image: the same grey as "no signal"


class View(NamedTuple):
    """Some maps of one layer and what excites them: `rank` 0 is the strongest image.

    top: the record of these maps [m, 9]. projections [m, 9, 3, S, S] float32, zero where there is no image.
    patches [m, 9, 3, S, S] uint8: the same boxes of the images. rule: how they were projected.
    """

    layer: str
    maps: list[int]
    top: Top9
    projections: torch.Tensor
    patches: torch.Tensor
    rule: RuleChoice


@dataclass(frozen=True)
class Images:
    """The images that a top-9 record's indices speak of."""

    data: ImageData
    split: Literal["val", "train"]


def view(
    net: nn.Module,
    images: Images,
    layer: str,
    top: Top9,
    maps: list[int],
    rule: str | RuleChoice = AUTO,
    watch: Watch = iter,
) -> View:
    """Projects each shown map's strongest units down to the pixels and cuts the same boxes from their images.

    rule: auto measures some maps of the layer first. watch: sees the parts of the work go by, such as a progress bar.
    """
    choice = rule if isinstance(rule, RuleChoice) else rule_of(net, images, layer, top, rule)
    shown = Top9(*(field[maps] for field in top))  # [m, 9]
    map_of, rank = (shown.image >= 0).nonzero(as_tuple=True)  # [P]
    picks, indices = _picks(shown, maps, (map_of, rank))
    pictures = images.data.images(images.split, indices).to(next(net.parameters()).device)  # [n, 3, H, W]
    down = project_fields(net, pictures, layer, picks, choice.rule, watch=watch)
    pixels = images.data.pixels(images.split, indices)  # [n, 3, H, W] uint8
    boxes = patches(pixels, picks, down, fill=OUTSIDE)
    projections = torch.zeros(len(maps), 9, 3, *down.values.shape[-2:])
    projections[map_of, rank] = down.values.float().cpu()
    windows = torch.full((len(maps), 9, 3, *boxes.shape[-2:]), OUTSIDE, dtype=torch.uint8)
    windows[map_of, rank] = boxes
    return View(layer, maps, shown, projections, windows, choice)


def rule_of(net: nn.Module, images: Images, layer: str, top: Top9, rule: str = AUTO, watch: Watch = iter) -> RuleChoice:
    """The rule that was asked for, or with auto the one that suits the layer, by its record top [C, 9].

    The deconvnet, unmeasured, where no map is excited by two images, as in a layer that is dead.
    """
    maps = measured_maps(top) if rule == AUTO else []
    if not maps:
        return RuleChoice("deconvnet" if rule == AUTO else rule)
    shown = Top9(*(field[maps] for field in top))
    picks, indices = _picks(shown, maps, ((shown.image >= 0) & (shown.score > 0)).nonzero(as_tuple=True))
    pictures = images.data.images(images.split, indices).to(next(net.parameters()).device)
    return choose_rule(net, pictures, layer, picks, watch)


def _picks(shown: Top9, maps: list[int], places: tuple[torch.Tensor, ...]) -> tuple[Picks, torch.Tensor]:
    """The units at these places of the record [m, 9] of some maps, and the indices of the images they count in."""
    indices, image_of = shown.image[places].unique(return_inverse=True)
    return Picks(image_of, torch.tensor(maps)[places[0]], shown.row[places], shown.col[places]), indices


def excited_count(view: View, position: int) -> int:
    """How many images excite the map; they are its first."""
    return int(((view.top.image[position] >= 0) & (view.top.score[position] > 0)).sum())
