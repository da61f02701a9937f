"""Random values for the keys of every job but training: each is done or refused in one line, never anything else."""

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, strategies
from omegaconf import OmegaConf

from convscope.analyses import abouts
from convscope.cli.jobs import PROGRAM_JOBS
from random_settings import CONF, VALUES, done_or_refused, tried

SMALL = {about.job: list(about.tiny) for about in abouts().values()} | {job: [] for job in PROGRAM_JOBS}
ALWAYS = ["data.train=24", "data.val=16", "data.image_size=64", "data.workers=0", "model.width=0.1",
          "trainer.accelerator=cpu"]  # fmt: skip
ELSE = {"ckpt", "run", "sweep", "rule"}  # keys of jobs that are in no group of theirs


def keys(job):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = OmegaConf.to_container(compose("config", overrides=[f"job={job}"]))
    return [f"{job}.{key}" for key in composed.get(job, {})] + sorted(ELSE & composed.keys())


@pytest.mark.parametrize("job", SMALL)
def test_every_setting_is_done_or_refused_in_one_line(job, tmp_path_factory, trained, cache, monkeypatch):
    there = {"ckpt": trained / "checkpoints/last.ckpt", "run": trained, "sweep": trained.parent}
    known = keys(job)
    always = [f"{key}={there[key]}" for key in known if key in there and (job, key) != ("claims", "ckpt")]
    place = tmp_path_factory.mktemp(job)
    monkeypatch.chdir(place)  # where a word is the name of a folder to be made
    always += [f"convert.to={place}/chunks"] if job == "convert" else []
    values = strategies.one_of(VALUES, strategies.sampled_from([*there.values(), place, trained / "summary.json"]))
    unknown = [f"+{job}.other", "+seeds", "+model.in_chans", "+data.grayscale", "+trainer.epochs", "job.x", "--seed"]
    overridden = strategies.builds("{}={}".format, strategies.sampled_from([*known, *unknown]), values)

    @tried(3, len(SMALL))
    @given(strategies.lists(overridden, min_size=1, max_size=2))
    def each(words):
        folder = tmp_path_factory.mktemp(job) / "run"
        done_or_refused([f"job={job}", *ALWAYS, *SMALL[job], f"data.cache_dir={cache}", *always, *words], folder)

    each()
