"""Which rule draws a layer's projections: the deconvnet where it shows the image's structure, else guided.

The deconvnet (section 2.1) takes its picture from the switches of max pooling. Where the way down has no or few of
them (strided convolutions, average pooling), its projection is the same for every image: a property of the method
(Mahendran & Vedaldi 2016, Nie et al. 2018). Across branches it is often confetti. So a layer's way down is measured,
on some of its maps and their strongest images. The thresholds are ours.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.chain_steps import ScaleStep, read_steps
from convscope.engine.cropped_projection import Watch, project_fields
from convscope.engine.deconvnet import RULES, Units
from convscope.engine.top9 import Top9
from convscope.engine.trace import trace
from convscope.errors import UserError

AUTO = "auto"
MAPS = 3  # of a layer that are measured
DEPENDENT = 0.5  # of guided's dependence on the image, which the deconvnet's must reach
ALIKE = 0.01  # measures that are no further apart are equal
SMOOTH = 0.9  # of guided's smoothness, which the deconvnet's must reach where the way down is no plain chain


class RuleChoice(NamedTuple):
    """The rule for one layer, and what was measured; the numbers are nan where nothing was.

    dependence: 1 - mean cosine between the projections of one map's images, mean over maps: 0 where the projection does
    not depend on the image. smoothness: lag-1 autocorrelation of the projections' luminance. chain: whether the way
    down is convolution, ReLU, max pooling and contrast normalization one after another, as in the paper.
    """

    rule: str
    chain: bool = False
    dependence: float = torch.nan
    guided_dependence: float = torch.nan
    smoothness: float = torch.nan
    guided_smoothness: float = torch.nan

    @property
    def measured(self) -> bool:
        return self.dependence == self.dependence

    @property
    def reason(self) -> str:
        """Why this rule, in words; empty where it was asked for."""
        if not self.measured:
            return ""
        if self.rule == "deconvnet" and abs(self.guided_dependence) < ALIKE:
            return "the same picture by every rule"
        if self.rule == "deconvnet":
            way = "a plain chain with max pooling" if self.chain else f"as smooth as guided's, {self.smoothness:.2f}"
            return f"{way}; dependence on the image {self.dependence:.2f}"
        if not _depends(self.dependence, self.guided_dependence):
            return (
                f"the deconvnet's projections hardly depend on the image: {max(0.0, self.dependence):.2f}, "
                f"guided's {self.guided_dependence:.2f}"
            )
        return f"smoother than the deconvnet's: {self.guided_smoothness:.2f} against {self.smoothness:.2f}"

    @property
    def words(self) -> str:
        """The rule and the reason, for a caption."""
        return f"{self.rule} ({self.reason})" if self.reason else self.rule


def check_rule_or_auto(rule: object) -> None:
    """Raises UserError for what is neither a rule nor auto."""
    if rule not in (AUTO, *RULES):
        raise UserError(f"rule {rule} is unknown; possible: {', '.join((AUTO, *RULES))}")


def measured_maps(top: Top9, most: int = MAPS) -> list[int]:
    """Up to `most` maps, evenly spread over those that at least two images excite."""
    alive = ((top.image >= 0) & (top.score > 0)).sum(1).ge(2).nonzero()[:, 0].tolist()
    count = min(most, len(alive))
    return [alive[number * len(alive) // count] for number in range(count)]


def choose_rule(net: nn.Module, images: Tensor, layer: str, picks: Units, watch: Watch = iter) -> RuleChoice:
    """Measures the projections of picks, at least two images for each of their maps, and takes a rule.

    images [N, 3, H, W]: what picks.image counts in. Raises UserError as `project` does.
    """
    values = {rule: project_fields(net, images, layer, picks, rule, watch=watch).values for rule in RULES[:2]}
    dependence, guided_dependence = (image_dependence(values[rule], picks.map) for rule in RULES[:2])
    smoothness, guided_smoothness = (float(autocorrelation(values[rule]).mean()) for rule in RULES[:2])
    chain = plain_chain(net, tuple(images.shape[1:]), layer)
    smooth = chain or _as_smooth(smoothness, guided_smoothness)
    rule = "deconvnet" if smooth and _depends(dependence, guided_dependence) else "guided"
    return RuleChoice(rule, chain, dependence, guided_dependence, smoothness, guided_smoothness)


def _depends(dependence: float, guided_dependence: float) -> bool:
    return dependence >= DEPENDENT * guided_dependence - ALIKE


def _as_smooth(smoothness: float, guided_smoothness: float) -> bool:
    """Noise has a smoothness about 0, on either side of it."""
    return smoothness >= guided_smoothness - max(ALIKE, (1 - SMOOTH) * abs(guided_smoothness))


def plain_chain(net: nn.Module, image: Sequence[int], layer: str) -> bool:
    """Whether the paper's deconvnet is defined all the way down: no branches and no batch normalization."""
    steps = read_steps(trace(net, tuple(image)), layer, "deconvnet")
    return steps is not None and not any(isinstance(step, ScaleStep) for step in steps)


def image_dependence(projections: Tensor, maps: Tensor) -> float:
    """1 - mean cosine between the projections [P, 3, h, w] of one map's images, mean over the maps; maps [P]."""
    return fmean(_dependences(projections, maps))


def _dependences(projections: Tensor, maps: Tensor) -> Iterator[float]:
    for number in maps.unique():
        flat = F.normalize(projections[maps == number].cpu().double().flatten(1), dim=1)
        count = len(flat)
        yield 1 - float(((flat @ flat.T).sum() - flat.square().sum()) / (count * (count - 1)))


def autocorrelation(projections: Tensor) -> Tensor:
    """Of each projection [P, 3, h, w] the correlation of its luminance with itself one pixel on, [P] in -1..1.

    About 1 for a smooth picture, 0 for noise; the mean of rows and columns. 0 for an empty projection.
    """
    gray = projections.cpu().double().mean(1)
    gray = gray - gray.mean((1, 2), keepdim=True)
    down = (gray[:, 1:] * gray[:, :-1]).sum((1, 2))
    across = (gray[:, :, 1:] * gray[:, :, :-1]).sum((1, 2))
    return (down + across) / (2 * gray.square().sum((1, 2))).clamp(min=1e-30)
