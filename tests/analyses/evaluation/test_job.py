"""job=evaluate end to end: on a trained run and foreign nets, read back from the run folder, and bad input."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from torchvision.models import squeezenet1_1
from torchvision.transforms.v2.functional import resize

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.subject import new_subject, saved_subject
from convscope.cli.jobs import JOBS
from convscope.engine.dense import dense_probabilities
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[3] / "conf"


def settings(words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(
            compose("config", overrides=["job=evaluate", "trainer.accelerator=cpu", *words]), resolve=True
        ) | {"words": words}


def evaluated(words, folder):
    JOBS["evaluate"](settings(words), folder)
    return folder


def rows(folder, name="table"):
    return list(csv.DictReader((folder / f"tables/evaluation/{name}.csv").open()))


def numbers(folder):
    return json.loads((folder / "summary.json").read_text())["numbers"]


@pytest.fixture(scope="module")
def ckpt(trained):
    return f"{trained}/checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def twin(ckpt, tmp_path_factory):
    """A copy of the checkpoint that lies outside of any run."""
    return shutil.copy(ckpt, tmp_path_factory.mktemp("twin") / "twin.ckpt")


@pytest.fixture(scope="module")
def pair(ckpt, twin, tmp_path_factory):
    """The same net twice."""
    return evaluated([f"ckpt=[{ckpt},{twin}]", "evaluate.crops=ten"], tmp_path_factory.mktemp("pair") / "run")


def test_two_identical_nets_are_as_one(pair):
    first, second, ensemble = ({key: value for key, value in row.items() if key != "net"} for row in rows(pair))
    assert first == second == ensemble
    assert [row["net"] for row in rows(pair)] == ["run", "twin", "ensemble"]


def test_the_folder_holds_what_the_index_promises(pair):
    lines = [json.loads(line) for line in (pair / "index.jsonl").read_text().splitlines()]
    assert {"evaluation/table", "evaluation/papers", "evaluation/confusion", "evaluation/top1/ensemble"} <= {
        line["name"] for line in lines
    }
    assert all(line.get("caption") for line in lines)
    Image.open(pair / "pictures/evaluation/confusion.png").verify()
    assert json.loads((pair / "summary.json").read_text())["finished"]


def test_the_summary_says_where_the_nets_come_from(pair, trained, twin):
    record = json.loads((pair / "summary.json").read_text())["evaluated"]
    first, second = record.pop("members")
    assert record == {"crops": "ten", "scales": [73], "image_size": 64, "split": "val", "images": None}
    assert first == {"name": "run", "net": "zfnet", "ckpt": str(trained / "checkpoints/last.ckpt"),
                     "run": str(trained), "seed": 0}  # fmt: skip
    assert second == {"name": "twin", "net": "zfnet", "ckpt": str(twin), "run": None, "seed": None}


def test_papers_stand_beside_and_are_not_compared(pair):
    assert {row["beside ours"] for row in rows(pair, "papers")} == {"not comparable: other images"}
    assert rows(pair, "papers")[0]["val top-5 error %"] == "16.5"


@torch.inference_mode()
def test_the_center_crop_is_what_training_validated(ckpt, tmp_path):
    """Accuracy and confusion against the net on the validation loader's own batches."""
    run = evaluated([f"ckpt={ckpt}"], tmp_path / "run")
    subject = saved_subject(settings([f"ckpt={ckpt}"]))
    subject.net.eval()
    right, counts = 0, [[0] * 10 for _ in range(10)]
    for batch in map(subject.data.centered, subject.data.val_dataloader()):
        for label, answer in zip(batch.label.tolist(), subject.net(batch.image).argmax(1).tolist(), strict=True):
            right += label == answer
            counts[label][answer] += 1
    assert numbers(run)["evaluation/top1"] == right / subject.data.size("val")
    assert [[int(row[name]) for name in subject.classes] for row in rows(run, "confusion")] == counts
    error = float(rows(run)[0]["top-1 error %"])
    assert error == pytest.approx(100 - 100 * right / subject.data.size("val"), abs=0.006)


@torch.inference_mode()
def test_ten_crops_by_hand(ckpt, pair):
    """Whole stored pixels cut by hand, the mean image with them."""
    subject = saved_subject(settings([f"ckpt={ckpt}"]))
    net, data = subject.net.eval(), subject.data
    size, mean = data.settings.image_size, data.mean
    loader = data.uncropped_dataloader("val", torch.arange(data.size("val")), mean.shape[1], 7)
    far, right = mean.shape[1] - size, 0
    for batch in loader:
        whole = (batch.image - mean) * data.settings.pixel_scale
        total = 0
        for top, left in ((0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)):
            for image in (whole, whole.flip(3)):
                total += net(image[:, :, top : top + size, left : left + size].contiguous()).softmax(1)
        right += int((total.argmax(1) == batch.label).sum())
    assert numbers(pair)["evaluation/top1/ensemble"] == right / data.size("val")


