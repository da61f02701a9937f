"""How often nets are right, each alone and all together: one crop, several, or dense, over one or several scales."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.analyses.subject import Subject
from convscope.data.module import ImageData, SplitName
from convscope.data.settings import DataSettings
from convscope.engine.dense import dense
from convscope.engine.multicrop import multi_crop
from convscope.engine.progress import track_parts
from convscope.engine.shared_positions import five, twenty_five
from convscope.errors import UserError
from convscope.metrics.classification import Tally

CROPS = ("center", "ten", "fifty", "dense", "both")
DENSELY = ("dense", "both")  # what needs whole images
Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Evaluate:
    """conf/job/evaluate.yaml: what of each image the nets see, and which images.

    scales: sides Q of the whole images; None: the stored side R alone. images: None for all of the split.
    """

    crops: str = "center"
    scales: list[int] | None = None
    split: SplitName = "val"
    images: int | list[int] | None = None
    batch_size: int = 16
    confused: int = 20

    def __post_init__(self) -> None:
        if self.crops not in CROPS:
            raise UserError(f"evaluate.crops={self.crops} is unknown; possible: {', '.join(CROPS)}")
        if self.split not in get_args(SplitName):
            raise UserError(f"evaluate.split={self.split} is unknown; possible: train, val")
        for name, value in (("batch_size", self.batch_size), ("confused", self.confused)):
            if type(value) is not int or value < 1:
                raise UserError(f"evaluate.{name}={value} must be a whole number from 1")
        sides = self.scales
        if sides is not None and (isinstance(sides, str) or not isinstance(sides, Sequence) or not sides):
            raise UserError(
                f"evaluate.scales={sides} is no list of sides in pixels, e.g. [224,256,288]; null: one scale"
            )
        if sides is not None and (wrong := [side for side in sides if type(side) is not int]):
            raise UserError(f"evaluate.scales has {wrong[0]!r}; sides are whole numbers of pixels, e.g. [224,256,288]")


class Contestant(NamedTuple):
    """A net that is evaluated, under the name that tables call it."""

    name: str
    subject: Subject


def table_names(ckpts: Sequence[str | None], subjects: Sequence[Subject]) -> list[str]:
    """Names for tables: the folder of the run that left the checkpoint, with the file's
    where one run left several, or the net's own; numbered where they repeat.

    Raises UserError for an empty list.
    """
    if not subjects:
        raise UserError("ckpt=[] names no net; name a checkpoint, ckpt=<path>, or several, ckpt=[<path>,<path>]")
    runs = [_run_name(ckpt) or subject.net_name for ckpt, subject in zip(ckpts, subjects, strict=True)]
    stems = [Path(ckpt).stem if ckpt else "" for ckpt in ckpts]
    files = [f"{run} {stem}" if stem not in ("", run) else run for run, stem in zip(runs, stems, strict=True)]
    plain = [file if runs.count(run) > 1 else run for run, file in zip(runs, files, strict=True)]
    return [f"{name} #{at}" if plain.count(name) > 1 else name for at, name in enumerate(plain, 1)]


def _run_name(ckpt: str | None) -> str:
    """<run> of <run>/checkpoints/last.ckpt; the file's own name where it was moved elsewhere."""
    if not ckpt:
        return ""
    folder = Path(ckpt).expanduser().resolve().parent
    return folder.parent.name if folder.name == "checkpoints" else Path(ckpt).stem


class Outcome(NamedTuple):
    """tallies: by name, the nets' and, of several, "ensemble". unknown: images whose class the nets do not know."""

    tallies: dict[str, Tally]
    scales: list[int]
    unknown: int


ENSEMBLE = "ensemble"


def outcome(nets: Sequence[Contestant], plan: Evaluate, seed: int) -> Outcome:
    """Every image of the first net's data, at every scale, by every net; the ensemble is the mean of their softmax.

    A net's probabilities are the mean over the scales. Only one batch is held at a time. Raises UserError where the
    nets differ in classes or image size, for a scale that is too small, and where no image is of a known class.
    """
    check_alike(nets)
    data, targets = nets[0].subject.data, torch.tensor(nets[0].subject.targets)
    scales = scales_of(plan, data.settings)
    every = range(data.size(plan.split))
    index = data.choose(plan.split, every if plan.images is None else plan.images, seed)
    known = index[targets[data.labels(plan.split, index)] >= 0]
    if not len(known):
        raise UserError(f"the net knows none of the classes of these images ({', '.join(data.classes[:4])}, ...), so "
                        f"it cannot be right; its own are {', '.join(nets[0].subject.classes[:4])}, ...")  # fmt: skip
    names = [net.name for net in nets] + ([ENSEMBLE] if len(nets) > 1 else [])
    tallies = {name: Tally(len(nets[0].subject.classes)) for name in names}
    for labels, found in _probabilities(nets, plan, scales, known):
        found += [torch.stack(found).mean(0)] if len(nets) > 1 else []
        for name, probabilities in zip(names, found, strict=True):
            tallies[name].add(probabilities, targets[labels])
    return Outcome(tallies, scales, len(index) - len(known))


