"""Any net with images in any form: classes, normalization, other outputs and precisions, and what is refused."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torchvision import datasets, transforms

import convscope
from convscope.api.examination import examining, logits_of, random_numbers
from convscope.errors import UserError


def net(classes=4, colors=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(colors, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, classes)
    )


IMAGES, LABELS = torch.rand(8, 3, 16, 16), torch.arange(8) % 4


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Class folders of ImageNet's ids, and their images as a data set."""
    root = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for name in ("n01440764", "n02102040"):
        (root / name).mkdir()
        for number in range(3):
            Image.fromarray(draw.integers(0, 256, (40, 50, 3), np.uint8)).save(root / name / f"{number}.png")
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path / "cache"))


FORMS = {
    "pair": lambda: ((IMAGES, LABELS), {}),
    "list": lambda: ([IMAGES, LABELS.tolist()], {}),
    "labels": lambda: (IMAGES, {"labels": LABELS}),
    "arrays": lambda: ((IMAGES.numpy(), LABELS.numpy()), {}),
    "data set": lambda: (TensorDataset(IMAGES, LABELS), {}),
    "loader": lambda: (DataLoader(TensorDataset(IMAGES, LABELS), 3, shuffle=True), {}),
    "subset": lambda: (Subset(TensorDataset(IMAGES.flip(0), LABELS.flip(0)), range(7, -1, -1)), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_in_any_form_are_the_same(form):
    images, options = FORMS[form]()
    subject = convscope.subject(net(), images, **options)
    assert torch.equal(subject.data.images("val", range(8)), IMAGES)
    assert torch.equal(subject.data.labels("val", range(8)), LABELS)
    assert subject.targets == [0, 1, 2, 3] and len(subject.classes) == 4
    assert torch.equal(subject.examples("val", [1, 6]).target, LABELS[[1, 6]])


class Named(TensorDataset):
    """A data set whose classes have names, as torchvision's do."""

    def __init__(self, *names):
        super().__init__(IMAGES, LABELS % len(names))
        self.classes = list(names)


@pytest.mark.parametrize(
    "data, classes, targets",
    [
        (Named("ant", "bee"), ["cat", "bee", "ant", "dog"], [2, 1]),  # by name
        (Named("Ant", "bee"), ["cat", "bee", "ant", "dog"], [2, 1]),
        (Named("ant", "elk"), ["cat", "bee", "ant", "dog"], [2, -1]),  # not by number where a name agrees
        (Named("a", "b", "c", "d"), ["cat", "bee", "ant", "dog"], [0, 1, 2, 3]),  # by number where counts agree
        (Named("a", "b"), ["cat", "bee", "ant", "dog"], [-1, -1]),
        (Named("a", "b", "c", "d"), None, [0, 1, 2, 3]),
        (TensorDataset(IMAGES, LABELS + 3), None, [-1] * 7),  # more classes than the net has
        (IMAGES, ["cat", "bee", "ant", "dog"], [-1]),  # no labels
    ],
)
def test_classes_are_matched_by_name_then_by_number(data, classes, targets):
    subject = convscope.subject(net(), data, classes)
    assert subject.targets == targets
    assert subject.classes == (classes or getattr(data, "classes", [f"class {number}" for number in range(4)]))


def test_photographs_of_imagenet_classes_are_known_by_their_ids(photos):
    normalize = transforms.Normalize([0.4, 0.5, 0.6], [0.1, 0.2, 0.3])
    steps = transforms.Compose([transforms.CenterCrop(32), transforms.ToTensor(), normalize])
    subject = convscope.subject(net(1000), datasets.ImageFolder(photos, steps), "imagenet")
    assert subject.targets == [0, 217] and subject.data.classes == ["tench", "English springer"]
    assert subject.classes[217] == "English springer" and subject.data.names("val", [4]) == ["1.png"]
    exact = np.asarray(transforms.CenterCrop(32)(Image.open(photos / "n02102040" / "1.png"))).transpose(2, 0, 1)
    assert np.array_equal(subject.data.pixels("val", [4])[0].numpy(), exact)  # the Normalize of the transforms undone


def test_image_files_are_normalized_and_resized(photos):
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    subject = convscope.subject(net(), photos, mean=mean, std=std, image_size=28)
    image, pixels = subject.data.images("val", [0])[0], subject.data.pixels("val", [0])[0] / 255
    expected = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert image.shape == (3, 28, 28) and torch.allclose(image, expected, atol=1e-3)
    assert subject.data.classes == ["tench", "English springer"] and "train" in subject.data.missing
    files = sorted(photos.rglob("*.png"))[:2]
    listed = convscope.subject(net(), [str(file) for file in files], mean=mean, std=std, image_size=28)
    assert listed.data.size("val") == 2 and torch.equal(listed.data.images("val", [0])[0], image)


def test_a_net_of_timm_says_how_its_images_are_made(photos):
    timm = pytest.importorskip("timm")
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=3)
    config = plain.pretrained_cfg
    settings = convscope.subject(plain, photos).data.settings
    assert (settings.image_size, settings.stored_size, settings.interpolation) == (224, 256, config["interpolation"])
    assert settings.pixel_scale == pytest.approx([1 / (255 * std) for std in config["std"]])


class Wrapped(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.net, self.form = net(), form

    def forward(self, images):
        logits = self.net(images)
        forms = {"tuple": (logits, images), "dict": {"maps": images, "logits": logits}, "list": [images, logits]}
        named = type("Output", (), {"logits": logits})()
        return named if self.form == "named" else forms[self.form]


@pytest.mark.parametrize("form", ["tuple", "dict", "list", "named"])
def test_logits_are_found_in_what_a_net_returns(form):
    wrapped = Wrapped(form)
    findings = convscope.evaluate(wrapped, (IMAGES, LABELS))
    right = (wrapped.net.eval()(IMAGES).argmax(1) == LABELS).float().mean()
    assert findings.numbers["evaluation/top1"] == pytest.approx(float(right))
    assert type(wrapped(IMAGES)) is not torch.Tensor  # outside an analysis the net returns what it did


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_net_of_another_precision_is_looked_at_in_float32_and_stays(dtype):
    half = net().to(dtype)
    tops = convscope.top9(half, (IMAGES, LABELS), ["1"])
    assert {weight.dtype for weight in half.parameters()} == {dtype}
    expected = half.float()[:2](IMAGES).amax((2, 3)).T.sort(descending=True).values
    assert torch.allclose(tops["1"].score[:, :8], expected, atol=1e-6)


def test_wrappers_are_taken_off():
    plain = net()
    assert convscope.subject(nn.DataParallel(plain), IMAGES).net is plain


@pytest.mark.slow  # torch.compile imports much
def test_of_a_compiled_net_the_eager_one_is_looked_at():
    plain = net()
    compiled = torch.compile(plain)
    assert convscope.subject(compiled, IMAGES).net is plain
    score, fields = (convscope.top9(plain, IMAGES, ["1"])["1"].score, convscope.receptive_fields(plain, 16).rows)
    plain.compile(backend="eager")
    assert torch.equal(convscope.top9(plain, IMAGES, ["1"])["1"].score, score)
    assert convscope.receptive_fields(plain, 16).rows == fields


def test_sets_without_an_image_are_one_line():
    with pytest.raises(UserError, match="the data set of train is empty"):
        convscope.subject(net(), TensorDataset(IMAGES, LABELS), train=TensorDataset(IMAGES[:0], LABELS[:0]))


def test_the_home_folder_is_a_tilde(trained, monkeypatch):
    monkeypatch.setenv("HOME", str(trained.parent))
    assert convscope.read_run(f"~/{trained.name}").summary == convscope.read_run(trained).summary
    last = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    of_tilde = convscope.load(f"~/{trained.name}").net.state_dict()
    assert all(torch.equal(value, last[f"net.{name}"]) for name, value in of_tilde.items())


def test_backbones_without_classes_have_units_all_the_same():
    body = net()[:2]
    assert len(convscope.top9(body, IMAGES, ["0"])["0"].score) == 5
    assert convscope.visualize(body, IMAGES, layers=["0"], maps=1).pictures
    fields = convscope.receptive_fields(body, (3, 16, 20))
    assert fields.rows[0] | {"field": 3, "stride": 1, "side": "14 x 18"} == fields.rows[0]
    assert "14 x 18" in repr(fields) and fields.figure().savefig


class Restless(TensorDataset):
    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return image + torch.rand(1), label


def test_random_transforms_are_noticed_and_draw_no_number_of_the_users():
    plain = net()
    state = torch.get_rng_state()
    with pytest.warns(UserWarning, match="random transforms"):
        convscope.subject(plain, Restless(IMAGES, LABELS))
    assert torch.equal(state, torch.get_rng_state())


class Stream(IterableDataset):
    def __iter__(self):
        yield IMAGES[0], 0


@pytest.mark.parametrize(
    "images, options, words",
    [
        (Stream(), {}, "IterableDataset"),
        (object(), {}, "images is a object"),
        ([1, 2], {}, "images is a list"),
        (IMAGES[0], {}, r"\[3, 16, 16\]"),
        ((IMAGES * 255).byte(), {}, "uint8"),
        (IMAGES[:0], {}, "empty"),
        (IMAGES, {"labels": [0, 1]}, "8 whole numbers"),
        (IMAGES, {"labels": LABELS.float()}, "8 whole numbers"),
        (TensorDataset(IMAGES), {"labels": LABELS}, "labels="),
        (IMAGES, {"classes": ["a"]}, "1 names, and the net puts out 4"),
        (IMAGES, {"classes": "cat"}, "one word"),
        (IMAGES, {"mean": (0.5, 0.5, 0.5)}, "mean= without std="),
        (IMAGES, {"mean": 0.5, "std": 0.0}, "above 0"),
        (IMAGES, {"mean": 123, "std": 58}, "from 0 to 255"),
        (IMAGES, {"mean": "a", "std": 1.0}, "mean='a' is not"),
        (IMAGES, {"mean": (1, 2), "std": (1, 2)}, r"mean=\(1, 2\) is not"),
        ("/no/such/folder", {"mean": 0.5, "std": 0.5}, "no file or folder"),
        (torch.rand(3, 1, 16, 16), {}, "cannot take an image of 1 x 16 x 16"),
        (torch.rand(3, 3, 2, 2), {}, "cannot take an image of 3 x 2 x 2"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(images, options, words):
    with pytest.raises(UserError, match=words) as told:
        convscope.subject(net(), images, **options)
    assert "\n" not in str(told.value)


def test_files_need_their_normalization(photos):
    with pytest.raises(UserError, match="mean=.*std="):
        convscope.subject(net(), photos)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (3, "net is a int"),
        (nn.ReLU(), "no weights"),
        (torch.jit.script(nn.Conv2d(3, 4, 3)), "torch.jit"),
        ("resnet", "net is a str"),
    ],
)
def test_what_is_no_net_is_one_line(wrong, words):
    with pytest.raises(UserError, match=words):
        convscope.subject(wrong, IMAGES)
    with pytest.raises(UserError, match=words):
        convscope.invariance(wrong)


def test_a_subject_is_one_line():
    subject = convscope.subject(net(), (IMAGES, LABELS), train=IMAGES[:3], name="mine")
    assert repr(subject) == "mine of 4 classes, with images of 3 x 16 x 16 (val and train)"


def test_a_subject_goes_alone():
    subject = convscope.subject(net(), IMAGES)
    with pytest.raises(UserError, match="has its images"):
        convscope.evaluate(subject, IMAGES)
    with pytest.raises(UserError, match="pass it alone"):
        convscope.evaluate(net(), subject)
    with pytest.raises(UserError, match="images are missing"):
        convscope.evaluate(net())


def test_random_numbers_and_modes_are_the_users_after_an_error_too():
    plain = net()
    plain[4].eval()
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    with pytest.raises(ZeroDivisionError), examining(plain, 3):
        assert not plain.training
        torch.rand(1), np.random.rand(), random.random()
        raise ZeroDivisionError
    assert plain.training and not plain[4].training and not plain._forward_hooks
    assert torch.equal(states[0], torch.get_rng_state()) and states[1] == np.random.get_state()[1].tolist()
    assert states[2] == random.getstate()
    drawn = []
    for _ in range(2):
        with random_numbers(torch.device("cpu"), 3):
            drawn.append((float(torch.rand(1)), np.random.rand(), random.random()))
    assert drawn[0] == drawn[1]


def test_a_net_without_logits_is_one_line():
    class Text(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, images):
            return "a text"

    with pytest.raises(UserError, match="returns a str without logits"):
        convscope.subject(Text(), IMAGES)
    assert logits_of((torch.zeros(2, 3, 4, 4), torch.zeros(2, 7))).shape == (2, 7)