@torch.inference_mode()
def test_fifty_crops_and_dense_by_hand(ckpt, tmp_path):
    """Every window cut by hand; what dense evaluation gives is for its own test."""
    words = [f"ckpt={ckpt}", "evaluate.images=20", "evaluate.scales=[64,68,80]"]
    subject = saved_subject(settings(words))
    net, data = subject.net.eval(), subject.data
    index = data.choose("val", 20, 0)
    fifty = sum(windows(net, data, index, side) for side in (64, 68, 80)) / 3
    slid = sum(dense_probabilities(net, 64, side)(whole(data, index, side)) for side in (64, 68, 80)) / 3
    for crops, expected in (("fifty", fifty), ("both", (fifty + slid) / 2)):
        run = evaluated([*words, f"evaluate.crops={crops}"], tmp_path / crops)
        right = expected.argmax(1) == data.labels("val", index)
        assert numbers(run)["evaluation/top1"] == int(right.sum()) / 20
        tables = rows(run, "papers")
        assert [row["row"] for row in tables] == [f"{net}, {crops.replace('fifty', 'crops')}" for net in "DE"]


def whole(data, index, side):
    (batch,) = data.uncropped_dataloader("val", index, side, len(index))
    mean = data.mean
    if side != mean.shape[1]:
        mean = resize(mean, [side, side], antialias=True)
    return (batch.image - mean) * data.settings.pixel_scale


def windows(net, data, index, side):
    images, total = whole(data, index, side), 0
    for mirrored in (images, images.flip(3)):
        for down in range(5):
            for right in range(5):
                top, left = (side - 64) * down // 4, (side - 64) * right // 4
                total += net(mirrored[:, :, top : top + 64, left : left + 64].contiguous()).softmax(1)
    return total / 50


def test_the_middle_of_the_whole_image_is_the_center_crop(ckpt):
    data = saved_subject(settings([f"ckpt={ckpt}"])).data
    side, size = data.mean.shape[1], data.settings.image_size
    start = (side - size) // 2
    index = torch.tensor([3, 0, 5])
    (batch,) = data.uncropped_dataloader("val", index, side, 3)
    inside = slice(start, start + size)
    assert torch.equal((batch.image - data.mean)[:, :, inside, inside] * data.settings.pixel_scale,
                       data.images("val", index))  # fmt: skip
    assert torch.equal(batch.image[:, :, inside, inside].byte(), data.pixels("val", index))
    assert torch.equal(batch.label, data.labels("val", index))


def test_dense_over_scales(ckpt, tmp_path):
    words = [f"ckpt={ckpt}", "evaluate.crops=dense", "evaluate.scales=[64,80]", "evaluate.images=20"]
    run = evaluated(words, tmp_path / "run")
    assert rows(run)[0]["images"] == "20" and 0 <= numbers(run)["evaluation/top5"] <= 1
    assert "VGG" not in rows(run, "papers")[0]["row"]


def test_scales_from_files(tmp_path, cache):
    """Files are read again for another size: one color stays that color, and an unreadable file stays out."""
    for split in ("train", "val"):
        for name, grey in (("a", 40), ("b", 200)):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (90, 120), (grey + number,) * 3).save(
                    tmp_path / "set" / split / name / f"{number}.png"
                )
    (tmp_path / "set/val/a/0.png").write_bytes(b"broken")
    words = ["data=folder", f"data.root={tmp_path}/set", "data.image_size=64", "data.on_bad_image=skip",
             "model.width=0.05", f"data.cache_dir={cache}", "data.workers=0"]  # fmt: skip
    data = new_subject(settings(words)).data
    (batch,) = data.uncropped_dataloader("val", torch.arange(5), 100, 8)
    assert batch.image.shape == (5, 3, 100, 100)
    assert batch.image.float().mean((1, 2, 3)).tolist() == [41, 42, 200, 201, 202]
    assert batch.label.tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("crops", ["center", "ten", "fifty", "both"])
def test_a_foreign_net(crops, tmp_path, cache):
    words = ["model=torchvision", "model.name=resnet18", "data.train=20", "data.val=20", "data.image_size=64",
             f"data.cache_dir={cache}", f"evaluate.crops={crops}", "evaluate.images=6"]  # fmt: skip
    assert rows(evaluated(words, tmp_path / "run"))[0]["net"] == "resnet18"


