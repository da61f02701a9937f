"""The libraries that decode images, and the names and first bytes of the files that they read.

JPEGs are decoded by torchcodec where it is installed, else by torchvision, whose decoders are deprecated, else by
Pillow at two thirds of their speed. All three read the same photographs; where they were built with different versions
of libjpeg, single grey levels differ. So a run records its decoder (about.json), and the cache keeps the images of each
decoder apart. All else is decoded by Pillow with its plugins, and by tifffile.
"""

import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module, metadata
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, features

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


# Formats of Pillow that are no photographs, or that it only recognizes; EPS would start another program.
_NO_PHOTOGRAPHS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_PLUGINS = {  # format of Pillow's plugin -> its library, the endings of its files
    "HEIF": ("pillow-heif", (".heic", ".heif", ".hif")),
    "JXL": ("pillow-jxl-plugin", (".jxl",)),
    "AVIF": ("pillow-avif-plugin", (".avif", ".avifs")),
}
RAW_ENDINGS = {".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw",
               ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"}  # fmt: skip
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"mif1"), "HEIF")
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*", b"\xff\x4f\xff\x51", b"8BPS", b"qoif", b"DDS ",
           b"\0\0\0\x0cjP  ")  # fmt: skip


@cache
def formats() -> list[str]:
    """The formats of Pillow and its installed plugins that are read."""
    Image.init()
    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    with suppress(ImportError):
        import_module("pillow_jxl")
    unreadable = set(_NO_PHOTOGRAPHS)
    if "avif" not in features.get_supported_modules():  # before Pillow 11.3, or built without libavif
        try:
            import_module("pillow_avif")
        except ImportError:
            unreadable.add("AVIF")
    return [name for name in Image.ID if name not in unreadable]


@cache
def endings() -> frozenset[str]:
    """Endings of the files that are images, also of those whose plugin is not installed."""
    readable_formats = formats()  # registers plugins and their endings
    readable = {ending for ending, name in Image.registered_extensions().items() if name in readable_formats}
    return frozenset(readable).union(*(names for _, names in _PLUGINS.values()))


def format_of(start: bytes) -> str:
    """The format that a plugin reads, "image" for any other image, "" for none. start: a file's first 16 bytes."""
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "")
    if start.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JXL"
    is_bitmap = start[:2] == b"BM" and start[6:10] == bytes(4)
    is_webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return "image" if is_bitmap or is_webp or start.startswith(_STARTS) else ""


def missing_endings() -> set[str]:
    """Endings of the files whose plugin is not installed."""
    return {ending for name, (_, names) in _PLUGINS.items() if name not in formats() for ending in names}


def missing_plugin(start: bytes) -> str:
    """What to install for a file that no decoder knows; "" where nothing would help."""
    name = format_of(start)
    library, names = _PLUGINS[name] if name in _PLUGINS and name not in formats() else ("", [""])
    return f"{names[0]} needs {library}; type pip install {library}" if library else ""


def decoder_versions() -> str:
    """The libraries that decode images, with their versions and formats."""
    names = ("pillow", "tifffile", "imagecodecs", "torchvision", "torchcodec", *(name for name, _ in _PLUGINS.values()))
    versions = [f"{name} {_version(name)}" for name in names]
    return " ".join([DECODER.name, *versions, *sorted(formats()), *features.get_supported_codecs()])


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "-"
