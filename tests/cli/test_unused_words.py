"""Words that a job, a net, a recipe or a checkpoint cannot use are told; those that it reads are not."""

import json
from functools import cache

import pytest
from hypothesis import given, strategies

from conftest import convscope
from convscope.analyses import abouts
from convscope.cli.jobs import JOBS
from convscope.cli.keys import GROUPS
from convscope.cli.unused_words import unused_words
from convscope.errors import UserError
from convscope.models.checkpoints import check_words
from convscope.models.rows import plain_rows, read_rows
from random_settings import composed, tried

LOOKING = [about.job for about in abouts().values() if about.looks and about.images]
DIVIDING = [about.job for about in abouts().values() if about.divides]
SETTINGS = {}


def unused(job, *words, **changes):
    """The words that are told to change nothing."""
    if job not in SETTINGS:
        with_folder = ["sweep=x"] if job == "table" else []
        SETTINGS[job] = composed([f"job={job}", *with_folder])
    lines = unused_words({**SETTINGS[job], **changes, "words": list(words)})
    assert all(" changes nothing: " in line and "\n" not in line for line in lines)
    return [line.partition(" changes nothing: ")[0] for line in lines]


@tried(20)
@given(
    strategies.sampled_from(sorted(JOBS)),
    strategies.sampled_from(["trainer", "optim", "checkpoint"]),
    strategies.data(),
)
def test_what_only_training_reads_is_told_everywhere_else(job, group, data):
    key = data.draw(strategies.sampled_from(GROUPS[group]))
    shared = {"trainer.accelerator", "optim.batch_size"}  # the device, and the batches of a look at many images
    shared |= {"trainer.devices", "trainer.num_nodes"} if job in DIVIDING else set()
    for word in (f"{group}.{key}=1", f"++{group}.{key}=1"):
        expected = [] if job == "train" or f"{group}.{key}" in shared else [word.removeprefix("++")]
        told = unused(job, word)
        if job != "train":
            assert told == expected
        elif (group, key) not in (
            ("optim", "momentum"),
            ("optim", "patience"),
            ("optim", "init_std"),
            ("optim", "bias_ones"),
        ):
            assert told == []


def test_a_job_that_several_devices_do_not_help_names_those_that_they_do():
    (line,) = unused_words({**composed(["job=occlude"]), "words": ["trainer.devices=2"]})
    assert line == (
        "trainer.devices=2 changes nothing: job=occlude runs on one device; several are for visualize, neighbors, "
        "evaluate, transfer, claims"
    )
    assert all(unused(job, "trainer.devices=2", "trainer.num_nodes=1") == [] for job in DIVIDING)


@pytest.mark.parametrize("job", sorted(JOBS))
def test_keys_that_a_job_has_of_its_own_are_never_told(job):
    settings = composed([f"job={job}", *(["sweep=x"] if job == "table" else [])])
    own = [f"{job}.{key}=1" for key in settings.get(job, {})] if isinstance(settings.get(job), dict) else []
    assert unused(job, *own, f"job={job}", "name=a", "seed=3", "ckpt=a", "run=b", "sweep=c", "hydra.run.dir=x") == []
    if job in LOOKING:
        assert unused(job, "data=folder", "data.limit=3", "data.image_size=64", "model=vgg11", "model.width=0.5") == []
        assert unused(job, "model.init=a", "data.color_noise=1") == ["model.init=a", "data.color_noise=1"]
    assert unused(job, "evolution.maps=3") == ([] if job in ("train", "visualize") else ["evolution.maps=3"])
    if job in ("report", "table", "dashboard", "export"):
        assert unused(job, "data=folder", "data.limit=3") == ["data=folder", "data.limit=3"]
    if job in ("check_data", "overlap", "convert", "annotate"):
        assert unused(job, "data.limit=3", "model.width=0.5") == ["model.width=0.5"]


