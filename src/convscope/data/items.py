"""What a data set or a loader of the user's own gives: images and labels in tuples, lists or dictionaries."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import v2

from convscope.data.loader_order import undisturbed_random
from convscope.errors import UserError
from convscope.models.library_metadata import Colors

COLORS = 1, 3  # of an image: gray, or red, green and blue
IMAGE_KEYS = "image", "images", "img", "pixel_values"  # that come before other keys of a dictionary, such as masks


class Item(NamedTuple):
    """image: [C, H, W] floating point, as the net takes it. label: None where the item has none."""

    image: Tensor
    label: int | None


def read_item(value: Any) -> Item:
    """The image and label of one item: the first image in it, and the first whole number after it.

    Raises UserError for an item without an image, and for one with an image that is no tensor yet.
    """
    leaves = list(_leaves(value))
    places = [place for place, leaf in enumerate(leaves) if _is_image(leaf, 3)]
    if not places:
        raise UserError(_no_image(leaves, "the data set gives", "[C, H, W]"))
    labels = [int(leaf) for leaf in leaves[places[0] + 1 :] + leaves[: places[0]] if _is_label(leaf)]
    return Item(leaves[places[0]], labels[0] if labels else None)


def batch_images(value: Any) -> Tensor:
    """The images [N, C, H, W] of a batch: the first such tensor in it. Raises UserError for a batch without images."""
    leaves = list(_leaves(value))
    images = next((leaf for leaf in leaves if _is_image(leaf, 4)), None)
    if images is None:
        raise UserError(_no_image(leaves, "a batch has", "[N, C, H, W]"))
    return images


def batch_labels(value: Any, count: int) -> list[int | None]:
    """The labels of a batch of `count` images: the first whole numbers in it, one for each image."""
    for leaf in _leaves(value):
        if isinstance(leaf, Tensor) and leaf.shape == (count,) and not leaf.is_floating_point():
            return leaf.tolist()
    return [None] * count


def first_image(loader: Any) -> Tensor | None:
    """The first image of a loader's data set; None where only the loader can tell, as of an iterable one."""
    return first_item_image(getattr(loader, "dataset", None))


def first_item_image(dataset: Any) -> Tensor | None:
    """The first image of a data set, read without a trace in the random numbers of the process; None without one."""
    try:
        with undisturbed_random():
            return read_item(dataset[0]).image
    except Exception:  # whatever a data set raises
        return None


def image_shape(image: Tensor) -> tuple[int, int, int]:
    """Colors, height and width of an image [C, H, W]."""
    channels, height, width = image.shape
    return channels, height, width


def colors_of(dataset: Any) -> Colors | None:
    """Mean and deviation of the Normalize among the transforms of a data set or of the set below it; None without."""
    if dataset is None:
        return None
    for name in ("transform", "transforms"):
        for step in _steps(getattr(dataset, name, None)):
            if isinstance(step, transforms.Normalize | v2.Normalize):
                return Colors(_floats(step.mean), _floats(step.std))
    return colors_of(below(dataset))


def class_names_of(dataset: Any) -> list[str] | None:
    """The names of a data set's classes, as torchvision's data sets have them, or of the set below it; None without."""
    if dataset is None:
        return None
    names: Any = getattr(dataset, "classes", None)
    is_list = hasattr(names, "__iter__") and not isinstance(names, str)
    return [str(name) for name in names] if is_list and len(names) else class_names_of(below(dataset))


def below(dataset: Any) -> Any:
    """The data set within a wrapper such as torch's Subset, the first one of a ConcatDataset; None of others."""
    inner, parts = getattr(dataset, "dataset", None), getattr(dataset, "datasets", None)
    return parts[0] if inner is None and parts else inner


def colors_of_arguments(mean: Any, std: Any) -> Colors | None:
    """Mean and deviation of each color; None where neither is given. Raises UserError for what is no such pair."""
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        missing, other = ("mean", "std") if mean is None else ("std", "mean")
        raise UserError(f"{other}= without {missing}=; pass both, as in the Normalize of your images")
    values = [_numbers(name, value) for name, value in (("mean", mean), ("std", std))]
    if min(values[1]) <= 0:
        raise UserError(f"std={std} divides pixels, so it is above 0")
    if max(values[0]) > 2:
        raise UserError(f"mean={mean} is of pixels from 0 to 255; divide mean and std by 255")
    return Colors(*values)


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in np.asarray(value, np.float64).flatten())
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) not in COLORS or not np.isfinite(numbers).all():
        raise UserError(f"{name}={value!r} is not 1 or 3 numbers for pixels from 0 to 1, e.g. {name}={(0.5, 0.5, 0.5)}")
    return numbers


def _steps(transform: Any) -> Iterator[Any]:
    """The transform, and those in it."""
    yield transform
    inner = getattr(transform, "transforms", None) or getattr(transform, "transform", None)
    for step in inner if isinstance(inner, Sequence | torch.nn.ModuleList) else [inner] if inner is not None else []:
        yield from _steps(step)


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in ([values] if isinstance(values, float | int) else values))


def _leaves(value: Any) -> Iterator[Any]:
    """The values in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value, key=lambda key: key not in IMAGE_KEYS)]
    if isinstance(value, tuple | list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _is_image(leaf: Any, dims: int) -> bool:
    is_tensor = isinstance(leaf, Tensor) and leaf.dim() == dims and leaf.is_floating_point()
    return is_tensor and leaf.shape[dims - 3] in COLORS


def _is_label(leaf: Any) -> bool:
    if isinstance(leaf, Tensor):
        return leaf.numel() == 1 and not leaf.is_floating_point()
    return hasattr(leaf, "__index__")


def _no_image(leaves: Sequence[Any], start: str, shape: str) -> str:
    """The message for an item or a batch with these leaves and without images."""
    descriptions = [
        f"a {str(leaf.dtype).removeprefix('torch.')} tensor {list(leaf.shape)}" if isinstance(leaf, Tensor)
        else type(leaf).__name__ for leaf in leaves
    ]  # fmt: skip
    return (
        f"{start} {', '.join(descriptions) or 'nothing'}, and no image; an image is a tensor {shape} of floating point "
        "with 1 or 3 colors, as the net takes it"
    )
