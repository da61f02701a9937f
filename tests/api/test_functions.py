"""Each function returns what the job of the same name records, also over tensors and a net that knows no convscope."""

import copy
import csv
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import convscope
from convscope.cli.jobs import JOBS
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"
SETTINGS = {  # job -> the same settings for both
    "visualize": {"layers": ["conv1", "conv3"], "maps": 2},
    "occlude": {"images": 2, "size": 24, "stride": 20, "searched": 20, "scored": 3},
    "invariance": {"images": 1, "scored": 2, "layers": ["conv1", "fc7"]},
    "correspond": {"images": 3, "random": 2, "layers": ["fc7"]},
    "receptive": {"images": 6, "layers": ["conv1", "conv3"]},
    "diagnose": {"images": 20, "maps": 3},
    "dissect": {"images": 6, "shuffles": 2, "layers": ["conv1", "conv3"]},
    "ablate": {"images": 12, "maps": 4, "random": 2, "mistakes": 1, "layers": ["conv3"]},
    "neighbors": {"images": 2, "nearest": 3, "scored": 10},
    "evaluate": {"images": 20, "confused": 3},
    "transfer": {"layers": ["conv2"], "per_class": [2], "test_per_class": 2, "folds": 2, "c": [1.0]},
    "claims": {"scored": 4},
}
GROUPS = {"visualize": "evolution"}


def recorded(job, trained, folder):
    """The run folder of the job."""
    group = GROUPS.get(job, job)
    words = [f"{group}.{key}={str(value).replace(' ', '')}" for key, value in SETTINGS[job].items()]
    words += [f"run={trained}"] if job == "claims" else [f"ckpt={trained}/checkpoints/last.ckpt"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [f"job={job}", "trainer.accelerator=cpu", *words]
        settings = OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)
    if job == "claims":
        settings["ckpt"] = f"{trained}/checkpoints/last.ckpt"
    JOBS[job](settings, folder)
    return folder


def cells(rows):
    """Rows as a csv file has them."""
    return [{key: "" if value is None else value for key, value in row.items()} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("job", SETTINGS)
def test_a_function_finds_what_the_job_records(job, trained, tmp_path, cache, monkeypatch):
    monkeypatch.setenv("CONVSCOPE_CACHE", str(cache))
    folder = recorded(job, trained, tmp_path / "run")
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = trained if job == "claims" else convscope.load(trained)
    first = {"run": first} if job == "evaluate" else first  # the name of the run stands in its tables
    with pytest.warns(UserWarning, match="these very images") if job == "transfer" else nullcontext():
        findings = getattr(convscope, job)(first, **SETTINGS[job])
    assert torch.equal(state, torch.get_rng_state())
    numbers = json.loads((folder / "summary.json").read_text()).get("numbers", {})
    assert findings.numbers == pytest.approx(numbers, rel=1e-12, nan_ok=True)
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for kind, ours in (("picture", findings.pictures), ("table", findings.tables)):
        assert list(ours) == [line["name"] for line in lines if line["kind"] == kind]
    for name, rows in findings.tables.items():
        text = list(csv.DictReader((folder / f"tables/{name}.csv").read_text().splitlines()))
        assert [list(row) for row in text] == [list(row) for row in rows]
        for theirs, mine in zip(text, cells(rows), strict=True):
            for key, value in mine.items():
                same = pytest.approx(value, rel=1e-4, nan_ok=True) if isinstance(value, float) else str(value)
                assert (float(theirs[key]) if isinstance(value, float) else theirs[key]) == same, (name, key)
    for name, tensors in findings.arrays.items():
        stored = load_file(folder / f"{name}.safetensors")
        assert stored.keys() == tensors.keys()
        assert all(torch.equal(stored[key], tensors[key]) for key in stored)
    assert findings.numbers or findings.tables


class Foreign(nn.Module):
    """A net of another program: a train-mode dropout, logits in a dictionary."""

    def __init__(self, colors=3, classes=4):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(colors, 6, 5, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(8, classes))

    def forward(self, images):
        return {"hidden": (maps := self.body(images)), "logits": self.head(maps.mean((2, 3)))}


def made(colors):
    torch.manual_seed(colors)
    return Foreign(colors).train(), torch.randn(24, colors, 32, 32), torch.arange(24) % 4


@pytest.fixture(params=[1, 3])
def foreign(request):
    return made(request.param)


@pytest.fixture
def in_color():
    return made(3)


FEW = {
    "visualize": {"maps": 2},
    "occlude": {"images": [1], "size": 12, "stride": 10},
    "invariance": {"images": 1, "scored": 2, "layers": ["body.1"]},
    "correspond": {"images": [0, 2, 5], "random": 1, "layers": ["head"], "parts": {"nose": torch.full((24, 2), 9.0)}},
    "diagnose": {"images": 8, "maps": 2},
    "evaluate": {},
    "transfer": {"layers": ["body.4"], "per_class": [2], "test_per_class": 2, "folds": 1, "c": [1], "beside": None},
}


@pytest.mark.parametrize("job", FEW)
def test_any_net_with_gray_tensors_and_nothing_of_the_users_changes(job):
    net, images, labels = made(1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    hooks, states = len(net._forward_hooks), torch.get_rng_state()
    findings = getattr(convscope, job)(net, (images, labels), **FEW[job])
    assert findings.pictures and findings.figure() is not None
    assert net.training and all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert len(net._forward_hooks) == hooks and torch.equal(states, torch.get_rng_state())


@pytest.mark.parametrize("sides", [(32, 32), (20, 36)])
def test_accuracy_over_tensors_is_that_of_plain_torch(foreign, sides):
    net, images, labels = foreign
    images = nn.functional.interpolate(images, sides)
    net.eval()
    right = (net(images)["logits"].argmax(1) == labels).float().mean()
    net.train()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), 5)
    findings = convscope.evaluate(net, loader)
    assert findings.numbers["evaluation/top1"] == pytest.approx(float(right))
    assert sum(sum(row[key] for key in list(row)[1:]) for row in findings.tables["evaluation/confusion"]) == 24


