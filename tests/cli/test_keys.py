"""Every key that nothing reads is refused in one line, by word or in a file.

That all of conf/ passes is in test_composition.py.
"""

import dataclasses
import re

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import example, given, strategies
from omegaconf import OmegaConf, open_dict

from conftest import ROOT, convscope
from convscope.cli.annotate import AnnotateConfig
from convscope.cli.exports.plan import ExportConfig
from convscope.cli.jobs import JOBS, DashboardConfig
from convscope.cli.keys import (
    GROUPS,
    IMAGES,
    LOGGERS,
    SOURCES,
    check_hydra_keys,
    check_keys,
    keys_of_jobs,
    possible_keys,
)
from convscope.data.config import DrawnSet, StoredSet, default_keys
from convscope.data.stream.conversion import Conversion
from convscope.errors import UserError
from convscope.training.callbacks.checkpoints import Within
from convscope.training.recipe import Recipe
from convscope.training.trainer import check_trainer_key
from random_settings import tried

CONF = ROOT / "conf"
BASES = {
    ("job=train", "data=critters", "model=zfnet"): None,
    ("job=visualize", "data=folder", "model=torchvision"): None,
    ("job=claims", "data=imagenette", "model=timm"): None,
    ("job=table", "data=digits", "model=zfnet"): None,
    ("job=convert", "data=stream", "model=vgg11"): None,
}
LOG = "logger=[wandb,tensorboard,mlflow]"


def unresolved(*words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[*words])


def check(composed):
    plain = OmegaConf.to_container(composed)
    check_keys(OmegaConf.to_container(composed, resolve=True), None, str(plain))


def base(words):
    """Composed once; a copy each time."""
    BASES[words] = BASES[words] or unresolved(*words, LOG)
    return OmegaConf.to_container(BASES[words], resolve=True)


NAMES = strategies.from_regex(r"[a-z]{1,6}(_[a-z]{1,6})?", fullmatch=True)
PLACES = ["", "model", "data", "optim", "trainer", "evolution", "checkpoint", "logger", "logger.wandb",
          "logger.mlflow", "logger.tensorboard", "the job's"]  # fmt: skip


def fields_of(*kinds):
    return {field.name for kind in kinds for field in dataclasses.fields(kind)}


WORDS = {word for file in CONF.rglob("*.yaml") for word in re.findall(r"\w+(?=:)", file.read_text())}


def is_key(place, name):
    """Whether any choice of conf/, or a class of settings, or Lightning has the name."""
    if place == "trainer":
        try:
            return check_trainer_key(name) is None
        except UserError as problem:
            return "set by the program" in str(problem)
    return name in WORDS | fields_of(DrawnSet, StoredSet) | set(LOGGERS["tensorboard"])


@tried(30)
@given(strategies.sampled_from(list(BASES)), strategies.sampled_from(PLACES), NAMES)
@example(("job=train", "data=critters", "model=zfnet"), "model", "in_chans")
@example(("job=train", "data=critters", "model=zfnet"), "model", "checkpoint_path")
@example(("job=train", "data=critters", "model=zfnet"), "data", "grayscale")
@example(("job=train", "data=critters", "model=zfnet"), "", "seeds")
@example(("job=table", "data=digits", "model=zfnet"), "trainer", "epochs")
def test_a_key_that_nothing_reads_is_refused_wherever_it_stands(words, place, name):
    settings = base(words)
    job = settings["job"]
    place = (job if job in settings else "optim") if place == "the job's" else place
    if is_key(place, name):
        return
    group = settings
    for part in place.split(".") if place else []:
        group = group[part]
    group[name] = 1
    with pytest.raises(UserError) as refusal:
        check_keys(settings)
    line = str(refusal.value)
    assert "\n" not in line and "possible: " in line
    assert name in line and (not place or place.partition(".")[0] in line)
    check_keys(settings, recorded=settings)  # as an earlier version wrote it


@tried(8)
@given(strategies.sampled_from(list(BASES)), strategies.sampled_from(list(BASES)))
def test_a_key_of_another_choice_is_told_with_the_choices_that_have_it(words, others):
    settings, other = base(words), base(others)
    added = [(group, key) for group in ("model", "data") for key in other[group].keys() - settings[group].keys()]
    added += [("", key) for key in other.keys() - settings.keys()]
    for group, key in added:
        changed = base(words)
        (changed[group] if group else changed)[key] = {} if not group and isinstance(other[key], dict) else 1
        with pytest.raises(UserError, match=f"it is a key of {group or 'job'}=.*; type .* too"):
            check_keys(changed)


