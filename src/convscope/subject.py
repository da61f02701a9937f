"""What a job that looks at a finished net works on: the net, its images, and what is known of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.data.classnames import WNID, imagenet
from convscope.data.critters import Truth
from convscope.data.module import ImageData, SplitName
from convscope.nets.trace import evaluating


def matched(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """For each name its number among the classes, -1 where it is not there.

    As written if that is there; else whatever its case and underscores, where only one class reads so (ImageNet has a
    Cardigan, the dog, and a cardigan, the jacket).
    """
    exact = {name: number for number, name in enumerate(classes)}
    loose: dict[str, list[int]] = {}
    for number, name in enumerate(classes):
        loose.setdefault(_loosely(name), []).append(number)
    alike = {name: found[0] for name, found in loose.items() if len(found) == 1}
    return [exact.get(name, alike.get(_loosely(name), -1)) for name in names]


def numbers_of(
    names: Sequence[str], folders: Sequence[str], classes: Sequence[str], wnids: Sequence[str] = ()
) -> list[int]:
    """For each class of the data its number among the net's, -1 where the net does not know it.

    folders: what the data's class folders are called, if it has any. wnids: ImageNet's ids of the net's classes, if
    those are known. All of the net's ImageNet classes are matched by number: where folders are called 0, 1, 2, ..., and
    where most are found in their own places. Others by ImageNet's id, and where that is not known by name.
    """
    whole = 0 < len(wnids) == len(names)
    if whole and set(folders) == {str(number) for number in range(len(wnids))}:
        return [int(name) for name in folders]
    ids = [name if WNID.fullmatch(name) else "" for name in folders] or [""] * len(names)
    by_id = {wnid: number for number, wnid in enumerate(wnids or classes) if WNID.fullmatch(wnid)}
    named = [imagenet().get(wnid, name) if wnid else name for wnid, name in zip(ids, names, strict=True)]
    by_name = map(max, matched(names, classes), matched(named, classes))
    numbers = [by_id.get(wnid, -1 if wnids and wnid else number) for wnid, number in zip(ids, by_name, strict=True)]
    in_place = sum(number == place for place, number in enumerate(numbers))
    return list(range(len(names))) if whole and in_place > len(names) / 2 else numbers


def _loosely(name: str) -> str:
    return name.casefold().replace("_", " ")


class Examples(NamedTuple):
    """n images of a split. index [n]: their addresses in it. image [n, 3, H, W] float32: as the net sees them.

    pixels [n, 3, H, W] uint8: the same, for display. label [n]: the class of the data each shows. target [n]: the class
    of the *net* that is looked at: the true one, or the net's most probable one where it does not know that class.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    image: Tensor
    pixels: Tensor
    label: Tensor
    target: Tensor


class Subject(NamedTuple):
    """A net and the images that it is looked at with.

    classes: names of the net's classes, in the order of its logits. targets: for each class of the data the net's
    number of it, -1 where the net does not know it. truth: for drawn images, what is where in images (split, indices),
    in the net's own pixels; None for photographs. net_name, data_name: what summaries call them. loss: what the net was
    trained with, "softmax", or "multilabel" of nets that speak of each class by itself. wnids: ImageNet's ids of the
    net's classes, none where they are not known. own_images: whether the images are those that the net was trained on.
    """

    net: nn.Module
    data: ImageData
    classes: list[str]
    targets: list[int]
    truth: Callable[[SplitName, Sequence[int]], Truth] | None = None
    net_name: str = ""
    data_name: str = ""
    loss: str = "softmax"
    wnids: Sequence[str] = ()
    own_images: bool = False

    @property
    def device(self) -> torch.device:
        """Where the net is; results come back to the CPU."""
        return next(self.net.parameters()).device

    def examples(self, split: SplitName, wanted: int | Sequence[int], seed: int = 0) -> Examples:
        """So many images, evenly over the classes and chosen by seed, or those at these indices.

        Raises Problem for an index that is not there.
        """
        index = self.data.choose(split, wanted, seed)
        image, label = self.data.images(split, index), self.data.labels(split, index)
        return Examples(index, image, self.data.pixels(split, index), label, self._target(image, label))

    def _target(self, image: Tensor, label: Tensor) -> Tensor:
        known = torch.tensor(self.targets)[label]
        if (known >= 0).all():
            return known
        with torch.inference_mode(), evaluating(self.net):
            probable = torch.cat([self.net(part.to(self.device)).argmax(1).cpu() for part in image.split(64)])
        return torch.where(known >= 0, known, probable)
