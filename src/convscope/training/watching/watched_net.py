"""The net inside a module of the user's own: without the wrappers that compile it, spread it, or train it."""

from collections.abc import Iterator

from torch import nn

from convscope.engine.trace import trace
from convscope.errors import UserError, did_you_mean
from convscope.models.wrappers import eagerly, unwrapped

NET_REMEDY = (
    "name the module in it that takes the images alone, as FeatureEvolution(net='model.backbone') or "
    "watch(model.backbone, ...)"
)


def watched_net(module: nn.Module, path: str | None, image_shape: tuple[int, ...]) -> nn.Module:
    """The net of a module, which takes images [N, C, H, W].

    path: where it is in the module, as "model.backbone". None: the module itself, or what its forward passes the images
    on to, as `self.model`, if that computes everything. Raises UserError for another path, and for a module without
    forward in which several modules may be the net.
    """
    module = unwrapped(module)
    if path is not None:
        return unwrapped(_at(module, path))
    children = [child for child in module.children() if any(True for _ in child.parameters())]
    if _has_no_forward(module):
        if len(children) == 1:
            return watched_net(children[0], None, image_shape)
        names = ", ".join(name for name, child in module.named_children() if child in children)
        raise UserError(f"{type(module).__name__} has no forward; name the net in it: net=..., one of {names}")
    if isinstance(module, nn.Sequential) or len(children) != 1:
        return module
    with eagerly(module):
        outside = next(_outside(module, children[0], image_shape), None)
    return module if outside else watched_net(children[0], None, image_shape)


def _outside(module: nn.Module, child: nn.Module, image_shape: tuple[int, ...]) -> Iterator[bool]:
    """True for each call of the module's forward that is not the child's; the child has to take the images."""
    name = next(name for name, part in module.named_children() if part is child)
    net_trace = trace(module, image_shape, NET_REMEDY)
    layer = net_trace.layers.get(name)
    if layer is None or layer.input != 0 or layer.runs != 1:
        yield True
    for owner in net_trace.owners:
        if not f"{owner}.".startswith(f"{name}."):
            yield True


def check_takes_images(net: nn.Module, image_shape: tuple[int, ...]) -> None:
    """Raises UserError for a net whose forward takes anything but images, such as a dictionary or images and labels."""
    with eagerly(net):
        trace(net, image_shape, NET_REMEDY)


def _has_no_forward(module: nn.Module) -> bool:
    """Whether forward is that of nn.Module, or of a LightningModule, which only raise."""
    owner = next(kind for kind in type(module).__mro__ if "forward" in vars(kind))
    return "forward" not in vars(module) and (owner is nn.Module or owner.__name__ == "LightningModule")


def _at(module: nn.Module, path: str) -> nn.Module:
    try:
        return module.get_submodule(path)
    except AttributeError:
        names = [name for name, _ in module.named_modules() if name]
        near = did_you_mean(path, names)
        short = [name for name in names if "." not in name]
        raise UserError(
            f"net={path!r} is no module of {type(module).__name__}{near}; possible: {', '.join(short)} and what is in "
            "them"
        ) from None


def named_layers(net: nn.Module, names: list[str]) -> list[str]:
    """The layers with their names in the net, where they were named from further out or from further in.

    "model.layer1" is layer1 of the net `model`; layer1 alone may be "backbone.layer1", if it is the only one. Names
    that are unknown come back as they are.
    """
    known = [name for name, _ in net.named_modules() if name]
    return [_named(name, known) for name in names]


def _named(name: str, known: list[str]) -> str:
    if name in known:
        return name
    inner = [path for path in known if name.endswith(f".{path}")]
    outer = [path for path in known if path.endswith(f".{name}")]
    return max(inner, key=len) if inner else outer[0] if len(outer) == 1 else name
