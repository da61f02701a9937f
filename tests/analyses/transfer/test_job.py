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

from convscope.analyses.inputs import Inputs
from convscope.analyses.transfer.about import TransferConfig
from convscope.analyses.transfer.compute.feature_pass import FeatureRequest, features_on_disk, input_conversion
from convscope.analyses.transfer.job import _compared_nets
from convscope.cli.jobs import JOBS
from convscope.data.trained_images import same_images
from convscope.engine.features import features
from convscope.errors import UserError
from random_settings import opened

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
def transferred(trained, place):
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


def test_the_folder_holds_what_the_index_promises(transferred):
    folder, _ = transferred
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    assert {line["name"] for line in lines} >= {"transfer/table", "transfer/curves", "transfer/trials"}
    assert all(line.get("caption") for line in lines)
    Image.open(folder / next(line["path"] for line in lines if line["kind"] == "picture")).verify()
    assert json.loads((folder / "summary.json").read_text())["finished"]


def test_images_that_the_net_was_trained_on_are_told(transferred):
    summary = json.loads((transferred[0] / "summary.json").read_text())
    assert summary["own_images"] and summary["warnings"][0].startswith("the net was trained on these very images")
    assert html.escape(summary["warnings"][0]) in (transferred[0] / "report/index.html").read_text()


@pytest.mark.parametrize(
    ("words", "same_images"),
    [
        ([], True),
        (["data=critters", "data.train=20"], True),  # fewer of the same
        (["data.draw_seed=5"], False),
        (["data=folder", "data.root={photos}"], False),
        (["data=digits"], False),
    ],
)
def test_other_images_than_those_of_the_training_are_no_own_ones(trained, tmp_path, words, same_images):
    for place in ("train/fox", "train/owl", "val/fox", "val/owl"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / place / "1.png")
    settings = composed([f"ckpt={trained}/checkpoints/last.ckpt", *(word.format(photos=tmp_path) for word in words)])
    subject = opened(settings)
    assert subject.own_images is same_images
    nets = _compared_nets(Inputs(settings, Path()), subject, ["random"])
    assert not any(net.own_images for net in nets.values())


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"source": "folder", "root": "/a/b"}, {"source": "imagenet", "root": "/a/c/../b"}, True),
        ({"source": "folder", "root": "/a/b"}, {"source": "folder", "root": "/a/c"}, False),
        ({"source": "caltech101", "root": "/a"}, {"source": "caltech256", "root": "/a"}, False),  # of one cache
        ({"source": "digits"}, {"source": "digits"}, True),
        ({"source": "folder"}, {"source": "imagenet"}, False),  # no root yet
    ],
)
def test_a_set_is_known_by_its_place_whatever_it_is_called(first, second, same):
    assert same_images(first, second) is same and same_images(second, first) is same


def test_all_layers_of_a_net_come_from_one_pass(transferred):
    """80 + 40 images by two nets, and 40 that tell whether the net knows them; traces are of one image."""
    assert sum(size for size in transferred[1] if size > 1) == 2 * 120 + 40


def test_the_random_net_stands_beside(transferred, place):
    table, trials = rows(transferred[0], "table"), rows(transferred[0], "trials")
    assert {trial["net"] for trial in trials} == {"this net", "random weights"}
    of_random = [trial for trial in trials if (trial["net"], trial["per_class"]) == ("random weights", "4")]
    mine = [float(trial["accuracy"]) for trial in of_random if (trial["layer"], trial["classifier"]) == ("fc7", "svm")]
    row = next(row for row in table if (row["layer"], row["classifier"]) == ("fc7", "svm"))
    assert row["random weights, 4 per class"] == f"{np.mean(mine):.1f} ± {np.std(mine, ddof=1):.1f}"
    nets = [row["net"] for row in rows(transferred[0], "by_images")]
    assert nets[0] == "this net" and "random weights" in nets and "Zeiler & Fergus, pretrained" in nets
    ours, random = (np.load(place / "kept" / folder / "conv1.npy") for folder in ("", "random weights"))
    assert ours.shape == random.shape and not np.allclose(ours, random)


def test_files_that_do_not_stay_have_no_name_while_they_are_used(trained, tmp_path):
    subject = opened(composed([f"ckpt={trained}/checkpoints/last.ckpt", f"data.cache_dir={tmp_path}"]))
    with features_on_disk({"net": subject}, FeatureRequest(["fc7"], 6)) as stored:
        assert list(tmp_path.iterdir()) and not list(tmp_path.glob("features-*"))  # nothing is left, whatever ends it
        assert np.abs(stored["net"].layers["fc7"]).sum() > 0


def test_another_net_gets_its_own_input(trained):
    """Another mean image and scale: its crops, made from the first net's, are those that its own data give."""
    subject = opened(composed([f"ckpt={trained}/checkpoints/last.ckpt"]))
    mean = torch.rand(3, 73, 73, generator=torch.Generator().manual_seed(0)) * 255
    data = copy.copy(subject.data)
    data.settings, data._given_mean = replace(subject.data.settings, pixel_scale=(0.1, 0.2, 0.3)), mean
    data.__dict__.pop("_mean", None)
    second = subject._replace(data=data)
    converted = input_conversion(second, subject)(subject.data.images("val", range(5)))
    torch.testing.assert_close(converted, data.images("val", range(5)), rtol=1e-4, atol=1e-3)


