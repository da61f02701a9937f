"""Image files of any format to RGB uint8 of the stored size, and the errors that name unreadable ones."""

import io
import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError

from convscope.data import decoders
from convscope.data.pixel_depth import (
    TIFF_STARTS,
    eight_bit_rgb,
    is_unusual_tiff,
    tiff_head,
    tiff_page,
    tiff_rgb,
    upright_size,
)
from convscope.errors import UserError, reason_of

NAMED_IN_ERROR = 3  # bad images that an error names; it counts the others


class BadImage(NamedTuple):
    """An image that cannot be read, and the reason."""

    path: Path
    reason: str

    @property
    def name(self) -> str:
        """The path in one line of plain text."""
        return printable(self.path)


def printable(path: Path | str) -> str:
    """The name in one line of plain text: characters that no terminal shows, such as line breaks, are escaped."""
    name = str(path)
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def bad_images_error(bad: Sequence[BadImage | tuple[Path, str]], read: int) -> UserError:
    """The error of on_bad_image=stop: names the first bad images among the `read` images read so far."""
    reasons = [f"{printable(path)} cannot be read: {reason}" for path, reason in bad[:1]]
    if len(bad) == 1:
        return UserError(f"{reasons[0]}; mend or remove it, or type data.on_bad_image=skip")
    reasons += [f"{printable(path)}: {reason}" for path, reason in bad[1:NAMED_IN_ERROR]]
    more = f"; and {len(bad) - NAMED_IN_ERROR} more" if len(bad) > NAMED_IN_ERROR else ""
    return UserError(
        f"{'; '.join(reasons)}{more} ({len(bad)} bad ones among the {read} images read so far); mend or remove them, "
        "type data.on_bad_image=skip, or list all by job=check_data"
    )


def check_plugins(paths: Sequence[Path]) -> None:
    """Raises UserError for the first image that needs a library, by its ending and content, before all are decoded."""
    endings = decoders.missing_endings()
    for path in paths if endings else ():
        if path.suffix.lower() in endings:
            with suppress(OSError), open(path, "rb") as file:
                if reason := decoders.missing_plugin(file.read(16)):
                    count = sum(other.suffix.lower() in endings for other in paths)
                    raise bad_images_error([(path, f"{reason} ({count:,} such files)")], count)


warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MOST_PIXELS decides
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # about EXIF tags

MOST_PIXELS = 2**27  # 134 million: cameras make 100, a bomb of a few kilobytes any number. As RGB they take 0.4 GB
Interpolation = Literal["bilinear", "bicubic"]
LONGEST = 8  # long side over short: of a longer image only the middle is enlarged, or 1 x 5000 pixels would take 1 GB


class Unreadable(Exception):
    """An image that cannot be decoded. str(): the reason.

    is_lasting: whether the reason lies in the file's bytes: it holds as long as they and the decoders are the same.
    """

    def __init__(self, reason: str, is_lasting: bool = True):
        super().__init__(reason)
        self.is_lasting = is_lasting


def decoded(path: Path, size: int, interpolation: Interpolation = "bilinear") -> np.ndarray:
    """The image of a file as [size, size, 3] uint8 RGB: smallest side to `size`, then its center (section 3).

    Grey, CMYK, palette and 16-bit images become 8-bit RGB, transparent ones lie on white, a photograph's EXIF rotation
    is applied, an animation gives its first frame. The content decides on the format, not the name. Raises Unreadable.
    """
    return fitted(rgb(content(path)), size, interpolation)


def content(path: Path) -> bytes:
    """The bytes of a file. Raises Unreadable: the file is missing, no file, empty, or without permission to read."""
    try:
        if not path.is_file() and path.exists():
            raise Unreadable("it is no file", is_lasting=False)  # reading a pipe would wait for ever
        data = path.read_bytes()
    except OSError as error:
        reason = _gone(path) if isinstance(error, FileNotFoundError) else _reason(error)
        raise Unreadable(reason, is_lasting=False) from None
    if not data:
        raise Unreadable("the file is empty")
    return data


def decoded_bytes(data: bytes, size: int) -> np.ndarray:
    """The image of a file's content as [size, size, 3] uint8 RGB, see `decoded`. Raises Unreadable."""
    return fitted(rgb(data), size)


def rgb(data: bytes) -> np.ndarray:
    """The image of a file's content as [h, w, 3] uint8 RGB, uncropped, see `decoded`. Raises Unreadable."""
    try:
        return _rgb(data)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable(_no_image(data)) from None
    except Exception as error:  # on damaged bytes decoders raise anything: struct.error, KeyError, MemoryError ...
        raise Unreadable(_reason(error), is_lasting=not _is_of_machine(error)) from None


