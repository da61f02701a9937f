"""How often nets are right, each alone and all together: one crop, several, or dense, over one or several scales.

Also what the nets confuse. Tables and pictures of all this are made in the job.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.subject import Subject
from convscope.data.classnames import are_same_classes
from convscope.data.dataset_images import DatasetImages
from convscope.data.decode import printable
from convscope.data.images import Images, ImageSettings
from convscope.data.shared_passes import process, results_in_first
from convscope.engine.dense import dense_probabilities
from convscope.engine.multicrop import corner_and_center_crops, grid_crops, multi_crop_probabilities
from convscope.engine.progress import track_parts
from convscope.errors import UserError
from convscope.metrics.classification import PredictionTally

DENSE_CROPS = ("dense", "both")  # those that need whole images
ENSEMBLE = "ensemble"  # the name of all nets together in tables
Predict = Callable[[Tensor], Tensor]


class EvaluatedNet(NamedTuple):
    """A net, its images, and its name in tables."""

    name: str
    subject: Subject


class NetTallies(NamedTuple):
    """Tallies by name: one for each net and, of several nets, one for "ensemble".

    scales: smallest sides of the whole images in pixels. unknown: the count of images whose class no net knows.
    """

    tallies: dict[str, PredictionTally]
    scales: list[int]
    unknown: int


class ConfusionMatrix(NamedTuple):
    """counts [C, C + 1] int64: rows are true classes, columns predicted ones, in the order of classes [C].

    classes: those that have images. The last column counts predictions that are none of these classes.
    """

    classes: Tensor
    counts: Tensor


class ConfusedPair(NamedTuple):
    """How many images of class `truth` were predicted as class `answer`, and which share of the class that is."""

    truth: int
    answer: int
    images: int
    share: float


def table_names(ckpts: Sequence[str | None], subjects: Sequence[Subject]) -> list[str]:
    """Names of nets in tables: the folder of the run that wrote the checkpoint, or the net's own name.

    The name of the file follows where one run wrote several; names that repeat are numbered. Raises UserError for an
    empty list.
    """
    if not subjects:
        raise UserError("ckpt=[] names no net; name a checkpoint, ckpt=<path>, or several, ckpt=[<path>,<path>]")
    runs = [_run_name(ckpt) or subject.net_name for ckpt, subject in zip(ckpts, subjects, strict=True)]
    stems = [Path(ckpt).stem if ckpt else "" for ckpt in ckpts]
    files = [f"{run} {stem}" if stem not in ("", run) else run for run, stem in zip(runs, stems, strict=True)]
    names = [file if runs.count(run) > 1 else run for run, file in zip(runs, files, strict=True)]
    return [f"{name} #{number}" if names.count(name) > 1 else name for number, name in enumerate(names, 1)]


def _run_name(ckpt: str | None) -> str:
    """<run> of <run>/checkpoints/last.ckpt; the file's own name where the file was moved elsewhere."""
    if not ckpt:
        return ""
    folder = Path(ckpt).expanduser().resolve().parent
    return folder.parent.name if folder.name == "checkpoints" else Path(ckpt).stem


