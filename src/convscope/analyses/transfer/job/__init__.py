"""job=transfer: the classes of another data set from the frozen features of every layer (sections 5.2 and 5.4)."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import torch

from convscope.analyses.evaluation.compute import table_names
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.analyses.transfer.about import RANDOM, TransferConfig
from convscope.analyses.transfer.compute import transferred_layers, trials
from convscope.analyses.transfer.compute.dense import DENSE, planned
from convscope.analyses.transfer.compute.features_on_disk import SPLITS, Wanted, features_on_disk
from convscope.analyses.transfer.compute.multilabel import fitted, transferred
from convscope.analyses.transfer.job.table4 import by_images, table11
from convscope.analyses.transfer.job.table7 import TransferResults, figure9, numbers, table7, trials_table
from convscope.engine.hidden_layers import hidden
from convscope.metrics.folds import folds
from convscope.runs.record import Result

THIS = "this net"
OWN_IMAGES = (
    "the net was trained on these very images: how well its features tell them apart says nothing of other images; "
    "type data=<other images>, e.g. data=folder data.root=/photos"
)


def results(inputs: Inputs, config: TransferConfig) -> Iterator[Result]:
    """Opens the net, and the nets of transfer.beside, and yields what job=transfer finds."""
    subject = inputs.subject()
    if subject.own_images:
        inputs.facts |= {"warnings": [OWN_IMAGES], "own_images": True}
        inputs.show_warning(OWN_IMAGES)
    return transfer(subject, config, inputs.seed, _compared_nets(inputs, subject, config.beside or []))


def _compared_nets(inputs: Inputs, subject: Subject, names: Sequence[str]) -> dict[str, Subject]:
    """The nets of transfer.beside: those of checkpoints, and random weights where the net's own are learned."""
    checkpoints = [name for name in names if name != RANDOM]
    opened = [inputs.open(checkpoint) for checkpoint in checkpoints]
    nets = dict(zip(table_names(checkpoints, opened), opened, strict=True)) if opened else {}
    if RANDOM in names and inputs.has_learned_weights:
        nets["random weights"] = inputs.random_subject(subject)
    return nets


def transfer(
    subject: Subject, plan: TransferConfig, seed: int, beside: Mapping[str, Subject] = MappingProxyType({})
) -> Iterator[Result]:
    """Yields the tables, the curves, every single trial, and the numbers with intervals over the folds.

    The images of both splits are pooled and drawn anew for every fold. beside: nets by name that are treated alike, on
    the same images. Images that show several classes keep their own splits, and average precision is what counts.
    Raises UserError for an unknown layer, and for a class that has fewer images than a fold needs.
    """
    size = subject.data.settings.image_size
    last, scales = hidden(subject.net, size).last, None
    layers = list(plan.layers or transferred_layers(subject.net, size))
    if plan.features == "dense":
        layers = list(plan.layers or [last])
        scales = planned(plan.scales, size, plan.pool, subject.data.settings.stored)
    wanted = Wanted(layers, plan.grid, scales, plan.store, plan.keep)
    nets = {THIS: subject, **beside}
    device = subject.device if subject.device.type == "cuda" else torch.device("cpu")  # others have no float64
    if subject.data.several:
        with features_on_disk(nets, wanted) as kept:
            found = list(fitted(kept, subject, plan, device))
        yield from transferred(found, subject, DENSE if scales else last if last in layers else layers[-1])
        return
    _check_folds(subject, plan, seed)
    with features_on_disk(nets, wanted) as kept:
        tried = list(trials(kept, subject.data.classes, plan, seed, device))
    shown = TransferResults(subject, [*layers, *([DENSE] if scales else [])], tried)
    yield table7(shown)
    yield by_images(shown, last)
    if scales:
        yield table11(shown, scales)
    yield figure9(shown)
    yield trials_table(shown)
    yield from numbers(shown)


def _check_folds(subject: Subject, plan: TransferConfig, seed: int) -> None:
    """Whether every class has images enough, told before features are computed for hours."""
    each = [subject.data.labels(split, range(subject.data.size(split))) for split in SPLITS]
    folds(torch.cat(each).numpy(), subject.data.classes, max(plan.per_class), plan.test_per_class, plan.folds, seed)
