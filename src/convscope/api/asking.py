"""What no picture says of features: whether they are real, what they are for, whether another net has them too."""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from convscope.api.findings import Findings
from convscope.api.looking import Choice, Net, analyze, settings_of
from convscope.api.measuring import random_net
from convscope.api.subjects import as_subject
from convscope.config import Split
from convscope.errors import UserError


def dissect(
    net: Net,
    data: Any = None,
    *,
    images: Choice = 500,
    split: Split = "val",
    layers: Sequence[str] | None = None,
    masks: str | Path | Mapping[str, Any] | None = None,
    parts: str | Path | None = None,
    radius: float | None = None,
    threshold: float = 0.04,
    quantile: float = 0.995,
    shuffles: int = 5,
    untrained: bool = True,
    shown: int = 8,
    seed: int = 0,
) -> Findings:
    """Which part of an image does each map answer to (Network Dissection, Bau et al. 2017)?

    masks: part -> where each image of the split shows it [N, H, W], in pixels of the net's input; or a folder
    <part>/<path of the image>.png. parts: a csv path,part,x,y (a disc of `radius` pixels around each point, None: a
    fourteenth of the image) or path,x0,y0,x1,y1,part. Drawn animals know their parts. images: how many, or their
    indices. layers: None: those drawn by default. quantile: of a map's activations, above which it is strong;
    threshold: IoU of a detector. shuffles: sets of masks of other images. untrained: compares with a copy with fresh
    random weights. Pictures dissection/detectors and dissection/<layer>; tables dissection/layers, maps, parts; numbers
    dissection/<layer>/detectors and parts; arrays dissection/maps.
    """
    settings = settings_of(locals())
    opened = as_subject(net, data)
    fresh = _untrained(opened.net, seed).to(opened.device).eval() if untrained else None
    of_arrays = masks if isinstance(masks, Mapping) else None
    job: Any = import_module("convscope.analyses.dissection.job")
    results = partial(job.dissect, untrained=fresh, masks=of_arrays)
    return analyze("dissection", opened, settings | ({"masks": None} if of_arrays is not None else {}), seed, results)


def _untrained(net: Any, seed: int) -> Any:
    try:
        return random_net(net, seed)
    except UserError as error:
        raise UserError(f"{str(error).partition(';')[0]}; pass untrained=False") from None
