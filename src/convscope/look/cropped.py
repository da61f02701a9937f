"""The deconvnet within the receptive field: the same values as the projection over the whole image, in a fraction of its work.

A single unit's signal never leaves its receptive field, and going down needs the way up only for the switches. So many
(image, unit) pairs go down together, each in its own window of every map, shifted to its own place. Windows may hang over
the border of a map: what lies outside is set to the padding's value before each step up, and to 0 after each step down.
Where the window is as large as the map, the whole map is taken instead.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.look.deconvnet import Picks, check_rule, project
from convscope.look.steps import Place, Signal, Step, read_steps
from convscope.nets.receptive import IMAGE, Field, follow
from convscope.nets.trace import Trace, chain, trace

AREA = 160_000  # pixels in work at a time, unless told otherwise; memory is about a kilobyte for each


class Projection(NamedTuple):
    """values [P, 3, h, w]: the boxes at (top, left) [P] of the images, which they may leave (values 0 there)."""

    values: Tensor
    top: Tensor
    left: Tensor


def project_fields(
    net: nn.Module, images: Tensor, layer: str, picks: Picks, rule: str = "deconvnet", chunk: int | None = None
) -> Projection:
    """`project`, cut to the units' receptive fields; the whole image where they are as large as it.

    chunk: units at a time. Nets with branches take the engine for the whole image. Raises Problem as `project`.
    """
    check_rule(rule)
    pass_ = trace(net, tuple(images.shape[1:]))
    pass_.layer(layer)
    picks = Picks(*(field.cpu() for field in picks))
    steps = read_steps(pass_, layer, rule)
    if steps is None:
        return _whole(net, images, layer, picks, rule, follow(pass_).get(pass_.layer(layer).output, IMAGE).field)
