"""The same features elsewhere: maps of two nets, or of two epochs of one, matched over the same images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from convscope.analyses.matching.compute.cka import Cka, CkaSums
from convscope.analyses.matching.compute.correlation import SHUFFLES, LayerMatch, MapSums, match_maps
from convscope.analyses.matching.compute.layers import LayerPairs
from convscope.analyses.subject import Subject
from convscope.data.epoch_images import EpochImages
from convscope.data.images import SplitName
from convscope.engine.features import features
from convscope.engine.progress import track
from convscope.errors import UserError

BATCH = 20  # images at most of one pass, over which they are shuffled and HSIC is estimated
FEWEST = 4  # images of a batch, for an unbiased HSIC


class Matching(NamedTuple):
    """Two nets compared. layers: by pair of names. cka: of all layers of the one with all of the other."""

    layers: dict[tuple[str, str], LayerMatch]
    cka: Cka


def match_nets(first: Subject, second: Subject, pairs: LayerPairs, split: SplitName, index: Tensor) -> Matching:
    """Matches the layers of two nets over the images of these indices (`same_images`), at least four.

    Each net gets the images in its own size and normalization.
    """
    batches = image_batches(index)
    shuffles = min(SHUFFLES, min(map(len, batches)) - 1)
    maps, cka = [MapSums(shuffles) for _ in pairs], CkaSums(shuffles)
    for ours, theirs in _features(first, second, pairs, split, batches):
        for sums, our_maps, their_maps in zip(maps, ours, theirs, strict=True):
            sums.add(our_maps, their_maps)
        cka.add(ours, theirs)
    matches = [match_maps(sums.correlations()) for sums in track(maps, "matching the maps of each layer")]
    return Matching(dict(zip(pairs, matches, strict=True)), cka.cka())


def image_batches(index: Tensor) -> list[Tensor]:
    """The indices in batches of nearly equal size, each of four at least where there are so many."""
    return list(index.tensor_split(-(-len(index) // BATCH)))


def _features(
    first: Subject, second: Subject, pairs: LayerPairs, split: SplitName, batches: Sequence[Tensor]
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """For each batch the maps [n, C, h, w] of the layers of both nets, on a device that can pool them."""
    names = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for index in track(batches, f"images through {first.net_name} and {second.net_name}"):
        images = first.data.images(split, index)
        copies = images if second.data is first.data else second.data.images(split, index)
        ours, theirs = (
            features(first.net, images, names[0]).layers,
            features(second.net, copies, names[1]).layers,
        )
        yield [_maps(ours[layer], layer) for layer in names[0]], [_maps(theirs[layer], layer) for layer in names[1]]


def _maps(output: Tensor, layer: str) -> Tensor:
    """A layer's output as maps [n, C, h, w]; units [n, C] are maps of one position. Raises UserError for others."""
    if output.dim() not in (2, 4):
        shape = " x ".join(map(str, output.shape[1:]))
        raise UserError(f"layer {layer} puts out {shape} for each image, neither maps nor units; choose a convolution")
    return _with_positions(output)


def _with_positions(output: Tensor) -> Tensor:
    """Maps [n, C, h, w] float32 of maps or of units [n, C]."""
    maps = output if output.device.type == "cuda" else output.cpu()  # of the others not all can pool to any size
    return maps.float() if maps.dim() == 4 else maps[:, :, None, None].float()


EPOCH_SHUFFLES = 5
EPOCH_MAPS = 512  # of the epoch before that get a partner: the time of the search grows with their square
EPOCH_BYTES = 2 << 20  # of the features that are remembered from epoch to epoch, of all layers together


def measure_epoch(
    net: nn.Module, images: EpochImages, layers: Sequence[str], memory: Mapping[str, Tensor]
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """recur/<layer>: the share of maps that recur from the epoch before, of at most 512 maps, evenly over the layer.
    cka/<layer>: linear CKA with it.

    memory: the layers' maps at that epoch, [n, C, g, g] float16 on a coarse grid; what is returned is their successor.
    """
    limit = EPOCH_BYTES // len(layers)
    coarse = features(net, images.image, layers, lambda output: _compact(_with_positions(output), limit)).layers
    remembered = {layer: maps.clone() for layer, maps in coarse.items()}  # no tensors of inference mode
    columns = dict[str, float]()
    for layer, present in remembered.items():
        before = memory.get(layer)
        if before is None or before.shape != present.shape or len(present) < FEWEST:
            continue
        maps, cka = MapSums(min(EPOCH_SHUFFLES, len(present) - 1)), CkaSums(0)
        maps.add(before[:, :: -(-before.shape[1] // EPOCH_MAPS)].float(), present.float())
        cka.add([before.float()], [present.float()])
        columns[f"recur/{layer}"] = match_maps(maps.correlations()).share.value
        columns[f"cka/{layer}"] = float(cka.cka().values[0, 0])
    return columns, remembered


def _compact(maps: Tensor, limit: int) -> Tensor:
    """The maps on the finest square grid that takes at most `limit` bytes in float16, divided by their largest value.

    Neither correlations nor CKA depend on the divisor, and float16 holds no large numbers.
    """
    count, channels, rows, cols = maps.shape
    side = max(1, int((limit / (2 * count * channels)) ** 0.5))
    pooled = nn.functional.adaptive_avg_pool2d(maps, (min(side, rows), min(side, cols)))
    return (pooled / pooled.abs().amax().clamp(min=1e-30)).half().cpu()
