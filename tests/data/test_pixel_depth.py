"""Pixels of every depth, photometric and format, written by hand, against arithmetic on the numbers written."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.data.decode import Unreadable, described, rgb

SIDE = 9, 13  # rows and columns
WHITE, BLACK, COLORS, PALETTE, INKS = 0, 1, 2, 3, 5
KINDS = {"u": 1, "i": 2, "f": 3}


def tiff(values, photometric=BLACK, order="<", planar=False, packed=False, opacity=None, tags=()):
    """A TIFF of numbers [h, w, c] in one strip for each plane. opacity: what ExtraSamples says of the last number."""
    height, width, count = values.shape
    planes = np.moveaxis(values, 2, 0) if planar else values[None]
    strips = [plane.astype(values.dtype.newbyteorder(order)).tobytes() for plane in planes]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    bits, kind = values.dtype.itemsize * 8, KINDS[values.dtype.kind]
    entries = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * count), 259: ("H", [8 if packed else 1]),
               262: ("H", [photometric]), 277: ("H", [count]), 278: ("I", [height]), 284: ("H", [2 if planar else 1]),
               339: ("H", [kind] * count)}  # fmt: skip
    entries |= {338: ("H", [opacity])} if opacity is not None else {}
    entries |= dict(tags)
    start = 8 + sum(map(len, strips))
    offsets = 8 + np.cumsum([0, *map(len, strips)][:-1])
    entries |= {273: ("I", offsets.tolist()), 279: ("I", list(map(len, strips)))}
    directory, more = b"", b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, (form, numbers) in sorted(entries.items()):
        packed_numbers = struct.pack(f"{order}{len(numbers)}{form}", *numbers)
        if len(packed_numbers) > 4:
            place, more = struct.pack(f"{order}I", after + len(more)), more + packed_numbers
        else:
            place = packed_numbers.ljust(4, b"\0")
        directory += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4, "f": 11}[form], len(numbers)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    return head + b"".join(strips) + struct.pack(f"{order}H", len(entries)) + directory + bytes(4) + more


def drawn(seed, kind, low, high, count):
    """Numbers [h, w, count] of a kind, over all of the range and with both its ends."""
    draw = np.random.default_rng(seed)
    values = low + draw.random((*SIDE, count)) * (high - low)
    values.flat[:2] = low, high
    if np.dtype(kind).kind == "f":
        return values.astype(kind)
    return np.clip(np.rint(values), low, high).astype(kind)


# kind of number, and the ranges that its black and white may have
RANGES = {
    "u1": [(0, 255)], "u2": [(0, 65535)],
    "i1": [(-128, 127)], "i2": [(-32768, 32767), (0, 255), (0, 4095)],
    "u4": [(0, 255), (0, 65535), (0, 2**32 - 1)], "i4": [(0, 255), (0, 65535), (0, 1023), (-(2**31), 2**31 - 1)],
    "u8": [(0, 4095), (0, 65535), (0, 2**40 - 1)], "i8": [(0, 255), (-128, 127)],
    "f2": [(0, 1), (-1, 1), (0, 255)], "f4": [(0, 1), (0, 255), (0, 65535), (-1, 1), (0, 16)],
    "f8": [(0, 1), (0, 255), (0, 65535), (-4, 4)],
}  # fmt: skip
CASES = [(kind, *ends) for kind, ranges in RANGES.items() for ends in ranges]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(CASES), st.sampled_from([WHITE, BLACK, COLORS, INKS]), st.sampled_from("<>"), st.booleans(),
    st.booleans(), st.sampled_from([None, None, 0, 1, 2]), st.integers(0, 99),
)  # fmt: skip
def test_a_tiff_of_any_depth_and_photometric_has_its_levels(case, photometric, order, planar, packed, opacity, seed):
    kind, low, high = case
    colors = {COLORS: 3, INKS: 4}.get(photometric, 1)
    if colors == 4 or kind in ("u8", "i8"):
        opacity = None  # inks with opacity are unheard of, and so is opacity of 64 bits
    values = drawn(seed, kind, low, high, colors)
    shares = (values.astype(np.float64) - low) / (high - low)
    written = values
    if opacity is not None:
        top = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        share = np.random.default_rng(seed).random((*SIDE, 1)).round(1)
        last = (share * top).astype(values.dtype)
        share = last.astype(np.float64) / top
        if opacity == 1:  # colors are multiplied by it
            if low < 0:
                return  # and black would be below 0
            written = (values.astype(np.float64) * share).astype(values.dtype)
            written.flat[:2], share.flat[:2], last.flat[:2] = (low, high), 1, top
            shares = np.minimum((written.astype(np.float64) - low) / (high - low), 1)
            shares = np.divide(shares, share, where=share > 0, out=np.zeros_like(shares))
        written = np.concatenate([written, last], axis=2)
    if photometric == WHITE:
        shares = 1 - shares
        if opacity == 1:
            return  # multiplied negatives are unheard of
    if photometric == INKS:
        shares = (1 - shares[..., :3]) * (1 - shares[..., 3:])
    if opacity:
        shares = shares * share + 1 - share
    decoded = rgb(tiff(written, photometric, order, planar, packed, opacity))
    assert decoded.shape == (*SIDE, 3) and decoded.dtype == np.uint8
    assert np.abs(decoded - 255.0 * shares).max() <= 1 + (opacity == 1)
    assert described(tiff(written, photometric, order, planar, packed, opacity))[:2] == SIDE[::-1]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i2", "i4", "u4", "f4", "f8"])
def test_a_range_that_tags_declare_counts(kind, order):
    values = drawn(0, kind, 300, 900, 1)
    form = "f" if kind.startswith("f") else "I"
    data = tiff(values, order=order, tags=[(340, (form, [100])), (341, (form, [1100]))])
    assert np.abs(rgb(data) - 255 * (values - 100.0) / 1000).max() <= 1


def test_fractions_that_are_no_numbers_or_overshoot():
    values = drawn(0, "f4", 0, 1, 1)
    values[0, :5, 0] = np.nan, np.inf, -np.inf, 1.1, -0.1
    read = rgb(tiff(values))
    assert read[0, :5, 0].tolist() == [0, 255, 0, 255, 0]
    assert np.abs(read[1:] - 255 * values[1:]).max() <= 1
    assert not rgb(tiff(np.full((*SIDE, 1), np.nan, np.float32))).any()


def test_every_image_of_a_range_is_visible_and_the_largest_numbers_are_white():
    """Whatever the largest number of a signed or long one is, at least a fourth of the levels are used."""
    for kind in ("i2", "i4", "u4", "i8", "f4", "f8"):
        for high in (1, 3, 70, 255, 300, 5000, 20_000, 32_000, *([] if kind == "i2" else [70_000, 2**30])):
            values = drawn(1, kind, 0, high, 1)
            if np.dtype(kind).kind == "f" or high >= 255:
                assert rgb(tiff(values)).max() >= 63, (kind, high)


def png(depth, kind, values, clear=b""):
    """A PNG of numbers [h, w, c]: kind 0 grey, 2 RGB. clear: of its tRNS chunk."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b""
    for row in values.reshape(len(values), -1):
        bits = "".join(format(int(number), f"0{depth}b") for number in row)
        rows += b"\0" + int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, kind, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + (chunk(b"tRNS", clear) if clear else b"")
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth, count", [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (8, 3), (16, 3)])
@pytest.mark.parametrize("is_clear", [False, True])
def test_a_png_of_any_depth_has_its_levels_and_its_clear_color(depth, count, is_clear):
    values = np.random.default_rng(depth).integers(0, 2**depth, (*SIDE, count))
    clear = values[4, 4]
    data = png(depth, 2 if count == 3 else 0, values, struct.pack(f">{count}H", *clear) if is_clear else b"")
    expected = 255.0 * values / (2**depth - 1)
    if is_clear:
        expected = np.where((values == clear).all(2, keepdims=True), 255, expected)
    assert np.abs(rgb(data) - expected).max() <= 1


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([2, 3, 5, 6]), st.integers(1, 65535), st.integers(0, 99))
def test_a_pgm_or_ppm_of_any_largest_number_has_its_levels(kind, largest, seed):
    count = 3 if kind in (3, 6) else 1
    values = drawn(seed, "u2", 0, largest, count)
    head = f"P{kind} {SIDE[1]} {SIDE[0]} {largest}\n".encode()
    if kind in (2, 3):
        body = " ".join(map(str, values.ravel().tolist())).encode()
    else:
        body = values.astype(">u2" if largest > 255 else "u1").tobytes()
    assert np.abs(rgb(head + body) - 255.0 * values / largest).max() <= 1


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_a_lossless_jpeg_2000_has_its_levels(kind):
    values, file = drawn(0, kind, 0, np.iinfo(kind).max, 1), io.BytesIO()
    Image.fromarray(values[..., 0]).save(file, "JPEG2000", irreversible=False)
    assert np.abs(rgb(file.getvalue()) - values / np.iinfo(kind).max * 255).max() <= 1


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate", None])
@pytest.mark.parametrize("photometric", [WHITE, BLACK])
def test_compressions_of_deep_grey(mode, compression, photometric):
    kind, top = {"I;16": ("u2", 65535), "I": ("i4", 65535), "F": ("f4", 1)}[mode]
    values, file = drawn(0, kind, 0, top, 1), io.BytesIO()
    Image.fromarray(values[..., 0]).save(file, "TIFF", compression=compression)
    data = bytearray(file.getvalue())
    place = data.index(struct.pack("<HHI", 262, 3, 1)) + 8
    data[place : place + 2] = struct.pack("<H", photometric)
    expected = 255.0 * values / top
    assert np.abs(rgb(bytes(data)) - (255 - expected if photometric == WHITE else expected)).max() <= 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["u1", "u2", "f8"])
