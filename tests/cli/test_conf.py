"""Every choice in conf/ is composed and trains two batches (or draws what it should), in this process."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from conftest import convscope
from convscope.analyses import abouts
from convscope.cli.jobs import JOBS
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"
PAPERS = CONF.parent / "src/convscope/metrics/papers.yaml"
TINY = [
    "trainer=smoke", "model.width=0.05", "optim.batch_size=6", "evolution.maps=2", "evolution.measures=[]", "seed=3",
]  # fmt: skip
CRITTERS = ["data.train=20", "data.val=20", "data.image_size=64"]
CONV1 = "evolution.layers=[conv1]"  # where pictures are not what is looked at


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def settings(words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=words)
    return OmegaConf.to_container(config, resolve=True)


def run(words, folder, cache):
    chosen = settings([*words, f"data.cache_dir={cache}"])
    JOBS[chosen["job"]](chosen, folder)
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of two classes of noise, laid out as data=folder wants it."""
    root = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 6)):
        for name in ("n01", "n02"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                noise = draw.integers(0, 256, (80, 90, 3), np.uint8)
                Image.fromarray(noise).save(root / split / name / f"{number}.jpg")
    return root


@pytest.mark.parametrize("model", [name for name in choices("model") if name not in ("torchvision", "timm", "python")])
def test_every_net_trains(model, tmp_path, cache):
    rows = [name for name in settings([f"model={model}"])["model"]["layers"] if name.startswith("conv")]
    drawn = {rows[0], rows[-1]}
    run([f"model={model}", f"evolution.layers=[{','.join(drawn)}]", *TINY, *CRITTERS], tmp_path / "run", cache)
    assert {path.parent.name for path in (tmp_path / "run/pictures/top9").glob("*/epoch_001.webp")} == drawn


@pytest.mark.parametrize(
    "model, chosen, layers",
    [
        ("torchvision", ["model.name=resnet18"], 5),
        ("timm", ["model.name=resnet10t"], 5),
        ("python", ["model.target=torchvision.models:resnet18", "evolution.layers=[layer1,layer4]"], 2),
    ],
)
def test_foreign_nets_train(model, chosen, layers, tmp_path, cache):
    words = [word for word in TINY if not word.startswith("model.width")]
    run([f"model={model}", *chosen, *words, *CRITTERS], tmp_path / "run", cache)
    assert len(list((tmp_path / "run/pictures/top9").glob("*/epoch_001.webp"))) == layers


@pytest.mark.parametrize("optim", choices("optim"))
def test_every_recipe_trains(optim, tmp_path, cache):
    run([f"optim={optim}", CONV1, *TINY, *CRITTERS], tmp_path / "run", cache)
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize("evolution", choices("evolution"))
def test_every_way_to_look(evolution, tmp_path, cache):
    words = [word for word in TINY if not word.startswith("evolution.measures")]
    run([f"evolution={evolution}", *words, *CRITTERS], tmp_path / "run", cache)
    assert (tmp_path / "run/pictures/top9").is_dir() == (evolution != "off")


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment(experiment, tmp_path, cache, photographs, trained):
    tiny = [word for word in TINY if not word.startswith("trainer")]
    two = ["trainer.max_epochs=1", "+trainer.limit_train_batches=2", "+trainer.limit_val_batches=2"]
    place = [f"data.root={photographs}"] if experiment in ("photographs", "transfer") else [*CRITTERS]
    place += [f"model.init={trained}/checkpoints/last.ckpt", "model.width=0.1"] * (experiment == "transfer")
    place += [CONV1] * (experiment in ("demo", "photographs", "renorm"))
    run([f"experiment={experiment}", *tiny, *two, "data.image_size=64", *place], tmp_path / "run", cache)


def swept(experiment, key):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"experiment={experiment}"], return_hydra_config=True)
    return [row.strip() for row in config.hydra.sweeper.params[key].split(",")], config.hydra.sweep


@pytest.mark.slow
def test_table3_has_the_rows_of_the_paper_each_with_a_folder_of_its_own():
    rows, sweep = swept("table3", "model")
    assert rows == list(yaml.safe_load(PAPERS.read_text())["zf_table3"]["rows"])
    assert sweep.dir == "outputs/sweep/table3"  # no date: the same command finds its rows again
    assert [settings(["experiment=table3", f"model={row}"])["name"] for row in rows] == rows


