"""What no picture says of features: whether they are real, what they are for, whether another net has them too."""

from collections.abc import Sequence
from typing import Any, Literal

from convscope.api.findings import Findings
from convscope.api.looking import Choice, Net, analyze, settings_of
from convscope.api.subjects import as_subject
from convscope.config import Split


def ablate(
    net: Net,
    data: Any = None,
    *,
    layers: Sequence[str] | None = None,
    images: Choice | None = 500,
    split: Split = "val",
    maps: Choice | None = None,
    value: Literal["zero", "mean", "both"] = "both",
    random: int = 20,
    mistakes: int = 4,
    seed: int = 0,
) -> Findings:
    """Every map of a layer switched off: which classes fall, and which maps made which mistakes.

    layers: None: the last convolution or block. images: how many, their indices, or None for all; with labels. maps:
    how many of each layer, or their numbers; None: all. value: what takes a map's place: zero, mean (over the images),
    or both in turn. random: directions taken away, to compare with. mistakes: how many are taken apart. Pictures
    ablation/<layer>/<value>_effects, <value>_classes, needed_maps, ablation/mistakes/<image>; tables
    ablation/<layer>/<value> and ablation/mistakes; arrays [C, classes].
    """
    return analyze("ablation", as_subject(net, data), settings_of(locals()), seed)
