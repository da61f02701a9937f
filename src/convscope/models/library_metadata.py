"""Metadata of torchvision and timm: names of nets and weights, and the input for which a net was trained."""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torchvision import models

from convscope.errors import UserError, install
from convscope.models.weights_file import ENDINGS, is_file_name, read_weights

IMAGENET_NAMES: Sequence[str] = models.AlexNet_Weights.IMAGENET1K_V1.meta[
    "categories"
]  # in the order of all nets for ImageNet


class Colors(NamedTuple):
    """Mean and standard deviation per color by which a net's input is normalized; pixels from 0 to 1."""

    mean: Sequence[float]
    std: Sequence[float]


IMAGENET_COLORS = Colors((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # of most nets for ImageNet


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
        raise UserError(f"model=timm needs timm, which is not installed; type: {install('timm')}") from error
    check_name("timm", name, timm.list_models())
    tags = [full.removeprefix(f"{name}.") for full in timm.list_pretrained(f"{name}.*")]
    if weights is not None and not is_file_name(weights):
        _check_weights(name, weights, [*tags, *(["DEFAULT"] if tags else [])])
        return timm.get_pretrained_cfg(timm_name(name, weights))
    return timm.get_pretrained_cfg(name)


def timm_name(name: str, weights: str | None) -> str:
    """Name of a net with the tag of its weights, such as resnet18.tv_in1k."""
    return name if weights in (None, "DEFAULT") else f"{name}.{weights}"


class NamedNet(NamedTuple):
    """A net of a library by name. library: "" where the text says none. weights: a name or tag of them, or None."""

    library: str
    name: str
    weights: str | None = None

    @property
    def words(self) -> str:
        """What to type for it."""
        weights = f" model.weights={self.weights}" if self.weights else ""
        return f"model={self.library} model.name={self.name}{weights}"


def read_card_name(text: str) -> NamedNet:
    """The net that a model card calls timm/resnet50.a1_in1k, hf-hub:timm/resnet50 or ResNet50_Weights.DEFAULT."""
    if match := re.fullmatch(r"(?:torchvision\.)?(?:models\.)?(\w+?)_Weights(?:\.(\w+))?", text):
        return NamedNet("torchvision", match[1], match[2])
    bare = re.sub(r"^(https://huggingface\.co/|hf[-_]hub:)?timm/|^hf[-_]hub:(?=[^/]*$)", "", text)
    torchvision = re.sub(r"^torchvision(\.models\.|/)", "", bare)
    name, _, tag = torchvision.partition(".")
    library = "timm" if bare != text else "torchvision" if torchvision != bare else ""
    return NamedNet(library, name, tag or None)


def net_by_card_name(source: str, name: str, weights: str | None, name_is_typed: bool = True) -> NamedNet:
    """The net of a library in the library's own spelling: ResNet18, resnet-18 and ResNet18_Weights are resnet18.

    A name that stands for weights, resnet50.a1_in1k, brings them along. What cannot be read comes back as it is. Raises
    UserError for a name of the other library, and for weights of another net or others than the name has.
    """
    card, names = read_card_name(name), _names(source)
    has_timm_tag = not card.library and source == "torchvision" and card.weights
    if card.library not in ("", source) or (has_timm_tag and not _is_of_torchvision(str(card.weights))):
        library = card.library or "timm"
        right = NamedNet(library, _spelled(card.name, _names(library)) or card.name, card.weights)
        raise UserError(f"model.name={name} is a name of {library}; type {right.words}")
    spelled = _spelled(card.name, names) or name
    if weights is not None and not is_file_name(re.sub(r"^(hf[-_]hub:)?timm/", "", weights)):
        named = read_card_name(weights)
        if named.weights and (of := _spelled(named.name, names)):
            if of != spelled and name_is_typed:
                raise UserError(f"model.weights={weights} are of {of}, and model.name={name}; type model.name={of}")
            spelled, weights = of, named.weights
        weights = weights.upper() if source == "torchvision" and _is_of_torchvision(weights) else weights
    if spelled == name and not card.weights or weights is not None and is_file_name(weights):
        return NamedNet(source, spelled, weights)
    if card.weights and weights not in (None, "DEFAULT", card.weights):
        raise UserError(f"model.name={name} has weights of its own, and model.weights={weights}; leave one of them out")
    return NamedNet(source, spelled, card.weights or weights)


def nearest_nets(text: str) -> tuple[str, float]:
    """What to type for the net of a library that a text names or nearly names, and how near it is, 0 to 1.

    Several where the text is the beginning of names.
    """
    card = read_card_name(text)
    has_timm_tag = card.weights and not _is_of_torchvision(card.weights)
    for library in (card.library,) if card.library else ("timm",) if has_timm_tag else ("torchvision", "timm"):
        if spelled := _spelled(card.name, _names(library)):
            return NamedNet(library, spelled, card.weights).words, 1.0
    for library in ("torchvision", "timm"):
        begun = [name for name in _names(library) if name.startswith(card.name.lower())]
        if begun and len(card.name) > 2:
            return f"model={library} model.name=<one of {', '.join(begun[:8])}{', ...' * (len(begun) > 8)}>", 0.9
    near = difflib.get_close_matches(card.name.lower(), _names("torchvision"), 1, 0.7)
    ratio = difflib.SequenceMatcher(None, card.name.lower(), near[0]).ratio() if near else 0.0
    return (NamedNet("torchvision", near[0]).words, ratio) if near else ("", 0.0)


def _names(library: str) -> list[str]:
    """The classifiers of a library; none of timm where it is not installed."""
    if library == "torchvision":
        return models.list_models(module=models)
    try:
        import timm
    except ImportError:
        return []
    return list(timm.list_models())


def _spelled(text: str, names: Sequence[str]) -> str | None:
    """The name among `names` that a text is but for capitals, hyphens and underscores; None for none, or for two."""
    if (plain := text if text in names else text.lower().replace("-", "_")) in names:
        return plain
    same = [name for name in names if re.sub(r"[\W_]", "", name) == re.sub(r"[\W_]", "", text.lower())]
    return same[0] if len(same) == 1 else None


def _is_of_torchvision(tag: str) -> bool:
    """Whether a tag reads as one of torchvision's: IMAGENET1K_V1, IMAGENET1K_SWAG_E2E_V1, DEFAULT."""
    return tag.upper() == "DEFAULT" or tag.upper().startswith("IMAGENET1K_")


def check_name(library: str, name: str, names: list[str]) -> None:
    """Raises UserError, with the nearest names of the library, for a name that is not among `names`."""
    if name not in names:
        near = difflib.get_close_matches(name.lower(), names, 5, 0.3) or names[:5]
        other = "timm" if library == "torchvision" else "torchvision"
        elsewhere = _spelled(read_card_name(name).name, _names(other))
        hint = f"type model={other} model.name={elsewhere}" if elsewhere else "set model.name"
        raise UserError(f"{library} has no classifier {name}; near it: {', '.join(near)}; {hint}")


def _check_weights(name: str, weights: str, names: list[str]) -> None:
    if weights not in names:
        possible = ", ".join([*names, "null"])
        raise UserError(
            f"{name} has no weights {weights}; possible: model.weights={possible}, or a file, {' '.join(ENDINGS)}"
        )