@pytest.mark.parametrize("row", [path.stem for path in sorted((CONF / "experiment/table2").glob("*.yaml"))])
def test_every_net_of_table2_has_its_name_and_seed(row):
    """README's command trains them all."""
    rows, _ = swept("table2", "experiment/table2@_global_")
    assert row in rows and len(rows) == 7
    chosen = settings(["experiment=table2", f"experiment/table2@_global_={row}", *CRITTERS])
    net, _, seed = row.rpartition("_") if row.startswith("zfnet_") and row[-2] == "_" else (row, "", "0")
    assert (chosen["name"], chosen["seed"], chosen["optim"]["algorithm"]) == (net, int(seed), "sgd")


@pytest.mark.parametrize("data", ["folder", "imagenet", "imagenette"])
def test_every_set_of_files(data, tmp_path, cache, photographs):
    run([f"data={data}", f"data.root={photographs}", "data.image_size=64", CONV1, *TINY], tmp_path / "run", cache)


@pytest.mark.parametrize("data", ["digits"])
def test_the_digits(data, tmp_path, cache):
    run([f"data={data}", "data.image_size=64", "data.limit=60", CONV1, *TINY], tmp_path / "run", cache)


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
def test_visualize_by_every_rule(rule, tmp_path, cache):
    run(["job=visualize", f"rule={rule}", *TINY, *CRITTERS], tmp_path / "run", cache)
    assert (tmp_path / "run/pictures/top9/conv5.jpg").is_file()


# Overrides of the analyses that look at one net. Layers, whose names differ, are left to each net; two of the five
# where each takes long.
LOOKS = {
    about.job: [word for word in about.tiny if ".layers=" not in word]
    for about in abouts().values()
    if about.looks and about.images and about.job != "claims"
}
LONG = {"sanity": "sanity", "match": "match", "visualize": "evolution"}  # job -> group of its key layers


@pytest.mark.parametrize("job", LOOKS)
def test_every_look_at_a_net_of_timm(job, tmp_path, cache):
    """Nets of rows and of torchvision are looked at by the commands of the documents, in test_readme.py."""
    words = ["model=timm", "model.name=resnet10t", *(word for word in TINY if not word.startswith("model.width"))]
    if job in LONG:
        words.append(f"{LONG[job]}.layers=[layer1,layer4]")
    run([f"job={job}", *LOOKS[job], *words, *CRITTERS], tmp_path / "run", cache)
    lines = [json.loads(line) for line in (tmp_path / "run/index.jsonl").read_text().splitlines()]
    assert {"picture", "table"} <= {line["kind"] for line in lines}
    assert json.loads((tmp_path / "run/summary.json").read_text())["finished"]


def test_nothing_in_conf_is_left_out():
    """The groups above, and those run elsewhere: cifar10 in tests/data, the loggers in test_loggers.py."""
    known = "critters digits folder imagenet imagenette cifar10 caltech101 caltech256 voc2012 stream images"
    assert set(choices("data")) == set(known.split())
    assert set(choices("logger")) == {"local", "wandb", "tensorboard", "mlflow"}
    assert set(choices("job")) == set(JOBS) and set(choices("trainer")) == {"default", "smoke"}


def test_a_folder_without_classes_is_looked_at_but_not_learned(tmp_path, cache, photographs, trained):
    words = "data=images", f"data.root={photographs}/val", f"data.cache_dir={cache}"
    look = "job=visualize", f"ckpt={trained}/checkpoints/last.ckpt", "evolution.maps=1", f"hydra.run.dir={tmp_path}/a"
    ended = convscope(*look, *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in (tmp_path / "a/index.jsonl").read_text().splitlines()]
    labels = {label for line in lines if line["name"].startswith("images/") for label in line["sheet"]["labels"]}
    assert labels == {0}
    with pytest.raises(UserError, match="data=images has no classes to learn"):
        run([*words, *TINY, "data.image_size=64"], tmp_path / "b", cache)
