"""A start that is refused leaves the run folder as it was, whatever word is wrong; what may change on going on."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from convscope.cli import program
from convscope.cli.config_files import choices
from convscope.cli.resume import resolve_resume
from convscope.data.trained_images import TrainedImages, check_images
from convscope.errors import UserError
from convscope.runs.record import Record
from convscope.runs.unfinished import unchanged_if_refused
from random_settings import CONF, composed, opened, tried

TINY = ["data=folder", "data.image_size=64", "model.width=0.05", "optim=paper", "optim.batch_size=4", "evolution=off",
        "trainer.max_epochs=1", "trainer.accelerator=cpu", "data.workers=0"]  # fmt: skip
MORE = "trainer.max_epochs=2"  # what a finished run goes on for
WRONG = [
    "trainer.accelerator=tpu", "trainer.accelerator=5", "trainer.devices=0", "trainer.devices=1.5",
    "trainer.devices=null", "trainer.devices=[0]", "trainer.strategy=nonsense", "trainer.precision=33",
    "trainer.max_epochs=0", "trainer.max_epochs=-3", "trainer.max_epochs=abc", "trainer.max_epochs=[1]",
    "trainer.max_epochs=1.5", "trainer.max_epochs=inf", "trainer.num_nodes=3", "+trainer.no_such=1",
    "+trainer.limit_train_batches=0", "+trainer.callbacks=[]", "~trainer.max_epochs", "~trainer", "~model", "~optim.lr",
    "optim.lr=-1", "optim.lr=abc", "optim.batch_size=3", "optim=quick", "model=alexnet", "model=nonsense", "model=null",
    "model.width=3", "model.layers.conv1.maps=5", "+model.layers.conv9={kind: conv}", "data=digits", "data.root=null",
    "data.root=/no/such/folder", "data.root=5", "data.root={other}", "data.root={fewer}", "data.cache_dir=5",
    "data.cache_dir=/dev/null/cache", "data.cache_gib=-1", "data.workers=-1", "data.workers=1000000", "data.limit=2",
    "model.init=/no/such/file", "model.init={other}", "model.init=5", "seed=1", "seed=-1", "seed=x", "evolution=every",
    "evolution.epochs=[0]", "checkpoint.every_steps=0", "checkpoint.every_minutes=often", "job=occlude", "job=nonsense",
    "logger=nonsense", "logger=[tensorboard,x]", "logger.nonsense.project=x", "name=${oops}", "name=${oc.env:NO_SUCH}",
    "experiment=nonsense", "trainer=smoke", "no_such=1", "word", "optim.lr=[",
    "trainer.num_nodes=x", "logger.wandb=5", "+logger.wandb=null", "logger=",
    "+logger.wandb.table=-1", "logger.wandb.artifacts=[x]",
]  # fmt: skip
OF_NET = [
    ["job=occlude", "occlude.images=-1"], ["job=occlude", "occlude.layer=conv9"],
    ["job=visualize", "evolution.layers=[x]"], ["job=visualize", "evolution.maps={conv1: [99]}"],
    ["job=evaluate", "evaluate.crops=x"], ["job=evaluate", "logger=wandb", "logger.wandb.table=-1"],
    ["job=neighbors", "seed=x"], ["job=occlude", "trainer.accelerator=tpu"],
]  # fmt: skip
OF_FILES = [["job=convert"], ["job=claims", "run=/no/such/run"], ["job=dashboard", "run=/no/such/run"]]


def photographs(root, classes, count):
    """Folders of noise, a color for each class."""
    noise = np.random.default_rng(0)
    for split in ("train", "val"):
        for number, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for image in range(count):
                pixels = np.clip(noise.normal(60 + 60 * number, 40, (70, 70, 3)), 0, 255)
                Image.fromarray(pixels.astype("uint8")).save(root / split / name / f"{image}.png")
    return root


def start(*words):
    """The status that `python src/run.py <words>` ends with, or its line where it is refused; in this process."""
    arguments, sys.argv = sys.argv, ["run.py", *map(str, words)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # as src/run.py has it (cli/environment.py)
    try:
        program.start(CONF)
        return 0
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = arguments
        GlobalHydra.instance().clear()


def content(folder):
    """Path -> bytes and time of every file, where links lead, and all folders."""
    return {
        str(path): (os.readlink(path) if path.is_symlink() else path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_symlink() or path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with photographs, others, and a run of one epoch in finished/, in cut/ without its summary."""
    place = tmp_path_factory.mktemp("refused")
    for name, classes, count in (("photos", "ab", 4), ("other", "ac", 4), ("fewer", "ab", 3)):
        photographs(place / name, classes, count)
    words = [*TINY, f"data.cache_dir={place}/cache", f"data.root={place}/photos", f"hydra.run.dir={place}/finished"]
    assert start(*words) == 0
    shutil.copytree(place / "finished", place / "cut", symlinks=True)
    looked = ["job=evaluate", f"ckpt={place}/finished/checkpoints/last.ckpt", "trainer.accelerator=cpu"]
    assert start(*looked, f"hydra.run.dir={place}/evaluated") == 0
    (place / "cut/summary.json").unlink()
    (place / "cut/checkpoints/.12345678.last.ckpt").write_bytes(b"half a checkpoint of a killed process")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("name", ["finished", "cut"])
