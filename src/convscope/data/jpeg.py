"""The library that decodes JPEGs: torchcodec where it is installed, else torchvision, whose decoders are deprecated,
else Pillow at two thirds of their speed.

All three read the same photographs; where they were built with different versions of libjpeg, single grey levels
differ. So a run records its decoder (about.json), and the cache keeps the images of each decoder apart.
"""

import io
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

warnings.filterwarnings("ignore", "The image decoding and encoding capabilities", DeprecationWarning)


class Decoder(NamedTuple):
    """read: a JPEG's content to [h, w, 3] uint8 RGB with its EXIF rotation applied; raises RuntimeError or ValueError.

    None: Pillow reads JPEGs like all other formats.
    """

    name: str
    read: Callable[[bytes], np.ndarray] | None


def _torchcodec() -> Callable[[bytes], np.ndarray]:
    from torchcodec.decoders import decode_image  # from version 0.16 on

    def read(data: bytes) -> np.ndarray:
        return decode_image(data, mode="RGB").permute(1, 2, 0).numpy()

    return read


def _torchvision() -> Callable[[bytes], np.ndarray]:
    from torchvision.io import ImageReadMode, decode_image

    def read(data: bytes) -> np.ndarray:
        encoded = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
        return decode_image(encoded, ImageReadMode.RGB, apply_exif_orientation=True).permute(1, 2, 0).numpy()

    return read


def best_decoder() -> Decoder:
    """The first of the three libraries that can be loaded and reads a JPEG."""
    sample = io.BytesIO()
    Image.new("RGB", (8, 8)).save(sample, "JPEG")
    for name, load in (("torchcodec", _torchcodec), ("torchvision", _torchvision)):
        try:
            read = load()
            read(sample.getvalue())
        except (ImportError, OSError, RuntimeError):  # absent, made for another torch, or built without libjpeg
            continue
        return Decoder(name, read)
    return Decoder("Pillow", None)


DECODER = best_decoder()
