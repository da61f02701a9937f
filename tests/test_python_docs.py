"""Every snippet of Python in README and docs/python.md runs, one after another, on small images and a random net."""

import functools
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import convscope
from conftest import ROOT
from training.foreign import lightning, quiet, write_photos

SMALL = {  # function -> arguments that make it quick where the snippet does not set them
    "occlude": {"stride": 24, "searched": 4, "projections": False, "scored": 2},
    "invariance": {"scored": 2},
    "correspond": {"random": 2},
    "visualize": {"images": "val"},
    "diagnose": {"maps": 2},
    "overlap": {"copies": 2},
    "neighbors": {"nearest": 2, "scored": 4},
    "ablate": {"maps": 4, "random": 2, "mistakes": 1},
    "sanity": {"images": 2, "searched": 6, "stages": 2},
    "match": {"layers": ["features.5", "features.12"], "pairs": 1, "tile": 16},
    "dissect": {"shuffles": 1, "shown": 2},
}
IN_PLACE = {  # text of a snippet -> what the test runs
    'weights="IMAGENET1K_V1"': "weights=None",
    "v2.Resize(256), v2.CenterCrop(224)": "v2.Resize(72), v2.CenterCrop(64)",
    "* 200": "* 60",
    "maps=9": "maps=1",
    "maps=8": "maps=1",
    "scored=20": "scored=4",
    "stride=16": "stride=24",
    "images=2, scored=4": "images=1, scored=2",
    'images=4, layers=["features.5", "features.12"]': 'images=3, layers=["features.12"]',
    "images=60": "images=6",
    "maps=4)": "maps=2)",
    'layers=["layer1", "layer4"], maps=16': 'layers=["0", "5"], maps=2',
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of ImageNet, of noise, in train/ and val/."""
    root = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for name in [f"{split}/{wnid}/{at}" for split in ("train", "val") for wnid in ("n02085620", "n02123045")
                 for at in range(5)]:  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (75, 80, 3), np.uint8)).save(root / f"{name}.png")
    return root


def what_the_reader_has(folder):
    """A Trainer, a module and data of one's own, by the names that README gives them."""
    pl, Net, Photos = lightning()
    trainers = SimpleNamespace(Trainer=functools.partial(quiet, pl, folder, max_epochs=1))
    data = Photos(write_photos(folder / "mine"))
    return {"pl": trainers, "my_module": Net(), "my_datamodule": data, "my_loggers": False}


def snippets(document):
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_the_snippets_run(document, trained, photos, tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVSCOPE_CACHE", str(cache))
    for name, arguments in SMALL.items():
        monkeypatch.setattr(convscope, name, functools.partial(getattr(convscope, name), **arguments), raising=False)
    names: dict = what_the_reader_has(tmp_path)
    texts = snippets(document)
    for text in texts:
        for there, here in IN_PLACE.items():
            text = text.replace(there, here)
        text = text.replace("/photos", str(photos)).replace("outputs/train/<run>", str(trained))
        lines = text.rstrip().splitlines()
        exec(compile("\n".join(lines), document, "exec"), names)
    assert texts and (document == "README.md" or (tmp_path / "occlusion.pdf").stat().st_size > 1000)


def test_the_page_shows_every_function_with_a_snippet_and_a_picture():
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    sections = re.split(r"^###? ", text, flags=re.M)
    of_analyses = [section for section in sections if section.startswith("`")]
    shown = {name for section in of_analyses for name in re.findall(r"`(\w+)`", section.splitlines()[0])}
    functions = {name for name in convscope.__all__ if name[0].islower()}
    assert functions - shown == {"load", "pretrained", "read_run", "subject", "watch"}
    assert all(f"convscope.{name}(" in text for name in functions)
    assert all(re.search(r"!\[.+\]\(pictures/", section) for section in of_analyses)
