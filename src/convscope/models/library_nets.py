"""Nets of torchvision and timm by name, with or without pretrained weights."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn
from torchvision import models

from convscope.errors import UserError, reason_of
from convscope.models.checkpoints import last_row
from convscope.models.library_metadata import (
    IMAGENET_NAMES,
    Colors,
    check_name,
    native_input,
    timm_name,
    vision_transformer_side,
)
from convscope.models.untrusted import check_finite
from convscope.models.weights_file import LastLayers, fill, is_file_name, read_weights, renamed

_AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}  # in training they make the output a tuple
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")  # names in torchvision's weights files


class LibraryNet(NamedTuple):
    """A net that others have written, the normalization of its input, and the names of its classes.

    classes: None where the caller chose their number. has_class_names: whether `classes` are real names, and not
    just numbers. wnids: WordNet ids of the classes of ImageNet, where the library has them.
    """

    net: nn.Module
    colors: Colors
    classes: list[str] | None = None
    has_class_names: bool = False
    wnids: Sequence[str] = ()


def torchvision_net(name: str, weights: str | None, classes: int | None) -> LibraryNet:
    """torchvision's classifier `name`.

    weights: a name such as IMAGENET1K_V1 or DEFAULT, a file, or None for random weights. classes: None for as many as
    the weights have; another number gives a fresh last layer. Raises UserError for an unknown name or unknown weights,
    for a file that does not fit, and where weights cannot be downloaded.
    """
    colors = native_input("torchvision", name, weights).colors
    if weights is None:
        net = models.get_model(name, num_classes=classes or 1000, **_options(name, learned=False))
        return LibraryNet(net, colors) if classes else with_class_names(net, colors, 1000, [])
    file = is_file_name(weights)
    net = _torchvision_net_of(name, weights, classes) if file else _torchvision_net_with(name, weights)
    learned = not _begin_anew_(net)
    if file:
        check_finite(net, str(weights))
    if classes is not None:
        return LibraryNet(_with_classes(net, classes), colors)
    count = len(net.state_dict()[f"{last_row(net)}.weight"])
    return with_class_names(net, colors, count, IMAGENET_NAMES if learned and count == len(IMAGENET_NAMES) else [])


def timm_net(name: str, weights: str | None, classes: int | None) -> LibraryNet:
    """timm's classifier `name`. weights: a tag such as tv_in1k, DEFAULT, a file, or None. See torchvision_net."""
    colors = native_input("timm", name, weights).colors
    file = weights is not None and is_file_name(weights)
    net: Any = _timm_net_of(name, str(weights), classes) if file else _timm_net_with(name, weights, classes)
    if file:
        check_finite(net, str(weights))
    if classes is not None:
        return LibraryNet(net, colors)
    names, wnids = ([], []) if weights is None else _imagenet(net)
    return with_class_names(net, colors, net.num_classes, names)._replace(wnids=wnids)


def rebuild_library_net(about: Mapping[str, Any]) -> nn.Module:
    """The net of a checkpoint's description, with fresh weights. Raises UserError as torchvision_net does.

    about: source, name and classes; image_size, for which a vision transformer has position embeddings;
    transform_input, an argument of torchvision's two Inceptions.
    """
    name, classes = about["name"], about["classes"]
    if about["source"] == "timm":
        return timm_net(name, None, classes).net
    check_name("torchvision", name, models.list_models(module=models))
    options = _options(name, bool(about.get("transform_input")), about["image_size"])
    return models.get_model(name, num_classes=classes, **options)


def _options(name: str, learned: bool, image_size: int | None = None) -> dict[str, Any]:
    """Arguments of torchvision's builder of `name`, without the auxiliary outputs of training.

    learned: whether the net gets learned weights. image_size: None for the net's default.
    """
    if name in _AUXILIARY:  # with learned weights torchvision lets these two undo the ImageNet normalization
        return {"aux_logits": False, "transform_input": learned, "init_weights": not learned}
    return {"image_size": image_size} if name.startswith("vit_") and image_size else {}


def _begin_anew_(net: nn.Module) -> bool:
    """Gives random weights to linear layers of nan weights, as in torchvision's vgg16 file of features alone.

    Returns whether there are any.
    """
    unlearned = [module for module in net.modules() if isinstance(module, nn.Linear) and module.weight[0].isnan().all()]
    for module in unlearned:
        module.reset_parameters()
    return bool(unlearned)


