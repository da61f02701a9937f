"""Which layers of two nets are compared, and whether both nets look at the same images."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.analyses.subject import Subject
from convscope.data.images import Images, SplitName
from convscope.engine.blocks import default_layers
from convscope.errors import UserError, did_you_mean

LayerPairs = list[tuple[str, str]]  # a layer of the first net, and of the second
CHECKED = 32  # images whose pixels are compared
THUMBNAIL = 8  # pixels of a side at which they are
ALIKE = 0.5  # share of images that must be nearest to themselves among the images of the other net


def layer_pairs(first: Subject, second: Subject, chosen: Sequence[str] | Mapping[str, str] | None = None) -> LayerPairs:
    """The layers to compare: those chosen, or the default layers of both nets.

    Default layers are paired by name where both nets have at least half of the names, else by their place between the
    pixels and the classes. Raises UserError, naming the net, for a layer that it does not have.
    """
    if chosen is not None:
        pairs = list(chosen.items()) if isinstance(chosen, Mapping) else [(layer, layer) for layer in chosen]
        for subject, listed, which in zip((first, second), zip(*pairs, strict=True), ("first", "second"), strict=True):
            _check_names(subject, listed, which)
        return pairs
    names, peers = (default_layers(subject.net, subject.data.image_shape) for subject in (first, second))
    if (common := [name for name in names if name in peers]) and 2 * len(common) >= min(len(names), len(peers)):
        return [(name, name) for name in common]
    return _by_place(names, peers)


def _check_names(subject: Subject, names: Sequence[str], which: str) -> None:
    layers = [name for name, _ in subject.net.named_modules() if name]
    if missing := [name for name in names if name not in layers]:
        near = did_you_mean(missing[0], layers)
        raise UserError(
            f"match.layers: the {which} net ({subject.net_name}) has no layer {missing[0]}{near}; where names differ, "
            f"type 'match.layers={{<layer of the first>: <layer of the second>}}'; its layers: {', '.join(layers)}"
        )


def _by_place(names: Sequence[str], peers: Sequence[str]) -> LayerPairs:
    """The layers of the shorter list, each with the layer of the other as far between the first and the last."""
    count = min(len(names), len(peers))
    places = [
        [round(number * (len(layers) - 1) / max(1, count - 1)) for number in range(count)] for layers in (names, peers)
    ]
    return [(names[place], peers[peer]) for place, peer in zip(*places, strict=True)]


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two nets have parameters and buffers of the same names and values."""
    ours, theirs = ({**dict(net.named_parameters()), **dict(net.named_buffers())} for net in (first, second))
    return ours.keys() == theirs.keys() and all(
        values.shape == theirs[name].shape and torch.equal(values.cpu(), theirs[name].cpu())
        for name, values in ours.items()
    )


def same_images(first: Images, second: Images, split: SplitName, choice: int | Sequence[int], seed: int) -> Tensor:
    """Indices of images of both nets, in an order by seed. Raises UserError where an index means two images.

    Nets may crop and normalize them in their own ways: an image is the same where it is nearer to itself than to the
    other images, by the correlation of small pictures.
    """
    index = first.choose(split, choice, seed)
    index = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))]
    if first is second:
        return index
    mend = "look at the same images: type data=<their source>, e.g. data=folder data.root=/photos"
    if first.size(split) != second.size(split):
        counts = f"{first.size(split)} and {second.size(split)}"
        raise UserError(f"the nets have other {split} images ({counts}); let both {mend}")
    checked = index[:CHECKED]
    ours, theirs = (_thumbnails(images.pixels(split, checked)) for images in (first, second))
    alike = ours @ theirs.T  # [n, n]
    if ((alike.diagonal() >= alike.amax(1) - 1e-4).float().mean() <= ALIKE) and len(checked) > 1:
        raise UserError(f"image by image the two nets would see other {split} images; let both {mend}")
    return index


def _thumbnails(pixels: Tensor) -> Tensor:
    """[n, P]: small pictures of pixels [n, 3, H, W], centered and of length 1."""
    small = F.interpolate(pixels.float(), (THUMBNAIL, THUMBNAIL), mode="area").flatten(1)
    return F.normalize(small - small.mean(1, keepdim=True), dim=1)