def test_dense_features_are_stacked_or_averaged(trained, place):
    ckpt = f"ckpt={trained}/checkpoints/last.ckpt"
    words = [ckpt, "transfer.features=dense", "transfer.scales=[64,80]", "transfer.beside=null"]
    for pool in ("stack", "average"):
        settings = composed([*words, f"transfer.pool={pool}", f"transfer.keep={place}/{pool}"])
        JOBS["transfer"](settings, place / f"run_{pool}")
    stacked, averaged = (np.load(place / pool / "dense.npy") for pool in ("stack", "average"))
    assert np.allclose(stacked.reshape(len(averaged), 2, -1).mean(1), averaged, atol=1e-4)
    subject = opened(composed([ckpt]))
    (batch,) = subject.data.uncropped_dataloader("val", torch.arange(40), 64, 40)
    inputs = batch.image - F.interpolate(subject.data.mean[None], (64, 64), mode="bilinear", antialias=True)
    both = [features(subject.net, x, ["fc7"]).layers["fc7"] for x in (inputs, inputs.flip(3))]
    mine = torch.stack(both).mean(0).flatten(1)
    assert np.allclose(stacked[80:, : stacked.shape[1] // 2], mine.numpy(), atol=1e-4)  # one scale: the plain feature
    table = rows(place / "run_stack", "table")
    assert [row["layer"] for row in table] == 2 * ["fc7", "dense"]
    assert rows(place / "run_stack", "vgg_table11")[0]["net"] == "this net, dense, svm"


def test_the_table_is_the_mean_of_the_trials(transferred):
    table, trials = rows(transferred[0], "table"), rows(transferred[0], "trials")
    assert [row["layer"] for row in table] == 2 * ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    trials = [trial for trial in trials if trial["net"] == "this net"]
    assert len(trials) == 7 * 2 * 2 * 2
    for row in table:
        of = (row["layer"], row["classifier"], "4")
        of_row = [trial for trial in trials if (trial["layer"], trial["classifier"], trial["per_class"]) == of]
        mine = [float(trial["accuracy"]) for trial in of_row]
        assert row["4 per class"] == f"{np.mean(mine):.1f} ± {np.std(mine, ddof=1):.1f}"
    column = "paper: Caltech-101 (30 per class), not comparable"
    printed = {(row["layer"], row["classifier"]): row[column] for row in table}
    assert printed["conv1", "svm"] == "44.8 ± 0.7" and printed["fc7", "softmax"] == "85.4 ± 0.4"
    assert printed["fc6", "svm"] == printed["conv1", "softmax"] == ""


def test_numbers_have_their_intervals(transferred):
    values = json.loads((transferred[0] / "summary.json").read_text())["numbers"]
    accuracy = {(trial["layer"], trial["fold"]): float(trial["accuracy"]) for trial in rows(transferred[0], "trials")
                if (trial["net"], trial["classifier"], trial["per_class"]) == ("this net", "svm", "4")}  # fmt: skip
    higher = np.mean([accuracy["fc7", str(fold)] - accuracy["conv1", str(fold)] for fold in range(2)])
    assert values["transfer/depth/svm"] == pytest.approx(higher, abs=1e-3)


def test_features_on_disk_are_those_of_a_plain_pass(transferred, trained, place):
    subject = opened(composed([f"ckpt={trained}/checkpoints/last.ckpt"]))
    images = torch.cat([subject.data.images("train", range(80)), subject.data.images("val", range(40))])
    with torch.no_grad():
        x = images
        for name, layer in subject.net.named_children():
            x = layer(x)
            if name in ("conv1", "fc7"):
                maps = x.reshape(*x.shape[:2], *x.shape[2:])
                stored = torch.from_numpy(np.load(place / f"kept/{name}.npy"))
                assert torch.allclose(stored, maxima(maps), atol=1e-4)
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


def test_nothing_stays_on_disk_when_it_fails(trained, tmp_path):
    cache = tmp_path / "cache"
    words = [f"ckpt={trained}/checkpoints/last.ckpt", "transfer.per_class=[99]", f"data.cache_dir={cache}"]
    with pytest.raises(UserError, match="asks for 99 training images of each class and one more to test, but .* has"):
        JOBS["transfer"](composed(words), tmp_path / "run")
    assert not list(cache.glob("features-*"))


@pytest.mark.parametrize(("settings", "message"), [
    ({"folds": 0}, "transfer.folds=0 is too small"),
    ({"per_class": []}, r"transfer.per_class=\[\] has 0 values; it needs 1 or more"),
    ({"c": [0]}, r"transfer.c=\[0\] is too small; it is above 0"),
    ({"classifiers": ["tree"]}, r"possible: svm, softmax"),
    ({"store": "int8"}, "possible: float32, float16"), ({"grid": 0}, "transfer.grid=0 is too small"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        TransferConfig(**settings)
