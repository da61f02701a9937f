"""The code that model.target names: a class or function of the user's own that makes an nn.Module.

Only a name that the user has typed, or written into a file of conf/, is imported. A checkpoint that names one is
compared with it (`check_target`).
"""

import importlib
import inspect
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.errors import UserError, did_you_mean, reason_of
from convscope.models.untrusted import is_target
from convscope.models.wrappers import unwrapped

CLASS_ARGUMENTS = ("num_classes", "n_classes", "classes")  # parameters that get the number of classes
EXAMPLE = "model.target=my_package.nets:MyNet"
_NOT_OF_USER = (os.path.dirname(torch.__file__), str(Path(__file__).resolve().parents[1]), "<")  # files of frames


class Target(NamedTuple):
    """What model.target and model.args name. name: "<module>:<class or function>". maker: the class or function."""

    name: str
    maker: Callable[..., Any]
    args: dict[str, Any]

    @property
    def class_argument(self) -> inspect.Parameter | None:
        """The parameter that takes the number of classes; None where there is none, or model.args has it."""
        parameters = _signature(self.maker).parameters
        if set(CLASS_ARGUMENTS) & set(self.args):
            return None
        return next((parameters[name] for name in CLASS_ARGUMENTS if name in parameters), None)

    def build(self, classes: int | None) -> nn.Module:
        """A net with fresh weights, for this number of classes where the target takes one.

        Raises UserError for arguments that do not fit, for an error in the target, and for a result that is no net.
        """
        argument = self.class_argument
        args = self.args | ({} if argument is None or classes is None else {argument.name: classes})
        try:
            _signature(self.maker).bind(**args)
        except TypeError as error:
            name = self.name.partition(":")[2]
            raise UserError(
                f"{target_words(self.name, self.args)} does not fit {name}{_signature(self.maker)}: {reason_of(error)}"
            ) from None
        with explained(f"model.target={self.name}"):
            made = self.maker(**args)
        made = unwrapped(made) if isinstance(made, nn.Module) else made  # a compiled net has no layers of its own
        if not isinstance(made, nn.Module):
            raise UserError(f"model.target={self.name} gave back {in_words(made)}; it has to make an nn.Module")
        if next(made.parameters(), None) is None:
            raise UserError(f"model.target={self.name} gave back a net without weights; take one that has some")
        return made


def read_target(model: Mapping[str, Any]) -> Target:
    """The class or function that model.target names, and model.args.

    The module is searched in the working directory first, as `python -m` does. Raises UserError for a name that is
    none, that cannot be imported, and for arguments that are no mapping.
    """
    name, args = target_name(model), target_args(model)
    module_name, _, path = name.partition(":")
    module = _imported(module_name, f"model.target={name}")
    maker: Any = module
    for part in path.split("."):
        if not hasattr(maker, part):
            near = did_you_mean(part, [entry for entry in dir(maker) if not entry.startswith("_")])
            raise UserError(f"model.target={name}: {module_name} has no {path}{near}")
        maker = getattr(maker, part)
    if isinstance(maker, nn.Module) or not callable(maker):
        raise UserError(f"model.target={name} is {in_words(maker)}; name a class or function that makes a net")
    return Target(name, maker, args)


def target_name(model: Mapping[str, Any]) -> str:
    """model.target with a colon before the class or function. Raises UserError for a text that is no such name."""
    name = model.get("target")
    if name is None:
        raise UserError(f"model=python is a net of your own; type {EXAMPLE}, a class or function that makes it")
    of_file = re.fullmatch(r"(?:\./)?([\w/]+)\.py:(\w+)", str(name))
    if not is_target(name) or of_file:
        hint = f"type model.target={of_file[1].replace('/', '.')}:{of_file[2]}" if of_file else f"e.g. {EXAMPLE}"
        raise UserError(f"model.target={name} is no <module>:<class or function>; {hint}")
    return name if ":" in name else ":".join(name.rsplit(".", 1))


