"""Claims tested on what runs left in their folders: maps that converge, filters that die or dominate, deeper features.

The cases are filters and maps of one run, or folds on one net: the intervals say nothing of another seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.claims.compute import (
    CONVERGENCE,
    DEAD_FILTERS,
    DEPTH,
    MIN_CASES,
    RENORMALIZATION,
    Claim,
    judge,
    unmeasured,
)
from convscope.analyses.diagnosis.compute.filters import weak_filters
from convscope.engine.layers import LayerRoles
from convscope.engine.progress import track
from convscope.engine.top9 import Top9
from convscope.errors import UserError
from convscope.metrics.contrasts import dominance_difference, paired_difference, proportion_difference, rank_correlation
from convscope.metrics.convergence import keep_exciting, layer_convergence_epoch, maps_convergence_epochs
from convscope.models.checkpoints import net_weights, read_checkpoint
from convscope.models.renorm import filter_rms
from convscope.runs.config_diff import differ_only_in
from convscope.runs.reading import Run, read_run, read_table, run_folder_of
from convscope.runs.top9_records import read_layer_records

MIN_EPOCHS = 4  # with a record of the strongest images; fewer do not show in which order maps converge
GEOMETRY = tuple(f"model.layers.*.{field}" for field in ("kernel", "stride", "padding", "ceil"))
TRAIN_RIVALS = "type experiment=first_layers to train some, then run=<one of them> claims.against=<the sweep's folder>"
RUN_TRANSFER = (
    f"type job=transfer ckpt=<run> data=<other images> transfer.folds={MIN_CASES}, then claims.transfer=<that folder>"
)


class FirstLayerRecord(NamedTuple):
    """The first layer of a finished run. dead: how many of its filters are dead; weight [C, colors, k, k]."""

    name: str
    stride: int
    dead: int
    weight: Tensor


def top9_records(folder: Path) -> dict[int, dict[str, Top9]]:
    """The run's top-9 records, by epoch and layer; without those that are damaged."""
    names = [path.stem.removeprefix("epoch_") for path in (folder / "top9").glob("epoch_*.safetensors")]
    arrays = {int(name): read_layer_records(folder, int(name)) for name in sorted(names) if name.isdecimal()}
    return {
        epoch: {layer: Top9(*map(torch.from_numpy, fields)) for layer, fields in by_layer.items()}
        for epoch, by_layer in arrays.items()
        if by_layer
    }


def convergence(run: Run, layers: Iterable[str], seed: int) -> Claim:
    """Do lower layers converge earlier? layers: the net's, from the pixels up; those with records in the run count."""
    records = top9_records(run.folder)
    sizes = {layer: {len(tops[layer].score) if layer in tops else 0 for tops in records.values()} for layer in layers}
    recorded = [layer for layer, counts in sizes.items() if len(counts) == 1 and 0 not in counts]
    if len(records) < MIN_EPOCHS or len(recorded) < 2:
        missing = (
            f"{run.folder.name} shows {len(recorded)} layers at {len(records)} epochs; {MIN_EPOCHS} epochs and two "
            "layers or more are needed: evolution=every and a longer trainer.max_epochs"
        )
        return unmeasured(CONVERGENCE, missing)
    epochs, order, last = dict[str, NDArray[np.int64]](), list[str](), max(records)
    for layer in recorded:
        tops = {epoch: by_layer[layer] for epoch, by_layer in records.items()}
        images = {epoch: keep_exciting(top.score.numpy(), top.image.numpy()) for epoch, top in tops.items()}
        epochs[layer] = maps_convergence_epochs(images)
        order += [f"{layer} {layer_convergence_epoch(images) or 'not'}"] if len(epochs[layer]) else []
    never = sum(int((values > last).sum()) for values in epochs.values())
    dead = sum(len(records[last][layer].score) - len(values) for layer, values in epochs.items())
    because = f"layers settled at epoch: {', '.join(order)}; {never} maps have not settled"
    because += f", {dead} dead ones aside; {len(records)} shown epochs" if dead else f"; {len(records)} shown epochs"
    interval = rank_correlation(list(epochs.values()), seed)
    return judge(CONVERGENCE, interval, because + _learning_rate_caution(run))


