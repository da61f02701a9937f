"""One pass over the images of a data set that writes the features of all layers and nets to disk.

Features are those of center crops, pooled to a grid, or of whole images at several scales (VGG, Appendix B).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.evaluation.compute import net_input
from convscope.analyses.subject import Subject
from convscope.analyses.transfer.compute.feature_files import StoredFeatures, feature_files, storable
from convscope.data.shared_passes import process, results_in_first
from convscope.data.transforms import stored_size
from convscope.engine.axes import axes_of, maps_shape
from convscope.engine.dense import dense_features
from convscope.engine.features import features
from convscope.engine.progress import track, track_parts
from convscope.engine.trace import trace
from convscope.errors import UserError

DENSE = "dense"  # the name of the features of whole images in results
_VGG_SCALES = (1.0, 1.5, 2.0)  # of the stored side: VGG's 256, 384 and 512 for its 224 pixels


class DenseScales(NamedTuple):
    """sides: smallest sides of the whole images in pixels. stack: features of all scales in a row; else their mean."""

    sides: tuple[int, ...]
    stack: bool


class FeatureRequest(NamedTuple):
    """Which features go to disk.

    layers: by module path. grid: each map becomes its maxima in grid x grid parts of it. scales: whole images at these
    scales too, as the layer "dense" (VGG). kind: float16 or float32. keep: a folder where the files stay, <layer>.npy
    and labels.npy, those of other nets in folders of their names; None: no file is left.
    """

    layers: list[str]
    grid: int
    scales: DenseScales | None = None
    kind: str = "float32"
    keep: str | None = None


class DenseFeatures:
    """Dense features of one net at these scales."""

    def __init__(self, subject: Subject, scales: DenseScales):
        size, self._scales, self._subject = subject.data.settings.image_size, scales, subject
        self._extractors = [dense_features(subject.net, size, side) for side in scales.sides]

    @property
    def size(self) -> int:
        """Values of an image."""
        side = self._scales.sides[0]
        blank = torch.zeros(1, 3, side, side, device=self._subject.device)
        of_scale = self._extractors[0](blank).shape[1]
        return of_scale * len(self._scales.sides) if self._scales.stack else of_scale

    def of(self, images: Sequence[Tensor]) -> Tensor:
        """Features [N, D] of whole images [N, 3, h, w], gray levels, at each scale."""
        by_scale = [
            extract(net_input(whole, self._subject)) for extract, whole in zip(self._extractors, images, strict=True)
        ]
        return torch.cat(by_scale, 1) if self._scales.stack else torch.stack(by_scale).mean(0)


def dense_scales(sides: Sequence[int] | None, image_size: int, pool: str, stored: int | None = None) -> DenseScales:
    """These sides, or without any VGG's in proportion to the stored side. Raises UserError for one below the input."""
    if sides is None:
        sides = [round(factor * (stored or stored_size(image_size))) for factor in _VGG_SCALES]
    if small := [side for side in sides if side < image_size]:
        raise UserError(f"transfer.scales has {small[0]}, and the net sees {image_size} x {image_size} pixels at once; "
                      f"scales are {image_size} or more")  # fmt: skip
    return DenseScales(tuple(sides), pool == "stack")


@contextmanager
def features_on_disk(subjects: Mapping[str, Subject], request: FeatureRequest) -> Iterator[dict[str, StoredFeatures]]:
    """Features of all images of both splits while the block runs, of several nets by name on the images of the first.

    Of several processes, each computes its part, and the first has the files; the others get nothing. Raises UserError
    where the disk has too little room or cannot be written, for an unknown layer, and for values that are not finite.
    """
    data = next(iter(subjects.values())).data
    count = sum(data.size(split) for split in data.pooled)
    dense = {name: DenseFeatures(subject, request.scales) for name, subject in subjects.items() if request.scales}
    sizes = {name: _feature_sizes(subject, request) for name, subject in subjects.items()}
    for name, extractor in dense.items():
        sizes[name][DENSE] = extractor.size
    cache = Path(data.settings.cache_dir).expanduser()
    with ExitStack() as stack:
        files = feature_files(sizes, count, request.kind, request.keep, cache)
        stored = {} if process().rank else stack.enter_context(files)
        for rows in results_in_first(_feature_rows(subjects, request)):
            _write(rows, stored)
        if request.scales:
            for rows in results_in_first(_dense_rows(subjects, dense, request.scales, request.kind)):
                _write(rows, stored)
        if request.keep and stored:
            np.save(Path(request.keep).expanduser() / "labels.npy", next(iter(stored.values())).labels)
        yield stored


