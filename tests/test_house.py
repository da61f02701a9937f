"""Who may import whom, and what of others, read from the source; imports inside functions and for types count too."""

import ast
import dataclasses
import re
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from convscope.analyses import ANALYSES, abouts

SRC = Path(__file__).resolve().parent.parent / "src"
CONF = SRC.parent / "conf"

_BELOW = "config data engine errors metrics models plots runs"
# A part of the package (see `part`) and the other parts that it may import.
MAY_IMPORT = {
    "run": {"__main__"},
    "__main__": {"cli", "errors"},
    "convscope": {"api", "training"},  # the package itself, when one of its names is asked for
    "api": {"analyses", "subject", "about", "compute", "figure", "job", *_BELOW.split()},
    "cli": {"analyses", "subject", "about", "job", "training", "report", "loggers", *_BELOW.split()},
    "job": {"subject", "about", "compute", "figure", "training", *_BELOW.split()},
    "figure": {"about", "compute", "engine", "plots"},
    "compute": {"subject", "about", *_BELOW.split()} - {"plots"},
    "subject": {"config", "data", "engine", "errors", "metrics", "models", "runs"},
    "about": {"analyses", "config", "errors"},
    "analyses": set(),
    "training": {"analyses", "about", "compute", "figure", "report", "loggers", *_BELOW.split()},
    "loggers": {"errors", "runs"},
    "report": {"analyses", "errors", "metrics", "runs"},
    "runs": {"errors", "metrics", "plots"},
    "data": {"config", "engine", "errors", "models", "runs"},
    "engine": {"errors", "models"},
    "models": {"errors"},
    "metrics": {"errors"},
    "plots": {"errors"},
    "config": {"errors"},
    "errors": set(),
}
# A foreign library and the only files, or folders, that may know it.
CONFINED = {
    "hydra": {"cli"},
    "omegaconf": {"cli"},
    "matplotlib": {"plots", "figure"},
    "pytorch_lightning": {"cli", "loggers", "training"},  # the library works without; analyses start without
    "torchmetrics": {"training", "convscope.metrics.epoch_metrics"},
    "wandb": {"loggers"},
    "boto3": {"convscope.data.stream.stores"},
    "litdata": {"convscope.data.stream.chunks", "convscope.data.stream.stores"},
    "lightning": set(),  # mixing it with pytorch_lightning fails at run time
}
SHARED = (["subject"], ["inputs"], ["weak_nets"])  # files of convscope.analyses that belong to no question
NOWHERE_ELSE = {"utils", "util", "common", "misc", "core", "base", "helpers", "helper", "tools"}


