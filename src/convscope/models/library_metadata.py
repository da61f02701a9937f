"""What torchvision and timm tell of their nets: their names, their weights, and the input that they are meant for."""

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torchvision import models

from convscope.errors import UserError
from convscope.models.weights_file import ENDINGS, is_file_name, read_weights

IMAGENET_NAMES: Sequence[str] = models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"]  # in the order of all such nets


class Colors(NamedTuple):
    """Mean and deviation per color that a net's input was normalized by, pixels from 0 to 1."""

    mean: Sequence[float]
    std: Sequence[float]


class NativeInput(NamedTuple):
    """What a net is meant for: images of smallest side `stored`, whose center of `size` x `size` pixels it sees."""

    size: int
    stored: int
    interpolation: Literal["bilinear", "bicubic"]
    colors: Colors


def native_input(source: str, name: str, weights: str | None) -> NativeInput:
    """The input of the net that torchvision_net or timm_net makes of the same; raises UserError as they do."""
    if source == "torchvision":
        how = torchvision_entry(name, weights).transforms()
        size, stored = how.crop_size[0], how.resize_size[0]
        bicubic, colors = how.interpolation.value == "bicubic", Colors(tuple(how.mean), tuple(how.std))
    else:
        about = timm_config(name, weights)
        size = about.input_size[-1]
        stored = max(size, math.floor(size / about.crop_pct))  # as timm's own transforms have it
        bicubic, colors = about.interpolation == "bicubic", Colors(tuple(about.mean), tuple(about.std))
    return NativeInput(size, stored, "bicubic" if bicubic else "bilinear", colors)


def torchvision_entry(name: str, weights: str | None) -> Any:
    """What torchvision says of these weights: an entry of its WeightsEnum. Raises UserError for what it does not know.

    Of a file it is the entry whose file it is by its name; of others, and of random weights, the first that is meant
    for the size of the net: a vision transformer's by its positions, of others the usual one.
    """
    check_name("torchvision", name, models.list_models(module=models))
    entries: Mapping[str, Any] = models.get_model_weights(name).__members__
    if weights is not None and not is_file_name(weights):
        _check_weights(name, weights, list(entries))
        return entries[weights]
    own = [entry for entry in entries.values() if weights and Path(entry.url).name == Path(weights).name]
    if weights and name.startswith("vit_"):
        side = vision_transformer_side(name, read_weights(weights))
        own += [entry for entry in entries.values() if entry.transforms().crop_size[0] == side]
    usual = [entry for entry in entries.values() if "E2E" not in entry.name]  # those ask for larger images
    return [*own, *usual, *entries.values()][0]


def vision_transformer_side(name: str, state: Mapping[str, Tensor]) -> int | None:
    """Side of the images that the positions [1, 1 + places, width] of vit_b_16 or the like are for; None of others."""
    positions = [value for key, value in state.items() if key.endswith("encoder.pos_embedding")]
    if not name.startswith("vit_") or not positions or positions[0].dim() != 3:
        return None
    return math.isqrt(max(1, positions[0].shape[1] - 1)) * int(name.rpartition("_")[2])


def timm_config(name: str, weights: str | None) -> Any:
    """What timm says of these weights, its PretrainedCfg; of a file and of random ones that of the usual weights."""
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
    """resnet18.tv_in1k"""
    return name if weights in (None, "DEFAULT") else f"{name}.{weights}"


def check_name(library: str, name: str, names: list[str]) -> None:
    """Raises UserError, with the nearest that the library has."""
    if name not in names:
        near = difflib.get_close_matches(name, names, 5, 0.3) or names[:5]
        raise UserError(f"{library} has no classifier {name}; near it: {', '.join(near)}; set model.name")


def _check_weights(name: str, weights: str, known: list[str]) -> None:
    if weights not in known:
        possible = ", ".join([*known, "null"])
        raise UserError(
            f"{name} has no weights {weights}; possible: model.weights={possible}, or a file, {' '.join(ENDINGS)}"
        )