def _torchvision_net_with(name: str, weights: str) -> nn.Module:
    """The net as torchvision builds it, with weights that torchvision downloads once."""
    try:
        net = models.get_model(name, weights=models.get_model_weights(name)[weights])
    except (OSError, RuntimeError) as error:  # no network, or a broken file
        raise UserError(_download_failed(name, weights, "TORCH_HOME", error)) from error
    if name in _AUXILIARY:
        net.aux_logits = False
        for auxiliary in _AUXILIARY[name]:
            setattr(net, auxiliary, None)
    return net


def _torchvision_net_of(name: str, file: str, classes: int | None) -> nn.Module:
    """The net with the weights of a file, built as torchvision builds it with its own learned weights."""
    state, auxiliary = read_weights(file), _AUXILIARY.get(name, ())
    state = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
    side = vision_transformer_side(name, state)
    net = models.get_model(name, **_options(name, learned=True, image_size=side))
    state = renamed(net.state_dict(), state)
    state = {key: value for key, value in state.items() if key.partition(".")[0] not in auxiliary}
    last = LastLayers([last_row(net)], _with_classes)
    return fill(net, state, last, classes, f"{file} does not fit {name}")


def _timm_net_of(name: str, file: str, classes: int | None) -> nn.Module:
    """The net with the weights of a file."""
    import timm

    net: Any = timm.create_model(name)
    heads = net.pretrained_cfg["classifier"] or ()
    heads = [heads] if isinstance(heads, str) else list(heads)
    state = renamed(net.state_dict(), read_weights(file))
    return fill(net, state, LastLayers(heads, _reset_classifier), classes, f"{file} does not fit {name}")


def _timm_net_with(name: str, weights: str | None, classes: int | None) -> nn.Module:
    """The net with weights that timm downloads once, or with random weights."""
    import timm

    count: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    try:
        return timm.create_model(timm_name(name, weights), pretrained=weights is not None, **count)
    except (OSError, RuntimeError) as error:
        raise UserError(_download_failed(name, str(weights), "HF_HOME", error)) from error


def with_class_names(net: nn.Module, colors: Colors, count: int, names: Sequence[str]) -> LibraryNet:
    """The net with names of its `count` classes: "class 0", "class 1", ... where no names are known."""
    return LibraryNet(net, colors, list(names or (f"class {number}" for number in range(count))), bool(names))


def _imagenet(net: nn.Module) -> tuple[Sequence[str], Sequence[str]]:
    """Names and WordNet ids of the classes of a timm net for a subset of ImageNet that timm knows; else empty."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(net)
    if subset is None:
        return [], []
    info = ImageNetInfo(subset)
    numbers = range(info.num_classes())
    wnids = [info.index_to_label_name(number) for number in numbers]
    if len(wnids) == len(IMAGENET_NAMES):
        return IMAGENET_NAMES, wnids
    return [info.index_to_description(number).split(",")[0] for number in numbers], wnids


def _with_classes(net: nn.Module, classes: int) -> nn.Module:
    """The net, with a fresh last layer where it has another number of classes."""
    return with_outputs(net, last_row(net), classes)


def with_outputs(net: nn.Module, path: str, count: int) -> nn.Module:
    """The net with `count` outputs of its linear layer or convolution at `path`, which is fresh if it had others."""
    last = net.get_submodule(path)
    assert isinstance(last, nn.Linear | nn.Conv2d)
    if len(last.weight) == count:
        return net
    has_bias = last.bias is not None
    if isinstance(last, nn.Linear):
        fresh: nn.Module = nn.Linear(last.in_features, count, has_bias)
    else:  # SqueezeNet's
        sizes: Any = {name: getattr(last, name) for name in ("kernel_size", "stride", "padding", "dilation")}
        fresh = nn.Conv2d(last.in_channels, count, bias=has_bias, **sizes)
    net.set_submodule(path, fresh)
    return net


def _reset_classifier(net: Any, classes: int) -> nn.Module:
    if net.num_classes != classes:
        net.reset_classifier(classes)
    return net


def _download_failed(name: str, weights: str, folder: str, error: Exception) -> str:
    return (
        f"the weights {weights} of {name} could not be loaded ({reason_of(error, 160)}); "
        f"connect to the network, or put the file into the cache that {folder} names, or type model.weights=<a file of "
        "them>, or model.weights=null"
    )
