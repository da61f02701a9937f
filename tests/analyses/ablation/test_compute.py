"""A net with one map for each class, whose answers are known, and directions against the projection written out."""

import numpy as np
import pytest
import torch
from torch import nn

import convscope
from convscope.analyses.ablation.compute import layer_effects, scored_images, without_directions
from convscope.analyses.ablation.compute.mistakes import most_certain_mistakes, take_apart
from convscope.engine.upper_part import UpperPart
from convscope.errors import UserError

CLASSES = ["red", "green", "blue", "none"]


def color_net():
    """Maps 0 to 2 measure one color each, map 3 is dead; the answer is the brightest color, or none."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(4, 3)[:, :, None, None])
        net[0].bias.copy_(torch.tensor([0.0, 0, 0, -1]))
        net[4].weight.copy_(torch.diag(torch.tensor([1.0, 1, 1, 0])))
        net[4].bias.copy_(torch.tensor([0.0, 0, 0, 0.5]))
    return net


def color_images(per_class=10):
    """Images of one bright color each; the last one is called red, and is more blue than red."""
    labels = torch.arange(3).repeat_interleave(per_class)
    images = torch.zeros(len(labels), 3, 4, 4)
    images[torch.arange(len(labels)), labels] = 2 + torch.rand(len(labels), 4, 4)
    images[-1], labels[-1] = torch.tensor([2.0, 0, 5])[:, None, None], 0
    return images, labels


@pytest.fixture(scope="module")
def colors():
    torch.manual_seed(0)
    subject = convscope.subject(color_net(), color_images(), classes=CLASSES)
    images = scored_images(subject, "val", None, 0)
    part = UpperPart(subject.net, subject.data.image_shape, "1")
    return images, layer_effects(images, part, [0, 1, 2, 3], ["zero", "mean"], 5)


def test_a_class_falls_with_its_map_alone(colors):
    _, effects = colors
    by_map = effects.by_map["zero"]
    assert by_map.lost[:, :3].tolist() == [[10, 0, 0], [0, 10, 0], [0, 0, 9], [0, 0, 0]]
    assert by_map.gained[:, :3].tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]  # the red one, without blue
    assert by_map.images.tolist()[:3] == [11, 10, 9] and by_map.changed.tolist() == [11, 10, 10, 0]
    np.testing.assert_allclose(by_map.accuracy().value, [-10 / 30, -10 / 30, -8 / 30, 0])
    clear = by_map.class_rates([0, 1, 2, 3]) < 0.05
    assert clear[0, 0] and clear[1, 1] and clear[2, 2] and not clear[3].any()


def test_maps_that_stay_on_are_no_cases_of_a_rate(colors):
    """Of n tests with a single small p the rate is n p: a second map that changes nothing doubles it."""
    by_map = colors[1].by_map["zero"]
    alone, beside_another = by_map.class_rates([0]), by_map.class_rates([0, 3])
    assert alone.shape == (1, 4) and alone[0, 0] < 0.05
    np.testing.assert_allclose(beside_another[0, 0], 2 * alone[0, 0])


def test_log_probabilities_are_those_of_the_softmax_written_out(colors):
    images, effects = colors
    pixels, labels = color_images()
    pixels = images.subject.data.images("val", range(30))
    logits = np.concatenate([pixels.mean((2, 3)).numpy(), np.full((30, 1), 0.5)], 1).astype(float)
    for value, instead in (("zero", 0.0), ("mean", logits[:, 1].mean())):
        green_off = logits.copy()
        green_off[:, 1] = instead
        before, after = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (logits, green_off))
        change = (after - before)[np.arange(30), labels]
        expected = [change[labels == number].sum() for number in range(3)]
        np.testing.assert_allclose(effects.by_map[value].log_probability[1, :3], expected, rtol=1e-4, atol=1e-4)


def test_the_maps_that_made_a_mistake(colors):
    images, effects = colors
    assert most_certain_mistakes(effects.plain, 3).tolist() == [29]
    mistake = take_apart(images, effects, 29, "zero")
    assert (mistake.target, mistake.answer, mistake.maps, mistake.enough) == (0, 2, [2], 1)
    assert mistake.margin == pytest.approx(3, abs=1e-4) and mistake.changes[2] == pytest.approx(5, abs=1e-4)
    assert 0.3 < mistake.by_chance < 0.7  # of the two maps that are on, red and blue, blue alone


def test_directions_are_taken_away_as_written_out(colors):
    images, effects = colors
    part, pixels = effects.part, images.subject.data.images("val", range(4))
    base, unit = part.base(pixels), torch.nn.functional.normalize(torch.tensor([[1.0, 2, -1, 3]]))
    (pairs,) = without_directions(part, base, unit, 0.25)
    output = images.subject.net[1](images.subject.net[0](pixels))
    keep = torch.eye(4) - unit.t() @ unit
    output = torch.einsum("ij,njhw->nihw", keep, output - 0.25) + 0.25
    torch.testing.assert_close(pairs.logits, images.subject.net[2:](output))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layers": ["9"]}, "no layer 9"),
        ({"maps": [1, 4]}, "has maps 0 to 3, not 4"),
        ({"value": "half"}, "value"),
        ({"images": [99]}, "99"),
    ],
)
def test_bad_input_is_one_line(arguments, words):
    subject = convscope.subject(color_net(), color_images(), classes=CLASSES)
    with pytest.raises(UserError, match=words) as error:
        convscope.ablate(subject, **arguments)
    assert "\n" not in str(error.value)


def test_images_without_labels_and_nets_of_one_class():
    images, labels = color_images(2)
    with pytest.raises(UserError, match="no labels"):
        convscope.ablate(color_net(), images)
    single = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    with pytest.raises(UserError, match="one class"):
        convscope.ablate(single, (images, torch.zeros_like(labels)))


def test_what_the_function_returns():
    torch.manual_seed(0)
    subject = convscope.subject(color_net(), color_images(), classes=CLASSES)
    findings = convscope.ablate(subject, layers=["0", "1"], value="zero", random=3)
    rows = {row["map"]: row for row in findings.tables["ablation/1/zero"]}
    images = color_images()[0][10:20]  # the green ones
    plain, off = subject.net(images).softmax(1)[:, 1], subject.net(images * torch.tensor([1, 0, 1])[:, None, None])
    change = 100 * (off.softmax(1)[:, 1] - plain).mean().item()
    assert -99 < change < -20  # not the change of accuracy, -100
    name, _, points = rows[1]["most hurt"].partition(" ")
    assert name == "green" and float(points) == pytest.approx(change, abs=1)  # of other images of this color
    assert rows[3]["most hurt"] == "" and rows[3]["images changed"] == 0
    (outcome,) = findings.tables["ablation/1"]
    assert outcome["largest fall of a class"].split(" [")[0] in {f"{name}, map {n}: {rows[n]['most hurt'].split()[1]}"
        for n, name in enumerate(CLASSES[:3])}  # fmt: skip
    assert findings.numbers["ablation/1/accuracy"] == pytest.approx(100 * 29 / 30)
    (mistake,) = findings.tables["ablation/mistakes"]
    assert (mistake["class"], mistake["answer"], mistake["enough"]) == ("red", "blue", 1)
    assert findings.numbers["ablation/mistakes/enough"] == 1
    assert {"ablation/1/zero_effects", "ablation/0/zero_classes", "ablation/mistakes/29"} <= set(findings.pictures)
