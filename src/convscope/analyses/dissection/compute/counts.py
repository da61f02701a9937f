"""How many pixels the strong places of each map share with each part, image by image, in two passes over the images."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.analyses.dissection.compute.thresholds import TopValues
from convscope.analyses.dissection.compute.upsampling import Upsampling, upsampling_of
from convscope.data.part_masks import Masks
from convscope.engine.features import features
from convscope.engine.receptive_fields import Field, fields
from convscope.errors import UserError

BATCH = 16  # images in one pass
ENLARGED = 2**22  # pixels of enlarged maps at a time
Key = tuple[str, str]  # a net and a layer
Pass = Callable[[Iterable[list[int]], str], Iterable[list[int]]]  # perhaps with a progress bar of this text


def _silent(batches: Iterable[list[int]], words: str) -> Iterable[list[int]]:
    return batches


class NumberedImages(NamedTuple):
    """N = `number` images by their numbers. image: [n, C, H, W], the net's input. masks: [n, P, H, W]."""

    number: int
    image: Callable[[list[int]], Tensor]
    masks: Callable[[list[int]], Masks]

    def batches(self) -> list[list[int]]:
        """The numbers of all images, in order."""
        return [list(range(start, min(start + BATCH, self.number))) for start in range(0, self.number, BATCH)]


class Counts(NamedTuple):
    """Pixels of N images, for the C maps of a layer and P parts.

    threshold: [C]. peak: [N, C], the largest activation in each image. strong: [N, C], pixels where the map exceeds its
    threshold. part: [N, P], pixels of each part. both: [N, C, P], pixels of both. shuffled: [S, C, P], sums of `both`
    over the images, with the masks of other images in each of S ways.
    """

    threshold: Tensor
    peak: Tensor
    strong: Tensor
    part: Tensor
    both: Tensor
    shuffled: Tensor


class PackedMasks:
    """The masks of all images, eight pixels a byte. donors: [S, N], whose masks each shuffle gives to an image.

    In each shuffle every image gets the masks of another one. Raises UserError for fewer than two images.
    """

    def __init__(self, images: NumberedImages, shuffles: int, seed: int, progress: Pass = _silent):
        if images.number < 2:
            raise UserError(f"{images.number} image: two or more are needed, so that masks can change places")
        packed = []
        for numbers in progress(images.batches(), "masks of the parts"):
            masks = images.masks(numbers)
            self.shape = masks.shape[1:]
            packed.append(np.packbits(masks.reshape(*masks.shape[:2], -1), axis=-1))
        self._packed: NDArray[np.uint8] = np.concatenate(packed)
        self.donors = _other_images(images.number, shuffles, seed)

    def of(self, number: int, device: torch.device) -> Tensor:
        """[(1 + S) * P, H * W] float32: the masks of an image, then those that each shuffle gives it."""
        _, height, width = self.shape
        numbers = [number, *self.donors[:, number]]
        bits = np.unpackbits(self._packed[numbers], axis=-1, count=height * width)
        return torch.from_numpy(bits).flatten(0, 1).to(device).float()

    def pixels(self) -> Tensor:
        """[N, P] int64: pixels of each part in each image."""
        bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1)
        return torch.from_numpy(bits[self._packed].sum(-1).astype(np.int64))


def _other_images(count: int, shuffles: int, seed: int) -> NDArray[np.int64]:
    """[S, count]: permutations of the images that leave none in its place."""
    rng = np.random.default_rng(seed)
    donors = np.empty((shuffles, count), np.int64)
    for row in donors:
        order = rng.permutation(count)
        row[order] = np.roll(order, 1)
    return donors


