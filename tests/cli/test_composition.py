"""All of conf/ with all of conf/: choices of all groups compose into settings whose values can all be resolved.

All their keys are read by something.

A few rows of choices, one of each group; all pairs where CONVSCOPE_CASES is set, as by `make reliability`.
"""

import os
import random
from itertools import combinations, product

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from conftest import ROOT
from convscope.cli.config_files import choices
from convscope.cli.keys import check_keys

pytestmark = pytest.mark.slow

CONF = ROOT / "conf"
GROUPS = ("job", "model", "data", "optim", "trainer", "logger", "evolution", "experiment")
REST = {"logger": ["logger=[wandb,tensorboard,mlflow]"]}
ROWS = 30


def words(group):
    if group == "experiment":  # those of table2/ are rows of a sweep
        return [word for word in choices(CONF, group) if "/" not in word]
    return choices(CONF, group) + REST.get(group, [])


def rows():
    """Rows of one choice of each group, in which each choice stands at least once."""
    draw, columns = random.Random(0), []
    for group in GROUPS:
        column = words(group)
        columns.append(draw.sample((column * ROWS)[:ROWS], ROWS))
        assert len(column) <= ROWS
    return list(zip(*columns, strict=True))


def check(row):
    composed = compose("config", overrides=list(row))
    found = OmegaConf.to_container(composed, resolve=True)
    check_keys({**found, "words": list(row)}, text=str(OmegaConf.to_container(composed)))
    assert {"job", "model", "data", "optim", "trainer", "seed", "name"} <= found.keys(), row
    assert {word.partition("=")[2] for word in row if word.startswith("job=")} <= {found["job"]}, row


def pairs():
    """All choices of each two groups."""
    return [both for two in combinations(GROUPS, 2) for both in product(*map(words, two))]


def test_choices_of_all_groups_compose_together():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for row in [*rows(), *(pairs() if "CONVSCOPE_CASES" in os.environ else [])]:
            check(row if _makes_sense((row[0] if len(row) == 2 else row[1], row[-1])) else row[:-1])


def _makes_sense(both):
    """experiment=first_layers is about conv1, which only the paper's nets and their like have."""
    own = both[0].startswith("model=") and both[1] == "experiment=first_layers"
    return not own or both[0].removeprefix("model=").startswith(("zfnet", "replication", "alexnet"))