def target_args(model: Mapping[str, Any]) -> dict[str, Any]:
    """model.args; empty for null. Raises UserError where it is no mapping of names."""
    args = model.get("args") or {}
    if not isinstance(args, Mapping) or not all(isinstance(key, str) and key.isidentifier() for key in args):
        raise UserError(f"model.args={args} is no mapping of arguments; e.g. model.args='{{width: 2}}'")
    return dict(args)


def target_words(name: str, args: Mapping[str, Any]) -> str:
    """What to type for a target and its arguments."""
    words = [f"model.target={name}"] + ([f"model.args={_typed(args)}"] if args else [])
    return shlex.join(words)


def check_target(about: Mapping[str, Any], model: Mapping[str, Any], where: str) -> None:
    """Raises UserError where the net of Python that a checkpoint or a run describes was not typed as model.target.

    A file of somebody else's could name any function and any arguments. where: names the file.
    """
    name, args = target_name(about), target_args(about)
    typed = model.get("source") == "python" and model.get("target") is not None
    if typed and (target_name(model), target_args(model)) == (name, args):
        return
    words = f"model=python {target_words(name, args)}"
    raise UserError(
        f"{where} is of a net that {name} makes, and no file may say what is imported; if you trust that code, type "
        f"{words} too"
    )


def _imported(name: str, what: str) -> Any:
    """The module. Raises UserError where it is missing, or where its code fails."""
    importlib.invalidate_caches()
    with explained(what):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not error.name or not f"{name}.".startswith(f"{error.name}."):
                raise  # another module that the code of this one needs
            near = did_you_mean(error.name, _modules_beside(error.name))
            raise UserError(
                f"{what}: no module {error.name}{near} in {Path.cwd()}, and none is installed; start the program in "
                "the folder that holds it, or install it"
            ) from None


def _modules_beside(name: str) -> list[str]:
    """The modules in the working directory that could be meant by the name of one that is missing."""
    parent, dot, _ = name.rpartition(".")
    folder = Path.cwd() / parent.replace(".", "/")
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [f"{parent}{dot}{path.stem}" for path in paths if path.suffix == ".py" or path.is_dir()]


@contextmanager
def explained(what: str, remedy: str = "") -> Iterator[None]:
    """Runs code of the user's with the working directory first among the places of modules.

    Raises UserError, with file and line and the remedy, for whatever that code raises.
    """
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # code of others may raise anything
        kind = type(error).__name__
        raise UserError(f"{what}: {_place(error)}{kind}: {reason_of(error)}{remedy}") from error
    finally:
        with suppress(ValueError):
            sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)  # for what the net imports later; nothing installed is hidden by it


def _place(error: BaseException) -> str:
    """ "nets.py, line 12: ", the last place in the user's code on the way to an error; "" where there is none."""

    def is_local(file: str) -> bool:
        return Path(file).is_relative_to(Path.cwd()) and "site-packages" not in file

    if isinstance(error, SyntaxError) and error.filename:
        return f"{_relative(error.filename)}, line {error.lineno}: "
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    others = [(file, line) for file, line in frames if not file.startswith(_NOT_OF_USER)]
    places = [place for place in others if is_local(place[0])] or others
    return f"{_relative(places[-1][0])}, line {places[-1][1]}: " if places else ""


def _relative(file: str) -> str:
    return os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file


def _signature(maker: Callable[..., Any]) -> inspect.Signature:
    """The parameters of a class or function; any where Python does not tell them."""
    try:
        return inspect.signature(maker)
    except (TypeError, ValueError):
        return inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_KEYWORD)])


def in_words(value: Any) -> str:
    """A value in a few words: "a tensor [1, 3, 8, 8]", "a dict"."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    return "a net that is made already" if isinstance(value, nn.Module) else f"a {type(value).__name__}"


def _typed(value: Any) -> str:
    """A plain value as it is typed: {width: 2, norm: batch}."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_typed(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_typed, value)) + "]"
    words = {"None": "null", "True": "true", "False": "false"}
    if not isinstance(value, str):
        return words.get(repr(value), repr(value))
    return value if re.fullmatch(r"(?!(null|true|false|nan|inf)$)[A-Za-z_][\w.-]*", value, re.I) else repr(value)
