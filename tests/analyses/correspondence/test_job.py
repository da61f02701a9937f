"""job=correspond from its settings to the run folder, on drawn animals, on photographs, on nets of other makers."""

import copy
import csv as csv_reader
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file

from convscope.analyses.correspondence.compute import marked_images
from convscope.analyses.correspondence.job import measured_layers, with_verdict
from convscope.analyses.subject import saved_subject
from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from convscope.metrics.intervals import Interval
from convscope.models.library_nets import timm_net, torchvision_net

CONF = Path(__file__).resolve().parents[3] / "conf"
LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
PARTS = ["left eye", "right eye", "nose", "mouth", "left ear", "right ear"]


def settings(*words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=["job=correspond", "trainer.accelerator=cpu", *map(str, words)])
    return OmegaConf.to_container(config, resolve=True) | {"words": [str(word) for word in words]}


def table(folder, name):
    with open(folder / f"tables/correspondence/{name}.csv", newline="") as file:
        return list(csv_reader.DictReader(file))


@pytest.fixture(scope="module")
def words(trained, cache):
    return [f"ckpt={trained}/checkpoints/last.ckpt", f"data.cache_dir={cache}"]


@pytest.fixture(scope="module")
def subject(words):
    return saved_subject(settings(*words))


@pytest.fixture(scope="module")
def indices(subject):
    """Four images that show all their parts."""
    return [int(name.split()[-1]) for name in marked_images(subject, None, {}, 4, "val", seed=0).names]


@pytest.fixture(scope="module")
def folder(words, indices, tmp_path_factory):
    place = tmp_path_factory.mktemp("correspond") / "run"
    JOBS["correspond"](settings(*words, f"correspond.images={indices}", "correspond.random=3"), place)
    return place