def tally_nets(nets: Sequence[EvaluatedNet], plan: EvaluationConfig, seed: int) -> NetTallies:
    """Tallies of every net on the images of the first net's data; those of the ensemble from the mean softmax.

    Of several processes, each looks at its part of the images, and the first has the tallies. A net's probabilities are
    the mean over the scales. Memory holds one batch at a time. Raises UserError where the nets differ in classes or
    image size, for a scale that is too small, and where no net knows the class of any image.
    """
    check_comparable(nets)
    first = nets[0].subject
    data, targets = first.data, torch.tensor(first.targets)
    one_size = isinstance(data, DatasetImages) and plan.scales is None
    scales = [min(data.image_shape[1:])] if one_size else image_scales(plan, data.settings)
    whole_split = range(data.size(plan.split))
    index = data.choose(plan.split, whole_split if plan.images is None else plan.images, seed)
    with_target = index[targets[data.labels(plan.split, index)] >= 0]
    if not len(with_target):
        unknown, net_names = ([printable(name)[:60] for name in names[:4]] for names in (data.classes, first.classes))
        raise UserError(f"the net knows none of the classes of these images ({', '.join(unknown)}, ...), so "
                        f"it cannot be right; its own are {', '.join(net_names)}, ...")  # fmt: skip
    names = [net.name for net in nets] + ([ENSEMBLE] if len(nets) > 1 else [])
    tallies = {name: PredictionTally(len(first.classes)) for name in names}
    for labels, probabilities in results_in_first(_probabilities(nets, plan, scales, with_target)):
        probabilities += [torch.stack(probabilities).mean(0)] if len(nets) > 1 else []
        for name, of_net in zip(names, probabilities, strict=True):
            tallies[name].add(of_net, targets[labels])
    return NetTallies(tallies, scales, len(index) - len(with_target))


def check_comparable(nets: Sequence[EvaluatedNet]) -> None:
    """Raises UserError, naming the two nets, where one has other classes or another image size than the first."""
    if not nets:
        raise UserError("no net to evaluate; name a checkpoint, ckpt=<path>, or several, ckpt=[<path>,<path>]")
    (first_name, first), *rest = nets
    for name, subject in rest:
        if not are_same_classes(subject.classes, subject.folders, first.classes, first.folders):
            odd = [printable(name)[:60] for name in sorted(set(first.classes) ^ set(subject.classes))[:6]]
            why = f"only one of them knows {', '.join(odd)}" if odd else "they number them in another order"
            counts = f"{len(first.classes)} and {len(subject.classes)}"
            raise UserError(f"{first_name} and {name} have other classes ({counts}; {why}); an ensemble needs nets of "
                          "the same classes: evaluate them one by one")  # fmt: skip
        sizes = [net.data.image_shape[1] for net in (first, subject)]
        if sizes[0] != sizes[1]:
            raise UserError(f"{first_name} takes images of {sizes[0]} pixels and {name} of {sizes[1]}; an ensemble "
                            "here needs nets of one image size: evaluate them one by one")  # fmt: skip


def image_scales(plan: EvaluationConfig, settings: ImageSettings) -> list[int]:
    """The sides of the whole images in pixels. Raises UserError for a side smaller than the net's input."""
    image_size = settings.image_size
    scales = [settings.stored_size] if plan.scales is None else list(plan.scales)
    if small := [side for side in scales if side < image_size]:
        raise UserError(f"evaluate.scales has {small[0]}, and the net sees {image_size} x {image_size} pixels at once; "
                      f"scales are {image_size} or more")  # fmt: skip
    return scales


