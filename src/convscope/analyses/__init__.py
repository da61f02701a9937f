"""The analyses of a net, one folder for each.

In a folder: about.py (settings, description; imports no torch), compute.py (tensors in, named tensors out), figure.py
(arrays in, a figure out), job.py (over a Subject: yields Conclusion, Picture, Number, Table, Arrays). Code that
several analyses need stands in engine/, metrics/ and plots/, which know no analysis.

ANALYSES is the only list of them: --help, the command of each job, the sections of the page and the tests read it.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

ANALYSES = (  # folders, in the order of their topics on a page
    "visualize",
    "receptive_field",
    "sanity",
    "invariance",
    "diagnosis",
    "occlusion",
    "correspondence",
    "dissection",
    "neighbors",
    "matching",
    "ablation",
    "overlap",
    "check_data",
    "evaluation",
    "transfer",
    "sweep_table",
    "claims",
)


class Topic(NamedTuple):
    """A section of the report page, written for a newcomer. key: the first part of the names of its results.

    link: its name in the navigation. figure: the figure or table of the paper that shows it. note: the question, and
    how to read the result.
    """

    key: str
    link: str
    title: str
    figure: str
    note: str


class About(NamedTuple):
    """The description of an analysis, before it runs.

    job: the name after job=, of conf/job/<job>.yaml and of its settings there. config: the class of its settings.
    topics: the sections of the report page. tiny: overrides that make the job short, for tests. label: what pages call
    it. looks: how it looks at a net, after "looked at"; "" for an analysis of images. images: whether the job
    reads conf/data. divides: whether several processes divide its images among them. sweep_key: the key that takes a
    sweep's folder. sweep_folder: where the job writes at its end. each_epoch: column ->
    what its chart is called, for the columns <column>/<layer> that `measure_epoch` of its compute adds to metrics.csv
    after each drawn epoch of a training; empty for an analysis that has no such function.
    """

    job: str
    config: type
    topics: Sequence[Topic]
    tiny: Sequence[str] = ()
    label: str = ""
    looks: str = ""
    images: bool = True
    divides: bool = False
    sweep_key: str = ""
    sweep_folder: str = ""
    each_epoch: Mapping[str, str] = MappingProxyType({})


def about(name: str) -> About:
    """The About of an analysis, by the name of its folder."""
    module: Any = import_module(f"{__name__}.{name}.about")
    return module.ABOUT


def abouts() -> dict[str, About]:
    """Every analysis by the name of its folder."""
    return {name: about(name) for name in ANALYSES}