def modules(root):
    """Dotted name -> file of every module under `root`; a package goes by its own name."""
    paths = sorted(path for path in root.rglob("*.py"))
    return {".".join(p.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(name, path):
    """The dotted names that a module imports anywhere in it; `from a import b` counts as a.b."""
    package, names = name if path.name == "__init__.py" else name.rpartition(".")[0], []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            names += [f"{source}.{alias.name}" for alias in node.names]
    return names


def part(name):
    """convscope.engine.top9 -> engine; convscope.analyses.occlusion.figure -> figure; run -> run."""
    pieces = name.split(".")
    if pieces[:2] == ["convscope", "analyses"]:
        return "subject" if pieces[2:3] in SHARED else pieces[3] if len(pieces) > 3 else "analyses"
    return pieces[1] if len(pieces) > 1 else name


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


@cache
def trees():
    return {name: parsed(path) for name, path in FILES.items()}


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
    place = {name, name.rpartition(".")[0], part(name)}
    astray = {library for library in libraries & set(CONFINED) if not place & CONFINED[library]}
    assert not astray, f"{name} may not import {', '.join(sorted(astray))}"


def test_every_library_is_declared_with_the_versions_that_are_known_to_do():
    told = tomllib.loads((SRC.parent / "pyproject.toml").read_text())["project"]
    every = [*told["dependencies"], *(one for extra in told["optional-dependencies"].values() for one in extra)]
    others = [one for one in every if not one.startswith("convscope[")]
    bounds = [re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=[\d.]+,<[\d.]+", one) for one in others]
    assert all(bounds), every
    named = {found[1].lower() for found in bounds}
    nodes = [node for tree in trees().values() for node in ast.walk(tree)]
    used = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    used |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    foreign = {name.split(".")[0] for name in used} - set(sys.stdlib_module_names) - {"convscope"}
    owners = packages_distributions()
    undeclared = {name for name in foreign if not {owner.lower() for owner in owners.get(name, [name])} & named}
    assert undeclared <= {"triton"}  # comes with torch where torch knows GPUs; nothing needs it


def test_no_module_is_named_for_everything():
    assert not {name for name in FILES if NOWHERE_ELSE & set(name.split("."))}


@pytest.mark.parametrize(
    "line, expected",
    [
        ("import a.b as c", {"a.b"}),
        (
            "def f():\n    from convscope.engine import top9, deconvnet",
            {"convscope.engine.top9", "convscope.engine.deconvnet"},
        ),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import wandb", {"typing.TYPE_CHECKING", "wandb"}),
        ("from . import tile", {"convscope.plots.tile"}),
        ("from ..engine.top9 import Search", {"convscope.engine.top9.Search"}),
    ],
)
def test_every_kind_of_import_is_seen(tmp_path, line, expected):
    (tmp_path / "grid.py").write_text(line)
    assert set(imports("convscope.plots.grid", tmp_path / "grid.py")) == expected


def test_a_cycle_is_seen(tmp_path):
    (tmp_path / "one.py").write_text("def later():\n    from two import thing")
    (tmp_path / "two.py").write_text("import one")
    assert graph(modules(tmp_path)) == {"one": {"two"}, "two": {"one"}}
    with pytest.raises(CycleError):
        TopologicalSorter(graph(modules(tmp_path))).prepare()


# The measures of the house. Files of docstrings alone (most __init__.py) hold no code.
FIVE = {"__init__", "about", "compute", "figure", "job"}
VAGUE = {
    "found",
    "one",
    "each",
    "told",
    "said",
    "seen",
    "made",
    "kept",
    "given",
    "known",
    "own",
    "other",
    "others",
    "shown",
    "asked",
    "held",
    "there",
    "here",
    "now",
    "then",
    "many",
    "most",
    "least",
    "some",
    "every",
    "few",
    "named",
    "wanted",
    "taken",
    "meant",
    "gone",
    "done",
    "at_hand",
    "thing",
    "things",
    "stuff",
}  # names that say nothing about their value


def bound_names(tree):
    """Every name that a module binds by assignment or as a parameter."""
    for node in ast.walk(tree):
        name = node.arg if isinstance(node, ast.arg) else None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        if name not in (None, "self", "cls"):
            yield name


def holds_code(tree):
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in tree.body)


def test_the_root_and_the_number_of_packages_and_files():
    package = SRC / "convscope"
    assert {path.stem for path in package.glob("*.py")} == {"__init__", "__main__", "config", "errors"}
    assert len([path for path in package.iterdir() if (path / "__init__.py").is_file()]) <= 12
    assert sum(map(holds_code, trees().values())) <= 360


@pytest.mark.parametrize("name", FILES)
def test_files_stay_short(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 250


def test_every_package_says_what_it_is_for():
    assert not [
        name for name, path in FILES.items() if path.name == "__init__.py" and not ast.get_docstring(trees()[name])
    ]


def test_a_folder_of_an_analysis_has_the_five_names_and_is_listed_once():
    folders = [path for path in (SRC / "convscope/analyses").iterdir() if (path / "__init__.py").is_file()]
    assert {folder.name for folder in folders} == set(ANALYSES) and len(ANALYSES) == len(set(ANALYSES))
    for folder in folders:
        inside = {path.stem for path in folder.iterdir() if not path.name.startswith("__pycache__")}
        assert {"__init__", "about", "compute", "job"} <= inside <= FIVE, folder.name


def test_there_is_no_second_list_of_jobs():
    """No file but the `about.py` of an analysis names more than two of the jobs."""
    jobs = {about.job for about in abouts().values()}
    for name, tree in trees().items():
        words = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        may_list = name == "convscope.analyses" or part(name) in ("convscope", "api")  # which have functions so named
        assert len(words & jobs) <= 2 or may_list, f"{name} lists {', '.join(sorted(words & jobs))}"


def test_the_settings_of_an_analysis_are_those_of_its_yaml():
    for about in abouts().values():
        group = about.config.config_group
        source = CONF / ("evolution/every.yaml" if group == "evolution" else f"job/{about.job}.yaml")
        values = yaml.safe_load(source.read_text())
        values = values if group == "evolution" else values[group]
        elsewhere = about.config.config_elsewhere
        fields = {field.name: field for field in dataclasses.fields(about.config) if field.name not in elsewhere}
        assert set(values) == set(fields), about.job
        if group != "evolution":  # runs of version 0.1 have no rule: there the class has another default than the file
            assert dataclasses.asdict(about.config()) | values == dataclasses.asdict(about.config()), about.job


def test_names_say_what_values_are():
    names = [name for tree in trees().values() for name in bound_names(tree)]
    vague = [name for name in names if name.strip("_") in VAGUE]
    assert len(vague) <= 0.005 * len(names), f"{len(vague)} of {len(names)}: {sorted(set(vague))}"


def test_a_class_has_one_name_of_its_own():
    names = [node.name for tree in trees().values() for node in tree.body if isinstance(node, ast.ClassDef)]
    assert not {name for name in names if names.count(name) > 1}
