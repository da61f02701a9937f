"""What no picture says of features: whether they are real, what they are for, whether another net has them too."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from convscope.analyses.matching.about import RANDOM, MatchConfig
from convscope.analyses.subject import Subject
from convscope.api.arguments import config_of, naming_arguments
from convscope.api.examination import plain_net
from convscope.api.findings import Findings, collect
from convscope.api.looking import Choice, Net, analyze, settings_of
from convscope.api.measuring import random_net
from convscope.api.opening import load
from convscope.api.subjects import as_subject
from convscope.config import Split
from convscope.errors import UserError


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
    untrained = None if isinstance(other, str) else _untrained(second, seed)

    def results(_: Subject, config: MatchConfig, seed: int) -> Iterator[Any]:
        yielded: Iterator[Any] = import_module("convscope.analyses.matching.job").match(nets, config, seed, untrained)
        return yielded

    examined = [subject for subject in (second, untrained) if subject is not None]
    return analyze("matching", first, settings, seed, results, examined)


def _other_subject(first: Subject, other: Any, seed: int) -> Subject:
    """The second net with its own images, or those of the first."""
    if isinstance(other, Subject):
        return other
    if isinstance(other, str):
        if other != RANDOM:
            raise UserError(f'other={other!r} is no net; pass a net, a Subject, such as load(<run>), or "random"')
        return first._replace(net=random_net(first.net, seed + 1000).to(first.device).eval(), own_images=False)
    return first._replace(net=plain_net(other), net_name=type(other).__name__)


def _untrained(subject: Subject, seed: int) -> Subject | None:
    """The net with fresh weights; None where its modules cannot draw them."""
    try:
        return subject._replace(net=random_net(subject.net, seed + 1000).to(subject.device).eval())
    except UserError:
        return None


def _match_runs(settings: Mapping[str, Any], seed: int) -> Findings:
    with naming_arguments(**settings):
        config = config_of(MatchConfig, settings)
        compare = import_module("convscope.analyses.matching.job.sweep").compare
        folders = [Path(folder).expanduser() for folder in config.folders]
        return collect("match", compare(folders, load, config, seed))
