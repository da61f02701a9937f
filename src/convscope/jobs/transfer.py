"""job=transfer: the classes of another data set from the frozen features of every layer (sections 5.2 and 5.4)."""

from collections.abc import Iterator

import torch

from convscope.record import Result
from convscope.study.features_on_disk import features_on_disk
from convscope.study.table7 import Shown, figure9, numbers, table7, trials_table
from convscope.study.transfer import Transfer, transferred_layers, trials
from convscope.subject import Subject


def transfer(subject: Subject, plan: Transfer, seed: int) -> Iterator[Result]:
    """Yields the table, the curves, every single trial, and the numbers with intervals over the folds.

    The images of both splits are pooled and drawn anew for every fold. Raises Problem for an unknown layer, and for a
    class that has fewer images than a fold needs.
    """
    layers = list(plan.layers or transferred_layers(subject.net, subject.data.settings.image_size))
    device = subject.device if subject.device.type == "cuda" else torch.device("cpu")  # others have no float64
    with features_on_disk(subject, layers, plan.grid, plan.store, plan.keep) as kept:
        tried = list(trials(kept, subject.data.classes, plan, seed, device))
    shown = Shown(subject, layers, tried)
    yield table7(shown)
    yield figure9(shown)
    yield trials_table(shown)
    yield from numbers(shown)
