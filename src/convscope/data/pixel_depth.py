"""Pixels of any depth as 8-bit RGB.

Whole numbers without a sign are levels of their depth: of 12 bits, 0 is black and 4,095 white. Numbers with a sign,
with 32 bits or more, and fractions have no depth: see `range_of`.
"""

import io
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BITS, PHOTOMETRIC, ORIENTATION, PLANES, SAMPLE_FORMAT, LOWEST, HIGHEST = 258, 262, 274, 284, 339, 340, 341  # tags
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK = 0, 1, 2, 3, 5  # TIFF's photometric interpretations
COLORS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4}  # numbers of a pixel
ASSOCIATED, UNASSOCIATED = 1, 2  # TIFF's kinds of opacity: colors are multiplied by it, or not
QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
CONTIGUOUS = 1  # the numbers of a pixel stand together
USUAL = (1, 255, 65535)  # ranges that images are computed in; what sharpens or resizes them leaves the range a little
Range = tuple[float, float]

for library in ("tifffile", "PIL"):
    logging.getLogger(library).setLevel(logging.CRITICAL)  # damage is an error of the image, not a line of its own


class Samples(NamedTuple):
    """Numbers as a file has them. colors: [h, w, 1] grey, [h, w, 3] RGB or [h, w, 4] CMYK. opacity: [h, w], 0 to 1.

    range: the numbers of black and white; None: not known. is_multiplied: whether colors are multiplied by opacity.
    """

    colors: np.ndarray
    photometric: int
    range: Range | None
    opacity: np.ndarray | None = None
    is_multiplied: bool = False


def range_of(values: np.ndarray) -> Range:
    """The numbers of black and white where a file does not say them: the smallest usual range that holds all values.

    0 to 255, 1,023, 4,095 ... (8, 10, 12 ... bits); for fractions before these 0 to 1, 4, 16, 64. With values below 0
    the range is as wide below 0. Fractions may leave 0 to 1, 255 and 65,535 by an eighth.
    """
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    is_whole = values.dtype.kind in "iu"
    for top in chain(() if is_whole else (1, 4, 16, 64), _whole_tops()):
        excess = 0 if is_whole or top not in USUAL else top / 8
        if low >= -excess and high <= top + excess:
            return 0, top
        bottom, signed_top = (-(top + 1) / 2, (top - 1) / 2) if is_whole else (-top, top)
        if low >= bottom - excess and high <= signed_top + excess:
            return bottom, signed_top
    return low, high


def _whole_tops() -> Iterator[int]:
    """The largest numbers of 8, 10, 12 ... bits, up to the largest of float32."""
    return (4**half - 1 for half in range(4, 64))