def test_all_nets_that_are_compared_are_in_eval_mode_and_give_their_logits(in_color):
    net, images, labels = in_color
    other = copy.deepcopy(net)  # with a dropout, which would make it differ
    first, second = (convscope.subject(each, (images, labels)) for each in (net, other))
    rows = convscope.evaluate({"a": first, "b": second}).tables["evaluation/table"]
    assert [row["net"] for row in rows] == ["a", "b", "ensemble"]
    assert rows[0] | {"net": ""} == rows[1] | {"net": ""} == rows[2] | {"net": ""}
    few = {"layers": ["head.0"], "classifiers": ["svm"], "per_class": [2], "test_per_class": 2, "folds": 2, "c": [1]}
    numbers = convscope.transfer(first, beside={"b": second}, **few).numbers
    assert numbers["transfer/gain/b/head.0/svm"] == 0
    assert net.training and other.training and not net._forward_hooks and not other._forward_hooks


def test_occlusion_over_tensors_is_that_of_plain_torch(foreign):
    net, images, labels = foreign
    findings = convscope.occlude(net, (images, labels), images=[3], size=16, stride=16, value=0.5, projections=False)
    (arrays,) = findings.arrays.values()
    net.eval()
    for row, col in ((0, 0), (1, 0), (1, 1)):
        covered = images[3:4].clone()
        covered[:, :, 16 * row : 16 * row + 16, 16 * col : 16 * col + 16] = 0.5
        chance = net(covered)["logits"].softmax(1)[0, labels[3]].detach()
        assert float(arrays["probability"][row, col]) == pytest.approx(float(chance), abs=1e-6)
    net.train()