def _learning_rate_caution(run: Run) -> str:
    """The caution that all layers converge when the learning rate falls; "" where it did not fall."""
    rates = [value for value in run.metrics.get("lr", []) if value]
    if not rates or rates[-1] >= max(rates) / 10:
        return ""
    return (
        f"; the learning rate fell from {max(rates):.1g} to {rates[-1]:.1g}, which settles every layer at the end: the "
        "order of the layers counts, not their epochs"
    )


def dead_filters(run: Run, rivals: Sequence[Run]) -> Claim:
    """Does a smaller stride leave fewer dead filters? Runs of the largest stride against those of the smallest."""
    stride = first_stride(run.settings)
    if stride is None:
        missing = "this run's net is no table of rows, so its first stride is not known"
        return unmeasured(DEAD_FILTERS, f"{missing}; {TRAIN_RIVALS}")
    comparable = [rival for rival in rivals if differ_only_in(run.settings, rival.settings, GEOMETRY)]
    if not {first_stride(rival.settings) for rival in comparable} - {stride, None}:
        missing = f"{_rivals_in_words(rivals)} alike but for the first layer's stride"
        return unmeasured(DEAD_FILTERS, f"{missing}; {TRAIN_RIVALS}")
    layers = [first_layer(compared) for compared in track([run, *comparable], "reading first layers")]
    counts = _dead_by_stride(layer for layer in layers if layer)
    if len(counts) < 2:
        missing = "the runs do not show what excites their first layer; train them with evolution=every"
        return unmeasured(DEAD_FILTERS, missing)
    because = "; ".join(f"stride {stride}: {dead} of {count} dead" for stride, (dead, count) in sorted(counts.items()))
    because += f", over {sum(map(bool, layers))} runs that differ in windows alone"
    return judge(DEAD_FILTERS, proportion_difference(counts[max(counts)], counts[min(counts)]), because)


def _dead_by_stride(layers: Iterable[FirstLayerRecord]) -> dict[int, tuple[int, int]]:
    """Stride -> (dead filters, all filters) over all layers of that stride."""
    counts = dict[int, tuple[int, int]]()
    for layer in layers:
        dead, total = counts.get(layer.stride, (0, 0))
        counts[layer.stride] = dead + layer.dead, total + len(layer.weight)
    return counts


def first_layer(run: Run) -> FirstLayerRecord | None:
    """The run's first layer; None where its last record does not show it.

    A filter is dead when no image excites it, or when it has next to no weights (see diagnosis/compute/filters.py).
    """
    name = first_convolution(run.settings)
    records, stride = top9_records(run.folder), first_stride(run.settings)
    if stride is None or not records or name not in records[max(records)]:
        return None
    weight, score = _first_weight(run), records[max(records)][name].score
    if len(score) != len(weight):
        return None
    dead = score[:, 0] <= 0
    dead[weak_filters(weight)] = True
    return FirstLayerRecord(name, stride, int(dead.sum()), weight)


def renormalization(run: Run, rivals: Sequence[Run], seed: int) -> Claim:
    """Does renormalization keep a few filters from dominating? This run against one alike but for optim.renorm."""
    radius = renorm_radius(run)
    comparable = [
        rival
        for rival in rivals
        if differ_only_in(run.settings, rival.settings, ["optim.renorm"])
        and (renorm_radius(rival) is None) != (radius is None)
    ]
    if not comparable:
        return unmeasured(RENORMALIZATION, f"{_rivals_in_words(rivals)} alike but for optim.renorm; {TRAIN_RIVALS}")
    with_, without = (comparable[0], run) if radius is None else (run, comparable[0])
    rms_without, rms_with = (filter_rms(_first_weight(compared)).double() for compared in (without, with_))
    ratio_without, ratio_with = (float(rms.max() / rms.median()) for rms in (rms_without, rms_with))
    because = f"largest over median: {ratio_without:.2f} without ({without.folder.name}), {ratio_with:.2f} with"
    if radius_reached(with_, first_convolution(with_.settings)) is False:
        never = f"no filter was at the radius {renorm_radius(with_):g} at the end of any epoch"
        return unmeasured(RENORMALIZATION, f"{because}; {never}, so the two runs hardly differ")
    return judge(RENORMALIZATION, dominance_difference(rms_without.numpy(), rms_with.numpy(), seed), because)


def renorm_radius(run: Run) -> float | None:
    """The radius of the run's renormalization; None for a run without."""
    return (run.settings.get("optim") or {}).get("renorm")


