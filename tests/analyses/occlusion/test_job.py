"""The job on a trained run, and on a net of which it is known what it looks at."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file

from convscope.analyses.occlusion.about import OcclusionConfig
from convscope.analyses.occlusion.job import _file_names, occlude
from convscope.analyses.subject import Subject, saved_subject
from convscope.cli.jobs import JOBS
from convscope.data.critters.source import Truth
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.errors import UserError
from convscope.models.build import build
from convscope.models.library_nets import torchvision_net
from convscope.runs.record import Arrays, Number, Picture, Table

CONF = Path(__file__).resolve().parents[3] / "conf"
ROWS = {"conv1": {"kind": "conv", "maps": 2, "kernel": 1}, "fc2": {"kind": "full", "units": "classes"}}
SIZE, REGION = 21, (slice(3, 9), slice(12, 18))  # the net looks at y 3..9, x 12..18 of 21 pixels, at nothing else


def build_subject(masks=None, targets=(0, 1)):
    """Class 0 is as probable as the region is bright. Images 0 to 3 are ants, of a bright region; 4 and 5 bees."""
    draw = np.random.default_rng(0)
    train, val = (draw.integers(60, 120, (count, 24, 24, 3), dtype=np.uint8) for count in (12, 6))
    val[:4, 4:10, 13:19] = 250  # the crop begins at pixel 1
    labels = np.array([0, 0, 0, 0, 1, 1])
    source = Source(["ant", "bee"], Pixels(train, np.repeat(labels, 2)), Pixels(val, labels))
    net = build(ROWS, SIZE, 2).eval()
    looks = torch.zeros(2, 2, SIZE, SIZE)
    looks[0, 0][REGION] = 5e-4
    bright = torch.tensor([1.0, 0.1]).view(2, 1, 1, 1).repeat(1, 3, 1, 1)
    values = bright, torch.zeros(2), looks.flatten(1), torch.tensor([-2.0, 0.0])
    net.load_state_dict(dict(zip(net.state_dict(), values, strict=True)))

    def truth(split, indices):
        return Truth(masks[np.asarray(indices)], np.zeros((len(indices), 6, 4)))

    data = ImageData(source, DataSettings(SIZE, 4, workers=0))
    return Subject(net, data, ["ant", "bee"], list(targets), None if masks is None else truth)


def results(of, **plan):
    plan = OcclusionConfig(**{"size": 6, "stride": 3} | plan)
    return {(type(result), result.name): result for result in occlude(of, plan, seed=0)}


def number(by_name, name):
    return by_name[Number, f"occlusion/{name}"].value


def on_region(value=1):
    masks = np.full((6, SIZE, SIZE), 1 - value, np.uint8)
    masks[:, REGION[0], REGION[1]] = value
    return masks


def test_the_worst_place_is_where_the_net_looks():
    by_name = results(build_subject(on_region()), images=[0, 2])
    rows = by_name[Table, "occlusion/images"].rows
    assert [(row["image"], row["class"], row["x"], row["y"], row["map"]) for row in rows] == [
        ("0", "ant", 15, 6, 0), ("2", "ant", 15, 6, 0),
    ]  # fmt: skip
    assert all(row["p"] > 0.9 and row["lowest p"] == pytest.approx(1 / (1 + np.exp(2)), abs=1e-4) for row in rows)
    arrays = by_name[Arrays, "occlusion/0"].tensors
    both = arrays["activity"].numpy().ravel(), arrays["probability"].numpy().ravel()
    assert rows[0]["r"] == pytest.approx(np.corrcoef(*both)[0, 1], abs=1e-4) and rows[0]["r"] > 0.5
    assert rows[0]["stays"] == np.mean(both[1] > 0.5) < 1 and arrays["centers"].tolist() == [3, 6, 9, 12, 15, 18]
    assert by_name[Picture, "occlusion/0"].image.size[0] > 1000 and (Picture, "occlusion/figure7") in by_name
    assert number(by_name, "lost") == pytest.approx(np.mean([row["p"] - row["lowest p"] for row in rows]))


@pytest.mark.parametrize("value, rate, center, anywhere", [(1, 4 / 6, 0, 4 / 36), (0, 2 / 6, 1, 32 / 36)])
def test_hits_of_masks(value, rate, center, anywhere):
    """Centers 3, 6, ... 18: two by two of the six by six lie in the region or on its near edges. To cover it makes bees
    more probable, so for them all places that leave it alone are equally the worst."""
    by_name = results(build_subject(on_region(value)), images=1)
    assert number(by_name, "hit_rate") == pytest.approx(rate) and number(by_name, "center_rate") == center
    assert number(by_name, "random_rate") == pytest.approx(anywhere) and number(by_name, "scored") == 6


def test_misclassified_images_are_left_out():
    subject = build_subject(on_region())
    *_, bias = subject.net.parameters()
    bias.data = torch.tensor([9.0, 0.0])  # all are ants
    by_name = results(subject, images=1)
    assert number(by_name, "scored") == 4
    assert "6 images of val, the 2 misclassified ones left out" in by_name[Table, "occlusion/localization"].caption
    none = results(build_subject(on_region(), targets=(-1, -1)), images=1)
    assert number(none, "scored") == 0 and (Number, "occlusion/hit_rate") not in none


@pytest.fixture
def boxed(tmp_path):
    """The validation images as files: ants 0 and 1, a bee, and a zebra, which the net does not know."""
    images = build_subject().data.pixels("val", range(6)).permute(0, 2, 3, 1).numpy()
    lines = ["path,x0,y0,x1,y1"]
    for name, index, box in (
        ("ant/0", 0, "12,3,18,9"),
        ("ant/1", 1, "0,10,9,21"),
        ("bee/4", 4, "0,0,21,21"),
        ("zebra/2", 2, "12,3,18,9"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.pad(images[index], ((1, 2), (1, 2), (0, 0)))).save(tmp_path / f"{name}.png")
        x0, y0, x1, y1 = (int(side) + 1 for side in box.split(","))
        lines.append(f"{name}.png,{x0},{y0},{x1},{y1}")
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    return tmp_path / "boxes.csv"


def test_hits_of_boxes(boxed):
    by_name = results(build_subject(), images=1, boxes=str(boxed))
    table = by_name[Table, "occlusion/boxes/localization"]
    rates = {(row["images"], row["n"]): row["value"] for row in table.rows if "worst place on" in row["what"]}
    assert rates == {
        ("correctly classified", 3): pytest.approx(2 / 3),
        ("class unknown to the net", 1): 1,
        ("all", 4): 0.75,
    }
    assert (
        "4 images" in table.caption
        and "3 with their true class looked at, 1 with the most probable one" in table.caption
    )
    assert number(by_name, "boxes/hit_rate") == 0.75 and (Table, "occlusion/localization") not in by_name
    by_name = results(build_subject(), images=1, boxes=str(boxed), scored=2)
    assert "2 beyond occlude.scored left out" in by_name[Table, "occlusion/boxes/localization"].caption


def test_one_image_and_no_projections():
    by_name = results(build_subject(), images=1, projections=False)
    assert len(by_name[Table, "occlusion/images"].rows) == 1 and (Picture, "occlusion/figure7") not in by_name
    with_them = results(build_subject(), images=1)
    name = next(name for kind, name in by_name if kind is Picture)
    assert by_name[Picture, name].image.width < with_them[Picture, name].image.width


def test_other_top_images_are_searched_among_so_many():
    by_name = results(build_subject(), images=2, searched=4)
    assert "4 of the 6 images of val" in by_name[Picture, "occlusion/figure7"].caption


def test_a_net_with_skips_says_that_all_is_recomputed():
    data = build_subject().data
    subject = Subject(torchvision_net("resnet18", None, 2).net.eval(), data, ["ant", "bee"], [0, 1])
    table = results(subject, images=1, size=12, stride=9, searched=3, projections=False)[Table, "occlusion/images"]
    assert "every covered image goes through the whole net (" in table.caption and table.rows[0]["incremental"] == "no"


@pytest.mark.parametrize(
    "plan, message",
    [
        ({"layer": "conv9"}, "conv9.*conv1, fc2"),
        ({"size": 22}, "a square of 22 pixels does not fit on an image of 21; set occlude.size from 1 to 21"),
        ({"stride": 0}, "a square cannot move by 0 pixels; set occlude.stride to 1 or more"),
        ({"images": [0, 6]}, "no image 6 in val; its images are 0 to 5"),
        ({"images": 0}, "occlude.images=0 is too small; it is 1 or more"),
        ({"split": "dev"}, "occlude.split=dev is unknown; possible: val, train, test"),
        ({"scored": 0}, "occlude.scored=0 is too small; it is 1 or more"),
        ({"searched": 0}, "occlude.searched=0 is too small; it is 1 or more"),
        ({"boxes": "/nowhere/boxes.csv"}, "/nowhere/boxes.csv: No such file or directory"),
    ],
)  # fmt: skip
def test_bad_input_is_told_before_anything_is_made(plan, message):
    results_before = []
    with pytest.raises(UserError, match=message):
        results_before.extend(occlude(build_subject(), OcclusionConfig(**plan), seed=0))
    assert not results_before


def test_names_of_files():
    assert _file_names(["a.JPEG", "b c/d.png", "a.png", "7"], [5, 6, 9, 7]) == ["a_5", "b_c_d", "a_9", "7"]


def test_on_a_trained_run(trained, cache, tmp_path):
    """Read back from the run folder: the lowest probability is what the net says of an image covered by hand."""
    words = [
        "job=occlude",
        f"ckpt={trained}/checkpoints/last.ckpt",
        f"data.cache_dir={cache}",
        "trainer.accelerator=cpu",
    ]
    words += ["occlude.images=[3,17]", "occlude.scored=10", "occlude.stride=6", "occlude.projections=false"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    JOBS["occlude"](settings, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/index.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines if line["kind"] == "picture"] == [
        "occlusion/figure7",
        "occlusion/3",
        "occlusion/17",
    ]
    assert all((tmp_path / "run" / line["path"]).is_file() for line in lines if "path" in line)
    assert "occlusion/lost" in json.loads((tmp_path / "run/summary.json").read_text())["numbers"]
    with open(tmp_path / "run/tables/occlusion/images.csv") as file:
        rows = list(csv.DictReader(file))
    subject = saved_subject(settings)
    net, image = subject.net.double().eval(), subject.data.images("val", [17]).double()
    x, y = float(rows[1]["x"]), float(rows[1]["y"])
    image[:, :, round(y - 4.5) : round(y + 4.5), round(x - 4.5) : round(x + 4.5)] = 0  # a seventh of 64 is 9
    target = subject.targets[int(subject.data.labels("val", [17]))]
    assert net(image).softmax(1)[0, target].item() == pytest.approx(float(rows[1]["lowest p"]), abs=1e-5)
    arrays = load_file(tmp_path / "run/occlusion/17.safetensors")
    assert arrays["probability"].min().item() == pytest.approx(float(rows[1]["lowest p"]), abs=1e-6)