def _is_of_machine(error: Exception) -> bool:
    """Whether an error may be gone at the next try: no memory, too many open files; decoders' own have no number."""
    return isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) is not None


def fingerprint(path: Path) -> list[int] | None:
    """Numbers that change when the file is mended in whatever way; None for a file that cannot be looked at."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def described(data: bytes) -> tuple[int, int, str]:
    """Width and height of the upright image (EXIF rotation applied), and Pillow's mode. Raises Unreadable."""
    try:
        with Image.open(io.BytesIO(data), formats=decoders.formats()) as image:
            return *upright_size(image), f"{image.mode}, transparent" if image.has_transparency_data else image.mode
    except UnidentifiedImageError:
        if not data.startswith(TIFF_STARTS):
            raise Unreadable(_no_image(data)) from None
    except Exception as error:  # as above
        raise Unreadable(_reason(error)) from None
    try:
        with tiff_page(data) as page:
            return tiff_head(page)
    except Exception as error:
        raise Unreadable(_reason(error)) from None


def _gone(path: Path) -> str:
    if path.is_symlink():
        return "a link to a file that is not there"
    return "No such file or directory" if path.parent.is_dir() else f"its folder {path.parent.name} is gone"


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        pixels = re.search(r"\d{9,}", str(error))
        return _too_large(int(pixels[0])) if pixels else "it has too many pixels"
    if isinstance(error, TypeError | AttributeError | LookupError | AssertionError):  # words about the decoder's code
        return f"it is damaged ({type(error).__name__})"
    return reason_of(getattr(error, "strerror", None) or error)


def _no_image(data: bytes) -> str:
    start = data[:200].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a web page, no image; its download may have failed"
    return decoders.missing_plugin(data[:16]) or "it is no image, or of a format that is not known"


def _too_large(pixels: int) -> str:
    return f"it has {pixels:,} pixels, at most {MOST_PIXELS:,} are read (a decompression bomb?); make it smaller"


def fitted(image: np.ndarray, size: int, interpolation: Interpolation = "bilinear") -> np.ndarray:
    """[h,w,C] uint8 to [size,size,C] uint8: smallest side to `size`, then the center."""
    image = resized(image, size, interpolation)
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def resized(image: np.ndarray, size: int, interpolation: Interpolation = "bilinear") -> np.ndarray:
    """[h,w,C] uint8 to the same image with `size` as its smallest side, antialiased.

    Of an image more than LONGEST times as long as wide, only the middle.
    """
    image = _middle(image)
    h, w = image.shape[:2]
    if min(h, w) == size:
        return image
    h, w = (size, max(size, round(w * size / h))) if h <= w else (max(size, round(h * size / w)), size)
    image = image if image.flags.writeable else image.copy()  # torch takes no memory that it may not write to
    nchw = torch.from_numpy(image).permute(2, 0, 1)[None]  # a view: channels_last, the fast case for uint8
    return F.interpolate(nchw, (h, w), mode=interpolation, antialias=True)[0].permute(1, 2, 0).numpy()


def _middle(image: np.ndarray) -> np.ndarray:
    """The middle of an image that is more than LONGEST times as long as wide; a shorter image unchanged."""
    longest = LONGEST * min(image.shape[:2])
    top, left = (max(0, (side - longest) // 2) for side in image.shape[:2])
    return image[top : image.shape[0] - top, left : image.shape[1] - left]


def _rgb(data: bytes) -> np.ndarray:
    """[h,w,3] uint8; JPEGs by decoders.DECODER, unusual TIFFs by tifffile, all else and JPEGs that fail by PIL."""
    try:
        with Image.open(io.BytesIO(data), formats=decoders.formats()) as image:  # reads the header only
            _check_size(image.width * image.height)
            if decoders.DECODER.read and data[:2] == b"\xff\xd8":
                with suppress(RuntimeError, ValueError):  # PIL reads some of those, and gives better reasons
                    return decoders.DECODER.read(data)
            if not is_unusual_tiff(image):
                return np.array(eight_bit_rgb(image))
    except UnidentifiedImageError:
        if not data.startswith(TIFF_STARTS):
            raise
    with tiff_page(data) as page:
        _check_size(max(page.imagewidth * page.imagelength, page.nbytes // 16))  # many numbers a pixel count, too
        return tiff_rgb(page, data)


def _check_size(pixels: int) -> None:
    if pixels > MOST_PIXELS:
        raise Unreadable(_too_large(pixels))