def layer_counts(
    nets: Mapping[str, nn.Module],
    images: NumberedImages,
    masks: PackedMasks,
    layers: Sequence[str],
    quantile: float,
    progress: Pass = _silent,
) -> dict[str, dict[str, Counts]]:
    """Net -> layer -> its counts, for nets that have these layers.

    Raises UserError for a layer that outputs no maps, and as `features`.
    """
    tops, peaks = dict[Key, TopValues](), dict[Key, list[Tensor]]()
    for numbers in progress(images.batches(), "thresholds of the maps"):
        for key, maps in _maps(nets, images.image(numbers), layers):
            positions = images.number * maps.shape[2] * maps.shape[3]
            tops.setdefault(key, TopValues(positions, quantile)).add(maps)
            peaks.setdefault(key, []).append(maps.amax((2, 3)).cpu())
    thresholds = {key: top.thresholds() for key, top in tops.items()}
    del tops
    counters, of_net = dict[Key, _Counter](), {name: net_fields(net, images.image([0])) for name, net in nets.items()}
    for numbers in progress(images.batches(), "comparing maps with masks"):
        image = images.image(numbers)
        by_key = dict(_maps(nets, image, layers))
        for key, maps in by_key.items():
            if key not in counters:
                counters[key] = _Counter(thresholds[key], upsampled(of_net[key[0]].get(key[1]), maps, image), masks)
        for at, number in enumerate(numbers):
            of_image = masks.of(number, next(iter(by_key.values())).device)
            for key, maps in by_key.items():
                counters[key].add(maps[at], of_image)
    pixels = masks.pixels()
    return {
        net: {layer: counters[net, layer].counts(torch.cat(peaks[net, layer]), pixels) for layer in layers}
        for net in nets
    }


def _maps(nets: Mapping[str, nn.Module], image: Tensor, layers: Sequence[str]) -> Iterator[tuple[Key, Tensor]]:
    """Maps [n, C, h, w] of each layer of each net."""
    for name, net in nets.items():
        for layer, maps in features(net, image, layers).layers.items():
            if maps.dim() != 4:
                shape = " x ".join(map(str, maps.shape[1:]))
                raise UserError(f"layer {layer} outputs {shape} for an image, which are no maps; choose another layer")
            yield (name, layer), maps.float()


def net_fields(net: nn.Module, image: Tensor) -> dict[str, Field | None]:
    """The receptive field of each layer for images [n, C, H, W]; None: the whole image."""
    _, colors, height, width = image.shape
    return fields(net, (colors, height, width))


def upsampled(field: Field | None, maps: Tensor, image: Tensor) -> Upsampling:
    """The enlargement of maps [n, C, h, w] to images [n, C, H, W], on the device of the maps."""
    rows, cols = upsampling_of(field, (maps.shape[2], maps.shape[3]), (image.shape[2], image.shape[3]))
    return Upsampling(rows.to(maps.device), cols.to(maps.device))


class _Counter:
    """The counts of one layer, image by image."""

    def __init__(self, threshold: Tensor, enlarge: Upsampling, masks: PackedMasks):
        self.threshold, self.enlarge = threshold, enlarge
        self.shuffles, self.parts = len(masks.donors), masks.shape[0]
        self.strong, self.both = list[Tensor](), list[Tensor]()
        self.shuffled = torch.zeros(self.shuffles, len(threshold), self.parts, dtype=torch.int64)

    def add(self, maps: Tensor, masks: Tensor) -> None:
        """Takes the maps [C, h, w] of an image, and its masks [(1 + S) * P, H * W]."""
        strong = torch.zeros(len(maps), dtype=torch.int32)
        both = torch.zeros(len(maps), len(masks), dtype=torch.int32)
        active = (maps.flatten(1).amax(1) > self.threshold).nonzero()[:, 0]  # the others stay below it everywhere
        for chosen in active.split(max(1, ENLARGED // masks.shape[1])):
            above = self.enlarge(maps[chosen]) > self.threshold[chosen, None, None]
            areas = above.flatten(1).float()  # sums of ones below 2^24 are exact
            strong[chosen.cpu()] = areas.sum(1).int().cpu()
            both[chosen.cpu()] = (areas @ masks.T).int().cpu()
        self.strong.append(strong)
        self.both.append(both[:, : self.parts].clone())
        shuffled = both[:, self.parts :].unflatten(1, (self.shuffles, self.parts))
        self.shuffled += shuffled.transpose(0, 1)

    def counts(self, peak: Tensor, part: Tensor) -> Counts:
        strong, both = torch.stack(self.strong), torch.stack(self.both)
        return Counts(self.threshold.cpu(), peak, strong, part, both, self.shuffled)