def _probabilities(
    nets: Sequence[EvaluatedNet], plan: EvaluationConfig, scales: list[int], index: Tensor
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """For each batch of this process the labels of the data [n], and for each net probabilities [n, K] on the CPU."""
    predictors = [[_predictor(net.subject, plan.crops, side) for net in nets] for side in scales]
    words = f"evaluating {len(nets)} net{'s' * (len(nets) > 1)} ({plan.crops})"
    batches = _image_batches(nets[0].subject.data, plan, scales, index)
    own_count = -(-len(index) // process().world)
    for labels, images in track_parts(batches, words, own_count, lambda batch: len(batch[0])):
        with torch.inference_mode():
            by_scale = [
                [predict(scaled) for predict in predict_at_scale]
                for predict_at_scale, scaled in zip(predictors, images, strict=True)
            ]
            means = [torch.stack(over_scales).mean(0) for over_scales in zip(*by_scale, strict=True)]
        yield labels, means


def _image_batches(
    data: Images, plan: EvaluationConfig, scales: list[int], index: Tensor
) -> Iterator[tuple[Tensor, Sequence[Tensor]]]:
    """Labels [n] and the images at every scale, gray levels: uncropped for dense evaluation, else the central square
    of the smallest side.
    """
    if plan.crops in DENSE_CROPS:
        for group in data.rectangles(plan.split, index, scales, plan.batch_size * max(scales) ** 2):
            yield group.label, group.images
        return
    loaders = [data.uncropped_dataloader(plan.split, index, side, plan.batch_size) for side in scales]
    for batches in zip(*loaders, strict=True):
        yield batches[0].label, [batch.image for batch in batches]


def _predictor(subject: Subject, crops: str, side: int) -> Predict:
    """A function from images of smallest side `side`, gray levels on the CPU, to probabilities on the CPU."""
    if isinstance(subject.data, DatasetImages):  # which are as large as the net takes them, of any height and width
        return lambda images: subject.net(net_input(images, subject)).softmax(1).cpu()
    if crops == "both":
        predictors = [_predictor(subject, method, side) for method in ("fifty", "dense")]
        return lambda images: torch.stack([predict(images) for predict in predictors]).mean(0)
    predict = _crop_predictor(subject.net, crops, subject.data.settings.image_size, side)
    whole = crops == "dense"
    return lambda images: predict(net_input(images if whole else _center_square(images, side), subject)).cpu()


def net_input(images: Tensor, subject: Subject) -> Tensor:
    """Whole images [n, 3, h, w], gray levels, as the net's input, on its device.

    The mean image is resized to the images' size, whatever their shape; the papers do not say how.
    """
    mean, size = subject.data.mean[: images.shape[1]], images.shape[2:]
    if mean.shape[1:] != size:
        mean = F.interpolate(mean[None], size, mode="bilinear", antialias=True)[0]
    scale = torch.as_tensor(subject.data.settings.pixel_scale).to(subject.device).view(-1, 1, 1)
    centered = (images.to(subject.device) - mean.to(subject.device)) * scale
    return centered.contiguous(memory_format=torch.channels_last)


def _crop_predictor(net: nn.Module, crops: str, image_size: int, side: int) -> Predict:
    """A function from inputs of smallest side `side` to the mean softmax over these crops."""
    if crops == "dense":
        return dense_probabilities(net, image_size, side)
    if crops != "center":
        places = corner_and_center_crops(side, image_size) if crops == "ten" else grid_crops(side, image_size)
        return multi_crop_probabilities(net, image_size, side, places)
    return lambda images: net(_center_square(images, image_size)).softmax(1)


def _center_square(images: Tensor, size: int) -> Tensor:
    """The centers [n, 3, size, size] of images."""
    top, left = ((side - size) // 2 for side in images.shape[2:])
    return images[:, :, top : top + size, left : left + size]


def confusion_matrix(truth: Tensor, answer: Tensor) -> ConfusionMatrix:
    """The confusion matrix of true and predicted classes [N]."""
    classes, row = truth.unique(return_inverse=True)
    place = torch.searchsorted(classes, answer).clamp_max(len(classes) - 1)
    column = torch.where(classes[place] == answer, place, len(classes))
    width = len(classes) + 1
    counts = torch.bincount(row * width + column, minlength=len(classes) * width)
    return ConfusionMatrix(classes, counts.view(len(classes), width))


def most_confused(truth: Tensor, answer: Tensor, limit: int) -> list[ConfusedPair]:
    """At most `limit` pairs of classes that are confused, ordered by images, share of the class, and number."""
    images = {int(label): int(count) for label, count in zip(*truth.unique(return_counts=True), strict=True)}
    wrong = torch.stack([truth, answer], 1)[truth != answer]
    classes, counts = wrong.unique(dim=0, return_counts=True)
    pairs = [ConfusedPair(true, predicted, count, count / images[true])
             for (true, predicted), count in zip(classes.tolist(), counts.tolist(), strict=True)]  # fmt: skip
    return sorted(pairs, key=lambda pair: (-pair.images, -pair.share, pair.truth, pair.answer))[:limit]