def test_boxes_of_tensors_are_hit_where_the_worst_place_lies(in_color):
    net, images, labels = in_color
    boxes = torch.full((24, 4), float("nan"))
    boxes[[2, 5]] = torch.tensor([0.0, 0, 32, 32])  # whatever place is worst lies in the whole image
    few = {"images": [0], "size": 16, "stride": 16, "projections": False}
    findings = convscope.occlude(net, (images, labels), boxes=boxes, **few)
    assert findings.numbers["occlusion/boxes/scored"] == 2 and findings.numbers["occlusion/boxes/hit_rate"] == 1
    boxes[[2, 5]] = torch.tensor([40.0, 40, 50, 50])
    assert convscope.occlude(net, (images, labels), boxes=boxes, **few).numbers["occlusion/boxes/hit_rate"] == 0
    for wrong in (boxes[:3], torch.full((24, 4), float("nan"))):
        with pytest.raises(convscope.errors.UserError, match="^boxes: "):
            convscope.occlude(net, (images, labels), boxes=wrong, **few)


def test_neighbors_are_those_of_plain_torch_and_need_training_images(in_color):
    net, images, labels = in_color
    with pytest.raises(convscope.errors.UserError, match="train="):
        convscope.neighbors(net, (images, labels))
    subject = convscope.subject(net, (images[:6], labels[:6]), train=(images[6:], labels[6:]))
    findings = convscope.neighbors(subject, images=[0, 4], nearest=2, layer="body.3", scored=6)
    net.eval()
    with torch.no_grad():
        vectors = net.body[:4](images).mean((2, 3))  # the net averages these maps itself
    net.train()
    distance = torch.cdist(vectors[:6].double(), vectors[6:].double())
    expected = distance.topk(2, largest=False)
    rows = findings.tables["neighbors/nearest"]
    assert [row["at"] for row in rows] == expected.indices[[0, 4]].flatten().tolist()
    assert [row["distance"] for row in rows] == pytest.approx(expected.values[[0, 4]].flatten().tolist(), rel=1e-4)


def test_shared_images_are_those_that_were_copied(foreign, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path))
    _, images, _ = foreign
    smooth = nn.functional.interpolate(torch.rand(9, images.shape[1], 4, 4), size=32, mode="bicubic")
    findings = convscope.overlap(smooth[:6], smooth[4:], copies=2, size=16)
    assert findings.numbers["overlap/images"] == 2
    assert [(row["path"], row["other"]) for row in findings.tables["overlap/pairs"]] in (
        [("4", "0"), ("5", "1")], [("5", "1"), ("4", "0")],
    )  # fmt: skip


def test_one_image_is_occluded_as_in_version_0_1(in_color):
    net, images, labels = in_color
    subject = convscope.subject(net, (images, labels))
    from convscope.analyses.occlusion.compute import Occluder

    occluded = convscope.occlude(subject, 3, "val", Occluder(12, 10, 0.5))
    whole = convscope.occlude(subject, images=[3], size=12, stride=10, value=0.5, projections=False)
    (arrays,) = whole.arrays.values()
    assert torch.equal(occluded.probability, arrays["probability"]) and repr(occluded).startswith("Occluded at 3 x 3")
    assert torch.equal(convscope.occlude(subject, index=3, square=Occluder(12, 10, 0.5)).activity, occluded.activity)


def test_units_are_saved_and_wrong_arguments_of_them_are_named(in_color, tmp_path):
    subject = convscope.subject(in_color[0], in_color[1:])
    tops = convscope.top9(subject)
    tops.save(tmp_path / "units.png")
    assert Image.open(tmp_path / "units.png").size == tops.figure().size
    images, layer = subject.data.images("val", [0]), list(tops)[-1]
    convscope.project(subject, images, layer, 0).save(tmp_path / "unit.pdf")
    assert (tmp_path / "unit.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(UserError, match=r"images is a Tensor \[.*image\[None\]"):
        convscope.project(subject, images[0], layer, 0)
    with pytest.raises(UserError, match=r"layers=\[3\] is no list of names"):
        convscope.top9(subject, layers=[3])


def test_what_is_no_checkpoint_is_told_in_the_words_of_python(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pth")
    for path, told in (("none.ckpt", "no checkpoint .*; pass that path$"), ("weights.pth", "; load takes last.ckpt")):
        with pytest.raises(UserError, match=told):
            convscope.load(tmp_path / path)


def test_accuracy_without_labels_says_where_labels_go(in_color):
    with pytest.raises(UserError, match="^images have no labels; pass subject"):
        convscope.evaluate(*in_color[:2])