def test_weights_of_a_file_on_folders_of_imagenets_ids(tmp_path, cache):
    """A net that takes everything for a golden retriever, number 207, is right on those three of five photographs."""
    draw, state = np.random.default_rng(0), squeezenet1_1().state_dict()
    state["classifier.1.bias"][207] += 1e3
    torch.save({"model": state}, tmp_path / "net.pth")
    for wnid, count in (("n02085620", 2), ("n02099601", 3)):
        (tmp_path / "val" / wnid).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(draw.integers(0, 256, (70, 80, 3), np.uint8)).save(
                tmp_path / "val" / wnid / f"{number}.png"
            )
    words = ["model=torchvision", "model.name=squeezenet1_1", f"model.weights={tmp_path}/net.pth", "data=images",
             f"data.root={tmp_path}/val", f"data.cache_dir={cache}", "data.image_size=64"]  # fmt: skip
    run = evaluated(words, tmp_path / "run")
    assert numbers(run)["evaluation/top1"] == 0.6
    assert {row["true class"] for row in rows(run, "confused")} == {"Chihuahua"}
    assert rows(run, "confused")[0]["taken for"] == "golden retriever"


@pytest.mark.slow
def test_real_weights_know_the_classes_of_real_photographs(tmp_path):
    """SqueezeNet of ImageNet's thousand on ten of them, of 1,500 photographs 55 % and 80 %: folders named by ids."""
    root = Path(os.environ.get("CONVSCOPE_DATA", "/nowhere"))
    if not (root / "squeezenet1_0-imagenet").is_dir():
        pytest.skip("CONVSCOPE_DATA names no folder with squeezenet1_0-imagenet and imagenette224")
    words = ["model=torchvision", "model.name=squeezenet1_0", f"data.root={root}/imagenette224/val", "data=images",
             f"model.weights={root}/squeezenet1_0-imagenet/squeezenet1_0.safetensors", "data.limit=60",
             f"data.cache_dir={tmp_path}", "data.workers=0"]  # fmt: skip
    measured = numbers(evaluated(words, tmp_path / "run"))
    assert 0.4 < measured["evaluation/top1"] < 0.7 and 0.65 < measured["evaluation/top5"] < 0.9


BAD = [
    ({"crops": "eleven"}, "evaluate.crops=eleven is unknown; possible: center, ten, fifty, dense, both"),
    ({"split": "dev"}, "possible: val, train, test"),
    ({"scales": []}, "evaluate.scales=[] has 0 values; it needs 1 or more"),
    ({"scales": "256"}, "evaluate.scales=256 is not a list such as [3, 7] or null"),
    ({"scales": [256, "x"]}, "evaluate.scales=[256, 'x'] is not a list such as [3, 7]"),
    ({"batch_size": 0}, "evaluate.batch_size=0"),
    ({"confused": 1.5}, "evaluate.confused=1.5"),
]


@pytest.mark.parametrize("plan, message", BAD)
def test_plans_that_make_no_sense(plan, message):
    with pytest.raises(UserError) as error:
        EvaluationConfig(**plan)
    assert message in str(error.value)


def other(ckpt, tmp_path, **changed):
    """The checkpoint with something else in its description."""
    checkpoint = torch.load(ckpt, weights_only=True)
    checkpoint["convscope"].update(changed)
    torch.save(checkpoint, tmp_path / "other.ckpt")
    return tmp_path / "other.ckpt"


def test_nets_of_other_classes(ckpt, tmp_path):
    names = [*torch.load(ckpt, weights_only=True)["convscope"]["class_names"][:-1], "yeti"]
    strange = other(ckpt, tmp_path, class_names=names)
    with pytest.raises(UserError, match=r"run and other have other classes \(10 and 10; only one of them knows .*yeti"):
        evaluated([f"ckpt=[{ckpt},{strange}]"], tmp_path / "run")


def test_nets_of_another_image_size(ckpt, trained, tmp_path):
    net = {**torch.load(ckpt, weights_only=True)["convscope"]["net"]}
    side = net["image_size"] + 2  # rounds to the same maps
    mean = torch.zeros(3, round(side * 256 / 224), round(side * 256 / 224))
    strange = other(ckpt, tmp_path, net={**net, "image_size": side}, mean=mean)
    with pytest.raises(UserError, match=f"run takes images of 64 pixels and other of {side}"):
        evaluated([f"ckpt=[{ckpt},{strange}]"], tmp_path / "run")


@pytest.mark.parametrize(
    "words, message",
    [
        (["ckpt=[]"], r"ckpt=\[\] names no net"),
        (["ckpt=[{ckpt},{ckpt}]"], "last.ckpt 2 times; an ensemble is of different nets, name it once"),
        (["evaluate.crops=fourty"], "evaluate.crops=fourty is unknown; possible: center, ten, fifty, dense, both"),
        (["evaluate.scales=[40]"], "evaluate.scales has 40, and the net sees 64 x 64"),
        (["evaluate.images=[9999]"], "no image 9999 in val"),
        (["evaluate.images=0"], "evaluate.images=0 is too small; it is 1 or more"),
    ],
)
def test_more_than_there_is(words, message, ckpt, tmp_path):
    words = [word.format(ckpt=ckpt) for word in words]
    overrides = words if words[0].startswith("ckpt") else [f"ckpt={ckpt}", *words]
    with pytest.raises(UserError, match=message):
        evaluated(overrides, tmp_path / "run")
