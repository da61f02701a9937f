"""Dense evaluation and dense features of photographs of several shapes, against the net on every place of each file."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.evaluation.compute import EvaluatedNet, tally_nets
from convscope.analyses.subject import Subject
from convscope.analyses.transfer.compute.feature_pass import DENSE, DenseScales, FeatureRequest, features_on_disk
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import folder
from convscope.errors import UserError
from convscope.models.build import build

SIZE, STRIDE, SIDES = 30, 4, (34, 45)
ROWS = {  # nothing padded, no pixel left over: every window by itself gives what the whole image gives there
    "conv1": {"kind": "conv", "maps": 6, "kernel": 4, "stride": 2},
    "pool1": {"kind": "pool", "kernel": 2, "stride": 2},
    "conv2": {"kind": "conv", "maps": 6, "kernel": 3},
    "fc3": {"kind": "full", "units": 10},
    "fc4": {"kind": "full", "units": 7, "dropout": 0.5},
    "fc5": {"kind": "full", "units": "classes"},
}
SHAPES = [(40, 60), (60, 40), (34, 34), (40, 60), (34, 130), (90, 45), (50, 61)]  # height, width


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A net of random weights and one image of each class, so that a label names an image."""
    root, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for split in ("train", "val"):
        for number, (high, wide) in enumerate(SHAPES):
            place = root / split / f"c{number}"
            place.mkdir(parents=True)
            coarse = Image.fromarray(draw.integers(0, 256, (5, 6, 3), np.uint8))
            coarse.resize((wide, high), Image.Resampling.BICUBIC).save(place / "0.png")
    settings = DataSettings(SIZE, 8, workers=0, cache_dir=str(root / "cache"), pixel_scale=0.05)
    data = ImageData(folder(root), settings)
    torch.manual_seed(0)
    net = build(ROWS, SIZE, len(SHAPES)).eval()
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    with torch.no_grad():  # each class is likely for some images, or all would be of one
        scores = net(data.images("val", range(len(SHAPES))))
        net.fc5.weight /= scores.std(0)[:, None]
        net.fc5.bias.copy_((net.fc5.bias - scores.mean(0)) / scores.std(0))
    subject = Subject(net, data, data.classes, list(range(len(SHAPES))))
    return SimpleNamespace(root=root, subject=subject)


def read(photographs, split, number, side):
    image = pil_to_tensor(Image.open(photographs.root / split / f"c{number}" / "0.png"))
    scale = side / min(image.shape[1:])
    return resize(image, [round(length * scale) for length in image.shape[1:]], antialias=True)


@torch.no_grad()
def by_places(photographs, split, number, side, layers):
    """What these layers say of each window of one file and of its mirror image [2, windows, D]."""
    whole = read(photographs, split, number, side)
    mean = resize(photographs.subject.data.mean, whole.shape[1:], antialias=True)
    image, outputs = (whole - mean) * 0.05, []
    for way in (image, image.flip(2)):
        steps = [range(0, length - SIZE + 1, STRIDE) for length in way.shape[1:]]
        x = torch.stack([way[:, top : top + SIZE, left : left + SIZE] for top, left in product(*steps)])
        for layer in layers:
            x = layer(x)
        outputs.append(x)
    return torch.stack(outputs)


def dense(photographs, number, side):
    return (
        by_places(photographs, "val", number, side, list(photographs.subject.net.children())).mean(1).softmax(1).mean(0)
    )


@torch.no_grad()
def fifty(photographs, number, side):
    """Of the middle square, which is what the crops share."""
    whole = read(photographs, "val", number, side)
    top, left = ((length - side) // 2 for length in whole.shape[1:])
    square = whole[:, top : top + side, left : left + side] - resize(photographs.subject.data.mean, [side, side])
    places = [(side - SIZE) * step // 4 for step in range(5)]
    crops = [square[:, y : y + SIZE, x : x + SIZE] * 0.05 for y, x in product(places, places)]
    return photographs.subject.net(torch.stack([*crops, *(crop.flip(2) for crop in crops)])).softmax(1).mean(0)


@pytest.mark.slow
@pytest.mark.parametrize(("crops", "ways"), [("dense", [dense]), ("both", [dense, fifty])])
def test_every_image_is_what_its_whole_rectangle_says(crops, ways, photographs):
    """Two at a time, so that groups of one shape are cut."""
    plan = EvaluationConfig(crops=crops, scales=list(SIDES), batch_size=2)
    tally = tally_nets([EvaluatedNet("net", photographs.subject)], plan, 0).tallies["net"]
    answers = dict(zip(tally.truth.tolist(), tally.answer.tolist(), strict=True))
    expected = {}
    for number in range(len(SHAPES)):
        probabilities = [way(photographs, number, side) for way in ways for side in SIDES]
        expected[number] = int(torch.stack(probabilities).mean(0).argmax())
    assert answers == expected and len(set(answers.values())) > 2


@pytest.mark.parametrize("stack", [True, False])
def test_dense_features_are_those_of_the_whole_rectangle(stack, photographs):
    with features_on_disk({"net": photographs.subject}, FeatureRequest([], 6, DenseScales(SIDES, stack))) as stored:
        stored_features = torch.tensor(stored["net"].layers[DENSE])
    layers = list(photographs.subject.net.children())[:-1]
    for at, (split, number) in enumerate(product(("train", "val"), range(len(SHAPES)))):
        by_scale = [by_places(photographs, split, number, side, layers).mean((0, 1)) for side in SIDES]
        torch.testing.assert_close(
            stored_features[at], torch.cat(by_scale) if stack else (by_scale[0] + by_scale[1]) / 2
        )


def test_an_image_that_is_gone_is_told_by_name(photographs, tmp_path):
    place = photographs.root / "val/c3/0.png"
    content = place.read_bytes()
    place.unlink()
    try:
        with pytest.raises(UserError, match=f"{place} can no longer be read: No such file"):
            tally_nets([EvaluatedNet("net", photographs.subject)], EvaluationConfig(crops="dense"), 0)
    finally:
        place.write_bytes(content)
