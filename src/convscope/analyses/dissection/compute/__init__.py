"""Network Dissection (Bau et al. 2017): the places where a map is strong, against masks of parts.

A map's threshold is the quantile .995 of all its activations. The map is enlarged to the image by bilinear
interpolation between the centers of its units' receptive fields, and is strong where it exceeds the threshold. Its IoU
with a part is the number of pixels, over all images, that are strong and of the part, over the number of those that are
either. Bau et al. call a map a detector of the part of its largest IoU where that exceeds .04; here it also has to
exceed the largest IoU that the map reaches, with any part, where every image gets the masks of another one.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from convscope.analyses.dissection.about import QUANTILE, THRESHOLD
from convscope.analyses.dissection.compute.counts import NumberedImages, PackedMasks, layer_counts
from convscope.analyses.dissection.compute.detectors import detectors
from convscope.data.epoch_images import EpochImages
from convscope.engine.features import features

EPOCH_SHUFFLES = 3


def measure_epoch(
    net: nn.Module, images: EpochImages, layers: Sequence[str], memory: Mapping[str, Tensor]
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """detectors/<layer>: how many maps detect a part; nothing for images whose parts are not known."""
    parts = images.parts
    if parts is None or len(images.image) < 2:
        return {}, {}
    masks = parts.masks.numpy()
    examined = NumberedImages(len(images.image), lambda numbers: images.image[numbers], lambda numbers: masks[numbers])
    packed = PackedMasks(examined, EPOCH_SHUFFLES, seed=0)
    counts = layer_counts({"": net}, examined, packed, _with_maps(net, images, layers), QUANTILE)[""]
    return {
        f"detectors/{layer}": float(detectors(of_layer, THRESHOLD).is_detector.sum())
        for layer, of_layer in counts.items()
    }, {}


def _with_maps(net: nn.Module, images: EpochImages, layers: Sequence[str]) -> list[str]:
    """The layers that output maps; a layer of units has none."""
    shapes = features(net, images.image[:1], layers, lambda output: output.new_tensor(output.dim())).layers
    return [layer for layer in layers if int(shapes[layer]) == 4]