def check_alike(nets: Sequence[Contestant]) -> None:
    """UserError, naming the two, where a net has other classes or another image size than the first."""
    if not nets:
        raise UserError("no net to evaluate; name a checkpoint, ckpt=<path>, or several, ckpt=[<path>,<path>]")
    (first, one), *others = nets
    for name, other in others:
        if other.classes != one.classes:
            odd = sorted(set(one.classes) ^ set(other.classes))[:6]
            why = f"only one of them knows {', '.join(odd)}" if odd else "they number them in another order"
            numbers = f"{len(one.classes)} and {len(other.classes)}"
            raise UserError(f"{first} and {name} have other classes ({numbers}; {why}); an ensemble needs nets of the "
                          "same classes: evaluate them one by one")  # fmt: skip
        sizes = [subject.data.settings.image_size for subject in (one, other)]
        if sizes[0] != sizes[1]:
            raise UserError(f"{first} takes images of {sizes[0]} pixels and {name} of {sizes[1]}; an ensemble here "
                            "needs nets of one image size: evaluate them one by one")  # fmt: skip


def scales_of(plan: Evaluate, chosen: DataSettings) -> list[int]:
    """The sides of the whole images. Raises UserError for one that is smaller than the net's input."""
    image_size = chosen.image_size
    scales = [chosen.stored_size] if plan.scales is None else list(plan.scales)
    if small := [side for side in scales if side < image_size]:
        raise UserError(f"evaluate.scales has {small[0]}, and the net sees {image_size} x {image_size} pixels at once; "
                      f"scales are {image_size} or more")  # fmt: skip
    return scales


def _probabilities(
    nets: Sequence[Contestant], plan: Evaluate, scales: list[int], index: Tensor
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Of one batch after another: labels of the data [n], and for each net probabilities [n, K] on the CPU."""
    looks = [[_look(net.subject, plan.crops, side) for net in nets] for side in scales]
    words = f"evaluating {len(nets)} net{'s' * (len(nets) > 1)} ({plan.crops})"
    batches = _images(nets[0].subject.data, plan, scales, index)
    for labels, images in track_parts(batches, words, len(index), lambda batch: len(batch[0])):
        with torch.inference_mode():
            found = [[look(one) for look in looks[at]] for at, one in enumerate(images)]
            means = [torch.stack(each).mean(0) for each in zip(*found, strict=True)]
        yield labels, means


def _images(
    data: ImageData, plan: Evaluate, scales: list[int], index: Tensor
) -> Iterator[tuple[Tensor, Sequence[Tensor]]]:
    """Labels [n] and the images at every scale, grey levels: uncropped where nets look densely, else the middle square
    of the smallest side.
    """
    if plan.crops in DENSELY:
        for group in data.rectangles(plan.split, index, scales, plan.batch_size * max(scales) ** 2):
            yield group.label, group.images
        return
    loaders = [data.uncropped_dataloader(plan.split, index, side, plan.batch_size) for side in scales]
    for batches in zip(*loaders, strict=True):
        yield batches[0].label, [batch.image for batch in batches]


def _look(subject: Subject, crops: str, side: int) -> Predict:
    """From images of smallest side `side`, grey levels on the CPU, to the net's probabilities on the CPU."""
    if crops == "both":
        ways = [_look(subject, way, side) for way in ("fifty", "dense")]
        return lambda images: torch.stack([way(images) for way in ways]).mean(0)
    predict = _predict(subject.net, crops, subject.data.settings.image_size, side)
    return lambda images: predict(as_input(images if crops == "dense" else _middle(images, side), subject)).cpu()


def as_input(images: Tensor, subject: Subject) -> Tensor:
    """Whole images [n, 3, h, w], grey levels, as the net takes them, on its device.

    The mean image is resized to theirs as images are, whatever their shape; the papers do not say how.
    """
    mean, size = subject.data.mean, images.shape[2:]
    if mean.shape[1:] != size:
        mean = F.interpolate(mean[None], size, mode="bilinear", antialias=True)[0]
    scale = torch.as_tensor(subject.data.settings.pixel_scale).to(subject.device).view(-1, 1, 1)
    shown = (images.to(subject.device) - mean.to(subject.device)) * scale
    return shown.contiguous(memory_format=torch.channels_last)


def _predict(net: nn.Module, crops: str, image_size: int, side: int) -> Predict:
    if crops == "dense":
        return dense(net, image_size, side)
    if crops != "center":
        places = five(side, image_size) if crops == "ten" else twenty_five(side, image_size)
        return multi_crop(net, image_size, side, places)
    return lambda images: net(_middle(images, image_size)).softmax(1)


def _middle(images: Tensor, size: int) -> Tensor:
    """[n, 3, size, size]: the centers of images."""
    top, left = ((side - size) // 2 for side in images.shape[2:])
    return images[:, :, top : top + size, left : left + size]
