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
from convscope.analyses.matching.job.pictures import MatchedNet, Searched, same_weights_line, search
from convscope.analyses.subject import Subject
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, share_interval
from convscope.runs.reading import Run, is_run_folder, read_run
from convscope.runs.record import Conclusion, Number, Picture, Result, Table

SIDE_BY_SIDE = 4  # nets in a picture
PICTURED = 6  # maps of a layer in it
NEEDED = "match.runs needs two trained nets or more: the folder of a sweep, or run folders, match.runs=[<a>,<b>]"


class OtherNet(NamedTuple):
    """A net that the first one was matched with. layers: by layer of the first its own layer, and the match."""

    net: MatchedNet
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
        return np.all(self.recurs, axis=0)

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
    compared, index = [], None
    for net in nets[1:]:
        try:
            index = same_images(nets[0].subject.data, net.subject.data, plan.split, plan.images, seed)
            pairs = layer_pairs(nets[0].subject, net.subject, plan.layers)
            matching = match_nets(nets[0].subject, net.subject, pairs, plan.split, index)
        except UserError as problem:
            reasons.append({"run": net.name, "left out because": str(problem)})
            continue
        layers = {layer: (second, of_layer) for (layer, second), of_layer in matching.layers.items()}
        compared.append(OtherNet(net, layers))
    if reasons:
        yield Table("match/left_out", reasons, "Runs that could not be compared")
    if index is None or not compared:
        why = f"; {reasons[0]['run']}: {reasons[0]['left out because']}" if reasons else ""
        raise UserError(f"{NEEDED}{why}")
    yield from _results(nets[0], compared, plan, index)


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
) -> list[MatchedNet]:
    nets = []
    for run in runs:
        try:
            if not run.summary.get("finished"):
                raise UserError(str(run.summary.get("problem") or "it did not finish"))
            nets.append(MatchedNet(run.folder.name, opened(run.folder / "checkpoints" / "last.ckpt")))
        except UserError as problem:
            reasons.append({"run": run.folder.name, "left out because": str(problem)})
    return nets


def _results(first: MatchedNet, compared: Sequence[OtherNet], plan: MatchConfig, index: Tensor) -> Iterator[Result]:
    layers = list(dict.fromkeys(layer for second in compared for layer in second.layers))
    returning = {layer: of_layer for layer in layers if (of_layer := returning_maps(layer, compared)) is not None}
    if not returning:
        raise UserError(f"no layer of {first.name} has maps that answer to these images")
    yield Conclusion("match", _sentence(first, returning, compared))
    yield Table("match/layers", _layer_rows(returning), _METHOD)
    yield Table("match/runs", [_run_row(second, layers) for second in compared],
                f"Share of the maps of {first.name} that recur in each of the others, in %, by layer")  # fmt: skip
    caption = f"How much of {first.name} comes back in one other net (range over nets), and in all {len(compared)}"
    yield Picture("match/recurrence", _curves(returning), caption, plot=True)
    yield from _pictures(returning, first, compared, plan, index)
    yield Table("match/maps", list(_map_rows(returning)), f"Each map of {first.name}: in how many other nets it recurs")
    for layer, of_layer in returning.items():
        share = of_layer.share
        words = f"share of the maps of {layer} that recur in every other net: {share}, over {share.n} maps"
        yield Number(f"match/{layer}/everywhere", share.value, words, layer=layer)


def returning_maps(layer: str, compared: Sequence[OtherNet]) -> Returning | None:
    """The maps of a layer of the first net over the other nets that have it; None where all maps are dead."""
    matches = [second.layers[layer][1] for second in compared if layer in second.layers]
    maps = np.unique(np.concatenate([of_layer.first for of_layer in matches]))
    if not len(maps):
        return None
    recurs = np.zeros((len(matches), len(maps)), bool)
    correlation = np.full(recurs.shape, np.nan)
    for number, of_layer in enumerate(matches):
        places = np.searchsorted(maps, of_layer.first)
        recurs[number, places], correlation[number, places] = of_layer.recurs, of_layer.correlation
    return Returning(maps, recurs, correlation)


_METHOD = (
    "Each map gets its partner in each other net, one to one, by the correlation over all positions of the images; it "
    f"recurs above {QUANTILE:.0%} of the matches of shuffled images. By chance: the share that would recur in all of "
    "them if every map did so with 5 %"
)


def _sentence(first: MatchedNet, returning: Mapping[str, Returning], compared: Sequence[OtherNet]) -> str:
    count = sum(len(of_layer.maps) for of_layer in returning.values())
    share = share_interval(sum(int(of_layer.everywhere.sum()) for of_layer in returning.values()), count)
    where = "the other net" if len(compared) == 1 else f"every one of the {len(compared)} other nets"
    words = f"{share.value:.0%} of the {count} maps of {first.name} come back in {where} (95 % interval "
    words += f"{share.low:.0%} to {share.high:.0%})."
    return same_weights_line(first, [second.net for second in compared]) + words