def test_what_a_recipe_or_a_net_does_not_read_is_told():
    paper, quick = composed(["optim=paper"])["optim"], composed(["optim=quick"])["optim"]
    words = ["optim.momentum=0.5", "optim.patience=3", "optim.init_std=0.1", "optim.bias_ones=[conv1]"]
    assert unused("train", *words, optim=quick) == words
    assert unused("train", *words, optim=paper) == []
    library = composed(["model=torchvision"])["model"]
    words = ["optim.init=normal", "data.pixel_scale=0.5", "optim.lr=0.1", "model.init=x", "data.image_size=64"]
    assert unused("train", *words, optim=paper, model=library) == words[:2]
    assert unused("train", *words, optim=paper) == []
    assert unused("train", "data.on_bad_image=skip", data={"source": "stream"}) == ["data.on_bad_image=skip"]


@cache
def about(width, image_size=64, name="zfnet"):
    """What a checkpoint says of a narrow zfnet; and the rows that it was made of."""
    layers = composed([f"model={name}"])["model"]["layers"]
    rows = plain_rows(read_rows(layers, 10, width))
    return {"net": {"layers": rows, "image_size": image_size, "classes": 10, "name": name}, "pixel_scale": 0.5,
            "loss": "softmax"}  # fmt: skip


@tried(10)
@given(strategies.lists(strategies.sampled_from([
    "model=zfnet", "model.width=0.25", "data.image_size=64", "data.pixel_scale=0.5", "optim.loss=softmax",
    "model=vgg11", "model=torchvision", "model.width=0.5", "data.image_size=128", "data.pixel_scale=1.0",
    "optim.loss=multilabel", "~model.layers.conv3", "model.layers.conv1.maps=8", "data.limit=3", "optim.lr=3",
    "trainer.accelerator=cpu", "evolution.maps=3",
]), max_size=3, unique_by=lambda word: word.partition("=")[0]))  # fmt: skip
def test_words_pass_where_they_say_what_the_checkpoint_says(words):
    right = {"model=zfnet", "model.width=0.25", "data.image_size=64", "data.pixel_scale=0.5", "optim.loss=softmax",
             "data.limit=3", "optim.lr=3", "trainer.accelerator=cpu", "evolution.maps=3"}  # fmt: skip
    if {"model=torchvision", "model=vgg11"} & set(words):  # which have no such rows
        words = [word for word in words if "layers" not in word and "width" not in word]
    settings = {**composed(words), "ckpt": "net.ckpt", "words": words}
    wrong = [word for word in words if word not in right]
    if not wrong:
        check_words(settings, about(0.25))
        return
    with pytest.raises(UserError) as refusal:
        check_words(settings, about(0.25))
    line = str(refusal.value)
    assert "ckpt=net.ckpt" in line and "leave out " in line and any(word in line for word in wrong)


def test_a_library_net_is_compared_by_name():
    net = {"net": {"source": "torchvision", "name": "resnet18", "image_size": 64}, "pixel_scale": [1.0, 1.0, 1.0]}
    for words, passes in (
        (["model=torchvision", "model.name=resnet18"], True), (["model=torchvision", "model.name=vgg16"], False),
        (["model=timm", "model.name=resnet18"], False), (["model=zfnet"], False), (["data.limit=3"], True),
        (["model=torchvision", "model.name=resnet18", "model.weights=DEFAULT"], False),
    ):  # fmt: skip
        settings = {**composed(words), "ckpt": "net.ckpt", "words": words}
        if passes:
            check_words(settings, net)
        else:
            with pytest.raises(UserError, match="ckpt=net.ckpt holds resnet18, and "):
                check_words(settings, net)


def test_the_program_tells_both_and_the_summary_has_the_warnings(trained, tmp_path, request):
    words = ["job=evaluate", f"ckpt={trained}/checkpoints/last.ckpt", "evaluate.images=4", "hydra.run.dir=run"]
    words += ["trainer.accelerator=cpu", f"data.cache_dir={request.getfixturevalue('cache')}"]
    ended = convscope(*words, "data.image_size=128", cwd=tmp_path)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert "data.image_size=128 contradicts ckpt=" in ended.stderr and not (tmp_path / "run").exists()
    ended = convscope(*words, "data.image_size=64", "optim.lr=3", cwd=tmp_path)
    line = "optim.lr=3 changes nothing: job=evaluate trains nothing"
    assert ended.returncode == 0 and f"warning: {line}\n" in ended.stdout
    assert json.loads((tmp_path / "run/summary.json").read_text())["warnings"][0] == line
