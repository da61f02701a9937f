"""The net that conf/model names, or that a checkpoint describes: of rows, of torchvision, of timm, of Python."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from convscope.errors import UserError
from convscope.models.build import ConvNet, build
from convscope.models.checkpoints import rebuild
from convscope.models.library_nets import LibraryNet, rebuild_library_net, timm_net, torchvision_net
from convscope.models.memory_layout import channels_last_
from convscope.models.python_nets import python_net
from convscope.models.targets import check_target
from convscope.models.weights_file import row_net_of

SOURCES = ("torchvision", "timm", "python")  # of nets that have no rows


def row_net(model: Mapping[str, Any], image_size: int, classes: int, keep: bool) -> ConvNet:
    """The net of conf/model's rows, with the weights of the file model.weights if there is one.

    classes: of the images. keep: whether the net has the number of classes of its file instead. Raises UserError as
    `build` and `row_net_of`.
    """
    net, file = build(model["layers"], image_size, classes, model.get("width", 1.0)), _file(model)
    return row_net_of(file, net, None if keep else classes) if file else net


def foreign_net(model: Mapping[str, Any], image_size: int, classes: int, keep: bool) -> LibraryNet:
    """The net of conf/model that has no rows. classes, keep: see `python_net`."""
    if model["source"] == "python":
        _file(model)
        made = python_net(model, image_size, classes, keep)
    else:
        make = {"torchvision": torchvision_net, "timm": timm_net}[model["source"]]
        keep = keep and bool(model.get("weights") or classes == 1)  # unlabeled images have no classes
        made = make(model["name"], model.get("weights"), None if keep else classes)
    return made._replace(net=channels_last_(made.net, image_size))


def described_net(about: Mapping[str, Any], model: Mapping[str, Any], where: str) -> nn.Module:
    """The net that a checkpoint describes, with fresh weights.

    model: conf/model, which has to name the class or function of a net of Python; where: the file. Raises UserError for
    another one.
    """
    if "layers" in about:
        return rebuild(about)
    check_source(about)
    if about["source"] != "python":
        return channels_last_(rebuild_library_net(about), about["image_size"])
    check_target(about, model, where)
    net = python_net({**model, "weights": None}, about["image_size"], about["classes"]).net
    return channels_last_(net, about["image_size"])


def check_source(net: Mapping[str, Any]) -> None:
    """Raises UserError for a net that has no rows and is of no source."""
    if (source := net.get("source")) not in SOURCES:
        possible = ", ".join(SOURCES)
        raise UserError(f"model.source={source} is unknown; a model has layers (rows), or source: {possible}")


def net_name(model: Mapping[str, Any]) -> str:
    """What summaries call the net: model.name; of a net of Python without one, its class or function."""
    if model.get("source") == "python" and model.get("name") in (None, "python"):
        return str(model.get("target")).replace(":", ".").rpartition(".")[2]
    return str(model["name"])


def _file(model: Mapping[str, Any]) -> str | None:
    """model.weights of a net that has no weights by name. Raises UserError where it is no text."""
    if not isinstance(file := model.get("weights"), str | None):
        raise UserError(f"model.weights={file} is no file; e.g. model.weights=/weights/net.pth")
    return file
