"""job=transfer end to end on a trained run, read back from the run folder; features against a plain pass."""

import copy
import csv
import html
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from convscope.analyses.subject import _same_images
from convscope.analyses.transfer.compute import Transfer
from convscope.analyses.transfer.compute.features_on_disk import Wanted, as_seen_by, features_on_disk
from convscope.cli.jobs import JOBS
from convscope.cli.looking import _beside, finished
from convscope.engine.features import features
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[3] / "conf"
FEW = ["transfer.per_class=[2,4]", "transfer.folds=2", "transfer.c=[1]"]


def composed(words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=["job=transfer", *FEW, *words])
    return {**OmegaConf.to_container(config, resolve=True), "words": words}


def rows(folder, name):
    return list(csv.DictReader((folder / f"tables/transfer/{name}.csv").open()))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("transfer")


@pytest.fixture(scope="module")
def seen(trained, place):
    """The run, and how many images went through the net."""
    settings = composed([f"ckpt={trained}/checkpoints/last.ckpt", f"transfer.keep={place}/kept"])
    passes = []
    whole = torch.nn.modules.module.register_module_forward_hook(
        lambda module, args, output: passes.append(len(args[0])) if type(module).__name__ == "ConvNet" else None
    )
    try:
        JOBS["transfer"](settings, place / "run")
    finally:
        whole.remove()
    return place / "run", passes


def test_the_folder_holds_what_the_index_promises(seen):
    folder, _ = seen
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    assert {line["name"] for line in lines} >= {"transfer/table", "transfer/curves", "transfer/trials"}
    assert all(line.get("caption") for line in lines)
    Image.open(folder / next(line["path"] for line in lines if line["kind"] == "picture")).verify()
    assert json.loads((folder / "summary.json").read_text())["finished"]


def test_images_that_the_net_was_trained_on_are_told(seen):
    summary = json.loads((seen[0] / "summary.json").read_text())
    assert summary["own_images"] and summary["warnings"][0].startswith("the net was trained on these very images")
    assert html.escape(summary["warnings"][0]) in (seen[0] / "report/index.html").read_text()


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ([], True),
        (["data=critters", "data.train=20"], True),  # fewer of the same
        (["data.draw_seed=5"], False),
        (["data=folder", "data.root={photos}"], False),
        (["data=digits"], False),
    ],
)
def test_other_images_than_those_of_the_training_are_no_own_ones(trained, tmp_path, words, own):
    for place in ("train/fox", "train/owl", "val/fox", "val/owl"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / place / "1.png")
    settings = composed([f"ckpt={trained}/checkpoints/last.ckpt", *(word.format(photos=tmp_path) for word in words)])
    subject = finished(settings)
    assert subject.own_images is own
    others = _beside(subject, ["random"], settings)
    assert not any(other.own_images for other in others.values())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"source": "folder", "root": "/a/b"}, {"source": "imagenet", "root": "/a/c/../b"}, True),
        ({"source": "folder", "root": "/a/b"}, {"source": "folder", "root": "/a/c"}, False),
        ({"source": "caltech101", "root": "/a"}, {"source": "caltech256", "root": "/a"}, False),  # of one cache
        ({"source": "digits"}, {"source": "digits"}, True),
        ({"source": "folder"}, {"source": "imagenet"}, False),  # no root yet
    ],
)
def test_a_set_is_known_by_its_place_whatever_it_is_called(one, other, same):
    assert _same_images(one, other) is same and _same_images(other, one) is same


def test_all_layers_of_a_net_come_from_one_pass(seen):
    assert sum(size for size in seen[1] if size > 1) == 2 * 120  # 80 + 40 images, two nets; traces are of one


def test_the_random_net_stands_beside(seen, place):
    table, trials = rows(seen[0], "table"), rows(seen[0], "trials")
    assert {one["net"] for one in trials} == {"this net", "random weights"}
    mine = [float(one["accuracy"]) for one in trials if one["net"] == "random weights" and one["per_class"] == "4"
            and (one["layer"], one["classifier"]) == ("fc7", "svm")]  # fmt: skip
    row = next(row for row in table if (row["layer"], row["classifier"]) == ("fc7", "svm"))
    assert row["random weights, 4 per class"] == f"{np.mean(mine):.1f} ± {np.std(mine, ddof=1):.1f}"
    nets = [row["net"] for row in rows(seen[0], "by_images")]
    assert nets[0] == "this net" and "random weights" in nets and "Zeiler & Fergus, pretrained" in nets
    ours, other = (np.load(place / "kept" / folder / "conv1.npy") for folder in ("", "random weights"))
    assert ours.shape == other.shape and not np.allclose(ours, other)


def test_files_that_do_not_stay_have_no_name_while_they_are_used(trained, cache):
    subject = finished(composed([f"ckpt={trained}/checkpoints/last.ckpt"]))
    with features_on_disk({"net": subject}, Wanted(["fc7"], 6)) as kept:
        assert not list(Path(cache).glob("features-*"))  # so nothing is left, whatever ends the process
        assert np.abs(kept["net"].layers["fc7"]).sum() > 0


def test_another_net_gets_its_own_input(trained):
    """Another mean image and scale: its crops, made from the first net's, are those that its own data give."""
    subject = finished(composed([f"ckpt={trained}/checkpoints/last.ckpt"]))
    mean = torch.rand(3, 73, 73, generator=torch.Generator().manual_seed(0)) * 255
    data = copy.copy(subject.data)
    data.settings, data._given_mean = replace(subject.data.settings, pixel_scale=(0.1, 0.2, 0.3)), mean
    data.__dict__.pop("_mean", None)
    other = subject._replace(data=data)
    turned = as_seen_by(other, subject)(subject.data.images("val", range(5)))
    torch.testing.assert_close(turned, data.images("val", range(5)), rtol=1e-4, atol=1e-3)


