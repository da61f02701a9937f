"""The rule for a layer's projections: the deconvnet where its projections show the image's structure, else guided.

The deconvnet (section 2.1) takes the structure of the image from the switches of max pooling. Where a net has no or few
switches below the layer (strided convolutions, average pooling), the projection is the same for every image: a property
of the method (Mahendran & Vedaldi 2016, Nie et al. 2018). Across branches the projection is often noise. So the rule is
chosen by measuring projections of some maps for their strongest images. The thresholds are ours.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.deconvnet import RULES, Units
from convscope.engine.graph import read_graph
from convscope.engine.operations import ACTIVATION, CLAMP, CONTRAST_NORM, CONVOLUTION, INERT, MAX_POOL
from convscope.engine.projection import Watch, project_fields
from convscope.engine.top9 import Top9
from convscope.engine.trace import trace

AUTO = "auto"
MEASURED_MAPS = 3  # maps of a layer
DEPENDENCE_SHARE = 0.5  # the deconvnet's dependence on the image must reach this share of guided's
TOLERANCE = 0.01  # measures that differ by no more are equal
_PLAIN = {CONVOLUTION, ACTIVATION, CLAMP, MAX_POOL, CONTRAST_NORM, INERT}
SMOOTHNESS_SHARE = 0.9  # where the net is no plain chain, the deconvnet's smoothness must reach this share of guided's


class RuleChoice(NamedTuple):
    """The rule for one layer and the measurements behind it; nan where nothing was measured.

    dependence: 1 - mean cosine between the projections of one map's images, mean over maps; 0 where the projection does
    not depend on the image. smoothness: lag-1 autocorrelation of the projections' luminance. chain: whether the net
    below the layer is convolutions, ReLUs, max pools and contrast normalization without branches, as in the paper.
    """

    rule: str
    chain: bool = False
    dependence: float = torch.nan
    guided_dependence: float = torch.nan
    smoothness: float = torch.nan
    guided_smoothness: float = torch.nan

    @property
    def measured(self) -> bool:
        """Whether the rule was chosen by measurements, and not by the user."""
        return self.dependence == self.dependence

    @property
    def reason(self) -> str:
        """Why this rule, for a caption; "" where the user chose it."""
        if not self.measured:
            return ""
        if self.rule == "deconvnet" and abs(self.guided_dependence) < TOLERANCE:
            return "the same picture by every rule"
        if self.rule == "deconvnet":
            why = "a plain chain with max pooling" if self.chain else f"as smooth as guided's, {self.smoothness:.2f}"
            return f"{why}; dependence on the image {self.dependence:.2f}"
        if not _depends(self.dependence, self.guided_dependence):
            return (
                f"the deconvnet's projections hardly depend on the image: {max(0.0, self.dependence):.2f}, "
                f"guided's {self.guided_dependence:.2f}"
            )
        return f"smoother than the deconvnet's: {self.guided_smoothness:.2f} against {self.smoothness:.2f}"

    @property
    def words(self) -> str:
        """The rule with its reason, for a caption."""
        return f"{self.rule} ({self.reason})" if self.reason else self.rule


def measured_maps(top: Top9, limit: int = MEASURED_MAPS) -> list[int]:
    """Up to `limit` maps, evenly spread over the maps that at least two images excite."""
    alive = ((top.image >= 0) & (top.score > 0)).sum(1).ge(2).nonzero()[:, 0].tolist()
    count = min(limit, len(alive))
    return [alive[number * len(alive) // count] for number in range(count)]


def choose_rule(net: nn.Module, images: Tensor, layer: str, units: Units, watch: Watch = iter) -> RuleChoice:
    """The rule for a layer, from projections of units with at least two images for each of their maps.

    images: [N, 3, H, W], to which units.image refers. Raises UserError as `project` does.
    """
    values = {rule: project_fields(net, images, layer, units, rule, watch=watch).values for rule in RULES[:2]}
    dependence, guided_dependence = (image_dependence(values[rule], units.map) for rule in RULES[:2])
    smoothness, guided_smoothness = (float(autocorrelation(values[rule]).mean()) for rule in RULES[:2])
    chain = plain_chain(net, tuple(images.shape[1:]), layer)
    smooth = chain or _as_smooth(smoothness, guided_smoothness)
    rule = "deconvnet" if smooth and _depends(dependence, guided_dependence) else "guided"
    return RuleChoice(rule, chain, dependence, guided_dependence, smoothness, guided_smoothness)


def _depends(dependence: float, guided_dependence: float) -> bool:
    return dependence >= DEPENDENCE_SHARE * guided_dependence - TOLERANCE


def _as_smooth(smoothness: float, guided_smoothness: float) -> bool:
    """Whether the deconvnet's projections are about as smooth; noise has a smoothness near 0, or slightly below."""
    return smoothness >= guided_smoothness - max(TOLERANCE, (1 - SMOOTHNESS_SHARE) * abs(guided_smoothness))


def plain_chain(net: nn.Module, image: Sequence[int], layer: str) -> bool:
    """Whether the net below the layer has only what the paper's deconvnet defines.

    That is no branches, no batch norm and no average pools.
    """
    net_trace = trace(net, tuple(image))
    graph, number = read_graph(net_trace), net_trace.layer(layer).output
    steps = graph.below(number)
    inputs = [below.number for step in steps for below in step.inputs]
    known = all(step.call.kind in _PLAIN for step in steps) and number not in graph.obstacles
    return known and len(set(inputs)) == len(steps) == len(inputs)


def image_dependence(projections: Tensor, maps: Tensor) -> float:
    """1 - mean cosine between the projections [P, 3, h, w] of one map's images, mean over maps. maps: int64 [P]."""
    return fmean(_dependences(projections, maps))


def _dependences(projections: Tensor, maps: Tensor) -> Iterator[float]:
    for number in maps.unique():
        flat = F.normalize(projections[maps == number].cpu().double().flatten(1), dim=1)
        count = len(flat)
        yield 1 - float(((flat @ flat.T).sum() - flat.square().sum()) / (count * (count - 1)))


def autocorrelation(projections: Tensor) -> Tensor:
    """Correlation of each projection's luminance with itself shifted by one pixel: [P] in -1..1 of [P, 3, h, w].

    The mean of a shift along rows and one along columns: about 1 for a smooth picture, 0 for noise, and 0 for a
    projection of zeros.
    """
    gray = projections.cpu().double().mean(1)
    gray = gray - gray.mean((1, 2), keepdim=True)
    down = (gray[:, 1:] * gray[:, :-1]).sum((1, 2))
    across = (gray[:, :, 1:] * gray[:, :, :-1]).sum((1, 2))
    return (down + across) / (2 * gray.square().sum((1, 2))).clamp(min=1e-30)
