"""A line on nets that do not know their images, on nets whose answers are known to the last image."""

import json
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

import convscope
from convscope.analyses.weak_nets import UNTRAINED, weak_net_line
from convscope.cli.jobs import JOBS

CONF = Path(__file__).resolve().parents[2] / "conf"
CLASSES = [f"class {number}" for number in range(4)]


class Reads(nn.Module):
    """Answers the class that the first pixel says, and the first class for images that it does not know."""

    def __init__(self, known):
        super().__init__()
        self.known, self.scale, self.passed = known, nn.Parameter(torch.ones(1)), 0

    def forward(self, x):
        self.passed += len(x)
        number, label = x[:, 0, 0, 0], x[:, 1, 0, 0]
        answer = torch.where(number < self.known, label, torch.zeros_like(label)).round().long()
        return nn.functional.one_hot(answer, 4).float() * self.scale


def images(labels):
    pixels = torch.zeros(len(labels), 3, 4, 4)
    pixels[:, 0] = torch.arange(len(labels)).view(-1, 1, 1)
    pixels[:, 1] = torch.as_tensor(labels).view(-1, 1, 1)
    return pixels


def opened(net, labels, **changes):
    data = torch.utils.data.TensorDataset(images(labels), torch.as_tensor(labels))
    return convscope.subject(net, data, classes=CLASSES)._replace(**changes)


def test_a_line_where_the_interval_holds_chance_and_none_where_it_does_not():
    """40 images of 4 classes: the constant answer is right for 10. Wilson's interval of 15 in 40 begins at 24 %."""
    labels = [number % 4 for number in range(40)]
    right = [sum(label == 0 or number < known for number, label in enumerate(labels)) for known in range(41)]
    line = weak_net_line(opened(Reads(right.index(15)), labels))
    assert "37.5%" in line and "chance is 25.0%" in line and "40 val images" in line and "mean little" in line
    assert weak_net_line(opened(Reads(right.index(17)), labels)) is None  # its interval begins at 28.5 %
    assert weak_net_line(opened(Reads(40), labels)) is None


def test_where_most_images_are_of_one_class_chance_is_to_answer_it():
    labels = [0] * 36 + [1, 2, 3, 1]
    assert "chance is 90.0%" in weak_net_line(opened(Reads(0), labels))


class Wider(Reads):
    """Knows 40 classes, of which the images have the first four."""

    def forward(self, x):
        return nn.functional.pad(super().forward(x), (0, 36))


def test_of_a_net_with_more_classes_chance_is_one_of_its_own():
    """6 images of each of two classes, 7 of the 12 answered right: Wilson's interval begins at 32 %."""
    labels = [1] * 6 + [0] * 6
    assert "chance is 50.0%" in weak_net_line(opened(Reads(1), labels))
    assert weak_net_line(opened(Reads(1), labels)._replace(net=Wider(1))) is None


def test_at_most_a_hundred_images_are_answered_and_nothing_is_disturbed():
    net = Reads(1000).train()
    state = torch.get_rng_state()
    assert weak_net_line(opened(net, [number % 4 for number in range(400)])) is None
    assert net.passed <= 100 + 2 and net.training and torch.equal(torch.get_rng_state(), state)


def test_images_that_the_net_knows_no_class_of_or_that_have_none():
    labels = [number % 4 for number in range(40)]
    assert "none of the classes" in weak_net_line(opened(Reads(0), labels, targets=[-1] * 4))
    partly = weak_net_line(opened(Reads(40), labels, targets=[-1, 1, 2, -1]))
    assert partly is None  # right on the classes that it knows
    assert weak_net_line(opened(Reads(0), labels, loss="multilabel")) is None
    unlabeled = convscope.subject(Reads(0), images(labels))
    assert list(unlabeled.data.classes) == ["unlabeled"] and weak_net_line(unlabeled) is None


def run(words, folder):
    overrides = ["job=receptive", "receptive.images=2", "receptive.layers=[conv1]", "trainer.accelerator=cpu", *words]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)
    JOBS["receptive"](chosen, folder)
    return json.loads((folder / "summary.json").read_text()).get("warnings", []), folder / "report/index.html"


SMALL = ["data.train=24", "data.val=16", "data.image_size=64", "model.width=0.1"]


def test_the_terminal_the_summary_and_the_page_have_the_line(tmp_path, cache, capsys):
    warnings, page = run([*SMALL, f"data.cache_dir={cache}"], tmp_path / "run")
    assert warnings == [UNTRAINED] and UNTRAINED in capsys.readouterr().out and UNTRAINED in page.read_text()


def test_a_checkpoint_is_measured_on_its_images(trained, tmp_path, capsys):
    subject = convscope.load(trained)
    chosen = subject.examples("val", 40)
    with torch.inference_mode():
        hits = int((subject.net(chosen.image).argmax(1) == chosen.label).sum())
    warnings, _ = run([f"ckpt={trained}/checkpoints/last.ckpt"], tmp_path / "run")
    assert hits < 10  # a net of two short epochs
    (line,) = [warning for warning in warnings if "hardly knows" in warning]
    assert f"top-1 {hits / 40:.1%}" in line and line in capsys.readouterr().out
