"""Image files as browsers show them: as they are, or as a jpeg that looks as the program sees the image."""

import io
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from convscope.data import decoders
from convscope.data.decode import content, rgb
from convscope.data.pixel_depth import ORIENTATION, upright_size

SHOWN = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP")  # formats that every browser shows
TURNED = ("JPEG", "MPO")  # formats that every browser turns by EXIF
LARGEST, LONGEST_SIDE = 24 * 10**6, 3000  # pixels of an image above which a copy stands for it, and of the copy's side


class BrowserImage(NamedTuple):
    """Width and height of the upright image, and a copy of it where browsers cannot show the file itself."""

    width: int
    height: int
    jpeg: bytes | None


def browser_image(path: Path, copies: bool = False) -> BrowserImage:
    """The image of a file for a page. copies: makes a jpeg of every image. Raises Unreadable."""
    has_better_reasons = suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # rgb, below
    with has_better_reasons, Image.open(path, formats=decoders.formats()) as image:
        if not copies and _is_shown(image):
            return BrowserImage(*upright_size(image), None)
    pixels = rgb(content(path))
    copy, jpeg = Image.fromarray(pixels), io.BytesIO()
    copy.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    copy.save(jpeg, "JPEG", quality=92)
    return BrowserImage(pixels.shape[1], pixels.shape[0], jpeg.getvalue())


def _is_shown(image: Image.Image) -> bool:
    """Whether browsers show the file, upright."""
    is_upright = image.format in TURNED or image.getexif().get(ORIENTATION, 1) == 1
    return image.format in SHOWN and is_upright and image.width * image.height <= LARGEST
