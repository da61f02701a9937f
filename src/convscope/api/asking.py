"""What no picture says of features: whether they are real, what they are for, whether another net has them too."""

import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Literal

from convscope.analyses.receptive_field.about import ReceptiveConfig
from convscope.analyses.subject import Subject
from convscope.api.findings import Findings
from convscope.api.looking import Choice, Net, analyze, settings_of
from convscope.api.measuring import random_net
from convscope.api.subjects import as_subject
from convscope.config import Split
from convscope.errors import UserError


def receptive(
    net: Net,
    data: Any = None,
    *,
    images: Choice = 100,
    split: Split = "val",
    layers: Sequence[str] | Literal["all"] | None = None,
    seed: int = 0,
) -> Findings:
    """From which pixels of its receptive field the central unit of each layer gets its gradient (Luo et al. 2016).

    images: how many, or their indices. layers: None: those of `default_layers`; all: every convolution, pool and linear
    layer. Beside the net stands the same net with random weights, where its modules can draw them anew. Pictures
    receptive/effective, receptive/sides, receptive; table receptive/layers; numbers receptive/<layer>: the share of the
    field's side that holds 95 % of the gradient's energy; arrays receptive/energy: <layer> [H, W].
    """
    return analyze("receptive_field", as_subject(net, data), settings_of(locals()), seed, _receptive)


def _receptive(subject: Subject, config: ReceptiveConfig, seed: int) -> Iterator[Any]:
    try:
        untrained = random_net(subject.net, seed).to(subject.device).eval()
    except UserError as problem:
        warnings.warn(f"no comparison with random weights: {str(problem).partition(';')[0]}", stacklevel=2)
        untrained = None
    results: Iterator[Any] = import_module("convscope.analyses.receptive_field.job").receptive(
        subject, config, seed, untrained
    )
    return results
