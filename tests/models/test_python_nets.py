"""Nets of Python: what model.target may name, how many classes they get, whose code is imported, and every mistake."""

import copy
import sys

import pytest
import torch
from torchvision import models

from convscope.errors import UserError
from convscope.models.checkpoints import check_words
from convscope.models.nets import described_net
from convscope.models.python_nets import python_net
from convscope.models.targets import target_words
from convscope.models.untrusted import description_problem

PLAIN = """
from torch import nn


class Plain(nn.Module):
    def __init__(self, PARAMETERS):
        super().__init__()
        self.conv = nn.Conv2d(3, 4 * width, 3)
        self.norm = nn.BatchNorm2d(4 * width)
        self.head = nn.Linear(4 * width, COUNT)
        self.after = nn.Linear(2, 3)  # the last in the list of layers, but not in the pass

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))
"""
NETS = """
import torch


class Lazy(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(num_classes))

    def forward(self, x):
        return self.net(x)


class Parts:
    inner = Plain


def doubled(times=2):
    return Plain(width=times)


def compiled():
    return torch.compile(Plain())


class Failing(nn.Module):
    def __init__(self, early=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        if early:
            raise KeyError("early")

    def forward(self, x):
        return {}["late"]


class Pairs(Plain):
    def forward(self, x):
        return super().forward(x), x


def dictionary():
    return {}


def maps():
    return nn.Conv2d(3, 4, 3)


def weightless():
    return nn.ReLU()


def without_layer():
    class Doubled(Plain):
        def forward(self, x):
            return super().forward(x).repeat(1, 2)

    return Doubled()


ready = Plain()
number = 3
"""
FORMS = {  # parameters -> the number of outputs where nobody says it; None: somebody has to
    "width=1, num_classes=10": 10, "width=1, *, n_classes=10": 10, "classes=10, width=1": 10,
    "num_classes, width=1": None, "width=1, *, num_classes": None, "width=1, depth=7": 7,
}  # fmt: skip


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package into the working directory and gives its name; afterwards it was never imported."""

    def write(parameters="width=1, num_classes=10", more=NETS):
        count = next((name for name in ("num_classes", "n_classes", "classes") if name in parameters), "depth")
        name = f"own_{count}"
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").touch()
        text = PLAIN.replace("PARAMETERS", parameters).replace("COUNT", count)
        (tmp_path / name / "nets.py").write_text(text + more)
        return name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield write
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def plain_of(name):
    """The class, imported as Python imports it."""
    return sys.modules[f"{name}.nets"].Plain


def settings(name, net="Plain", **keys):
    return {"source": "python", "name": "python", "target": f"{name}.nets:{net}", **keys}


IMAGES = torch.linspace(0, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16)


@pytest.mark.parametrize("parameters", FORMS)
def test_the_net_is_made_for_the_classes_and_takes_the_weights_as_torch_does(parameters, package, tmp_path):
    name, own = package(parameters, more=""), FORMS[parameters]
    model = settings(name, args={"width": 2})
    trained = python_net(model, 16, 5).net
    assert trained.eval()(IMAGES).shape == (2, 5)
    looked_at = python_net(model, 16, 5, keep=True)
    assert looked_at.net.eval()(IMAGES).shape == (2, own or 5) and looked_at.classes[1] == "class 1"

    has_argument = "depth" not in parameters
    key = next((key for key in ("num_classes", "n_classes", "classes") if key in parameters), "depth")
    expected = plain_of(name)(width=2, **{key: 3}).eval()  # three outputs in the file, whatever the signature says
    torch.save(expected.state_dict(), "own.pth")
    model |= {"weights": "own.pth"}
    kept = python_net(model, 16, 5, keep=True)
    assert torch.equal(kept.net.eval()(IMAGES), expected(IMAGES)) and len(kept.classes) == 3
    fresh = python_net(model, 16, 5).net.eval()
    assert fresh(IMAGES).shape == (2, 5) and torch.equal(fresh.conv.weight, expected.conv.weight)
    assert torch.equal(python_net(model, 16, 3).net.eval()(IMAGES), expected(IMAGES))
    if has_argument:  # a number that is typed is that of the net
        args = {"width": 2, key: 4}
        assert python_net(settings(name, args=args), 16, 5, keep=True).net.head.out_features == 4
        assert python_net(settings(name, args=args), 16, 5).net.head.out_features == 5  # a new last layer


def test_every_spelling_names_the_same_net(package):
    name, expected = package(), None
    python_net(settings(name), 16, 10)  # what importing the module draws is drawn
    for net in ("nets:Plain", "nets.Plain", "nets:Parts.inner", "nets:doubled", "nets:compiled"):
        torch.manual_seed(0)
        args = {"times": 1} if net.endswith("doubled") else {"width": 1} if "Pl" in net or "inner" in net else {}
        made = python_net({"source": "python", "target": f"{name}.{net}", "args": args}, 16, 10).net
        expected = expected if expected is not None else made.state_dict()
        assert all(torch.equal(made.state_dict()[key], value) for key, value in expected.items())
        assert made.state_dict().keys() == expected.keys()
    lazy = python_net(settings(name, "Lazy"), 16, 4)
    assert lazy.net.eval()(IMAGES).shape == (2, 4)
    installed = python_net({"target": "torchvision.models:squeezenet1_1", "source": "python"}, 32, 6).net
    assert isinstance(installed, models.SqueezeNet) and installed.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 6)


@pytest.mark.parametrize(
    ("net", "keys", "line"),
    [
        ("nets", {"target": None}, "model=python is a net of your own; type model.target=my_package.nets:MyNet"),
        ("nets", {"target": "MyNet"}, "model.target=MyNet is no <module>:<class or function>"),
        ("nets", {"target": "nets.py:x y"}, "is no <module>:<class or function>"),
        ("nets", {"target": "./a/nets.py:Net"}, "is no <module>:<class or function>; type model.target=a.nets:Net"),
        ("nets", {"target": "nets.py:Net"}, "is no <module>:<class or function>; type model.target=nets:Net"),
        ("nets", {"target": 3}, "model.target=3 is no <module>"),
        ("nets", {"target": "own_num_clases.nets:Plain"}, "own_num_clases (did you mean own_num_classes?) in "),
        ("nets", {"target": "own_num_classes.netz:Plain"}, "netz (did you mean own_num_classes.nets?) in "),
        ("Plane", {}, "has no Plane (did you mean Plain?)"),
        ("ready", {}, "is a net that is made already; name a class or function"),
        ("number", {}, "is a int; name a class or function"),
        ("Plain", {"args": {"wide": 2}}, "'model.args={wide: 2}' does not fit Plain(width=1, num_classes=10): got an"),
        ("Plain", {"args": 3}, "model.args=3 is no mapping of arguments"),
        ("Plain", {"args": {"a b": 3}}, "is no mapping of arguments"),
        ("Plain", {"args": {"width": "x"}}, "nets.py, line 8: TypeError: "),
        ("Failing", {}, "cannot take an image of 3 x 16 x 16: own_num_classes/nets.py, line {late}: KeyError: 'late'"),
        ("Failing", {"args": {"early": True}}, "nets:Failing: own_num_classes/nets.py, line {early}: KeyError"),
        ("Pairs", {}, "answers with a tuple; a net gives logits [images, classes]"),
        ("maps", {}, "answers with a tensor [1, 4, 14, 14]; a net gives logits"),
        ("dictionary", {}, "gave back a dict; it has to make an nn.Module"),
        ("weightless", {}, "gave back a net without weights"),
        ("without_layer", {}, "has 20 outputs and the images have 5 classes; give it an argument num_classes"),
        ("Plain", {"mean": [1, 2]}, "model.mean=[1, 2] is no color; e.g. model.mean=[0.485,0.456,0.406]"),
        ("Plain", {"std": 0}, "model.std=0 must be positive"),
        ("Plain", {"weights": "absent.pth"}, "model.weights=absent.pth: there is no such file"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_line(net, keys, line, package):
    lines = PLAIN + NETS
    places = {word: lines[: lines.index(f'"{word}"')].count("\n") + 1 for word in ("early", "late")}
    line = line.replace("{early}", str(places["early"])).replace("{late}", str(places["late"]))
    with pytest.raises(UserError) as error:
        python_net(settings(package(), net) | keys, 16, 5)
    assert line in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import absent_library\n", "broken.py, line 1: ModuleNotFoundError: No module named 'absent_library'"),
        ("def net(:\n", "broken.py, line 1: SyntaxError: "),
        ("import sys\nsys.exit(3)\n", "broken.py, line 2: SystemExit: 3"),
        ("\n\n1 / 0\n", "broken.py, line 3: ZeroDivisionError: division by zero"),
    ],
)
def test_an_error_in_the_users_module_has_file_and_line(code, line, package, tmp_path):
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(UserError) as error:
        python_net({"source": "python", "target": "broken:net"}, 16, 5)
    assert str(error.value).startswith(f"model.target=broken:net: {line}")


def test_input_colors_are_those_that_are_typed(package):
    name = package()
    assert tuple(python_net(settings(name), 16, 5).colors.std) == (0.229, 0.224, 0.225)
    colors = python_net(settings(name, mean=[0, 0.5, 1], std=0.5), 16, 5).colors
    assert list(colors.mean) == [0, 0.5, 1] and list(colors.std) == [0.5, 0.5, 0.5]


def test_a_checkpoint_imports_nothing_but_what_was_typed(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("open('imported', 'w').close()\nfrom torchvision.models import alexnet as net\n")
    monkeypatch.chdir(tmp_path)
    about = {"source": "python", "name": "net", "classes": 3, "image_size": 64, "target": "evil:net", "args": {}}
    good = {"source": "python", "target": "torchvision.models:squeezenet1_1", "args": None}
    for typed in ({}, {"source": "rows", "layers": {}}, {"source": "python", "target": None}, good):
        with pytest.raises(
            UserError, match="a.ckpt is of a net that evil:net makes, .* type model=python model.target=evil"
        ):
            described_net(about, typed, "a.ckpt")
    assert not (tmp_path / "imported").exists() and "evil" not in sys.modules
    about |= {"target": "torchvision.models:squeezenet1_1", "args": {"dropout": 0.1}}
    for args in (None, {}, {"dropout": 0.2}, {"dropout": 0.1, "weights": None}):
        with pytest.raises(UserError, match=r"type model=python model.target=\S+ 'model.args={dropout: 0.1}' too"):
            described_net(about, good | {"args": args}, "a.ckpt")
    net = described_net(about, good | {"args": {"dropout": 0.1}, "weights": "not read"}, "a.ckpt")
    assert net.classifier[0].p == 0.1 and net.classifier[1].out_channels == 3


def test_weights_are_those_of_the_checkpoint_or_of_the_file():
    about = {"net": {"source": "python", "target": "a:b"}, "pixel_scale": 1.0}
    with pytest.raises(
        UserError, match="ckpt=a.ckpt has weights, and so has model.weights=b.pth; leave one of them out"
    ):
        check_words({"ckpt": "a.ckpt", "model": {"source": "python", "weights": "b.pth"}}, about)


def test_what_is_to_be_typed_is_read_back_as_it_was(tmp_path):
    from shlex import split

    from hydra.core.override_parser.overrides_parser import OverridesParser

    args = {"width": 2, "rate": 0.5, "deep": True, "norm": "batch", "word": "null", "spaced": "it's a \"b\"",
            "none": None, "list": [1, "x"],
            "inner": {"a": [True, None]}, "empty": "", "number": "3", "small": 1e-05}  # fmt: skip
    words = split(target_words("a.b:C", args))
    parsed = [OverridesParser.create().parse_override(word).value() for word in words]
    plain = copy.deepcopy(parsed[1])
    plain = {key: getattr(value, "text", value) for key, value in plain.items()}
    assert parsed[0] == "a.b:C"
    assert plain | {"list": [1, "x"]} == args


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "os.system('x')"}, {"target": "x" * 2000}, {"target": None}, {"target": 3}, {"args": None},
        {"args": {"x": torch.zeros(1)}}, {"args": {"a b": 1}}, {"args": [1]}, {"args": {"x": "y" * 10**6}},
        {"args": {"x": object}}, {"classes": 10**9}, {"name": 3},
    ],
)  # fmt: skip
def test_a_description_that_cannot_be_typed_is_not_believed(wrong):
    net = {
        "source": "python",
        "name": "n",
        "target": "a:b",
        "args": {"x": [1, {"y": None}]},
        "classes": 2,
        "image_size": 64,
    }
    assert description_problem({"net": net, "class_names": ["a", "b"]}) == ""
    assert description_problem({"net": net | wrong, "class_names": ["a", "b"]})
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert description_problem({"net": net | {"args": {"x": deep}}, "class_names": ["a", "b"]})
