"""All of conf/ with all of conf/: pairs of choices compose into settings whose values can all be resolved.

Some 300 of the 2,000 pairs; all of them where CONVSCOPE_CASES is set, as by `make reliability`.
"""

import os
from itertools import combinations, product

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from conftest import ROOT
from convscope.cli.errors import choices

CONF = ROOT / "conf"
GROUPS = ("job", "model", "data", "optim", "trainer", "logger", "evolution", "experiment")
REST = {"logger": ["logger=[wandb,tensorboard,mlflow]"]}


def words(group):
    if group == "experiment":  # those of table2/ are rows of a sweep
        return [word for word in choices(CONF, group) if "/" not in word]
    return choices(CONF, group) + REST.get(group, [])


@pytest.mark.parametrize("pair", list(combinations(GROUPS, 2)), ids="-".join)
def test_every_pair_of_choices_composes(pair):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for both in _some([both for both in product(words(pair[0]), words(pair[1])) if _makes_sense(both)]):
            found = OmegaConf.to_container(compose("config", overrides=list(both)), resolve=True)
            assert {"job", "model", "data", "optim", "trainer", "seed", "name"} <= found.keys(), both
            assert both[0].startswith("experiment") or _is_chosen(found, both), both


def _makes_sense(both):
    """experiment=first_layers is about conv1, which only the paper's nets and their like have."""
    own = both[0].startswith("model=") and both[1] == "experiment=first_layers"
    return not own or both[0].removeprefix("model=").startswith(("zfnet", "replication", "alexnet"))


def _some(pairs):
    most = 10_000 if "CONVSCOPE_CASES" in os.environ else 10
    return pairs if len(pairs) <= most else pairs[:: max(1, len(pairs) // most) | 1] + pairs[-1:]


def _is_chosen(found, both):
    job = next((word.partition("=")[2] for word in both if word.startswith("job=")), None)
    return job is None or found["job"] == job
