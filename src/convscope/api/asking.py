"""What no picture says of features: whether they are real, what they are for, whether another net has them too."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from convscope.analyses.matching.about import OTHER_WEIGHTS, RANDOM, MatchConfig
from convscope.analyses.receptive_field.about import ReceptiveConfig
from convscope.analyses.subject import Subject
from convscope.api.arguments import config_of, naming_arguments
from convscope.api.examination import plain_net
from convscope.api.findings import Findings, collect
from convscope.api.looking import Choice, Net, analyze, settings_of
from convscope.api.measuring import random_subject
from convscope.api.opening import load
from convscope.api.subjects import as_subject
from convscope.config import Split
from convscope.errors import UserError


def sanity(
    net: Net,
    data: Any = None,
    *,
    layers: Sequence[str] | None = None,
    maps: int = 8,
    images: int = 3,
    searched: int | None = 300,
    split: Split = "val",
    stages: int = 4,
    drawn: int = 3,
    seed: int = 0,
) -> Findings:
    """Is a projection about the net, the unit and the image (Adebayo et al. 2018, Nie et al. 2018)?

    layers: None: those of `default_layers`. maps: of each layer; images: the strongest of each map, among `searched`
    ones (None: all). stages: in how many steps the weights become random. drawn: maps of a strip. Pictures
    sanity/by_layer and sanity/<layer>; tables sanity/layers and weights; numbers sanity/<layer>/weights, unit, image,
    recovery, by the rule that draws the layer; arrays sanity/maps.
    """
    return analyze("sanity", as_subject(net, data), settings_of(locals()), seed)


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
    fresh = random_subject(opened, seed, "pass untrained=False").net if untrained else None
    of_arrays = masks if isinstance(masks, Mapping) else None
    job: Any = import_module("convscope.analyses.dissection.job")
    results = partial(job.dissect, untrained=fresh, masks=of_arrays)
    return analyze("dissection", opened, settings | ({"masks": None} if of_arrays is not None else {}), seed, results)


def match(
    net: Net | None = None,
    other: Net | Literal["random"] | None = None,
    data: Any = None,
    *,
    images: Choice = 200,
    split: Split = "val",
    layers: Sequence[str] | Mapping[str, str] | None = None,
    pairs: int = 2,
    tile: int = 72,
    runs: str | Path | Sequence[str | Path] | None = None,
    seed: int = 0,
) -> Findings:
    """Which features of a net another one has too: maps matched one to one over the same images, and linear CKA.

    other: a Subject with the same images in its own normalization, a net that takes the images of the first as they
    are, or "random": the first with fresh weights. images: how many, or their indices. layers: of both by name, {layer
    of the first: layer of the second}, or None for those drawn by default. pairs: pictured of the best, the median and
    the worst matches of a layer. runs: the folder of a sweep, or run folders, in place of nets: which maps of the first
    come back in every other. Pictures match/recurrence, match/cka and match/pairs/<layer>; tables match/layers and
    pairs; numbers match/recur, match/<layer>/recur and match/<layer>/cka.
    """
    settings = {key: value for key, value in settings_of(locals()).items() if key != "other"}
    if runs is not None:
        if net is not None or data is not None or other is not None:
            raise UserError(f"runs={str(runs)!r} compares the nets of a sweep; leave nets and images out")
        return _match_runs(settings, seed)
    if other is None:
        raise UserError('two nets are compared: pass match(net, other, images), or "random" as the other')
    first = as_subject(net, data)
    second = _other_subject(first, other, seed)
    as_matched: Any = import_module("convscope.analyses.matching.job.pictures").MatchedNet
    name = second.net_name if second.net_name != first.net_name else f"{second.net_name} #2"
    nets = as_matched(first.net_name, first), as_matched("random weights" if isinstance(other, str) else name, second)
    untrained = None
    if not isinstance(other, str):
        with suppress(UserError):  # no comparison where modules cannot draw weights anew
            untrained = random_subject(second, seed + OTHER_WEIGHTS, "")

    def results(_: Subject, config: MatchConfig, seed: int) -> Iterator[Any]:
        yielded: Iterator[Any] = import_module("convscope.analyses.matching.job").match(nets, config, seed, untrained)
        return yielded

    examined = [subject for subject in (second, untrained) if subject is not None]
    return analyze("matching", first, settings, seed, results, examined)


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


def _other_subject(first: Subject, other: Any, seed: int) -> Subject:
    """The second net with its own images, or those of the first."""
    if isinstance(other, Subject):
        return other
    if isinstance(other, str):
        if other != RANDOM:
            raise UserError(f'other={other!r} is no net; pass a net, a Subject, such as load(<run>), or "random"')
        return random_subject(first, seed + OTHER_WEIGHTS, 'pass a net of random weights in place of "random"')
    return first._replace(net=plain_net(other), net_name=type(other).__name__)


def _match_runs(settings: Mapping[str, Any], seed: int) -> Findings:
    with naming_arguments(**settings):
        config = config_of(MatchConfig, settings)
        compare = import_module("convscope.analyses.matching.job.sweep").compare
        folders = [Path(folder).expanduser() for folder in config.folders]
        return collect("match", compare(folders, load, config, seed))


def _receptive(subject: Subject, config: ReceptiveConfig, seed: int) -> Iterator[Any]:
    try:
        untrained = random_subject(subject, seed, "no comparison with random weights").net
    except UserError as problem:
        warnings.warn(str(problem), stacklevel=2)
        untrained = None
    results: Iterator[Any] = import_module("convscope.analyses.receptive_field.job").receptive(
        subject, config, seed, untrained
    )
    return results
