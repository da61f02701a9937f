"""Metadata of torchvision and timm: names of nets and weights, and the input for which a net was trained."""

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torchvision import models

from convscope.errors import UserError
from convscope.models.weights_file import ENDINGS, is_file_name, read_weights

IMAGENET_NAMES: Sequence[str] = models.AlexNet_Weights.IMAGENET1K_V1.meta[
    "categories"
]  # in the order of all nets for ImageNet


class Colors(NamedTuple):
    """Mean and standard deviation per color by which a net's input is normalized; pixels from 0 to 1."""

    mean: Sequence[float]
    std: Sequence[float]


class NativeInput(NamedTuple):
    """The input of a net in training: images of smallest side `stored`, cut to a center of side `size`."""

    size: int
    stored: int
    interpolation: Literal["bilinear", "bicubic"]
    colors: Colors


def native_input(source: str, name: str, weights: str | None) -> NativeInput:
    """Input of the net that torchvision_net or timm_net makes from these arguments; raises UserError as they do."""
    if source == "torchvision":
        transforms = torchvision_entry(name, weights).transforms()
        size, stored = transforms.crop_size[0], transforms.resize_size[0]
        bicubic = transforms.interpolation.value == "bicubic"
        colors = Colors(tuple(transforms.mean), tuple(transforms.std))
    else:
        config = timm_config(name, weights)
        size = config.input_size[-1]
        stored = max(size, math.floor(size / config.crop_pct))  # as in timm's own transforms
        bicubic, colors = config.interpolation == "bicubic", Colors(tuple(config.mean), tuple(config.std))
    return NativeInput(size, stored, "bicubic" if bicubic else "bilinear", colors)


def torchvision_entry(name: str, weights: str | None) -> Any:
    """Entry of torchvision's WeightsEnum for these weights. Raises UserError for an unknown net or unknown weights.

    For a weights file it is the entry with the same file name, if there is one. For other files and random weights it
    is the usual entry; for a vision transformer in a file, the first entry of the same image size.
    """
    check_name("torchvision", name, models.list_models(module=models))
    entries: Mapping[str, Any] = models.get_model_weights(name).__members__
    if weights is not None and not is_file_name(weights):
        _check_weights(name, weights, list(entries))
        return entries[weights]
    fitting = [entry for entry in entries.values() if weights and Path(entry.url).name == Path(weights).name]
    if weights and name.startswith("vit_"):
        side = vision_transformer_side(name, read_weights(weights))
        fitting += [entry for entry in entries.values() if entry.transforms().crop_size[0] == side]
    usual = [entry for entry in entries.values() if "E2E" not in entry.name]  # trained end to end on larger images
    return [*fitting, *usual, *entries.values()][0]


def vision_transformer_side(name: str, state: Mapping[str, Tensor]) -> int | None:
    """Image side of a vision transformer, from its position embeddings [1, 1 + patches, width]; None for other nets."""
    positions = [value for key, value in state.items() if key.endswith("encoder.pos_embedding")]
    if not name.startswith("vit_") or not positions or positions[0].dim() != 3:
        return None
    return math.isqrt(max(1, positions[0].shape[1] - 1)) * int(name.rpartition("_")[2])


def timm_config(name: str, weights: str | None) -> Any:
    """timm's PretrainedCfg for these weights; for a file and for random weights the one of the usual weights.

    Raises UserError for an unknown net or unknown weights, and where timm is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise UserError("model=timm needs timm, which is not installed; type: pip install 'convscope[timm]'") from error
    check_name("timm", name, timm.list_models())
    tags = [full.removeprefix(f"{name}.") for full in timm.list_pretrained(f"{name}.*")]
    if weights is not None and not is_file_name(weights):
        _check_weights(name, weights, [*tags, *(["DEFAULT"] if tags else [])])
        return timm.get_pretrained_cfg(timm_name(name, weights))
    return timm.get_pretrained_cfg(name)


def timm_name(name: str, weights: str | None) -> str:
    """Name of a net with the tag of its weights, such as resnet18.tv_in1k."""
    return name if weights in (None, "DEFAULT") else f"{name}.{weights}"


def check_name(library: str, name: str, names: list[str]) -> None:
    """Raises UserError, with the nearest names of the library, for a name that is not among `names`."""
    if name not in names:
        near = difflib.get_close_matches(name, names, 5, 0.3) or names[:5]
        raise UserError(f"{library} has no classifier {name}; near it: {', '.join(near)}; set model.name")


def _check_weights(name: str, weights: str, names: list[str]) -> None:
    if weights not in names:
        possible = ", ".join([*names, "null"])
        raise UserError(
            f"{name} has no weights {weights}; possible: model.weights={possible}, or a file, {' '.join(ENDINGS)}"
        )
