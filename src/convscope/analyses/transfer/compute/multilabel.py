"""How well a frozen net's features, or a net itself, find the classes of images that show several (Table 6)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.evaluation.compute import ENSEMBLE, Contestant, check_alike
from convscope.analyses.subject import Subject
from convscope.analyses.transfer.about import TransferConfig
from convscope.analyses.transfer.compute import products
from convscope.analyses.transfer.compute.features_on_disk import SPLITS, OnDisk
from convscope.analyses.transfer.job.table6 import Rated, ends, mean_precision, table6
from convscope.engine.progress import track
from convscope.errors import UserError
from convscope.metrics.average_precision import rankings
from convscope.metrics.folds import Fold
from convscope.metrics.linear_probe import Kind, coordinates, fit
from convscope.metrics.multilabel import LossName, certainty
from convscope.runs.record import Number, Result, Table


class Fitted(NamedTuple):
    """One linear classifier on a layer, with the C that was chosen, and how it ranks the validation images."""

    net: str
    layer: str
    classifier: Kind
    c: float
    rated: Rated


def fitted(
    kept: Mapping[str, OnDisk], subject: Subject, plan: TransferConfig, device: torch.device
) -> Iterator[Fitted]:
    """Every net, layer and classifier: all training images to fit it, all validation images to rank.

    The set's own split takes the place of folds and of images per class. The C of several is the one with the best mean
    average precision on every fifth training image when fitted on the others.
    """
    train, val = (subject.data.targets(split, range(subject.data.size(split))) for split in SPLITS)
    every = np.arange(len(train) + len(val))
    fold = Fold(every[None, : len(train)], every[len(train) :])
    pairs = [(net, layer) for net in kept for layer in kept[net].layers]
    for net, layer in track(pairs, "classifiers on the features"):
        gram, cross = products(kept[net].layers[layer], fold, len(train), plan.unit_length, device)
        place = coordinates(gram, cross)
        for kind in plan.classifiers:
            c = _chosen_c(gram, train, kind, sorted(plan.c))
            scores = fit(place.train, train.to(device), train.shape[1], kind, c).scores(place.test)
            rated = Rated(f"{kind} on {layer}", rankings(_sureness(scores, kind), val.numpy()), len(val))
            yield Fitted(net, layer, kind, float(c), rated)


def _sureness(scores: Tensor, kind: Kind) -> NDArray[np.float64]:
    """[N, K] by which images are ranked: an SVM's distances, a softmax's probabilities."""
    return (scores if kind == "svm" else certainty(scores, "softmax")).cpu().numpy()


def _chosen_c(gram: Tensor, targets: Tensor, kind: Kind, candidates: Sequence[float]) -> float:
    """Of equals the smallest; of one candidate, or with no fifth image, the middle one."""
    held = torch.arange(len(targets)) % 5 == 4
    if len(candidates) == 1 or not held.any():
        return candidates[len(candidates) // 2]
    known, asked = targets[~held].to(gram.device), targets[held].numpy()
    place = coordinates(gram[~held][:, ~held], gram[held][:, ~held])
    found = []
    for c in candidates:
        scores = fit(place.train, known, known.shape[1], kind, c).scores(place.test)
        found.append(mean_precision(rankings(_sureness(scores, kind), asked), len(asked)))
    return candidates[found.index(max(found))]


def transferred(found: Sequence[Fitted], subject: Subject, layer: str) -> Iterator[Result]:
    """The mean of every layer, then each class by `layer`'s classifiers, those of the first net, softmax first."""
    rows, classes = [], subject.data.classes
    for one in found:
        mean = one.rated.mean
        rows.append({"net": one.net, "layer": one.layer, "classifier": one.classifier, "C": one.c,
                     "mean AP %": round(100 * mean.value, 2),
                     "95 %": ends(mean)})  # fmt: skip
        words = f"mean average precision of {one.classifier} on {one.layer} of {one.net}: {mean}, over {mean.n} images"
        yield Number(f"transfer/{one.net.replace(' ', '_')}/{one.layer}/{one.classifier}", mean.value, words)
    yield Table("transfer/table", rows, (
        f"Mean average precision over {len(classes)} classes, of images that may show several, by a linear classifier "
        "on the frozen features of each layer, fitted on train and tested on val. softmax: one exclusive guess, as the "
        "paper has it, aimed at the same share for each class shown (ours: the paper does not say); svm: each class "
        "against the rest"))  # fmt: skip
    first = [one.rated for one in found if (one.net, one.layer) == (found[0].net, layer)]
    yield from table6(sorted(first, key=lambda one: one.name), classes, "transfer", "val")


def evaluated(nets: Sequence[Contestant], plan: EvaluationConfig, seed: int) -> Iterator[Result]:
    """Nets that were trained on such images, each alone and together (mean of what they say), by the center crop.

    Raises UserError for other crops, and where a net does not know a class of the data.
    """
    check_alike(nets)
    data = nets[0].subject.data
    if plan.crops != "center" or plan.scales:
        raise UserError("images that show several classes are evaluated by their center crop: type "
                        "evaluate.crops=center and evaluate.scales=null")  # fmt: skip
    for net in nets:
        if unknown := [data.classes[k] for k, at in enumerate(net.subject.targets) if at < 0]:
            raise UserError(f"{net.name} does not know {', '.join(unknown[:4])}: images that show several classes need "
                            "a net trained on them; job=transfer fits a classifier on this one's features")  # fmt: skip
    index = data.choose(plan.split, range(data.size(plan.split)) if plan.images is None else plan.images, seed)
    found = {net.name: _multilabel_note(net.subject, data.settings.batch_size, plan, index) for net in nets}
    found |= {ENSEMBLE: torch.stack(list(found.values())).mean(0)} if len(nets) > 1 else {}
    targets = data.targets(plan.split, index).numpy()
    rated = [Rated(name, rankings(each.numpy(), targets), len(index)) for name, each in found.items()]
    rows = []
    for one, sure in zip(rated, found.values(), strict=True):
        mean, hits = one.mean, targets[np.arange(len(index)), sure.argmax(1)] > 0
        rows.append({"net": one.name, "images": len(index), "mean AP %": round(100 * mean.value, 2),
                     "95 %": ends(mean),
                     "first guess is shown %": round(100 * float(hits.mean()), 2)})  # fmt: skip
    yield Table("evaluation/table", rows, (
        f"Mean average precision on {plan.split} of {nets[0].subject.data_name} by the center crop. First guess: the "
        "share of images that show the class it says, and not as difficult to see. Of images that show several "
        "classes there is no table of confusions"))  # fmt: skip
    yield from table6(rated[::-1], data.classes, "evaluation", plan.split)


@torch.inference_mode()
def _multilabel_note(subject: Subject, batch_size: int, plan: EvaluationConfig, index: Tensor) -> Tensor:
    """[N, K] for the data's classes: how sure the net is of each."""
    columns = torch.tensor(subject.targets)
    parts = []
    for part in track(index.split(batch_size), f"evaluating {subject.net_name}"):
        logits = subject.net(subject.data.images(plan.split, part).to(subject.device))
        parts.append(certainty(logits.float().cpu(), cast(LossName, subject.loss))[:, columns])
    return torch.cat(parts)
