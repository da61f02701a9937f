"""Nets of torchvision and timm by name, with or without pretrained weights."""

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn
from torchvision import models

from convscope.problem import Problem

_WITH_AUXILIARY = ("googlenet", "inception_v3")  # their training output would be a tuple


class Colors(NamedTuple):
    """Mean and deviation per color that a net's input was normalized by, pixels from 0 to 1."""

    mean: Sequence[float]
    std: Sequence[float]


IMAGENET = Colors((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Foreign(NamedTuple):
    """A net as its library made it, the colors it expects, and the names of the classes it knows (None: not known)."""

    net: nn.Module
    colors: Colors
    classes: list[str] | None = None


def torchvision_net(name: str, weights: str | None, classes: int | None) -> Foreign:
    """torchvision's classifier `name`. classes None: as many as its weights know; another number: a fresh last layer.

    weights: a name such as IMAGENET1K_V1 or DEFAULT, or None. Raises Problem for an unknown name or weights, and when
    weights cannot be downloaded.
    """
    _check_name("torchvision", name, models.list_models(module=models))
    options: dict[str, Any] = {"aux_logits": False} if name in _WITH_AUXILIARY else {}
    if weights is None:
        made = models.get_model(name, num_classes=classes or 1000, **options)
        return Foreign(made, IMAGENET, _numbered(1000) if classes is None else None)
    known = models.get_model_weights(name).__members__
    _check_weights(name, weights, list(known))
    try:
        net = models.get_model(name, weights=known[weights], **options)
    except (OSError, RuntimeError) as error:  # no network, or a broken file
        raise Problem(_download_failed(name, weights, "TORCH_HOME", error)) from error
    how = known[weights].transforms()
    names = None if classes is not None else list(known[weights].meta["categories"])
    return Foreign(_with_classes(net, classes), Colors(how.mean, how.std), names)


def timm_net(name: str, weights: str | None, classes: int | None) -> Foreign:
    """timm's classifier `name`. weights: a tag such as tv_in1k, or DEFAULT, or None; otherwise as torchvision_net."""
    try:
        import timm
    except ImportError as error:
        raise Problem("model=timm needs timm, which is not installed; type: pip install 'convscope[timm]'") from error
    _check_name("timm", name, timm.list_models())
    tags = [full.removeprefix(f"{name}.") for full in timm.list_pretrained(f"{name}.*")]
    if weights is not None:
        _check_weights(name, weights, [*tags, *(["DEFAULT"] if tags else [])])
    full = name if weights in (None, "DEFAULT") else f"{name}.{weights}"
    count: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    try:
        net: Any = timm.create_model(full, pretrained=weights is not None, **count)
    except (OSError, RuntimeError) as error:
        raise Problem(_download_failed(name, str(weights), "HF_HOME", error)) from error
    colors = Colors(net.pretrained_cfg["mean"], net.pretrained_cfg["std"])
    if classes is not None:
        return Foreign(net, colors)
    return Foreign(net, colors, _numbered(net.num_classes) if weights is None else _imagenet_names(net))


def _numbered(classes: int) -> list[str]:
    """Of an untrained net: its answers mean nothing."""
    return [f"class {number}" for number in range(classes)]


def _imagenet_names(net: nn.Module) -> list[str] | None:
    """Names of the classes of a timm net that was trained on ImageNet, the first synonym of each."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(net)
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    return [info.index_to_description(number).split(",")[0] for number in range(info.num_classes())]


def _with_classes(net: nn.Module, classes: int | None) -> nn.Module:
    """The net with its last layer exchanged where it has another number of classes."""
    path, last = [pair for pair in net.named_modules() if isinstance(pair[1], nn.Linear | nn.Conv2d)][-1]
    if classes is None or classes == len(last.weight):
        return net
    parent, _, child = path.rpartition(".")
    if isinstance(last, nn.Conv2d):  # SqueezeNet's
        setattr(net.get_submodule(parent), child, nn.Conv2d(last.in_channels, classes, 1))
    else:
        setattr(net.get_submodule(parent), child, nn.Linear(last.in_features, classes))
    return net


def _check_name(library: str, name: str, names: list[str]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, 5, 0.3) or names[:5]
        raise Problem(f"{library} has no classifier {name}; near it: {', '.join(near)}; set model.name")


def _check_weights(name: str, weights: str, known: list[str]) -> None:
    if weights not in known:
        possible = ", ".join([*known, "null"])
        raise Problem(f"{name} has no weights {weights}; possible: model.weights={possible}")


def _download_failed(name: str, weights: str, folder: str, error: Exception) -> str:
    reason = str(error).strip().split("\n")[0][:160]
    return (
        f"the weights {weights} of {name} could not be loaded ({reason}); "
        f"connect to the network, or put the file into the cache that {folder} names, or set model.weights=null"
    )