def test_the_run_folder_has_table_figure_and_numbers(folder):
    first = table(folder, "table")
    assert [row["covered"] for row in first] == [*PARTS, "mean of the parts", "random", "same place"]
    assert list(first[0]) == ["covered", "conv5", "paper, 5", "fc7", "paper, 7"]
    paper = {row["covered"]: (row["paper, 5"], row["paper, 7"]) for row in first}
    assert paper["nose"] == ("0.079 ± 0.017", "0.069 ± 0.011") and paper["mouth"] == ("", "")
    assert all(re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", row["conv5"]) for row in first)
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    captions = {line["name"]: line["caption"] for line in lines}
    assert "conv5 stands for the paper's layer 5" in captions["correspondence/table"]
    assert "not comparable" in captions["correspondence/table"]
    numbers = json.loads((folder / "summary.json").read_text())["numbers"]
    assert len(numbers) == 2 * 2 * 3 and "correspondence/conv5/distance_minus_random" in numbers
    assert "4 images" in captions["correspondence/fc7/opposite_minus_same_place"]
    width, height = Image.open(folder / "pictures/correspondence/covered.jpg").size
    assert width > 8 * 112 and height > 4 * 112
    assert (folder / "pictures/correspondence/by_layer.png").is_file()


def test_every_layer_is_measured(folder):
    rows = table(folder, "layers")
    assert list(dict.fromkeys(row["layer"] for row in rows)) == LAYERS and len(rows) == 8 * 9
    for row in rows:
        value, low, high = (float(row[f"distance{end}"]) for end in ("", "_low", "_high"))
        assert 0 <= value <= 1 and low <= value <= high and float(row["changed"]) <= 1
    assert [row["layer"] for row in table(folder, "parts_minus_random_places")] == LAYERS


def test_the_numbers_are_those_of_a_recount(folder, subject, indices):
    """conv5 and fc7 with the masks of the run, image by image, in float64 and loops over pairs."""
    arrays = load_file(folder / "correspondence/pairs.safetensors")
    images, net = subject.data.images("val", indices).double(), copy.deepcopy(subject.net).double().eval()
    rows = {(row["layer"], row["covered"]): row for row in table(folder, "layers")}
    for layer in ("conv5", "fc7"):
        outputs = []
        hook = net.get_submodule(layer).register_forward_hook(
            lambda module, args, output, outputs=outputs: outputs.append(output)
        )
        means = []
        for boxes in arrays["masks"]:
            signs = []
            for image, (x0, y0, x1, y1) in zip(images, boxes.tolist(), strict=True):
                covered = image.clone()
                covered[:, y0:y1, x0:x1] = 0
                with torch.no_grad():
                    net(image[None])
                    net(covered[None])
                change = outputs[-2] - outputs[-1]
                signs.append((change.sign() * (change.abs() > 1e-5 * outputs[-2].abs().max())).flatten())
            means.append(np.mean([float((a != b).double().mean()) for a in signs for b in signs if a is not b]))
        hook.remove()
        expected = {"nose": means[2], "mean of the parts": np.mean(means[:6]), "random": np.mean(means[6:9])}
        for covered, mean in {**expected, "same place": np.mean(means[9:])}.items():
            assert float(rows[layer, covered]["distance"]) == pytest.approx(mean, abs=0.01)


@pytest.fixture(scope="module")
def marked_photographs(tmp_path_factory):
    """Two classes of noise, and a csv, a line for each part, of images of one of them."""
    root, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("n01", "n02"):
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                noise = draw.integers(0, 256, (70, 90, 3), np.uint8)
                Image.fromarray(noise).save(root / split / name / f"{number}.jpg")
    lines = [f"val/n01/{n}.jpg,{part},{40 + n},{30 + 3 * n}" for n in range(4) for part in ("nose", "right_eye")]
    (root / "parts.csv").write_text("\n".join(["path,part,x,y", *lines]))
    return root


def test_photographs_by_a_net_of_another_maker(marked_photographs, tmp_path, cache):
    folder = tmp_path / "run"
    chosen = settings(
        "model=torchvision", "model.name=resnet18", "data=folder", f"data.root={marked_photographs}",
        "data.image_size=64", f"data.cache_dir={cache}", f"correspond.parts={marked_photographs}/parts.csv",
        "correspond.images=null", "correspond.random=1",
    )  # fmt: skip
    JOBS["correspond"](chosen, folder)
    rows = table(folder, "table")
    assert [row["covered"] for row in rows] == ["nose", "right eye", "mean of the parts", "random", "same place"]
    assert rows[1]["paper, 7"] == "0.069 ± 0.015" and {"layer4", "avgpool"} <= set(rows[0])
    assert rows[0]["avgpool"] == rows[1]["avgpool"]  # the same places under another name
    image = Image.open(folder / "pictures/correspondence/covered.jpg").convert("RGB")
    colors = (np.abs(np.asarray(image) - np.array([123.7, 116.3, 103.5])).max(-1) < 8).sum()  # ImageNet's mean color
    assert colors > 4 * 3 * 100  # four images, three squares of 9 in 64 pixels, enlarged to 112


def test_layers_of_any_net():
    assert measured_layers(torchvision_net("alexnet", None, 5).net.eval(), 64)[-1] == "classifier.5"
    layers = measured_layers(timm_net("mobilenetv3_small_050", None, 5).net.eval(), 64)
    assert len(layers) >= 5


def test_named_layers_alone(words, indices, tmp_path):
    chosen = settings(
        *words, f"correspond.images={indices[:2]}", "correspond.random=1", "correspond.layers=[pool1,fc6]"
    )
    JOBS["correspond"](chosen, tmp_path / "run")
    assert [row["layer"] for row in table(tmp_path / "run", "parts_minus_random_places")] == ["pool1", "fc6"]
    words = table(tmp_path / "run", "parts_minus_random_places")[0]["% of all features (the paper's)"]
    assert words.endswith(" unclear") and "[" not in words  # one pair has no interval
    assert not (tmp_path / "run/tables/correspondence/table.csv").exists()  # neither stands for the paper's 5 and 7


@pytest.mark.parametrize(
    "word, message",
    [
        ("correspond.images=1", "correspond.images=1 is too small; it is 2 or more"),
        ("correspond.images=[4]", r"correspond.images=\[4\]: two or more are needed"),
        ("correspond.images=[4,4,5]", "names an image twice"),
        ("correspond.images=[0,400]", "no image 400 in val; its images are 0 to 39"),
        ("correspond.split=dev", "correspond.split=dev is unknown; possible: val, train, test"),
        ("correspond.random=0", "correspond.random=0 is too small; it is 1 or more"),
        ("correspond.layers=[]", r"correspond.layers=\[\] has 0 values; it needs 1 or more"),
        ("correspond.layers=[conv9]", r"no layer conv9 in this net .did you mean conv5\?.; its layers: conv1, conv2"),
        ("correspond.mask=65", "a mask of 65 pixels in images of 64; it is 1 to 64"),
        ("correspond.mask=0", "a mask of 0 pixels"),
        ("correspond.parts=nowhere.csv", "nowhere.csv"),
    ],
)
def test_what_cannot_be_done_is_told(words, word, message, tmp_path):
    with pytest.raises(UserError, match=message):
        JOBS["correspond"](settings(*words, word), tmp_path / "run")
    assert not (tmp_path / "run/tables").exists()


def test_photographs_without_parts_say_what_to_type(marked_photographs, tmp_path, cache):
    place = [f"data.root={marked_photographs}", "data.image_size=64", f"data.cache_dir={cache}"]
    chosen = settings("model=torchvision", "model.name=resnet18", "data=folder", *place)
    with pytest.raises(UserError, match="type correspond.parts=<csv with columns path,part,x,y"):
        JOBS["correspond"](chosen, tmp_path / "run")


def test_verdicts_follow_the_interval():
    assert with_verdict(Interval(-0.05, -0.08, -0.02, 5)) == "-5.00 [-8.00, -2.00] more"
    assert with_verdict(Interval(0.05, 0.02, 0.08, 5)).endswith("less")
    assert with_verdict(Interval(-0.05, -0.12, 0.02, 5)).endswith("unclear")
    assert with_verdict(Interval(-1e-17, -1e-17, -1e-17, 5)).endswith("unclear")  # nothing but rounding
