"""An image file, whatever its format, to RGB uint8 of the stored size."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError

try:
    from torchvision.io import ImageReadMode, decode_image
except ImportError:  # torchvision means to give its decoders up; PIL then reads JPEGs too, at two thirds of the speed
    decode_image = None

warnings.filterwarnings("ignore", "The image decoding and encoding capabilities", DeprecationWarning)  # see above


class Unreadable(Exception):
    """An image that cannot be decoded; says why."""


def decoded(path: Path, size: int) -> np.ndarray:
    """The image of a file as [size, size, 3] uint8 RGB: smallest side to `size`, then its center (section 3).

    Grey, CMYK, palette and 16-bit images become 8-bit RGB, transparent ones lie on white, a photograph's EXIF rotation
    is obeyed, an animation gives its first frame. Raises Unreadable.
    """
    try:
        return decoded_bytes(path.read_bytes(), size)
    except OSError as error:
        raise Unreadable(_reason(error)) from None


def decoded_bytes(data: bytes, size: int) -> np.ndarray:
    """The same of a file's content."""
    try:
        return fitted(_rgb(data), size)
    except (OSError, RuntimeError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no image, or of a format that is not known"
    return " ".join(str(error).split())[:200] or type(error).__name__


def fitted(image: np.ndarray, size: int) -> np.ndarray:
    """[h,w,3] uint8 to [size,size,3] uint8: smallest side to `size` (bilinear, antialiased), then the center."""
    h, w = image.shape[:2]
    if h == w == size:
        return np.ascontiguousarray(image)
    if min(h, w) != size:
        h, w = (size, max(size, round(w * size / h))) if h <= w else (max(size, round(h * size / w)), size)
        image = image if image.flags.writeable else image.copy()  # torch takes no memory that it may not write to
        nchw = torch.from_numpy(image).permute(2, 0, 1)[None]  # a view: channels_last, the fast case for uint8
        image = F.interpolate(nchw, (h, w), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    top, left = (h - size) // 2, (w - size) // 2
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def _rgb(data: bytes) -> np.ndarray:
    """[h,w,3] uint8; JPEGs by torchvision, which is the faster, all others and its failures by PIL."""
    if decode_image and data[:2] == b"\xff\xd8":
        try:
            return _jpeg(data)
        except RuntimeError:
            pass  # PIL reads some that torchvision does not, and gives better reasons
    with Image.open(io.BytesIO(data)) as image:
        return np.array(_eight_bit_rgb(ImageOps.exif_transpose(image)))


def _jpeg(data: bytes) -> np.ndarray:
    encoded = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    return decode_image(encoded, ImageReadMode.RGB, apply_exif_orientation=True).permute(1, 2, 0).numpy()


def _eight_bit_rgb(image: Image.Image) -> Image.Image:
    """PIL's own conversion clips 16-bit grey and shows what lies under transparent pixels; both are mended here."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
