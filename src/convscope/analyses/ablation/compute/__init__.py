"""What each map of a layer does to the answers: every map is switched off for every image, in one pass over the images.

The null is a random direction in the space of the layer's maps: on average it takes as much of the layer's energy away
as one map on average does, but means nothing in particular. Memory holds sums for each map and class.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convscope.analyses.subject import Subject
from convscope.data.images import SplitName
from convscope.engine.progress import track
from convscope.engine.switched_maps import SwitchedLogits, SwitchedMaps
from convscope.engine.upper_part import BasePass, UpperPart
from convscope.errors import UserError
from convscope.metrics.paired_counts import Changes, Floats, false_discovery_rates, mean_changes, share_changes

BATCH = 32
ZERO, MEAN = "zero", "mean"


class Answers(NamedTuple):
    """Answers to N images. label: class of the data, target: the net's number of it, answer: the net's most probable.

    log_probability: of the target. certainty: probability of the answer. index: of the images in the split.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    label: Tensor
    target: Tensor
    answer: Tensor
    log_probability: Tensor
    certainty: Tensor

    @property
    def right(self) -> Tensor:
        return self.answer == self.target


class Effects:
    """Sums over images, for each case (a map, or a direction) and each of L classes: [cases, L] each, on the CPU.

    images [L]: of each class. gained, lost: answers that became right, or wrong. log_probability, probability: changes
    of the true class's; log_squares, squares: of these changes. changed [cases]: images for which anything changed.
    """

    def __init__(self, cases: int, classes: int):
        self.images = torch.zeros(classes, dtype=torch.int64)
        zeros = torch.zeros(6, cases, classes, dtype=torch.float64)
        self.gained, self.lost, self.log_probability, self.log_squares, self.probability, self.squares = zeros
        self.changed = torch.zeros(cases, dtype=torch.int64)

    def add(self, plain: Answers, pairs: SwitchedLogits) -> None:
        """Adds pairs of an image and a case."""
        image, case = pairs.image.cpu(), pairs.map.cpu()
        target, label = plain.target[image], plain.label[image]
        logits = pairs.logits.float()
        of_target = logits.log_softmax(1).cpu()[torch.arange(len(image)), target].double()
        right, before = logits.argmax(1).cpu() == target, plain.log_probability[image]
        log_change, change = of_target - before, of_target.exp() - before.exp()
        values = {
            "gained": (right & ~plain.right[image]).double(),
            "lost": (~right & plain.right[image]).double(),
            "log_probability": log_change,
            "log_squares": log_change**2,
            "probability": change,
            "squares": change**2,
        }
        for name, value in values.items():
            getattr(self, name).index_put_((case, label), value, accumulate=True)
        self.changed.index_add_(0, case, torch.ones_like(case))

    def accuracy(self) -> Changes:
        """Change of the accuracy over all images by case."""
        return share_changes(self.gained.sum(1), self.lost.sum(1), int(self.images.sum()))

    def log_probabilities(self) -> Changes:
        """Mean change of the true class's log-probability over all images by case."""
        return mean_changes(self.log_probability.sum(1), self.log_squares.sum(1), int(self.images.sum()))

    def class_probability(self) -> Changes:
        """Mean change of the true class's probability in each class [cases, L]."""
        return mean_changes(self.probability, self.squares, self.images)

    def class_rates(self, cases: list[int]) -> Floats:
        """False discovery rates [c, L], over these cases, that the true class's probability changes."""
        return false_discovery_rates(mean_changes(self.probability[cases], self.squares[cases], self.images).p)


class LayerEffects(NamedTuple):
    """Effects of a layer. maps: the numbers of those switched off; by_map [C, L] has a row for each map of the layer.

    by_map, by_direction: by what takes a map's place, "zero" or "mean". mean: the layer's output, [1, ...], if needed.
    """

    part: UpperPart
    maps: list[int]
    by_map: dict[str, Effects]
    by_direction: dict[str, Effects]
    mean: Tensor | None
    plain: Answers

    def value(self, name: str) -> Tensor | float:
        """What takes a map's place."""
        if name == ZERO:
            return 0.0
        assert self.mean is not None
        return self.mean


class ScoredImages(NamedTuple):
    """Labeled images of a split that the net knows the classes of, by index [N]."""

    subject: Subject
    split: SplitName
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs

    def batches(self, part: UpperPart | SwitchedMaps, words: str) -> Iterator[tuple[BasePass, Tensor]]:
        """Yields passes of the images as they are, and their indices."""
        for index in track(self.index.split(BATCH), words):
            yield part.base(self.subject.data.images(self.split, index)), index

    def answers(self, base: BasePass, index: Tensor) -> Answers:
        """The net's answers. Raises UserError where they are not finite."""
        logits = base.logits.float().cpu()
        if not logits.isfinite().all():
            raise UserError("the net's answers are not finite, so nothing can fall; choose another net")
        label = self.subject.data.labels(self.split, index)
        target = torch.tensor(self.subject.targets)[label]
        logs = logits.log_softmax(1)
        rows = torch.arange(len(label))
        certainty, answer = logs.max(1)
        return Answers(index, label, target, answer, logs[rows, target].double(), certainty.exp().double())