def rgb_of(samples: Samples) -> np.ndarray:
    """[h, w, 3] uint8 on white. Numbers beyond the range are black or white; what is no number is black."""
    low, high = samples.range or range_of(samples.colors)
    shares = (samples.colors.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    shares = np.clip(np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    if samples.photometric == WHITE_IS_ZERO:
        shares = 1 - shares
    if samples.photometric == CMYK:
        shares = (1 - shares[..., :3]) * (1 - shares[..., 3:])
    if samples.opacity is not None:
        opacity = samples.opacity[..., None]
        shares = np.minimum((shares if samples.is_multiplied else shares * opacity) + 1 - opacity, 1)
    levels = np.rint(shares * 255).astype(np.uint8)
    return levels.repeat(3, axis=2) if levels.shape[2] == 1 else levels


def eight_bit_rgb(image: Image.Image) -> Image.Image:
    """An image that Pillow has opened and not loaded yet, as RGB on white, upright by its EXIF rotation.

    Pillow's own conversion clips deep grey and shows the colors of transparent pixels.
    """
    _scale_transparency_(image)
    orientation = image.getexif().get(ORIENTATION, 1)
    image.load()
    if image.format == "TIFF":
        orientation = 1  # Pillow has turned it
    return upright(_converted(image), orientation)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image that Pillow has opened, EXIF rotation applied."""
    width, height = image.size
    is_turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in QUARTER_TURNS  # Pillow turns TIFFs
    return (height, width) if is_turned else (width, height)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned as EXIF's orientation, 1 to 8, says."""
    image.getexif()[ORIENTATION] = orientation
    return ImageOps.exif_transpose(image)


def _converted(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        has_depth = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG"))
        values, clear = np.asarray(image), image.info.get("transparency")
        opacity = (values != clear).astype(np.float32) if isinstance(clear, int) else None
        samples = Samples(values[..., None], BLACK_IS_ZERO, (0, 65535) if has_depth else None, opacity)
        return Image.fromarray(rgb_of(samples))
    if image.mode == "LAB":
        return _rgb_of_lab(image)
    if image.mode == "La":  # multiplied by its opacity
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _scale_transparency_(image: Image.Image) -> None:
    """A PNG names its clear color in its own depth, and Pillow compares it with pixels of 8 bits."""
    clear, tiles = image.info.get("transparency"), getattr(image, "tile", ())
    if image.format != "PNG" or image.mode not in ("1", "L", "RGB") or clear is None or not tiles:
        return
    stored = tiles[0][3][0] if isinstance(tiles[0][3], tuple) else tiles[0][3]
    scale = {"1": 255, "L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}.get(str(stored), 1)
    scaled = [int(level * scale) for level in np.ravel(clear)]
    image.info["transparency"] = tuple(scaled) if isinstance(clear, tuple) else scaled[0]


def _rgb_of_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    to_rgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    converted = ImageCms.applyTransform(image, to_rgb)
    assert converted is not None
    return converted


class UnknownPixels(Exception):
    """A TIFF whose numbers or colors cannot become RGB. str(): the reason."""


def is_unusual_tiff(image: Image.Image) -> bool:
    """Whether an image that Pillow has opened is a TIFF of more than 8 bits, with signs, or with its colors apart.

    Pillow misreads some of them.
    """
    if image.format != "TIFF":
        return False
    tags: Any = getattr(image, "tag_v2", {})
    is_apart = tags.get(PLANES, CONTIGUOUS) != CONTIGUOUS
    return is_apart or max(tags.get(BITS, (1,))) > 8 or set(tags.get(SAMPLE_FORMAT, (1,))) != {1}


@contextmanager
def tiff_page(data: bytes) -> Iterator[Any]:
    """The first image of a TIFF as tifffile describes it. Raises errors of any kind for damaged bytes."""
    from tifffile import TiffFile

    with TiffFile(io.BytesIO(data)) as file:
        yield file.pages[0]


def tiff_head(page: Any) -> tuple[int, int, str]:
    """Width and height of the upright image, and its numbers in words."""
    kind = {"u": "unsigned", "i": "signed", "f": "fractions"}.get(np.dtype(page.dtype).kind, "unknown")
    width, height = page.imagewidth, page.imagelength
    if _orientation(page) in QUARTER_TURNS:
        width, height = height, width
    return width, height, f"{page.bitspersample} bits, {kind}"


def tiff_rgb(page: Any, data: bytes) -> np.ndarray:
    """[h, w, 3] uint8, upright. data: of the whole file.

    Raises UnknownPixels where the numbers cannot become colors, and errors of any kind for damaged bytes.
    """
    try:
        numbers = page.asarray()
    except (KeyError, ValueError, ImportError, NotImplementedError) as error:
        if isinstance(error, ImportError) or "imagecodecs" in str(error):
            return np.array(_unpacked_by_pillow(page, data))
        raise
    return np.array(upright(Image.fromarray(rgb_of(_samples(page, numbers))), _orientation(page)))


def _unpacked_by_pillow(page: Any, data: bytes) -> Image.Image:
    """The image, upright, of a TIFF whose compression tifffile does not know by itself, such as LZW."""
    plain, is_deep = bytearray(data), page.bitspersample > 8
    if page.photometric == WHITE_IS_ZERO and is_deep:  # Pillow would know fewer depths, and give negatives of others
        place = page.tags[PHOTOMETRIC].valueoffset
        plain[place : place + 2] = struct.pack(f"{page.parent.byteorder}H", BLACK_IS_ZERO)
    with suppress(UnidentifiedImageError), Image.open(io.BytesIO(plain), formats=["TIFF"]) as image:
        if image.mode.startswith("I") or image.mode == "F":
            numbers = np.asarray(image)
            numbers = numbers.view(np.uint32) if page.dtype == np.uint32 else numbers
            return Image.fromarray(rgb_of(_samples(page, numbers)))
        if page.planarconfig == CONTIGUOUS or not is_deep:
            return eight_bit_rgb(image)
    packing = f"{page.bitspersample} bits a number and compression {page.compression.name}"
    raise UnknownPixels(f"its {packing} need imagecodecs; type pip install imagecodecs")


def _samples(page: Any, numbers: np.ndarray) -> Samples:
    if not numbers.size:
        raise UnknownPixels("it is damaged: it has no pixels")
    if page.axes == "SYX" and numbers.ndim == 3:
        numbers = np.moveaxis(numbers, 0, 2)
    numbers = numbers[..., None] if numbers.ndim == 2 else numbers
    photometric, count, extra = int(page.photometric), numbers.shape[-1], [int(kind) for kind in page.extrasamples]
    if photometric == BLACK_IS_ZERO and count == 3 and not any(extra):  # as GDAL writes colors
        photometric = RGB
    colors = COLORS.get(photometric, 0)
    if numbers.ndim != 3 or not colors or count < colors or (colors == 1 and count > 2):
        name = getattr(page.photometric, "name", page.photometric)
        raise UnknownPixels(f"it has {count} numbers a pixel, {name}; save it as grey or RGB")
    depth = (0, 2**page.bitspersample - 1) if numbers.dtype.kind in "ub" and page.bitspersample <= 16 else None
    if photometric == PALETTE:
        numbers, depth, photometric = np.moveaxis(page.colormap[:, numbers[..., 0]], 0, 2), (0, 65535), RGB
    opacity, kind = None, extra[0] if extra else UNASSOCIATED if (colors, count) == (3, 4) else 0
    if kind in (ASSOCIATED, UNASSOCIATED) and count > colors:
        low, high = depth or ((0, 1) if numbers.dtype.kind == "f" else (0, np.iinfo(numbers.dtype).max))
        opacity = np.clip((numbers[..., colors].astype(np.float32) - low) / (high - low), 0, 1)
    declared = _declared_range(page) if numbers.dtype.itemsize > 1 else None
    return Samples(numbers[..., :colors], photometric, declared or depth, opacity, kind == ASSOCIATED)


def _declared_range(page: Any) -> Range | None:
    """The range that the tags declare; the widest where colors differ."""
    lowest, highest = (np.ravel(page.tags[tag].value) if tag in page.tags else () for tag in (LOWEST, HIGHEST))
    low, high = float(min(lowest, default=0)), float(max(highest, default=0))
    return (low, high) if np.isfinite((low, high)).all() and low < high else None


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag else 1