def test_the_keys_are_those_of_the_classes_that_read_them():
    assert set(GROUPS["optim"]) == fields_of(Recipe) and set(GROUPS["checkpoint"]) == fields_of(Within)
    assert set(IMAGES) | {key for keys in SOURCES.values() for key in keys} == default_keys().keys()
    assert keys_of_jobs().keys() == JOBS.keys()
    jobs = keys_of_jobs()
    assert set(jobs["convert"][1]["convert"]) == fields_of(Conversion)
    assert set(jobs["annotate"][1]["annotate"]) == fields_of(AnnotateConfig)
    assert {*jobs["dashboard"][1]["dashboard"], "run"} == fields_of(DashboardConfig)
    assert {*jobs["export"][1]["export"], "run"} == fields_of(ExportConfig)


@pytest.mark.parametrize("name", SOURCES)
def test_the_keys_of_a_set_are_those_of_its_file(name):
    settings = OmegaConf.to_container(unresolved(f"data={name}"), resolve=True)
    assert {key for key in possible_keys(settings) if key.startswith("data.")} == {
        f"data.{key}" for key in settings["data"]
    }


def test_a_key_of_ones_own_passes_where_a_value_refers_to_it():
    check(unresolved("+ours={wide: 0.5}", "model.width=${ours.wide}"))
    for words in (["+ours=0.5"], ["+ours=0.5", "+our=1", "model.width=${ours}"], ["+ours=1", "name='${oursx}'"]):
        with pytest.raises((UserError, Exception), match="no key our|oursx"):
            check(unresolved(*words))


def test_a_logger_without_its_file_is_told():
    with pytest.raises(UserError, match="logger.wandb has project alone; type logger=wandb as well"):
        check(unresolved("+logger.wandb.project=x"))


@pytest.mark.slow
def test_the_program_refuses_before_it_writes(tmp_path):
    (tmp_path / "mine/data").mkdir(parents=True)
    (tmp_path / "mine/data/gray.yaml").write_text("defaults: [critters, _self_]\ngrayscale: true\n")
    for words, key in (
        (["+hydra.job.nonsense=1"], "hydra.job.nonsense"),
        (["--config-dir=mine", "data=gray"], "data.grayscale"),
    ):
        ended = convscope(*words, cwd=tmp_path)
        assert ended.returncode == 1 and ended.stdout == ""
        assert ended.stderr.startswith(f"convscope: no key {key}") and ended.stderr.count("\n") == 1, ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_an_experiment_says_of_another_net_passes_unless_it_is_typed():
    words = ["experiment=photographs", "model=torchvision", "model.name=resnet18"]
    settings = OmegaConf.to_container(unresolved(*words), resolve=True)
    assert settings["model"]["width"] == 0.5
    check_keys({**settings, "words": words})
    with pytest.raises(UserError, match="no key model.width in model=torchvision; it is a key of model=.* in place"):
        check_keys({**settings, "words": [*words, "++model.width=0.5"]})
    with pytest.raises(
        UserError, match="no key model.width in .*; it is"
    ):  # of the net that the experiment itself chooses
        check_keys({**settings, "words": words[:1]})
    with pytest.raises(UserError, match="no key model.wide"):
        check_keys({**settings, "model": {**settings["model"], "wide": 1}, "words": words})


@dataclasses.dataclass
class Sampler:
    """As Optuna's sweeper declares one: the choices of its group have keys of their own."""

    _target_: str = "optuna.samplers.TPESampler"


@dataclasses.dataclass
class Sweeper:
    sampler: Sampler = dataclasses.field(default_factory=Sampler)


def test_the_keys_of_a_sampler_that_a_sweeper_brings_pass():
    config = OmegaConf.create({"sweeper": OmegaConf.structured(Sweeper)})
    with open_dict(config.sweeper.sampler):
        config.sweeper.sampler.seed = 3
    check_hydra_keys(config, "hydra")
    with open_dict(config.sweeper):
        config.sweeper.nonsense = 1
    with pytest.raises(UserError, match="no key hydra.sweeper.nonsense; possible: hydra.sweeper.sampler"):
        check_hydra_keys(config, "hydra")


def test_settings_without_a_group_are_left_to_the_job_that_needs_it():
    for group in ("model", "data", "optim", "trainer"):
        check(unresolved(f"~{group}", "name=a"))


@pytest.mark.parametrize("launcher", ["slurm", "joblib", "submitit_local", "basic"])
def test_hydras_own_keys_pass_and_others_do_not(launcher):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = [f"hydra/launcher={launcher}", "+hydra.job.env_set.NO_COLOR=1"]
        composed = compose("config", overrides=words, return_hydra_config=True)
        check_hydra_keys(composed.hydra, "hydra")
        for word in ("+hydra.nonsense=1", "+hydra.launcher.nonsense=1", "+hydra.job.nonsense=1"):
            composed = compose("config", overrides=[*words, word], return_hydra_config=True)
            with pytest.raises(UserError, match=rf"no key {word[1:-2]}.*; possible: hydra"):
                check_hydra_keys(composed.hydra, "hydra")