def scored_images(subject: Subject, split: SplitName, choice: int | list[int] | None, seed: int) -> ScoredImages:
    """Images whose class the net knows. Raises UserError for images without labels, or of one class."""
    data = subject.data
    if list(data.classes) == ["unlabeled"]:
        raise UserError("images have no labels, so no class can fall; take images in one folder for each class")
    if data.several or subject.loss == "multilabel":
        raise UserError(
            "job=ablate follows the one true class of each image, and this net or its images have several; look at it "
            "by job=visualize or job=occlude"
        )
    index = data.choose(split, data.size(split) if choice is None else choice, seed)
    target = torch.tensor(subject.targets)[data.labels(split, index)]
    index = index[target >= 0]
    if not len(index):
        raise UserError(
            f"the net knows none of the classes of these images ({', '.join(data.classes[:4])}, ...), so none falls; "
            "take images of classes that it knows"
        )
    if len(subject.classes) < 2:
        raise UserError("the net has one class, which is always its answer; take a net of two classes or more")
    return ScoredImages(subject, split, index)


def chosen_maps(part: UpperPart, maps: int | list[int] | None, seed: int) -> list[int]:
    """The numbers of the maps that are switched off. Raises UserError for one that the layer has not."""
    if isinstance(maps, list):
        if wrong := [number for number in maps if number >= part.maps]:
            raise UserError(f"ablate.maps: {part.layer} has maps 0 to {part.maps - 1}, not {wrong[0]}")
        return sorted(set(maps))
    order = np.random.default_rng([seed, *part.layer.encode()]).permutation(part.maps)
    return sorted(order[:maps].tolist())


def layer_effects(
    images: ScoredImages, part: UpperPart, maps: list[int], values: list[str], directions: int, seed: int = 0
) -> LayerEffects:
    """Switches these maps of a layer off for all images, and takes random directions away.

    values: what takes the place of a map, "zero" or "mean", its mean over the images at each position.
    """
    classes, single = len(images.subject.data.classes), SwitchedMaps(part)
    mean = _mean_output(images, part) if MEAN in values else None
    effects = LayerEffects(
        part, maps, {value: Effects(part.maps, classes) for value in values},
        {value: Effects(directions, classes) for value in values}, mean, _no_answers(),
    )  # fmt: skip
    units = _directions(directions, part, seed)
    answers = [effects.plain]
    for base, index in images.batches(single, f"switching {len(maps)} maps of {part.layer} off"):
        answers.append(images.answers(base, index))
        counts = answers[-1].label.bincount(minlength=classes)
        for name in values:
            for by_case in (effects.by_map[name], effects.by_direction[name]):
                by_case.images += counts
            for pairs in single.pairs(base, effects.value(name), torch.tensor(maps)):
                effects.by_map[name].add(answers[-1], pairs)
            for pairs in without_directions(part, base, units, effects.value(name)):
                effects.by_direction[name].add(answers[-1], pairs)
    return effects._replace(plain=Answers(*(torch.cat(field) for field in zip(*answers, strict=True))))


def without_directions(
    part: UpperPart, base: BasePass, units: Tensor, value: Tensor | float
) -> Iterator[SwitchedLogits]:
    """Yields the logits of all images with each of the directions [R, C], of length one, taken away.

    value: what the layer's output keeps in the direction, a number or an output [1, ...].
    """
    for number, unit in enumerate(units):
        for image in torch.arange(len(base.output), device=base.output.device).split(part.outputs_at_once):
            with torch.inference_mode():
                output = base.output[image]
                along = torch.movedim(output - value, part.channel, -1) @ unit  # [P, ...] without maps
                output = output - torch.movedim(along[..., None] * unit, -1, part.channel)
                logits = part.logits(base, image, output)
            yield SwitchedLogits(image, torch.full_like(image, number), logits)


def _directions(count: int, part: UpperPart, seed: int) -> Tensor:
    """Directions of length one, drawn evenly: [R, C]."""
    weight = next(part.net.parameters())
    drawn = torch.from_numpy(np.random.default_rng([seed, 1]).standard_normal((count, part.maps)))
    return torch.nn.functional.normalize(drawn).to(weight.device, weight.dtype)


def _mean_output(images: ScoredImages, part: UpperPart) -> Tensor:
    """The layer's output, mean over the images: [1, ...]."""
    total: Tensor | float = 0.0
    for base, _ in images.batches(part, f"mean maps of {part.layer}"):
        total = total + base.output.sum(0, keepdim=True)
    assert isinstance(total, Tensor)
    return total / len(images.index)


def _no_answers() -> Answers:
    whole, real = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64)
    return Answers(whole, whole, whole, whole, real, real)
