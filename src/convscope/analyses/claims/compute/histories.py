"""Claims tested on what training runs left in their folders: when maps settled, which filters died or dominate.

Filters and maps of one run are the cases: the intervals say nothing of how another seed would turn out.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.claims.compute import DEAD, RENORM, SETTLE, Claim, judged, unmeasured
from convscope.analyses.diagnosis.compute.filters import weak_filters
from convscope.engine.progress import track
from convscope.engine.top9 import Top9
from convscope.metrics.contrasts import dominance, proportions, rank_correlation
from convscope.metrics.convergence import exciting, layer_convergence_epoch, maps_convergence_epochs
from convscope.models.renorm import filter_rms
from convscope.models.weights import net_weights, read_checkpoint
from convscope.runs.config_diff import differ_only_in
from convscope.runs.reading import Run
from convscope.runs.top9_records import read_layer_records

SHOWN = 4  # epochs at which the settling of maps can be told apart
GEOMETRY = tuple(f"model.layers.*.{field}" for field in ("kernel", "stride", "padding", "ceil"))
TYPE = "type experiment=first_layers to train some, then run=<one of its runs> claims.against=<the sweep's folder>"


class First(NamedTuple):
    """The first layer of a finished run. dead: how many of its filters are; weight [C, colors, k, k]."""

    name: str
    stride: int
    dead: int
    weight: Tensor


def records(folder: Path) -> dict[int, dict[str, Top9]]:
    """The run's top-9 records, by epoch and layer; without those that are damaged."""
    names = [path.stem.removeprefix("epoch_") for path in (folder / "top9").glob("epoch_*.safetensors")]
    found = {int(name): read_layer_records(folder, int(name)) for name in sorted(names) if name.isdecimal()}
    return {
        epoch: {layer: Top9(*map(torch.from_numpy, fields)) for layer, fields in whole.items()}
        for epoch, whole in found.items()
        if whole
    }


def settling(run: Run, layers: Iterable[str], seed: int) -> Claim:
    """Do lower layers settle earlier? layers: the net's, from the pixels up; those that the run has shown count."""
    kept = records(run.folder)
    sizes = {layer: {len(tops[layer].score) if layer in tops else 0 for tops in kept.values()} for layer in layers}
    shown = [layer for layer, found in sizes.items() if len(found) == 1 and 0 not in found]
    if len(kept) < SHOWN or len(shown) < 2:
        had = f"{run.folder.name} shows {len(shown)} layers at {len(kept)} epochs"
        asked = f"{SHOWN} epochs and two layers or more are needed: evolution=every and a longer trainer.max_epochs"
        return unmeasured(SETTLE, f"{had}; {asked}")
    images = {layer: {epoch: _images(tops[layer]) for epoch, tops in kept.items()} for layer in shown}
    epochs = {layer: maps_convergence_epochs(own) for layer, own in images.items()}
    order = ", ".join(
        f"{layer} {layer_convergence_epoch(own) or 'not'}" for layer, own in images.items() if len(epochs[layer])
    )
    never = sum(int((values > max(kept)).sum()) for values in epochs.values())
    dead = sum(len(kept[max(kept)][layer].score) - len(values) for layer, values in epochs.items())
    because = f"layers settled at epoch: {order}; {never} maps have not settled"
    because += f", {dead} dead ones aside; {len(kept)} shown epochs" if dead else f"; {len(kept)} shown epochs"
    return judged(SETTLE, rank_correlation(list(epochs.values()), seed), because + _schedule(run))


def dead_filters(run: Run, rivals: Sequence[Run]) -> Claim:
    """Does a smaller stride leave fewer dead filters? Runs of the largest stride against those of the smallest."""
    own = run.settings
    if first_stride(own) is None:
        return unmeasured(DEAD, "this run's net is no table of rows, so its first stride is not known; " + TYPE)
    same = [rival for rival in rivals if differ_only_in(own, rival.settings, GEOMETRY)]
    strides = {first_stride(rival.settings) for rival in same} - {first_stride(own), None}
    if not strides:
        return unmeasured(DEAD, f"{_given(rivals)} alike but for the first layer's stride; {TYPE}")
    firsts = [found for each in track([run, *same], "reading first layers") if (found := first(each))]
    groups = {stride: [one for one in firsts if one.stride == stride] for stride in {one.stride for one in firsts}}
    if len(groups) < 2:
        return unmeasured(DEAD, "the runs do not show what excites their first layer; train them with evolution=every")
    counts = {
        stride: (sum(g.dead for g in group), sum(len(g.weight) for g in group)) for stride, group in groups.items()
    }
    told = "; ".join(f"stride {stride}: {dead} of {count} dead" for stride, (dead, count) in sorted(counts.items()))
    fewer = proportions(counts[max(counts)], counts[min(counts)])
    return judged(DEAD, fewer, f"{told}, over {len(firsts)} runs that differ in windows alone")