@tried(7)
@given(wrong=st.sampled_from(WRONG), others=st.lists(st.sampled_from([MORE, "logger=tensorboard"]), unique=True),
       again=st.booleans(), before=st.booleans())  # fmt: skip
@example(wrong="trainer.accelerator=tpu", others=[MORE], again=False, before=False)
def test_whatever_word_is_wrong_a_refused_start_changes_nothing(name, wrong, others, again, before, place):
    run, wrong = place / name, wrong.replace("{other}", f"{place}/other").replace("{fewer}", f"{place}/fewer")
    kept = content(run)
    words = [*TINY, f"data.cache_dir={place}/cache", f"data.root={place}/photos", f"hydra.run.dir={run}"]
    others = [word for word in others if word.partition("=")[0] != wrong.partition("=")[0]]
    line = start(*(words if again else [f"resume={run}"]), *([wrong, *others] if before else [*others, wrong]))
    assert line == 0 or (line.startswith("convscope: ") and "\n" not in line and "Traceback" not in line)
    assert line != 0 or (name == "finished" and MORE not in others), "a wrong word was taken"
    assert content(run) == kept


@pytest.mark.slow
@tried(3)
@given(words=st.sampled_from(OF_NET + OF_FILES), name=st.sampled_from(["finished", "evaluated"]))
@example(words=["job=evaluate"], name="finished")  # would take the place of the training run's record
def test_a_job_that_is_refused_leaves_the_run_in_its_folder_as_it_was(words, name, place):
    kept = content(place / name)
    ckpt = [] if words in OF_FILES else [f"ckpt={place}/finished/checkpoints/last.ckpt"]
    line = start("trainer.accelerator=cpu", *words, *ckpt, f"hydra.run.dir={place / name}")
    assert str(line).startswith("convscope: ") and "\n" not in line
    assert content(place / name) == kept


@pytest.mark.parametrize("damage", [lambda whole: whole[:9000], lambda _: b"", lambda whole: whole[9000:]])
def test_a_damaged_checkpoint_is_refused_and_the_folder_stays(damage, place, tmp_path):
    run = shutil.copytree(place / "cut", tmp_path / "run")
    last = run / "checkpoints/last.ckpt"
    last.write_bytes(damage(last.read_bytes()))
    kept = content(run)
    assert "last.ckpt cannot be read as a checkpoint" in start(f"resume={run}", MORE)
    assert content(run) == kept


def test_what_a_run_was_killed_before_is_no_reason_to_remove_its_folder(place, tmp_path):
    """A folder with settings alone, as older versions left it when they were killed early."""
    shutil.copytree(place / "finished/.hydra", tmp_path / "run/.hydra")
    kept = content(tmp_path)
    assert "trainer.accelerator=tpu" in start(f"resume={tmp_path}/run", "trainer.accelerator=tpu")
    assert content(tmp_path) == kept


