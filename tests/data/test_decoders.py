"""Every decoder of JPEGs on the same photographs, whose pixels are known; which one is taken, and who says so."""

import builtins
import io
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data import decoders
from convscope.data.cache import Cache, decoded_once
from convscope.data.decode import Unreadable, rgb
from convscope.data.decoders import best_decoder
from convscope.data.sources import Files
from convscope.runs.provenance import with_earlier_decoders

COLORS = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
FLAT = COLORS.repeat(16, 0).repeat(16, 1)  # [48, 64, 3]: whole blocks of one color survive the best quality


def encoded(mode="RGB", **settings):
    file = io.BytesIO()
    Image.fromarray(FLAT).convert(mode).save(file, "JPEG", quality=100, subsampling=0, **settings)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(exif=exif)


def stand_in(read):
    """A torchcodec.decoders whose decode_image takes what version 0.16 takes."""
    package, module = ModuleType("torchcodec"), ModuleType("torchcodec.decoders")

    def decode_image(source, *, mode="RGB", output_dtype=torch.uint8):
        assert isinstance(source, bytes) and mode == "RGB" and output_dtype == torch.uint8
        return torch.from_numpy(read(source)).permute(2, 0, 1)

    package.decoders, module.decode_image = module, decode_image
    return {"torchcodec": package, "torchcodec.decoders": module}


@pytest.fixture(params=["torchcodec", "torchvision", "Pillow"])
def decoder(request, monkeypatch):
    """The route of this name, its library being there and those before it not."""
    if request.param == "torchcodec":
        pytest.importorskip("torchcodec.decoders", reason="torchcodec is not installed: pip install torchcodec")
    real, hidden = builtins.__import__, ("torchcodec", "torchvision.io")
    absent = hidden[: ("torchcodec", "torchvision", "Pillow").index(request.param)]

    def importing(name, *rest):
        if name.startswith(absent):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    monkeypatch.setattr(decoders, "DECODER", best_decoder())
    assert decoders.DECODER.name == request.param and (decoders.DECODER.read is None) == (request.param == "Pillow")
    return request.param


def test_known_pixels_upright_and_in_rgb_whatever_decodes_them(decoder):
    assert np.abs(rgb(encoded()).astype(int) - FLAT).max() <= 2
    grey = FLAT.astype(float) @ (0.299, 0.587, 0.114)
    assert np.abs(rgb(encoded("L")) - grey[..., None]).max() <= 2
    assert np.abs(rgb(encoded("CMYK")).astype(int) - FLAT).max() <= 4
    assert np.abs(rgb(encoded(progressive=True)).astype(int) - FLAT).max() <= 2
    for orientation, upright in (
        (3, FLAT[::-1, ::-1]),
        (6, np.rot90(FLAT, -1)),
        (8, np.rot90(FLAT)),
        (2, FLAT[:, ::-1]),
    ):
        read = rgb(turned(orientation))
        assert read.shape == upright.shape and np.abs(read.astype(int) - upright).max() <= 2, orientation


def test_damaged_ones_are_refused_whatever_decodes_them(decoder):
    for data in (encoded()[:700], encoded()[:30], b"\xff\xd8\xff" + bytes(100)):
        with pytest.raises(Unreadable):
            rgb(data)


def test_torchcodec_is_taken_first_and_only_where_it_reads(monkeypatch):
    for name, module in stand_in(lambda data: np.array(Image.open(io.BytesIO(data)))).items():
        monkeypatch.setitem(sys.modules, name, module)
    best = best_decoder()
    assert best.name == "torchcodec" and np.abs(best.read(encoded()).astype(int) - FLAT).max() <= 2

    def broken(data):
        raise RuntimeError("built for another torch")

    for name, module in stand_in(broken).items():
        monkeypatch.setitem(sys.modules, name, module)
    assert best_decoder().name == "torchvision"
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", ModuleType("torchcodec.decoders"))  # older than 0.16
    assert best_decoder().name == "torchvision"


def test_the_cache_holds_the_pixels_of_each_decoder_apart(tmp_path, monkeypatch):
    """A run that resumes with another decoder does not take its pixels for its own, nor the other way round."""
    (tmp_path / "x.jpg").write_bytes(encoded())
    photos, cache = Files([tmp_path / "x.jpg"], np.zeros(1, np.int64)), Cache(tmp_path / "cache", 1.0)
    for level, name in ((7, "torchvision"), (9, "torchcodec"), (7, "torchvision"), (9, "torchcodec")):
        monkeypatch.setattr(
            decoders, "DECODER", decoders.Decoder(name, lambda data, level=level: np.full_like(FLAT, level))
        )
        assert (decoded_once(photos, 16, cache, True, "stop").split.images == level).all()
    assert len(list(cache.folder.glob("images-*/images.u8"))) == 2


@pytest.mark.parametrize(
    ("before", "now", "decoders"),
    [
        ("torchvision", "torchvision", None),
        ("torchvision", "torchcodec", "torchvision, then torchcodec"),
        ("torchvision, then torchcodec", "torchcodec", "torchvision, then torchcodec"),
        ("torchvision, then torchcodec", "torchvision", "torchvision, then torchcodec, then torchvision"),
        ("", "torchcodec", "torchvision, then torchcodec"),  # of version 0.1
        ("", "torchvision", None),
        ("torchvision", None, None),
    ],
)
def test_a_run_that_goes_on_with_another_decoder_is_warned_ever_after(tmp_path, before, now, decoders):
    (tmp_path / "about.json").write_text(f'{{"decoder": "{before}"}}' if before else '{"classes": []}')
    facts = {"job": "train", **({"decoder": now} if now else {})}
    assert with_earlier_decoders(facts, tmp_path) == (facts, None)  # nothing has been trained with the other
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    facts, warning = with_earlier_decoders(facts, tmp_path)
    assert facts.get("decoder") == (decoders or now) and facts["job"] == "train"
    assert (warning is None) == (decoders is None) and (warning is None or f"decoded by {decoders}:" in warning)


@pytest.mark.parametrize("text", [None, "[1]", '{"decoder": nul'])
def test_an_about_json_that_does_not_say_warns_of_nothing(tmp_path, text):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    if text:
        (tmp_path / "about.json").write_text(text)
    assert with_earlier_decoders({"decoder": "Pillow"}, tmp_path) == ({"decoder": "Pillow"}, None)
