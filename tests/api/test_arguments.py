"""No message of the library has a key of the command line in it: every wrong argument of every function is tried."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from torch import nn

import convscope
from convscope.analyses import abouts
from convscope.api.arguments import argument_text, naming_arguments
from convscope.errors import UserError

SRC = Path(__file__).resolve().parents[2] / "src" / "convscope"
FUNCTIONS = {name: about.config for name, about in ((about.job, about) for about in abouts().values())
             if name in convscope.__all__}  # fmt: skip
DOTTED = re.compile(r"\b[a-z_]+\.[a-z_]+=|\b(data|ckpt|job|model|evolution|sweep)=|\bnull\b|conf/")
OPENING = {"net", "data", "seed", "subject", "run", "square", "index", "other"}
IN_PLACE = {"visualize": {"rules": "rule"}}  # field -> argument of another name
NO_ARGUMENTS = {"visualize": {"epochs", "measures"}, "overlap": {"other"}, "claims": {"run"}, "match": {"beside"}}


def arguments(name):
    return inspect.signature(getattr(convscope, name)).parameters


@pytest.fixture(scope="module")
def gray():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    images = torch.randn(6, 1, 12, 12), torch.tensor([0, 1] * 3)
    return convscope.subject(net, images, train=images)


def start(name, subject, tmp_path):
    """What the function is given first."""
    if name == "claims":
        return (tmp_path,)
    if name == "match":
        return subject, subject
    return (torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8)) if name == "overlap" else (subject,)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_the_keys_with_their_defaults(name):
    config = FUNCTIONS[name]
    renamed = IN_PLACE.get(name, {})
    fields = {renamed.get(field.name, field.name): field for field in dataclasses.fields(config)
              if field.name not in NO_ARGUMENTS.get(name, set())}  # fmt: skip
    given = {key: value for key, value in arguments(name).items() if key not in OPENING - {"images"}}
    assert given.keys() - {"images"} == fields.keys() - {"images"}
    for key, field in fields.items():
        default = field.default
        if default is dataclasses.MISSING:
            if field.default_factory is dataclasses.MISSING:
                continue  # of conf/evolution, below
            default = field.default_factory()
        if hasattr(default, "default_factory"):  # pydantic's own field
            default = default.default_factory()
        default = "auto" if key == "rule" else default
        told = arguments(name)[key].default
        assert (list(told) if isinstance(told, tuple) else told) == default, key


def test_visualize_has_the_defaults_of_its_file():
    import yaml

    defaults = yaml.safe_load((SRC.parents[1] / "conf/evolution/every.yaml").read_text())
    for key, value in defaults.items():
        if key not in NO_ARGUMENTS["visualize"]:
            assert arguments("visualize")[key].default == value


WRONG = [object(), "no such word", -7, 3.5, [], {"a": "b"}, float("nan")]
CASES = [(name, key) for name in FUNCTIONS for key in arguments(name) if key not in OPENING]
CASES.remove(("overlap", "images"))


@pytest.mark.parametrize("name, key", CASES)
def test_a_wrong_argument_is_named_and_no_key_is(name, key, gray, tmp_path):
    """Of the wrong values at least one is refused; where the settings refuse it, the line begins with the argument."""
    refused = 0
    hints = get_type_hints(FUNCTIONS[name], include_extras=True)
    for value in WRONG:
        try:
            FUNCTIONS[name](**{**minimal(name), field_of(name, key): value})
        except UserError:
            pass
        else:
            continue  # it may be right; what an analysis says of it is tried below
        with pytest.raises(UserError) as told:
            getattr(convscope, name)(*start(name, gray, tmp_path), **{key: value})
        text = str(told.value)
        assert re.match(rf"{key}\b", text) or "run=" in text, text
        assert not DOTTED.search(text), text
        refused += 1
    assert refused, hints[field_of(name, key)]


def field_of(name, key):
    return {argument: field for field, argument in IN_PLACE.get(name, {}).items()}.get(key, key)


def minimal(name):
    """Settings that the class has no defaults for."""
    return {"layers": None, "maps": 2, "epochs": None, "images": "val"} if name == "visualize" else {}


def messages():
    """The texts of all UserErrors below the library, with {} in place of values."""
    folders = "analyses", "engine", "metrics", "data"
    for path in (path for folder in folders for path in sorted((SRC / folder).rglob("*.py"))):
        if path.name in ("inputs.py", "config.py") or {"check_data", "sweep_table"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("UserError", "NoPath") and node.args:
                parts = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant | ast.FormattedValue)]
                texts = [part.value if isinstance(part, ast.Constant) else "{}" for part in parts]
                if isinstance(node.args[0], ast.Constant | ast.JoinedStr):
                    whole = eval(compile(ast.Expression(unformatted(node.args[0])), "", "eval"))
                    yield path, whole
                else:
                    yield from ((path, text) for text in texts if isinstance(text, str))


def unformatted(node):
    """The string without its values."""
    if isinstance(node, ast.Constant):
        return node
    return ast.Constant("".join(part.value if isinstance(part, ast.Constant) else "9" for part in node.values),
                        lineno=1, col_offset=0)  # fmt: skip


FOR_THE_PROGRAM = (  # of images that the program opens by conf/data, and of its chunks: not reached from the library
    "data/module.py", "data/public_sets.py", "data/stream/", "data/critters/", "data/voc.py", "data/trained_images.py",
    "data/folders.py", "data/folder_contents.py", "data/settings.py", "analyses/subject.py", "data/cache.py",
    "analyses/evaluation/compute/__init__.py", "analyses/overlap/compute/collection.py",
)  # fmt: skip


def test_no_message_of_an_analysis_keeps_a_key():
    left = {}
    for path, text in messages():
        place = path.relative_to(SRC).as_posix()
        told = argument_text(text, {})
        if DOTTED.search(told) and not place.startswith(FOR_THE_PROGRAM):
            left[place] = told
    assert not left


@pytest.mark.parametrize(
    "text, values, expected",
    [
        ("occlude.size=a is not a whole number or null", {"size": "a"}, "size='a' is not a whole number or None"),
        ("evolution.maps: conv1 has maps 0 to 5, not 7", {}, "maps: conv1 has maps 0 to 5, not 7"),
        ("choose evaluate.crops=center, ten or fifty", {}, 'choose crops="center", ten or fifty'),
        ("e.g. evolution.layers=[conv1,conv5]", {}, "e.g. layers=['conv1', 'conv5']"),
        ("a net of shape [N, C, H, W]", {}, "a net of shape [N, C, H, W]"),
    ],
)
def test_words_of_the_command_line_become_python(text, values, expected):
    assert argument_text(text, values) == expected


def test_the_kind_of_an_error_stays():
    from convscope.runs.atomic_io import CannotWrite

    with pytest.raises(CannotWrite, match="^size=3"), naming_arguments():
        raise CannotWrite("occlude.size=3")
