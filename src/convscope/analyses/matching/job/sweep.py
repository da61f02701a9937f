"""match.runs: which features of the first net of a sweep come back in every other one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.correspondence.figure import Course, by_layer
from convscope.analyses.matching.about import MatchConfig
from convscope.analyses.matching.compute import match_nets
from convscope.analyses.matching.compute.correlation import QUANTILE, LayerMatch
from convscope.analyses.matching.compute.layers import layer_pairs, same_images
from convscope.analyses.matching.figure import MatchedView, matched_grid
from convscope.analyses.matching.job.pictures import NamedNet, search
from convscope.analyses.subject import Subject
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, share_interval
from convscope.runs.reading import Run, is_run_folder, read_run
from convscope.runs.record import Number, Picture, Result, Table

SIDE_BY_SIDE = 4  # nets in a picture
PICTURED = 6  # maps of a layer in it
NEEDED = "match.runs needs two trained nets or more: the folder of a sweep, or run folders, match.runs=[<a>,<b>]"


class OtherNet(NamedTuple):
    """A net that the first one was matched with. layers: by layer of the first its own layer, and the match."""

    net: NamedNet
    layers: dict[str, tuple[str, LayerMatch]]


class Returning(NamedTuple):
    """The maps of a layer of the first net that are not dead. maps [m]: their numbers.

    recurs [n, m]: in which of the n other nets that have the layer. correlation [n, m]: with the partner there; nan
    where a map has none, as in a layer of fewer maps.
    """

    maps: NDArray[np.int64]
    recurs: NDArray[np.bool_]
    correlation: NDArray[np.float64]

    @property
    def everywhere(self) -> NDArray[np.bool_]:
        """[m]: whether a map recurs in every other net."""
        return self.recurs.all(0)

    @property
    def share(self) -> Interval:
        """The share of maps that recur in every other net."""
        return share_interval(int(self.everywhere.sum()), len(self.maps))


def compare(
    folders: Sequence[Path], opened: Callable[[Path], Subject], plan: MatchConfig, seed: int
) -> Iterator[Result]:
    """Yields which maps of the first net recur in each of the others, and grids of those that recur in all.

    A run that did not finish, or whose net cannot be compared, is left out and listed. Raises UserError where fewer
    than two remain.
    """
    reasons: list[dict[str, Any]] = []
    nets = _opened_nets(training_runs(folders), opened, reasons)
    others, index = [], None
    for net in nets[1:]:
        try:
            index = same_images(nets[0].subject.data, net.subject.data, plan.split, plan.images, seed)
            pairs = layer_pairs(nets[0].subject, net.subject, plan.layers)
            matching = match_nets(nets[0].subject, net.subject, pairs, plan.split, index)
        except UserError as problem:
            reasons.append({"run": net.name, "left out because": str(problem)})
            continue
        others.append(OtherNet(net, {layer: (other, found) for (layer, other), found in matching.layers.items()}))
    if reasons:
        yield Table("match/left_out", reasons, "Runs that could not be compared")
    if index is None or not others:
        why = f"; {reasons[0]['run']}: {reasons[0]['left out because']}" if reasons else ""
        raise UserError(f"{NEEDED}{why}")
    yield from _results(nets[0], others, plan, index)


def training_runs(folders: Sequence[Path]) -> list[Run]:
    """The training runs that these folders are or hold. Raises UserError for a folder that is none and holds none."""
    runs = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"match.runs={folder} is no folder; give that of a sweep, e.g. outputs/sweep/<sweep>")
        inside = [folder] if is_run_folder(folder) else sorted(path for path in folder.iterdir() if path.is_dir())
        candidates = [read_run(path, with_entries=False) for path in inside if is_run_folder(path)]
        trained = [run for run in candidates if (run.settings.get("job") or run.summary.get("job")) == "train"]
        if not trained:
            raise UserError(f"match.runs={folder} holds no training runs; give a sweep's folder or a run's")
        runs += trained
    return runs


def _opened_nets(
    runs: Sequence[Run], opened: Callable[[Path], Subject], reasons: list[dict[str, Any]]
) -> list[NamedNet]:
    nets = []
    for run in runs:
        try:
            if not run.summary.get("finished"):
                raise UserError(str(run.summary.get("problem") or "it did not finish"))
            nets.append(NamedNet(run.folder.name, opened(run.folder / "checkpoints" / "last.ckpt")))
        except UserError as problem:
            reasons.append({"run": run.folder.name, "left out because": str(problem)})
    return nets


def _results(first: NamedNet, others: Sequence[OtherNet], plan: MatchConfig, index: Tensor) -> Iterator[Result]:
    layers = list(dict.fromkeys(layer for other in others for layer in other.layers))
    returning = {layer: found for layer in layers if (found := returning_maps(layer, others)) is not None}
    if not returning:
        raise UserError(f"no layer of {first.name} has maps that answer to these images")
    yield Table("match/layers", _layer_rows(returning), f"{_sentence(first, returning, len(others))} {_METHOD}")
    yield Table("match/runs", [_run_row(other, layers) for other in others],
                f"Share of the maps of {first.name} that recur in each of the others, in %, by layer")  # fmt: skip
    caption = f"How much of {first.name} comes back in one other net (range over nets), and in all {len(others)}"
    yield Picture("match/recurrence", _curves(returning), caption, plot=True)
    for layer in returning:
        yield from _pictures(layer, returning[layer], first, others, plan, index)
    yield Table("match/maps", list(_map_rows(returning)), f"Each map of {first.name}: in how many other nets it recurs")
    for layer, found in returning.items():
        words = f"share of the maps of {layer} that recur in every other net: {found.share}, over {found.share.n} maps"
        yield Number(f"match/{layer}/everywhere", found.share.value, words, layer=layer)


def returning_maps(layer: str, others: Sequence[OtherNet]) -> Returning | None:
    """The maps of a layer of the first net over the other nets that have it; None where all maps are dead."""
    matches = [other.layers[layer][1] for other in others if layer in other.layers]
    maps = np.unique(np.concatenate([found.first for found in matches]))
    if not len(maps):
        return None
    recurs = np.zeros((len(matches), len(maps)), bool)
    correlation = np.full(recurs.shape, np.nan)
    for number, found in enumerate(matches):
        places = np.searchsorted(maps, found.first)
        recurs[number, places], correlation[number, places] = found.recurs, found.correlation
    return Returning(maps, recurs, correlation)


_METHOD = (
    "Each map gets its partner in each other net, one to one, by the correlation over all positions of the images; it "
    f"recurs above {QUANTILE:.0%} of the matches of shuffled images. By chance: the share that would recur in all of "
    "them if every map did so with 5 %"
)


def _sentence(first: NamedNet, returning: Mapping[str, Returning], others: int) -> str:
    count = sum(len(found.maps) for found in returning.values())
    share = share_interval(sum(int(found.everywhere.sum()) for found in returning.values()), count)
    where = "the other net" if others == 1 else f"every one of the {others} other nets"
    return (
        f"{share.value:.0%} of the {count} maps of {first.name} come back in {where} (95 % "
        f"interval {share.low:.0%} to {share.high:.0%})."
    )


def _layer_rows(returning: Mapping[str, Returning]) -> list[dict[str, Any]]:
    return [
        {
            "layer": layer,
            "other nets": len(found.recurs),
            "maps": len(found.maps),
            "in every net %": round(100 * found.share.value, 1),
            "95 %": f"{100 * found.share.low:.0f} to {100 * found.share.high:.0f}",
            "by chance %": round(100 * (1 - QUANTILE) ** len(found.recurs), 4),
            "in one net %": round(100 * float(found.recurs.mean()), 1),
        }
        for layer, found in returning.items()
    ]


def _run_row(other: OtherNet, layers: Sequence[str]) -> dict[str, Any]:
    shares = {layer: round(100 * other.layers[layer][1].share.value, 1) for layer in layers if layer in other.layers}
    return {"run": other.net.name, **{layer: shares.get(layer, "") for layer in layers}}


def _map_rows(returning: Mapping[str, Returning]) -> Iterator[dict[str, Any]]:
    for layer, found in returning.items():
        for place in _in_order(found):
            yield {
                "layer": layer,
                "map": int(found.maps[place]),
                "recurs in": int(found.recurs[:, place].sum()),
                "of": len(found.recurs),
                "mean correlation": round(float(np.nanmean(found.correlation[:, place])), 4),
                "lowest": round(float(np.nanmin(found.correlation[:, place])), 4),
            }


def _in_order(found: Returning) -> list[int]:
    """Places of the maps, first those that recur in most nets, then by their lowest correlation."""
    lowest = np.nanmin(found.correlation, axis=0)
    return np.lexsort((-lowest, -found.recurs.sum(0))).tolist()


def _curves(returning: Mapping[str, Returning]) -> Any:
    single = [found.recurs.mean(1) for found in returning.values()]  # [n] for each layer
    shares = [found.share for found in returning.values()]
    level = [1 - QUANTILE] * len(shares)
    every = [list(ends) for ends in zip(*((share.value, share.low, share.high) for share in shares), strict=True)]
    one = [[float(reduce(of_layer)) for of_layer in single] for reduce in (np.mean, np.min, np.max)]
    courses = [Course("in one", *one), Course("in every", *every), Course("shuffled", level, level, level)]
    return by_layer(list(returning), {"Share of maps that recur": courses}, "Which features come back every time?")


def _pictures(
    layer: str, found: Returning, first: NamedNet, others: Sequence[OtherNet], plan: MatchConfig, index: Tensor
) -> Iterator[Picture]:
    """The maps that recur everywhere with the highest of lowest correlations, beside their partners."""
    places = [place for place in _in_order(found) if found.everywhere[place]][:PICTURED]
    if not places:
        return
    maps = found.maps[places].tolist()
    beside = [other for other in others if layer in other.layers][: SIDE_BY_SIDE - 1]
    views = [search(first, [layer], plan, index).view(layer, maps)]
    captions = [[f"{first.name}: {layer} map {map_}" for map_ in maps]]
    for other in beside:
        name, match = other.layers[layer]
        partner = dict(zip(match.first.tolist(), zip(match.second, match.correlation, strict=True), strict=True))
        views.append(search(other.net, [name], plan, index).view(name, [int(partner[map_][0]) for map_ in maps]))
        captions.append([f"{other.net.name}: map {partner[map_][0]} · r {partner[map_][1]:.2f}" for map_ in maps])
    title = f"{layer}: maps of {first.name} (left) that come back in every other net"
    grid = matched_grid(MatchedView(views, captions), title, plan.tile)
    yield Picture(f"match/everywhere/{layer}", grid, title, layer=layer)
