"""What a net sees: one function for each analysis of single images and units, equal to the job of the same name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from torch import Tensor, nn

from convscope.analyses import about
from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.analyses.invariance.about import Fill
from convscope.analyses.occlusion.compute import Occluded, Occluder, default_occluder, strongest_map
from convscope.analyses.occlusion.compute import occlude as cover
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.about import RuleName, VisualizeConfig
from convscope.api.arguments import config_of, naming_arguments, plain_value
from convscope.api.examination import examining
from convscope.api.findings import Findings, collect
from convscope.api.opening import load
from convscope.api.subjects import as_subject
from convscope.config import Split
from convscope.engine.layers import layer_roles
from convscope.errors import UserError

Net = Subject | nn.Module
Choice = int | Sequence[int] | Tensor
Places = Mapping[str, Any]  # part -> (x, y) in each image
OPENING = "net", "data", "seed"  # arguments that are no settings


def visualize(
    net: Net,
    data: Any = None,
    *,
    layers: Sequence[str] | None = None,
    maps: int | Mapping[str, Sequence[int]] = 16,
    images: Literal["val", "train"] = "val",
    rule: RuleName | Literal["all"] | Sequence[RuleName] = "auto",
    tile: int | None = None,
    seed: int = 0,
) -> Findings:
    """What excites the maps of a net (sections 2.1 and 4, Fig. 2), its first filters, its receptive fields (Fig. 3).

    layers: None: those of `default_layers`. maps: how many of each layer, chosen by seed, or layer -> their numbers.
    images: the split that is searched. rule: auto, deconvnet, guided, gradient, a list of them, or all. tile: pixels;
    None: 96, or 56 where more than 24 maps of a layer are drawn.
    Pictures top9/<layer>, rules/<layer>, filters/<layer>, receptive; table layers; arrays top9/top9 [C, 9].
    """
    settings = locals()
    opened = as_subject(net, data)
    settings = {**settings_of(settings), "rules": rule, "epochs": None}
    del settings["rule"]
    return analyze("visualize", opened, settings, seed, _visualize, rule=rule)


def _visualize(subject: Subject, config: VisualizeConfig, seed: int) -> Iterator[Any]:
    results: Callable[..., Iterator[Any]] = import_module("convscope.analyses.visualize.job").visualize
    return results(subject.net, subject.data, config, seed)


def invariance(
    net: Net,
    data: Any = None,
    *,
    images: Choice = 5,
    scored: int = 100,
    split: Split = "val",
    layers: Sequence[str] | None = None,
    fill: Fill = "gray",
    seed: int = 0,
) -> Findings:
    """Images shifted, enlarged and turned, and how far features move (section 4.1, Fig. 5).

    images: how many in the picture, or their indices. scored: how many numbers are means over. layers: None: the first
    and the last hidden one. fill: what comes in from outside: gray, edge or reflect. Takes square images.
    Picture invariance/curves; numbers invariance/<transform>/<layer>/half (in pixels, ratio or degrees), relative, far.
    """
    return analyze("invariance", as_subject(net, data), settings_of(locals()), seed)


@overload
def occlude(subject: Subject, data: int, split: Split = "val", square: Occluder | None = None) -> Occluded: ...
@overload
def occlude(subject: Subject, *, index: int, split: Split = "val", square: Occluder | None = None) -> Occluded: ...
@overload
def occlude(
    subject: Net,
    data: Any = None,
    split: Split = "val",
    *,
    images: Choice = 5,
    layer: str | None = None,
    size: int | None = None,
    stride: int | None = None,
    value: float = 0.0,
    projections: bool = True,
    searched: int | None = 2000,
    scored: int = 100,
    boxes: Any = None,
    seed: int = 0,
) -> Findings: ...
def occlude(
    subject: Net,
    data: Any = None,
    split: Split = "val",
    square: Occluder | None = None,
    *,
    index: int | None = None,
    images: Choice = 5,
    layer: str | None = None,
    size: int | None = None,
    stride: int | None = None,
    value: float = 0.0,
    projections: bool = True,
    searched: int | None = 2000,
    scored: int = 100,
    boxes: Any = None,
    seed: int = 0,
) -> Any:
    """A gray square at every place of some images, and the net's answers (section 4.2, Fig. 7).

    images: how many, or their indices. layer: None: the last convolution or block. size, stride: pixels of the square
    and from one place to the next; None: a seventh of the image, a quarter of the square. value: the net's input under
    it. projections: of the layer's strongest map at every place, too. searched: images for the map's others, None: all.
    boxes: objects, x0, y0, x1, y1 in pixels of the net's input of each image of the split [N, 4], nan where there is
    none; or a csv path,x0,y0,x1,y1; `scored` of them are looked at. Takes square images. Pictures occlusion/figure7 and
    occlusion/<image>; table occlusion/images; arrays probability, probable, activity [places, places].

    occlude(subject, 3), with the index of one image, returns these arrays alone, as Occluded. square: Occluder(size,
    stride, value) there.
    """
    settings = locals()
    if index is not None or (isinstance(data, int) and isinstance(subject, Subject)):
        return _occluded(as_subject(subject, None), data if index is None else index, split, square)
    if square is not None:
        raise UserError("square= goes with the index of one image; pass size=, stride= and value= here")
    opened = as_subject(subject, data)
    settings = {name: given for name, given in settings.items() if name not in ("subject", "square", "index")}
    corners = plain_value(boxes)
    if not isinstance(corners, list):  # a csv, or none
        return analyze("occlusion", opened, settings_of(settings), seed)
    results = partial(import_module("convscope.analyses.occlusion.job").occlude, boxes=corners)
    return analyze("occlusion", opened, {**settings_of(settings), "boxes": None}, seed, results)


def _occluded(subject: Subject, index: int, split: Split, square: Occluder | None) -> Occluded:
    with naming_arguments(index=index, split=split), examining(subject.net):
        example = subject.examples(split, [index])
        image, size = example.image[0].to(subject.device), subject.data.settings.image_size
        layer = layer_roles(subject.net, subject.data.image_shape).maps
        map_ = strongest_map(subject.net, image, layer)
        return cover(subject.net, image, layer, map_, int(example.target[0]), square or default_occluder(size))


def correspond(
    net: Net,
    data: Any = None,
    *,
    images: Choice | None = 5,
    split: Split = "val",
    parts: str | Path | Places | None = None,
    only: Mapping[str, Any] | None = None,
    layers: Sequence[str] | None = None,
    mask: int | None = None,
    value: float = 0.0,
    random: int = 20,
    seed: int = 0,
) -> Findings:
    """The same part of several images covered: do their features change alike (section 4.3, Table 1, Fig. 8)?

    parts: part -> its middle (x, y) in each image of the split [N, 2], in pixels of the net's input, nan where it is
    not shown; or a csv path,part,x,y with `only`, values that its rows must have; None: drawn animals know their parts.
    images: how many, their indices, or None for all that show all parts. mask: pixels of the square, None: a seventh of
    the image. random: places to compare with. Takes square images. Pictures correspondence/covered and
    correspondence/by_layer; table correspondence/table; numbers correspondence/<layer>/<measure>_minus_random_places.
    """
    settings = settings_of(locals())
    opened = as_subject(net, data)
    if not isinstance(parts, Mapping):
        return analyze("correspondence", opened, settings, seed)
    places = {str(part): np.asarray(middles) for part, middles in parts.items()}
    results = partial(import_module("convscope.analyses.correspondence.job").correspond, places=places)
    return analyze("correspondence", opened, {**settings, "parts": None}, seed, results)


def diagnose(
    net: Net | None = None,
    data: Any = None,
    *,
    images: int = 500,
    split: Split = "val",
    radius: float | None = 0.1,
    maps: int = 64,
    runs: str | Path | None = None,
    seed: int = 0,
) -> Findings:
    """Dead maps, filters that copy one another, grids of too coarse a stride, with verdicts (section 4.1, Fig. 6).

    images: how many judge the units. radius: RMS at which filters were renormalized in training, None: they were not.
    maps: of the second convolution, searched for a grid. runs: the folder of a sweep, whose runs are compared in place
    of a net. Pictures diagnosis/filters_common_scale, diagnosis/frequencies; tables diagnosis/findings and layers.
    """
    settings = settings_of(locals())
    if runs is None:
        return analyze("diagnosis", as_subject(net, data), settings, seed)
    if net is not None or data is not None:
        raise UserError(f"runs={str(runs)!r} compares the nets of a sweep; leave net and images out")
    with naming_arguments(**settings):
        config = config_of(DiagnosisConfig, settings)
        compare = import_module("convscope.analyses.diagnosis.job").compare
        return collect(about("diagnosis").job, compare(Path(runs).expanduser(), load, config, seed))


def analyze(
    name: str,
    subject: Subject,
    settings: Mapping[str, Any],
    seed: int,
    results: Callable[..., Iterator[Any]] | None = None,
    others: Iterable[Subject] = (),
    **renamed: Any,
) -> Findings:
    """Runs the analysis in the folder `name` with these settings, as its job does, and collects what it finds.

    results: a function of subject, config and seed; None: that of the job's name. others: that it looks at beside the
    subject. renamed: arguments that are settings of another name. Raises UserError that names an argument.
    """
    described: Any = about(name)
    with naming_arguments(**{**settings, **renamed}):
        config = config_of(described.config, settings)
        yielded = results or getattr(import_module(f"convscope.analyses.{name}.job"), described.job)
        with ExitStack() as examined:
            for net in (*(other.net for other in others), subject.net):
                examined.enter_context(examining(net, seed))
            return collect(described.job, yielded(subject, config, seed))


def settings_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a function that are settings of its analysis."""
    return {name: value for name, value in arguments.items() if name not in OPENING}