def radius_reached(run: Run, layer: str = "") -> bool | None:
    """Whether any filter, of one layer or of all, was scaled back to the radius in the last step of any epoch.

    None where metrics.csv does not say.
    """
    prefix = f"renorm/{layer}"
    columns = [values for name, values in run.metrics.items() if (name == prefix if layer else name.startswith(prefix))]
    shares = [value for values in columns for value in values if value is not None]
    return any(shares) if shares else None


def first_stride(settings: Mapping[str, Any]) -> int | None:
    """The stride of the first convolution of a net of rows; None for another net."""
    name = first_convolution(settings)
    return int(_net_rows(settings)[name].get("stride", 1)) if name else None


def first_convolution(settings: Mapping[str, Any]) -> str:
    """The name of the first convolution of a net of rows; "" for another net."""
    return next((name for name, row in _net_rows(settings).items() if row and row.get("kind") == "conv"), "")


def _net_rows(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return (settings.get("model") or {}).get("layers") or {}


def _first_weight(run: Run) -> Tensor:
    weights = net_weights(read_checkpoint(run.folder / "checkpoints" / "last.ckpt"))
    return next(weight for weight in weights.values() if weight.dim() == 4).to(torch.float32)


def _rivals_in_words(rivals: Sequence[Run]) -> str:
    return f"none of the {len(rivals)} other runs is" if rivals else "there is no other run"


def depth(net: Run | Mapping[str, Any], transfer: Path | None, layers: LayerRoles, seed: int) -> Claim:
    """Do deeper features classify better (section 5.3, Table 7)? Read from the job=transfer on the same net.

    net: its training run, or a pretrained net's settings of conf/model. Accuracy of the last hidden layer minus that of
    the first, fold by fold, by the linear SVM, at the largest number of images of each class. Folds draw from the same
    images, so they are hardly independent cases. Raises UserError for a folder of another job or net.
    """
    if transfer is None:
        return unmeasured(DEPTH, f"the images of this run cannot tell; {RUN_TRANSFER}")
    by_layer, per_class = _svm_accuracies(net, transfer)
    if read_run(transfer).summary.get("own_images"):
        reason = f"{transfer.name} took the images that the net was trained on, which cannot tell"
        return unmeasured(DEPTH, f"{reason}; {RUN_TRANSFER}")
    first, last = (by_layer.get(layer, {}) for layer in (layers.first, layers.last))
    folds = sorted(first.keys() & last.keys())
    if not folds:
        missing = f"{transfer.name} has no accuracies of {layers.first} and {layers.last}"
        return unmeasured(DEPTH, f"{missing}; {RUN_TRANSFER}")
    high, low = ([by_fold[fold] / 100 for fold in folds] for by_fold in (last, first))
    means = f"{layers.first} {np.mean(low):.1%}, {layers.last} {np.mean(high):.1%}"
    because = f"{means} at {per_class} images of each class"
    return judge(DEPTH, paired_difference(high, low, seed), f"{because}; {len(folds)} folds, which share images")


def _svm_accuracies(net: Run | Mapping[str, Any], transfer: Path) -> tuple[dict[str, dict[int, float]], int]:
    """Layer -> fold -> accuracy in percent, of this net and the SVM, and the images of each class."""
    transfer_run, path = read_run(transfer), transfer / "tables" / "transfer" / "trials.csv"
    model, trained = transfer_run.settings.get("model"), run_folder_of(transfer_run.settings.get("ckpt"))
    if transfer_run.summary.get("job") != "transfer" or not path.is_file():
        raise UserError(f"claims.transfer={transfer} is no folder of a finished job=transfer; {RUN_TRANSFER}")
    if trained != net.folder.resolve() if isinstance(net, Run) else trained or model != net:
        this = f"run={net.folder}" if isinstance(net, Run) else f"model.weights={net.get('weights')}"
        raise UserError(f"claims.transfer={transfer} looked at another net than {this}; {RUN_TRANSFER}")
    header, lines = read_table(path)
    rows = [dict(zip(header, line, strict=True)) for line in lines if len(line) == len(header)]
    svm_rows = [row for row in rows if row["classifier"] == "svm" and row["net"] == rows[0]["net"]]
    per_class = max((int(row["per_class"]) for row in svm_rows), default=0)
    by_layer: dict[str, dict[int, float]] = {}
    for row in svm_rows:
        if int(row["per_class"]) == per_class:
            by_layer.setdefault(row["layer"], {})[int(row["fold"])] = float(row["accuracy"])
    return by_layer, per_class
