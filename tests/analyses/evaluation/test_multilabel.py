"""Images of several classes end to end: train with either loss, fine-tune, transfer, evaluate, read back."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from data.shapes_set import CLASSES, tiny_voc
from random_settings import opened

CONF = Path(__file__).resolve().parents[3] / "conf"
SMALL = [
    "model.width=0.1", "data.image_size=64", "optim.batch_size=6", "trainer.max_epochs=2", "trainer.accelerator=cpu",
    "evolution.maps=2", "evolution.layers=[conv1]",
]  # fmt: skip


def composed(words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=list(words))
    return {**OmegaConf.to_container(config, resolve=True), "words": list(words)}


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    tiny_voc(root)
    return root


@pytest.fixture(scope="module")
def run(voc, tmp_path_factory):
    """Runs the words of a command on the tiny set; its folder."""
    place = tmp_path_factory.mktemp("runs")

    def command(name, *words):
        plain = not any(word.startswith("ckpt=") for word in words)
        data = ["data=voc2012", f"data.root={voc}", *(SMALL if plain else [])]
        settings = composed([*data, f"data.cache_dir={place}/cache", *words])
        JOBS[settings["job"]](settings, place / name)
        return place / name

    return command


@pytest.fixture(scope="module", params=["softmax", "multilabel"])
def net(request, run):
    return request.param, run(f"train_{request.param}", f"optim.loss={request.param}")


@pytest.fixture(scope="module")
def softmax(run):
    return run("softmax", "optim.loss=softmax")


def rows(folder, name):
    return list(csv.DictReader((folder / f"{name}.csv").open()))


def numbers(folder):
    return json.loads((folder / "summary.json").read_text())["numbers"]


def ckpt(folder):
    return f"ckpt={folder}/checkpoints/last.ckpt"


def area(scores, targets):
    """Average precision by its definition: for each recall step the best precision at that recall or beyond."""
    counted = [(score, target) for score, target in zip(scores, targets, strict=True) if target != 0]
    points = []
    for threshold in {score for score, _ in counted}:
        hits_above = [target == 1 for score, target in counted if score >= threshold]
        points.append((sum(hits_above), sum(hits_above) / len(hits_above)))
    positives = sum(target == 1 for _, target in counted)
    return sum(max(share for hits, share in points if hits >= step) for step in range(1, positives + 1)) / positives


@pytest.mark.slow
def test_training_logs_mean_average_precision(net):
    loss, folder = net
    logged = rows(folder, "metrics")
    assert len(logged) == 2
    for row in logged:
        assert 0 < float(row["train/mean_ap"]) <= 1 and 0 < float(row["val/mean_ap"]) <= 1
    chance = math.log(4) if loss == "softmax" else 4 * math.log(2)
    assert 0.3 * chance < float(logged[0]["val/loss"]) < 3 * chance


@pytest.mark.slow
def test_evaluation_is_the_definition_on_the_nets_own_words(net, run):
    loss, folder = net
    evaluation = run(f"evaluate_{loss}", "job=evaluate", ckpt(folder))
    subject = opened(composed(["job=evaluate", ckpt(folder)]))
    assert subject.loss == loss
    images, targets = subject.data.images("val", range(16)), subject.data.targets("val", range(16)).tolist()
    with torch.no_grad():
        logits = subject.net(images)
    scores = logits.softmax(1) if loss == "softmax" else logits.sigmoid()
    expected = {name: area(scores[:, k].tolist(), [row[k] for row in targets]) for k, name in enumerate(CLASSES)}
    table6 = rows(evaluation, "tables/evaluation/table6")
    assert [row["class"] for row in table6] == [*CLASSES, "mean"]
    for row in table6[:-1]:
        ours = next(value for key, value in row.items() if key.endswith("AP %"))
        assert float(ours) == pytest.approx(100 * expected[row["class"]], abs=0.051)
    assert numbers(evaluation)["evaluation/ap/mean"] == pytest.approx(np.mean(list(expected.values())), abs=1e-6)
    logged = float(rows(folder, "metrics")[-1]["val/mean_ap"])
    assert logged == pytest.approx(np.mean(list(expected.values())), abs=1e-5)
    hits = [targets[image][k] == 1 for image, k in enumerate(scores.argmax(1).tolist())]
    table = rows(evaluation, "tables/evaluation/table")
    assert float(table[0]["first guess is shown %"]) == pytest.approx(100 * np.mean(hits), abs=0.01)


@pytest.mark.slow
def test_the_papers_numbers_stand_beside(softmax, run):
    evaluation = run("beside", "job=evaluate", ckpt(softmax))
    table = {row["class"]: row for row in rows(evaluation, "tables/evaluation/table6")}
    column = "paper: {}, not comparable"
    assert [table["aeroplane"][column.format(name)] for name in ("Sande et al.", "Yan et al.", "Zeiler & Fergus")] == [
        "92", "97.3", "96",
    ]  # fmt: skip
    assert table["diningtable"][column.format("Zeiler & Fergus")] == "67.7"
    assert table["mean"][column.format("Zeiler & Fergus")] == "79"
    lines = [json.loads(line) for line in (evaluation / "index.jsonl").read_text().splitlines()]
    caption = next(line["caption"] for line in lines if line["name"] == "evaluation/table6" and line["kind"] == "table")
    assert "not comparable: the paper trained on train and val together" in caption
    assert not any("confusion" in line["name"] for line in lines)
    for line in lines:
        if line["kind"] == "picture":
            Image.open(evaluation / line["path"]).verify()


@pytest.mark.slow
def test_two_nets_together(softmax, run, net):
    loss, folder = net
    if loss == "softmax":
        folder = run("other", "optim.loss=softmax", "seed=5")
    both = f"ckpt=[{softmax}/checkpoints/last.ckpt,{folder}/checkpoints/last.ckpt]"
    evaluation = run(f"ensemble_{loss}", "job=evaluate", both)
    assert [row["net"] for row in rows(evaluation, "tables/evaluation/table")][-1] == "ensemble"
    assert "evaluation/ap/mean/ensemble" in numbers(evaluation)


def test_fine_tuning_with_frozen_rows_from_a_net_of_other_classes(trained, run):
    start = [f"model.init={trained}/checkpoints/last.ckpt", "model.freeze=taken", "optim.loss=multilabel"]
    tuned = run("tuned", *start)
    summary = json.loads((tuned / "summary.json").read_text())
    assert "conv1" in summary["start"]["frozen"] and "fc8" not in summary["start"]["taken"]
    caution = "weight decay 2 makes the net forget the weights that it begins with; optim=finetune is the recipe"
    assert [warning for warning in summary["warnings"] if warning.startswith(caution)]
    before, after = (torch.load(f"{place}/checkpoints/last.ckpt", weights_only=True) for place in (trained, tuned))
    assert torch.equal(before["state_dict"]["net.conv1.weight"], after["state_dict"]["net.conv1.weight"])
    assert summary["final"]["val/mean_ap"] > 0


def test_transfer_ranks_every_layer(trained, run):
    words = ["job=transfer", ckpt(trained), "transfer.layers=[conv5,fc7]", "transfer.c=[1,10]", "transfer.beside=null"]
    transfer = run("transfer", *words)
    table = rows(transfer, "tables/transfer/table")
    pairs = {(row["layer"], row["classifier"]) for row in table}
    assert pairs == {(layer, kind) for layer in ("conv5", "fc7") for kind in ("svm", "softmax")}
    assert all(0 < float(row["mean AP %"]) <= 100 and row["C"] in ("1.0", "10.0") for row in table)
    sixth = rows(transfer, "tables/transfer/table6")
    assert {"softmax on fc7 AP %", "svm on fc7 AP %", "paper: Yan et al., not comparable"} <= set(sixth[0])
    means = {row["classifier"]: float(row["mean AP %"]) for row in table if row["layer"] == "fc7"}
    for kind, mean in means.items():
        of_classes = [float(row[f"{kind} on fc7 AP %"]) for row in sixth[:-1]]
        assert np.mean(of_classes) == pytest.approx(mean, abs=0.1)


def test_transfer_with_a_net_beside_and_dense_features(trained, run):
    words = ["transfer.layers=[fc7]", "transfer.c=[1]", "transfer.classifiers=[svm]"]
    transfer = run("dense", "job=transfer", ckpt(trained), *words, "transfer.features=dense", "transfer.scales=[74]")
    table = rows(transfer, "tables/transfer/table")
    assert [(row["net"], row["layer"]) for row in table] == [
        (name, layer) for name in dict.fromkeys(row["net"] for row in table) for layer in ("fc7", "dense")
    ]
    assert len(table) == 4


@pytest.mark.slow
@pytest.mark.parametrize("job", [
    ["visualize"], ["occlude", "occlude.images=1", "occlude.scored=1", "occlude.stride=32"],
    ["neighbors", "neighbors.images=2"],
])  # fmt: skip
def test_jobs_of_one_label_take_the_largest_object(job, softmax, run):
    folder = run(job[0], f"job={job[0]}", ckpt(softmax), *job[1:])
    assert json.loads((folder / "summary.json").read_text())["finished"]


def test_what_cannot_be_is_said_in_one_line(softmax, trained, run, cache):
    for words, message in (
        (
            ["job=evaluate", ckpt(softmax), "evaluate.crops=ten"],
            "evaluated by their center crop: type evaluate.crops=c",
        ),
        (["job=evaluate", ckpt(trained)], "does not know aeroplane, .*job=transfer fits a classifier"),
        (["optim.loss=hinge"], "optim.loss=hinge is unknown; possible: softmax, multilabel"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            run("refused", *words)
        assert "\n" not in str(caught.value)
    critters = ["data.train=20", "data.val=20", f"data.cache_dir={cache}", *SMALL, "optim.loss=multilabel"]
    with pytest.raises(UserError, match="is for images that show several classes, and those of data=critters show one"):
        JOBS["train"](composed(critters), softmax.parent / "one_class")