def test_a_run_whose_resume_was_refused_goes_on(place, tmp_path):
    """Also with images and cache in other places than the settings of its first start say."""
    run = shutil.copytree(place / "cut", tmp_path / "run")
    moved = shutil.copytree(place / "photos", tmp_path / "moved")
    assert str(start(f"resume={run}", "trainer.accelerator=tpu")).startswith("convscope: trainer.accelerator=tpu")
    assert start(f"resume={run}", MORE, f"data.root={moved}", f"data.cache_dir={tmp_path}/cache", "logger=tensorboard",
                 "model=zfnet", "optim=paper", "experiment=nonsense") != 0  # fmt: skip
    assert start(f"resume={run}", MORE, f"data.root={moved}", f"data.cache_dir={tmp_path}/cache", "logger=tensorboard",
                 "model=zfnet", "optim=paper") == 0  # fmt: skip
    settings = OmegaConf.load(run / ".hydra/config.yaml")
    assert settings.data.root == str(moved) and settings.trainer.max_epochs == 2
    assert settings.logger == {"tensorboard": {"flush_secs": 10}} and list((run / "tensorboard").iterdir())
    assert [line.split(",")[0] for line in (run / "metrics.csv").read_text().split()] == ["epoch", "1", "2"]
    assert not list(run.rglob(".12345678.*"))  # removed once the run goes on


def test_what_a_logger_left_goes_with_its_refusal(tmp_path):
    (tmp_path / "wandb/old").mkdir(parents=True)
    (tmp_path / "wandb/old/file").write_text("kept")
    (tmp_path / "wandb/latest").symlink_to("old")
    kept = content(tmp_path)
    with pytest.raises(UserError), unchanged_if_refused(tmp_path):
        (tmp_path / "wandb/new/deep").mkdir(parents=True)
        (tmp_path / "wandb/new/deep/file").write_text("goes")
        (tmp_path / "wandb/latest").unlink()
        (tmp_path / "wandb/latest").symlink_to("new")
        raise UserError("no network")
    assert content(tmp_path) == kept


def test_a_record_that_is_not_begun_writes_nothing(tmp_path):
    (tmp_path / ".12345678.file").write_text("half")
    record = Record(tmp_path, begins=False)
    assert not record.begun and [path.name for path in tmp_path.iterdir()] == [".12345678.file"]
    record.begin()
    assert record.begun and list(tmp_path.iterdir()) == []


def recomposed(run, *words):
    """The settings of the run in a folder as resume=<run> composes them with further words."""
    arguments = resolve_resume([f"resume={run}", *words])
    with initialize_config_dir(arguments[1], version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=arguments[4:]), resolve=True)


LOGGERS = ["tensorboard", "wandb", "mlflow"]
SOME = st.lists(st.sampled_from(LOGGERS), unique=True)


@pytest.mark.slow
@tried(6)
@given(before=SOME, chosen=st.none() | SOME, keys=st.lists(st.sampled_from(LOGGERS), unique=True, max_size=2),
       plus=st.sampled_from(["", "+", "++"]))  # fmt: skip
def test_loggers_of_a_run_that_goes_on_are_those_of_a_new_run_with_the_same_words(before, chosen, keys, plus, place):
    """Against Hydra's own composition of the groups, to which a key adds its logger."""
    name = {"tensorboard": "flush_secs=3", "wandb": "project='a b'", "mlflow": "tracking_uri='http://x:1/y'"}
    run = place / "composed"
    (run / ".hydra").mkdir(parents=True, exist_ok=True)
    OmegaConf.save(composed([*TINY, f"logger=[{','.join(['local', *before])}]"]), run / ".hydra/config.yaml")
    words = [f"logger.{key}.{name[key]}" for key in keys]
    choice = [] if chosen is None else [f"logger=[{','.join(['local', *chosen])}]"]
    loggers = dict.fromkeys([*(before if chosen is None else chosen), *keys])
    expected = composed([f"logger=[{','.join(['local', *loggers])}]", *words]).get("logger") or {}
    assert (recomposed(run, *choice, *(plus + word for word in words)).get("logger") or {}) == expected


def test_a_run_whose_record_an_older_version_spoiled_with_a_word_for_its_loggers_goes_on(place):
    run = place / "spoiled"
    (run / ".hydra").mkdir(parents=True)
    OmegaConf.save(composed(TINY) | {"logger": "wandb"}, run / ".hydra/config.yaml")
    assert "logger" not in recomposed(run)
    assert recomposed(run, "logger=tensorboard")["logger"] == {"tensorboard": {"flush_secs": 10}}