def test_dense_features_are_stacked_or_averaged(trained, place):
    ckpt = f"ckpt={trained}/checkpoints/last.ckpt"
    words = [ckpt, "transfer.features=dense", "transfer.scales=[64,80]", "transfer.beside=null"]
    for pool in ("stack", "average"):
        settings = composed([*words, f"transfer.pool={pool}", f"transfer.keep={place}/{pool}"])
        JOBS["transfer"](settings, place / f"run_{pool}")
    stacked, averaged = (np.load(place / pool / "dense.npy") for pool in ("stack", "average"))
    assert np.allclose(stacked.reshape(len(averaged), 2, -1).mean(1), averaged, atol=1e-4)
    subject = finished(composed([ckpt]))
    (batch,) = subject.data.uncropped_dataloader("val", torch.arange(40), 64, 40)
    shown = batch.image - F.interpolate(subject.data.mean[None], (64, 64), mode="bilinear", antialias=True)
    both = [features(subject.net, x, ["fc7"]).layers["fc7"] for x in (shown, shown.flip(3))]
    mine = torch.stack(both).mean(0).flatten(1)
    assert np.allclose(stacked[80:, : stacked.shape[1] // 2], mine.numpy(), atol=1e-4)  # one scale: the plain feature
    table = rows(place / "run_stack", "table")
    assert [row["layer"] for row in table] == 2 * ["fc7", "dense"]
    assert rows(place / "run_stack", "vgg_table11")[0]["net"] == "this net, dense, svm"


def test_the_table_is_the_mean_of_the_trials(seen):
    table, trials = rows(seen[0], "table"), rows(seen[0], "trials")
    assert [row["layer"] for row in table] == 2 * ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    trials = [one for one in trials if one["net"] == "this net"]
    assert len(trials) == 7 * 2 * 2 * 2
    for row in table:
        of = (row["layer"], row["classifier"], "4")
        own = [one for one in trials if (one["layer"], one["classifier"], one["per_class"]) == of]
        mine = [float(one["accuracy"]) for one in own]
        assert row["4 per class"] == f"{np.mean(mine):.1f} ± {np.std(mine, ddof=1):.1f}"
    column = "paper: Caltech-101 (30 per class), not comparable"
    known = {(row["layer"], row["classifier"]): row[column] for row in table}
    assert known["conv1", "svm"] == "44.8 ± 0.7" and known["fc7", "softmax"] == "85.4 ± 0.4"
    assert known["fc6", "svm"] == known["conv1", "softmax"] == ""


def test_numbers_have_their_intervals(seen):
    found = json.loads((seen[0] / "summary.json").read_text())["numbers"]
    accuracy = {(one["layer"], one["fold"]): float(one["accuracy"]) for one in rows(seen[0], "trials")
                if one["net"] == "this net" and one["classifier"] == "svm" and one["per_class"] == "4"}  # fmt: skip
    higher = np.mean([accuracy["fc7", str(fold)] - accuracy["conv1", str(fold)] for fold in range(2)])
    assert found["transfer/depth/svm"] == pytest.approx(higher, abs=1e-3)


def test_features_on_disk_are_those_of_a_plain_pass(seen, trained, place):
    subject = finished(composed([f"ckpt={trained}/checkpoints/last.ckpt"]))
    images = torch.cat([subject.data.images("train", range(80)), subject.data.images("val", range(40))])
    with torch.no_grad():
        x = images
        for name, layer in subject.net.named_children():
            x = layer(x)
            if name in ("conv1", "fc7"):
                maps = x.reshape(*x.shape[:2], *x.shape[2:])
                kept = torch.from_numpy(np.load(place / f"kept/{name}.npy"))
                assert torch.allclose(kept, maxima(maps), atol=1e-4)
    labels = torch.cat([subject.data.labels("train", range(80)), subject.data.labels("val", range(40))])
    assert np.array_equal(np.load(place / "kept/labels.npy"), labels.numpy())


def maxima(x):
    """Maxima of 6 x 6 parts of maps, one part at a time: part i reaches from floor(i n / 6) to ceil((i + 1) n / 6)."""
    if x.dim() == 2:
        return x
    n = x.shape[2]
    ends = [(i * n // 6, -(-(i + 1) * n // 6)) for i in range(6)]
    parts = [[x[:, :, a:b, c:d].amax((2, 3)) for c, d in ends] for a, b in ends]
    return torch.stack([torch.stack(row, 2) for row in parts], 2).flatten(1)


def test_nothing_stays_on_disk_when_it_fails(trained, tmp_path, cache):
    words = [f"ckpt={trained}/checkpoints/last.ckpt", "transfer.per_class=[99]"]
    with pytest.raises(UserError, match="asks for 99 training images of each class and one more to test, but .* has"):
        JOBS["transfer"](composed(words), tmp_path / "run")
    assert not list(Path(cache).glob("features-*"))


@pytest.mark.parametrize(("given", "said"), [
    ({"folds": 0}, "transfer.folds=0 is too small"), ({"per_class": []}, "names no training images"),
    ({"c": [0]}, "must be positive numbers"), ({"classifiers": ["tree"]}, r"possible: \[svm, softmax\]"),
    ({"store": "int8"}, "possible: float16, float32"), ({"grid": 0}, "transfer.grid=0 is too small"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        Transfer(**given)
