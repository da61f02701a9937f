"""Whether a net knows the images that an analysis looks at: a line for the user where its pictures mean little."""

import torch

from convscope.analyses.subject import Subject
from convscope.data.images import SplitName
from convscope.engine.hooks import evaluating
from convscope.errors import UserError
from convscope.metrics.intervals import share_interval

IMAGES, BATCH = 100, 25  # images that the net answers; at a time
UNTRAINED = (
    "this net is untrained: its weights are random, and what its pictures show comes from its architecture alone"
)


def weak_net_line(subject: Subject, seed: int = 0) -> str | None:
    """A line on a net that does not tell the classes of these images apart better than chance; None for any other net.

    At most 100 images are answered. Chance is the best answer that is the same for every image, as in metrics/goals.py;
    of a net with more classes than the images have, which does not know this answer, one class of its own.
    None too where nothing can be measured: images without classes or with several, nets without logits, unreadable
    images. Draws no random numbers from the shared generators.
    """
    data = subject.data
    splits: list[SplitName] = [split for split in ("val", "train", "test") if split not in data.missing]
    if len(data.classes) < 2 or data.several or subject.loss != "softmax" or not splits:
        return None
    if all(target < 0 for target in subject.targets):
        return (
            "the net knows none of the classes of these images, so that nothing tells how well it sees them; "
            "its pictures are to be read with that in mind"
        )
    try:
        return _measured_line(subject, splits[0], seed)
    except UserError:  # an image that cannot be read: the analysis itself says so where it needs that image
        return None


def chance_level(label: torch.Tensor, classes: int) -> float:
    """The share of images of these labels [N] that the best answer that is the same for every image gets right."""
    several = len(label) >= 2 * classes  # of each class: else the most frequent one says nothing of the whole set
    return float(label.bincount().max()) / len(label) if several else 1 / classes


def _measured_line(subject: Subject, split: SplitName, seed: int) -> str | None:
    index = subject.data.choose(split, IMAGES, seed)
    label = subject.data.labels(split, index)
    target = torch.tensor(subject.targets)[label]
    index, label, target = (values[target >= 0] for values in (index, label, target))
    answers, outputs = [], 0
    with torch.inference_mode(), evaluating(subject.net):
        for part in index.split(BATCH):
            logits = subject.net(subject.data.images(split, part).to(subject.device))
            if not isinstance(logits, torch.Tensor) or logits.dim() != 2:
                return None
            answers.append(logits.argmax(1).cpu())
            outputs = logits.shape[1]
    if not answers:
        return None
    top1 = share_interval(int((torch.cat(answers) == target).sum()), len(index))
    classes = len(subject.data.classes)
    chance = chance_level(label, classes) if outputs <= classes else 1 / outputs
    if top1.low > chance:
        return None
    return (
        f"the net hardly knows these images: top-1 {top1.value:.1%} [{top1.low:.1%}, {top1.high:.1%}] of {top1.n} "
        f"{split} images, chance is {chance:.1%}; its pictures mean little"
    )