def grid_maxima(grid: int) -> Callable[[Tensor], Tensor]:
    """A function from a layer's output to vectors [N, D].

    Maps [N, C, h, w] become maxima on at most grid x grid places, because conv1 alone has 1.2 million values at 224
    pixels; units [N, D] stay as they are. The paper does not say what it took of the maps: a grid of 6 is what its own
    last pool leaves of layer 5.
    """

    def take(output: Tensor) -> Tensor:
        if output.dim() != 4:
            return output.flatten(1).clone()
        sides = min(grid, output.shape[2]), min(grid, output.shape[3])
        return F.adaptive_max_pool2d(output, sides).flatten(1)

    return take


def input_conversion(subject: Subject, first: Subject) -> Callable[[Tensor], Tensor]:
    """A function from center crops as inputs of `first` to inputs of `subject`: another mean image, another scale.

    Raises UserError where the two nets have images of different size.
    """
    if subject.data is first.data:
        return lambda images: images
    size, sides = subject.data.settings.image_size, (first.data.mean.shape[-1], subject.data.mean.shape[-1])
    if sides[0] != sides[1] or size != first.data.settings.image_size:
        raise UserError(f"a net of {size} pixels beside one of {first.data.settings.image_size}: transfer.beside takes "
                      "nets of one image size; look at them one by one")  # fmt: skip
    start = (sides[0] - size) // 2
    center = slice(start, start + size)
    old_mean, new_mean = (net.data.mean[:, center, center].to(first.device) for net in (first, subject))
    scales = [torch.as_tensor(net.data.settings.pixel_scale).view(-1, 1, 1) for net in (first, subject)]
    old_scale, new_scale = (scale.to(first.device) for scale in scales)

    def convert(images: Tensor) -> Tensor:
        converted = (images / old_scale + old_mean - new_mean) * new_scale
        return converted.contiguous(memory_format=torch.channels_last)

    return convert


def _feature_sizes(subject: Subject, request: FeatureRequest) -> dict[str, int]:
    """Values of an image, by layer."""
    traced = trace(subject.net, subject.data.image_shape)
    axes, numbers = axes_of(traced), {layer: traced.layer(layer).output for layer in request.layers}
    shapes = {layer: maps_shape(traced.shapes[number], axes.get(number)) for layer, number in numbers.items()}
    return {layer: grid_maxima(request.grid)(torch.zeros(1, *shape[1:])).shape[1] for layer, shape in shapes.items()}


class FeatureRows(NamedTuple):
    """Features of some images. rows [n]: of the files. labels [n]. values: [n, D] by net and layer."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    values: dict[str, dict[str, NDArray[np.floating]]]


def _write(part: FeatureRows, stored: Mapping[str, StoredFeatures]) -> None:
    for net, by_layer in part.values.items():
        stored[net].labels[part.rows] = part.labels
        for layer, values in by_layer.items():
            stored[net].layers[layer][part.rows] = values


def _feature_rows(subjects: Mapping[str, Subject], request: FeatureRequest) -> Iterator[FeatureRows]:
    """Yields the features of center crops, batch by batch: the part of this process."""
    first = next(iter(subjects.values()))
    conversions = {name: input_conversion(subject, first) for name, subject in subjects.items()}
    take, kind, start = grid_maxima(request.grid), np.dtype(request.kind), 0
    for split in first.data.pooled:
        batches = first.data.ordered_dataloader(split, first.device)
        for batch in track(batches, f"features of the {split} images"):
            values = {}
            for name, subject in subjects.items():
                by_layer = features(subject.net, conversions[name](batch.image), request.layers, take).layers
                values[name] = {layer: storable(of_layer, layer, kind) for layer, of_layer in by_layer.items()}
            yield FeatureRows(start + batch.index.numpy(), batch.label.cpu().numpy(), values)
        start += first.data.size(split)


def _dense_rows(
    subjects: Mapping[str, Subject], dense: Mapping[str, DenseFeatures], scales: DenseScales, kind: str
) -> Iterator[FeatureRows]:
    """Yields the features of whole images, group by group: the part of this process."""
    first, start = next(iter(subjects.values())), 0
    settings = first.data.settings
    pixels = settings.batch_size * settings.image_size**2 // 2  # a batch of the net's own, with the mirror images
    for split in first.data.pooled:
        words = f"whole {split} images of {', '.join(map(str, scales.sides))} pixels"
        groups = first.data.rectangles(split, torch.arange(count := first.data.size(split)), scales.sides, pixels)
        own_count = -(-count // process().world)
        for group in track_parts(groups, words, own_count, lambda group: len(group.index)):
            values = {
                name: {DENSE: storable(extractor.of(group.images), DENSE, np.dtype(kind))}
                for name, extractor in dense.items()
            }
            yield FeatureRows(start + group.index.numpy(), group.label.numpy(), values)
        start += count