@tried(10)
@given(group=st.sampled_from(["model", "data", "optim", "trainer", "evolution", "experiment"]), data=st.data())
def test_a_choice_that_is_the_runs_own_changes_nothing_and_another_is_told(group, data, place):
    own = {"model": "zfnet", "data": "folder", "optim": "paper", "trainer": "default", "evolution": "off"}
    word = data.draw(st.sampled_from(choices(CONF, group)))
    run = place / "finished"
    if word == f"{group}={own.get(group)}":
        assert recomposed(run, word, MORE) == recomposed(run, MORE)
    else:
        with pytest.raises(UserError) as refused:
            resolve_resume([f"resume={run}", word])
        mine = f"{group}={own[group]}" if group in own else f"no {group}"
        assert str(refused.value) == (
            f"resume={run} goes on with {mine} as it began; leave {word} out; to train anew, leave resume={run} out"
        )


NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NAMES = st.lists(NAME, min_size=2, max_size=5, unique=True)


class Now:
    def __init__(self, classes, folders):
        self.classes, self.folders = classes, folders


@tried(100)
@given(classes=NAMES, folders=NAMES, new=NAMES, counts=st.lists(st.integers(1, 9), min_size=4, max_size=4),
       shift=st.sampled_from([0.0, 0.5, 40.0]))  # fmt: skip
def test_images_are_told_by_classes_number_and_mean(classes, folders, new, counts, shift):
    mean, sizes, now = torch.full((3, 8, 8), 90.0), dict(zip(("train", "val"), counts, strict=False)), counts[2:]
    now = dict(zip(("train", "val"), now, strict=True))
    same = TrainedImages(classes, folders, sizes, mean)
    for trained, images, is_same in [
        (same, Now(new, folders), True),  # names were translated
        (same, Now(classes, new), folders == new),
        (same._replace(folders=[]), Now(classes, new), True),  # of an older version
        (same._replace(folders=[]), Now(new, classes), True),  # names were added afterwards
        (same._replace(folders=[]), Now(new, folders), classes in (new, folders)),
    ]:
        fits = is_same and sizes == now and shift < 2
        try:
            check_images(trained, images, "go away", now, mean + shift)
            assert fits
        except UserError as problem:
            assert not fits and "go away" in str(problem)


def test_images_of_a_checkpoint_may_lie_elsewhere(place, tmp_path):
    moved = shutil.copytree(place / "photos", tmp_path / "moved")
    ckpt = f"ckpt={place}/finished/checkpoints/last.ckpt"
    settings = composed(["job=evaluate", ckpt, f"++data.root={moved}", "trainer.accelerator=cpu"])

    def subject(*words):
        return opened({**composed([*words, "job=evaluate", ckpt, "trainer.accelerator=cpu"]), "words": [*words]})

    assert settings["data"]["root"] == str(moved)
    assert subject().own_images and subject(f"++data.root={moved}").own_images
    assert not subject("data=folder", f"data.root={moved}").own_images
    for other, said in (("other", "1 of them"), ("fewer", "8 images in train, now 6")):
        with pytest.raises(UserError) as refused:
            subject(f"++data.root={place / other}")
        assert said.replace("1 of them", "2 of them, now 2, without b and with c") in str(refused.value)
        assert subject("data=folder", f"data.root={place / other}").data.classes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.root=/photos"], "type data=folder too"),
        (["data=folder", "data.draw_seed=3"], "of data=critters; type data=critters in place of data=folder"),
        (["logger.wandb.project=x"], "it is a key of logger=wandb; type logger=wandb too"),
        (["ckpt=a"], "; training starts from model.init=<checkpoint>"),
        (["occlude.images=3"], "it is a key of job=occlude; type job=occlude too"),
    ],
)
def test_a_key_of_another_choice_names_that_choice(words, said, tmp_path):
    line = start(*words, f"hydra.run.dir={tmp_path}/run")
    assert line.startswith(f"convscope: no key {words[-1].partition('=')[0]} in ") and said in line
    assert not list(Path(tmp_path).iterdir())
