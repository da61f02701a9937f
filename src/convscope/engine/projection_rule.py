"""The rule for a layer's projections: the deconvnet where its projections say as much as guided ones, else guided.

The deconvnet (section 2.1) takes the structure of the image from the switches of max pooling. Where a net has no or few
switches below the layer (strided convolutions, average pooling), the projection is the same for every image: a property
of the method (Mahendran & Vedaldi 2016, Nie et al. 2018). Across branches the projection is often noise. So the rule is
chosen by what projections of some maps for their strongest images depend on (`dependence`), and by how much of the
image's structure they show: of two rules that depend on the image alike, the one that shows less structure shows noise.
The thresholds are ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from convscope.engine.deconvnet import RULES, Units
from convscope.engine.dependence import MEASURES, Dependence, MapDependence, measure
from convscope.engine.graph import read_graph
from convscope.engine.operations import ACTIVATION, CLAMP, CONTRAST_NORM, CONVOLUTION, INERT, MAX_POOL
from convscope.engine.projection import Watch, project_fields
from convscope.engine.top9 import Top9
from convscope.engine.trace import trace

AUTO = "auto"
MEASURED_MAPS = 3  # maps of a layer
DEPENDENCE_SHARE = 0.5  # each dependence of the deconvnet must reach this share of guided's
RECOVERY_SHARE = 0.95  # where the net is no plain chain, the deconvnet's recovery must reach this share of guided's
TOLERANCE = 0.01  # measures that differ by no more are equal
_PLAIN = {CONVOLUTION, ACTIVATION, CLAMP, MAX_POOL, CONTRAST_NORM, INERT}


class RuleChoice(NamedTuple):
    """The rule for one layer and the measurements behind it; nan where nothing was measured.

    chain: whether the net below the layer is convolutions, ReLUs, max pools and contrast normalization without
    branches, as in the paper. deconvnet, guided: what projections by these rules depend on.
    """

    rule: str
    chain: bool = False
    deconvnet: Dependence = Dependence()
    guided: Dependence = Dependence()

    @property
    def measured(self) -> bool:
        """Whether the rule was chosen by measurements, and not by the user."""
        return any(value == value for value in (*self.deconvnet, *self.guided))

    @property
    def reason(self) -> str:
        """Why this rule, for a caption; "" where the user chose it."""
        if not self.measured:
            return ""
        if self.rule == "deconvnet" and abs(self.guided.image) < TOLERANCE:
            return "the same picture by every rule"
        if self.rule == "deconvnet":
            return "a plain chain with max pooling" if self.chain else self._beside("as clear as guided")
        for name in reversed(MEASURES[:3]):
            low, reached = getattr(self.deconvnet, name), getattr(self.guided, name)
            if low < _least(reached):
                return (
                    f"the deconvnet's projections hardly depend on the {name}: {max(0.0, low):.2f}, "
                    f"guided's {reached:.2f}"
                )
        return self._beside("clearer than the deconvnet")

    def _beside(self, words: str) -> str:
        """The words with both recoveries; "" where these were not measured."""
        chosen, refused = (self.deconvnet, self.guided) if self.rule == "deconvnet" else (self.guided, self.deconvnet)
        if chosen.recovery != chosen.recovery:
            return ""
        return f"{words}: correlation with the image {chosen.recovery:.2f} against {refused.recovery:.2f}"

    @property
    def words(self) -> str:
        """The rule with its reason, for a caption."""
        return f"{self.rule} ({self.reason})" if self.reason else self.rule

    def state_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        measured = {name: list(getattr(self, name)) for name in RULES[:2]}
        return {"rule": self.rule, "chain": self.chain, **measured}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "RuleChoice":
        """The choice of a checkpoint. Earlier versions measured the image alone, and smoothness."""
        if "dependence" in state:
            return cls(
                state["rule"], state["chain"],
                Dependence(image=state["dependence"]), Dependence(image=state["guided_dependence"]),
            )  # fmt: skip
        measured = {name: Dependence(*state[name]) for name in RULES[:2] if name in state}
        return cls(state["rule"], state.get("chain", False), **measured)


def measured_maps(top: Top9, limit: int = MEASURED_MAPS) -> list[int]:
    """Up to `limit` maps, evenly spread over the maps that at least two images excite."""
    alive = ((top.image >= 0) & (top.score > 0)).sum(1).ge(2).nonzero()[:, 0].tolist()
    count = min(limit, len(alive))
    return [alive[number * len(alive) // count] for number in range(count)]


def choose_rule(net: nn.Module, images: Tensor, layer: str, units: Units, watch: Watch = iter) -> RuleChoice:
    """The rule for a layer, from projections of units with at least two images for each of their maps.

    images: [N, 3, H, W], to which units.image refers. Raises UserError as `project` does.
    """
    projections = {rule: project_fields(net, images, layer, units, rule, watch=watch) for rule in RULES[:2]}
    measured = measure(net, images, layer, units, projections)
    return rule_by(measured, plain_chain(net, tuple(images.shape[1:]), layer))


def rule_by(measured: Mapping[str, MapDependence], chain: bool) -> RuleChoice:
    """The rule of a layer by what its maps depend on by the deconvnet and by guided. chain: see `RuleChoice`."""
    deconvnet, guided = (measured[rule].mean for rule in RULES[:2])
    return RuleChoice("deconvnet" if suits(deconvnet, guided, chain) else "guided", chain, deconvnet, guided)


def suits(deconvnet: Dependence, guided: Dependence, chain: bool) -> bool:
    """Whether the deconvnet draws the layer: it depends on weights, unit, image as guided does, and is as clear.

    chain: a net as the paper's, whose deconvnet need not be as clear.
    """
    if any(low < _least(reached) for low, reached in zip(deconvnet[:3], guided[:3], strict=True)):
        return False
    unclear = guided.recovery - max(TOLERANCE, (1 - RECOVERY_SHARE) * abs(guided.recovery))
    return chain or not deconvnet.recovery < unclear


def _least(reached: float) -> float:
    """What the deconvnet's dependence must be, beside guided's; nan, which is never more, where guided has none."""
    return DEPENDENCE_SHARE * reached - TOLERANCE


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
