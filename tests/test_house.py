"""Who may import whom, and what of others, read from the source; imports inside functions and for types count too."""

import ast
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"

# A part of the package (a folder or a file of convscope, or run.py) and the other parts that it may import.
_COMMANDS = (
    "assemble jobs learn loggers nets plans problem provenance record report sparing study subject terminal whole"
)
_LEARN = "data draw gallery launch look nets plans problem record report score sparing whole"
_JOBS = "data draw gallery learn look nets problem progress record report score study subject"
MAY_IMPORT = {
    "run": {"app", "manual", "problem"},
    "app": {"commands", "launch", "mistyped", "problem", "report", "resume", "sparing", "whole"},
    "mistyped": {"problem"},
    "launch": {"problem", "whole"},
    "resume": {"problem", "report"},
    "commands": set(_COMMANDS.split()),
    "manual": {"problem"},
    "assemble": {"data", "gallery", "nets", "plans", "problem", "subject"},
    "jobs": set(_JOBS.split()),
    "study": set(_JOBS.split()) - {"learn", "study"},
    "learn": set(_LEARN.split()),
    "gallery": {"data", "draw", "look", "nets", "problem"},
    "subject": {"data", "nets", "problem"},
    "loggers": {"problem", "record", "report"},
    "terminal": {"record", "report"},
    "data": {"problem", "room"},
    "look": {"nets", "problem"},
    "score": {"nets", "problem"},
    "draw": {"problem"},
    "report": {"problem", "record", "score"},
    "record": {"whole"},
    "nets": {"problem", "room"},
    "room": {"problem"},
    "whole": {"problem"},
    "plans": {"problem"},
    "progress": set(),
    "provenance": set(),
    "sparing": set(),
    "problem": set(),
    "api": {"assemble", "data", "gallery", "look", "nets", "problem", "report", "study", "subject"},
    "convscope": {"api"},  # the package itself, when one of its names is asked for
}
# A foreign library and the only files, or folders, that may know it.
CONFINED = {
    "hydra": {"run", "convscope.app"},
    "omegaconf": {"run", "convscope.app"},
    "matplotlib": {"convscope.draw"},  # a file there for each kind of plot
    "wandb": {"convscope.loggers"},
    "boto3": {"convscope.data.stores"},
    "litdata": {"convscope.data.litchunks", "convscope.data.stores"},
    "lightning": set(),  # mixing it with pytorch_lightning fails at run time
}
NOWHERE_ELSE = {"utils", "util", "common", "misc", "core", "base", "helpers", "helper", "tools"}


def modules(root):
    """Dotted name -> file of every module under `root`; a package goes by its own name."""
    paths = sorted(path for path in root.rglob("*.py"))
    return {".".join(p.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def imports(name, path):
    """The dotted names that a module imports anywhere in it; `from a import b` counts as a.b."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def part(name):
    """convscope.look.top9 -> look; run -> run."""
    return name.split(".")[1] if name.startswith("convscope.") else name


def graph(files):
    """Module -> the modules of `files` that it imports: for each imported name the longest that is a module."""
    edges = {name: set() for name in files}
    for name, path in files.items():
        for imported in imports(name, path):
            pieces = imported.split(".")
            known = (".".join(pieces[:length]) for length in range(len(pieces), 0, -1))
            edges[name] |= {next((module for module in known if module in files), name)} - {name}
    return edges


FILES = modules(SRC)


@pytest.mark.parametrize("name", FILES)
def test_imports_point_down_the_house(name):
    parts = {part(imported) for imported in imports(name, FILES[name]) if imported.startswith("convscope.")}
    forbidden = parts - MAY_IMPORT[part(name)] - {part(name)}
    assert not forbidden, f"{name} may not import {', '.join(sorted(forbidden))}"


def test_every_part_has_its_rule():
    assert {part(name) for name in FILES} <= set(MAY_IMPORT)


def test_the_rules_allow_no_way_back():
    TopologicalSorter(MAY_IMPORT).prepare()


def test_no_cycles():
    try:
        TopologicalSorter(graph(FILES)).prepare()
    except CycleError as error:
        raise AssertionError("modules import each other: " + " <- ".join(error.args[1])) from None


@pytest.mark.parametrize("name", FILES)
def test_foreign_libraries_stay_in_their_files(name):
    libraries = {imported.split(".")[0] for imported in imports(name, FILES[name])}
    place = {name, name.rpartition(".")[0]}
    astray = {library for library in libraries & set(CONFINED) if not place & CONFINED[library]}
    assert not astray, f"{name} may not import {', '.join(sorted(astray))}"


def test_every_library_is_declared_with_the_versions_that_are_known_to_do():
    told = tomllib.loads((SRC.parent / "pyproject.toml").read_text())["project"]
    every = [*told["dependencies"], *(one for extra in told["optional-dependencies"].values() for one in extra)]
    others = [one for one in every if not one.startswith("convscope[")]
    bounds = [re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=[\d.]+,<[\d.]+", one) for one in others]
    assert all(bounds), every
    named = {found[1].lower() for found in bounds}
    trees = [ast.parse(path.read_text()) for path in SRC.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    used |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    foreign = {name.split(".")[0] for name in used} - set(sys.stdlib_module_names) - {"convscope"}
    owners = packages_distributions()
    undeclared = {name for name in foreign if not {owner.lower() for owner in owners.get(name, [name])} & named}
    assert not undeclared


def test_no_module_is_named_for_everything():
    assert not {name for name in FILES if NOWHERE_ELSE & set(name.split("."))}


@pytest.mark.parametrize(
    "line, expected",
    [
        ("import a.b as c", {"a.b"}),
        (
            "def f():\n    from convscope.look import top9, deconvnet",
            {"convscope.look.top9", "convscope.look.deconvnet"},
        ),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import wandb", {"typing.TYPE_CHECKING", "wandb"}),
        ("from . import tile", {"convscope.draw.tile"}),
        ("from ..look.top9 import Search", {"convscope.look.top9.Search"}),
    ],
)
def test_every_kind_of_import_is_seen(tmp_path, line, expected):
    (tmp_path / "grid.py").write_text(line)
    assert set(imports("convscope.draw.grid", tmp_path / "grid.py")) == expected


def test_a_cycle_is_seen(tmp_path):
    (tmp_path / "one.py").write_text("def later():\n    from two import thing")
    (tmp_path / "two.py").write_text("import one")
    assert graph(modules(tmp_path)) == {"one": {"two"}, "two": {"one"}}
    with pytest.raises(CycleError):
        TopologicalSorter(graph(modules(tmp_path))).prepare()