def _layer_rows(returning: Mapping[str, Returning]) -> list[dict[str, Any]]:
    return [
        {
            "layer": layer,
            "other nets": len(of_layer.recurs),
            "maps": len(of_layer.maps),
            "in every net %": round(100 * of_layer.share.value, 1),
            "95 %": f"{100 * of_layer.share.low:.0f} to {100 * of_layer.share.high:.0f}",
            "by chance %": round(100 * (1 - QUANTILE) ** len(of_layer.recurs), 4),
            "in one net %": round(100 * float(of_layer.recurs.mean()), 1),
        }
        for layer, of_layer in returning.items()
    ]


def _run_row(second: OtherNet, layers: Sequence[str]) -> dict[str, Any]:
    shares = {layer: round(100 * second.layers[layer][1].share.value, 1) for layer in layers if layer in second.layers}
    return {"run": second.net.name, **{layer: shares.get(layer, "") for layer in layers}}


def _map_rows(returning: Mapping[str, Returning]) -> Iterator[dict[str, Any]]:
    for layer, of_layer in returning.items():
        for place in _in_order(of_layer):
            yield {
                "layer": layer,
                "map": int(of_layer.maps[place]),
                "recurs in": int(of_layer.recurs[:, place].sum()),
                "of": len(of_layer.recurs),
                "mean correlation": round(float(np.nanmean(of_layer.correlation[:, place])), 4),
                "lowest": round(float(np.nanmin(of_layer.correlation[:, place])), 4),
            }


def _in_order(of_layer: Returning) -> list[int]:
    """Places of the maps, first those that recur in most nets, then by their lowest correlation."""
    lowest = np.nanmin(of_layer.correlation, axis=0)
    return np.lexsort((-lowest, -of_layer.recurs.sum(0))).tolist()


def _curves(returning: Mapping[str, Returning]) -> Any:
    single = [of_layer.recurs.mean(1) for of_layer in returning.values()]  # [n] for each layer
    shares = [of_layer.share for of_layer in returning.values()]
    level = [1 - QUANTILE] * len(shares)
    in_all = [list(ends) for ends in zip(*((share.value, share.low, share.high) for share in shares), strict=True)]
    in_single = [[float(reduce(of_layer)) for of_layer in single] for reduce in (np.mean, np.min, np.max)]
    courses = [Course("in one", *in_single), Course("in every", *in_all), Course("shuffled", level, level, level)]
    return by_layer(list(returning), {"Share of maps that recur": courses}, "Which features come back every time?")


def _pictures(
    returning: Mapping[str, Returning], first: MatchedNet, others: Sequence[OtherNet], plan: MatchConfig, index: Tensor
) -> Iterator[Picture]:
    """A picture of each layer that has maps in every net. Each net in them is searched once, for all of its layers."""
    beside = {
        layer: [number for number, second in enumerate(others) if layer in second.layers][: SIDE_BY_SIDE - 1]
        for layer, of_layer in returning.items()
        if of_layer.everywhere.any()
    }
    if not beside:
        return
    ours, searched = search(first, list(beside), plan, index), dict[int, Searched]()
    for number in sorted(set().union(*beside.values())):
        names = [others[number].layers[layer][0] for layer, numbers in beside.items() if number in numbers]
        searched[number] = search(others[number].net, names, plan, index)
    for layer, numbers in beside.items():
        pictured = [(others[number], searched[number]) for number in numbers]
        yield _picture(layer, returning[layer], ours, pictured, plan)


def _picture(
    layer: str, of_layer: Returning, ours: Searched, beside: Sequence[tuple[OtherNet, Searched]], plan: MatchConfig
) -> Picture:
    """The maps that recur everywhere with the highest of lowest correlations, beside their partners."""
    places = [place for place in _in_order(of_layer) if of_layer.everywhere[place]][:PICTURED]
    first, maps = ours.net, of_layer.maps[places].tolist()
    views = [ours.view(layer, maps)]
    captions = [[f"{first.name}: {layer} map {map_}" for map_ in maps]]
    for second, searched in beside:
        name, match = second.layers[layer]
        partner = dict(zip(match.first.tolist(), zip(match.second, match.correlation, strict=True), strict=True))
        views.append(searched.view(name, [int(partner[map_][0]) for map_ in maps]))
        captions.append([f"{second.net.name}: map {partner[map_][0]} · r {partner[map_][1]:.2f}" for map_ in maps])
    title = f"{layer}: maps of {first.name} (left) that come back in every other net"
    grid = matched_grid(MatchedView(views, captions), title, plan.tile)
    return Picture(f"match/everywhere/{layer}", grid, title, layer=layer)
