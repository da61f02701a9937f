"""Settings that nobody would choose, and what every one of them must end in: done, or refused in one line."""

import json
import os
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import HealthCheck, Phase, settings, strategies
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convscope.analyses.inputs import Inputs
from convscope.cli.jobs import JOBS
from convscope.cli.keys import check_keys
from convscope.cli.overrides import hydra_words
from convscope.cli.sweeps import is_sweep
from convscope.errors import UserError

CONF = Path(__file__).resolve().parent.parent / "conf"
CASES = int(os.environ.get("CONVSCOPE_CASES", "0"))  # so many in place of the few of an ordinary run of the tests

NUMBERS = [0, 1, 2, 3, 5, 8, 17, 64, -1, -3, 1000, 10**9, 2**63, 2**70, 0.5, 1e-3, -0.5, 1e30, 1e308, "inf", "nan"]
WORDS = ["null", "true", "conv1", "''", "[]", "[1]", "[conv1]", "[null]", "{a: 1}", "{conv1: [0]}", "{conv1: 0}", "é",
         "???", "[[1]]", "relu", "conv", "full", "cpu", "auto", "val", "sgd", "adamw", "folder",
         "'~no_such_user/there'", "/dev/null", "name" * 100, "deep/" * 1000,
         "R&D", "it's", "photos (2)", "照片", "a,b", "lr=0.1", "back\\", "#5", "100%", " b ", "[conv1", "{a", "${seed}",
         "${x", "'", "~", "s3://bucket/x", "file:///x", "a\tb"]  # fmt: skip
VALUES = strategies.one_of(strategies.sampled_from(NUMBERS), strategies.sampled_from(WORDS))


def tried(few, part=1):
    """Hypothesis' settings: `few` cases, the same ones each time, or CONVSCOPE_CASES / part new ones."""
    return settings(
        max_examples=max(few, CASES // part), derandomize=not CASES, database=None, deadline=None,
        phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def composed(overrides):
    """The settings that these words of a command line make, plain values."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)


def done_or_refused(overrides, folder):
    """ "done", "refused" or "not composed"; anything else is an exception of another kind."""
    try:
        chosen = composed(hydra_words(overrides, CONF, is_sweep))
    except UserError as problem:
        assert str(problem).strip() and "\n" not in str(problem), overrides
        return "refused"
    except (HydraException, OmegaConfBaseException):
        return "not composed"
    if chosen["job"] not in JOBS or type(chosen["seed"]) is not int or not 0 <= chosen["seed"] < 2**32:
        return "refused"  # app.run sees to it
    try:
        check_keys({**chosen, "words": overrides})
        JOBS[chosen["job"]]({**chosen, "words": overrides}, folder)
    except UserError as problem:
        assert str(problem).strip() and "\n" not in str(problem), overrides
        if folder.exists():  # begun, and ended by what only work shows: its page says why
            assert json.loads((folder / "summary.json").read_text())["problem"] == str(problem)
            assert (folder / "report/index.html").is_file()
        return "refused"
    if chosen["job"] not in ("report", "dashboard", "annotate", "export"):  # which leave no folder of a run
        assert json.loads((folder / "summary.json").read_text())["finished"], overrides
    return "done"


def opened(settings):
    """The finished net of the settings, with its images."""
    return Inputs(settings, Path()).open(settings["ckpt"])