def renormalization(run: Run, rivals: Sequence[Run], seed: int) -> Claim:
    """Does renormalization keep a few filters from dominating? This run against one alike but for optim.renorm."""
    own, radius = run.settings, renorm(run)
    same = [
        r
        for r in rivals
        if differ_only_in(own, r.settings, ["optim.renorm"]) and (renorm(r) is None) != (radius is None)
    ]
    if not same:
        return unmeasured(RENORM, f"{_given(rivals)} alike but for optim.renorm; {TYPE}")
    with_, without = (same[0], run) if radius is None else (run, same[0])
    weights = [_first_weight(each) for each in (without, with_)]
    ratios = [filter_rms(weight).double() for weight in weights]
    most = [float(values.max() / values.median()) for values in ratios]
    told = f"largest over median: {most[0]:.2f} without ({without.folder.name}), {most[1]:.2f} with"
    if ever_held(with_, first_convolution(with_.settings)) is False:
        told += (
            f"; no filter was at the radius {renorm(with_):g} at the end of any epoch, so the two runs hardly differ"
        )
        return unmeasured(RENORM, told)
    return judged(RENORM, dominance(ratios[0].numpy(), ratios[1].numpy(), seed), told)


def _images(top: Top9) -> NDArray[np.int64]:
    return exciting(top.score.numpy(), top.image.numpy())


def first_stride(settings: Mapping[str, Any]) -> int | None:
    """Of the first convolution of a net of rows; None for another net."""
    rows = [row for row in _rows(settings).values() if row and row.get("kind") == "conv"]
    return int(rows[0].get("stride", 1)) if rows else None


def renorm(run: Run) -> float | None:
    """The radius of the run's renormalization; None without."""
    return (run.settings.get("optim") or {}).get("renorm")


def first(run: Run) -> First | None:
    """The run's first layer; None where its last record does not show it.

    A filter is dead when no image excites it, or when it has next to no weights
    (analyses/diagnosis/compute/filters.py).
    """
    name = first_convolution(run.settings)
    kept, stride = records(run.folder), first_stride(run.settings)
    if stride is None or not kept or name not in kept[max(kept)]:
        return None
    weight, score = _first_weight(run), kept[max(kept)][name].score
    if len(score) != len(weight):
        return None
    dead = score[:, 0] <= 0
    dead[weak_filters(weight)] = True
    return First(name, stride, int(dead.sum()), weight)


def _first_weight(run: Run) -> Tensor:
    weights = net_weights(read_checkpoint(run.folder / "checkpoints" / "last.ckpt"))
    return next(weight for weight in weights.values() if weight.dim() == 4).to(torch.float32)


def _rows(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return (settings.get("model") or {}).get("layers") or {}


def ever_held(run: Run, layer: str = "") -> bool | None:
    """Whether any filter, of one layer or of all, was put back to the radius in the last step of any epoch, as
    metrics.csv says; None where it does not say.
    """
    own = f"renorm/{layer}"
    columns = [values for name, values in run.metrics.items() if (name == own if layer else name.startswith(own))]
    shares = [value for values in columns for value in values if value is not None]
    return any(shares) if shares else None


def first_convolution(settings: Mapping[str, Any]) -> str:
    """Its name in a net of rows; "" of another net."""
    return next((name for name, row in _rows(settings).items() if row and row.get("kind") == "conv"), "")


def _given(rivals: Sequence[Run]) -> str:
    return f"none of the {len(rivals)} other runs is" if rivals else "there is no other run"


def _schedule(run: Run) -> str:
    """The caution that a falling learning rate settles everything."""
    rates = [value for value in run.metrics.get("lr", []) if value]
    if not rates or rates[-1] >= max(rates) / 10:
        return ""
    return (
        f"; the learning rate fell from {max(rates):.1g} to {rates[-1]:.1g}, which settles every layer at the end: the "
        "order of the layers counts, not their epochs"
    )