def test_a_turned_tiff_of_any_depth_stands_upright(kind, orientation):
    values = drawn(0, kind, 0, 1 if kind == "f8" else np.iinfo(kind).max, 1)
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    data = tiff(values, tags=[(274, ("H", [orientation]))])
    assert np.array_equal(rgb(data), np.rot90(rgb(tiff(values)), turns))
    assert described(data)[:2] == (SIDE if turns % 2 else SIDE[::-1])


def test_lab_is_the_color_of_its_lightness():
    """Neutral Lab, a = b = 0: L* of CIE is 116 times the cube root of luminance, less 16."""
    for lightness in (0, 40, 60, 100):
        values = np.zeros((*SIDE, 3), np.uint8)
        values[..., 0] = round(lightness * 2.55)
        luminance = ((lightness + 16) / 116) ** 3 if lightness > 8 else 0
        level = 12.92 * luminance if luminance <= 0.0031308 else 1.055 * luminance ** (1 / 2.4) - 0.055
        assert np.abs(rgb(tiff(values, 8)) - 255 * level).max() <= 3


def test_numbers_without_colors_are_told():
    with pytest.raises(Unreadable, match="it has 5 numbers a pixel, MINISBLACK; save it as grey or RGB"):
        rgb(tiff(drawn(0, "u2", 0, 65535, 5)))
    whole = tiff(drawn(0, "f8", 0, 1, 1))
    for length in range(0, len(whole), 37):
        try:
            assert rgb(whole[:length]).shape == (*SIDE, 3)
        except Unreadable as error:
            assert str(error).isprintable()
