"""A folder of masks: <folder>/<part>/<path of the image>.png, white where the part is.

The path may begin at any folder above the image, as long as it names one image alone: for photos/val/fox/1.jpg the mask
of the eyes is <folder>/eyes/val/fox/1.png, or <folder>/eyes/1.png where no other image has this name. A mask has the
size of its image, and goes through the same scaling and center crop.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.data.classnames import utf8_text
from convscope.data.decode import Unreadable, content, described, fitted
from convscope.data.images import Images, SplitName
from convscope.data.masked_images import Choice, MaskedImages, chosen_paths, photographs
from convscope.data.module import ImageData
from convscope.data.part_masks import Masks
from convscope.data.sources import Files
from convscope.data.transforms import stored_size
from convscope.errors import UserError, reason_of

LAYOUT = "<folder>/<part>/<path of the image>.png, white where the part is"
_Path = tuple[str, ...]  # folders and the name without its ending


def images_of_folder(data: Images, folder: str, split: SplitName, choice: Choice, seed: int) -> MaskedImages:
    """Photographs of a split that have masks in the folder.

    An image with a mask of some parts shows no others; one without any is left out. Numbers count the images that have
    masks. Raises UserError for a folder of another layout, for masks that fit no image or two, and for a mask that
    cannot be read or is not as large as its image.
    """
    place = Path(folder).expanduser()
    masks = _mask_files(place)
    parts = sorted({part for of_image in masks.values() for part in of_image})
    originals = data.originals(split) if isinstance(data, ImageData) else None
    if not isinstance(originals, Files):
        raise UserError(f"{folder}: masks are found by the paths of image files, and these images have none")
    matches = _matches(originals.paths, masks, place)
    paths = chosen_paths(list(matches), choice, seed, folder)
    settings = data.settings
    stored = settings.stored or stored_size(settings.image_size)

    def draw(numbers: list[int]) -> Masks:
        size = settings.image_size
        drawn = np.zeros((len(numbers), len(parts), size, size), np.bool_)
        for at, number in enumerate(numbers):
            for part, file in masks[matches[paths[number]]].items():
                drawn[at, parts.index(part)] = _mask(file, paths[number], size, stored)
        return drawn

    unmasked, unused = len(originals.paths) - len(matches), len(masks) - len(matches)
    counts = [(unmasked, f"images of {split} without a mask left out"), (unused, "masked paths name no image of it")]
    note = ", ".join(f"{number} {words}" for number, words in counts if number)
    return photographs(data, paths, parts, draw)._replace(note=note)


def _mask_files(folder: Path) -> dict[_Path, dict[str, Path]]:
    """Path of an image -> part -> its mask."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of masks; needed is {LAYOUT}")
    masks: dict[_Path, dict[str, Path]] = {}
    for part in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for file in sorted(part.rglob("*")):
            if file.suffix.lower() == ".png" and not file.name.startswith("."):
                masks.setdefault(_plain(file.relative_to(part)), {})[utf8_text(part.name)] = file
    if not masks:
        raise UserError(f"{folder} holds no masks; needed is {LAYOUT}")
    return masks


def _plain(path: Path) -> _Path:
    return tuple(unicodedata.normalize("NFC", utf8_text(name)) for name in path.with_suffix("").parts)


def _matches(paths: Sequence[Path], masks: Mapping[_Path, Any], folder: Path) -> dict[Path, _Path]:
    """Image -> the longest path of masks that its own path ends with; without images that have none."""
    deepest, matches, owners = max(map(len, masks)), dict[Path, _Path](), dict[_Path, Path]()
    for path in dict.fromkeys(paths):
        names = _plain(path)
        ends = (names[start:] for start in range(max(0, len(names) - deepest), len(names)))
        if (end := next((end for end in ends if end in masks), None)) is None:
            continue
        if end in owners:
            name = "/".join(end)
            raise UserError(
                f"{folder}: the masks {name}.png fit two images, {owners[end]} and {path}; put them into folders as "
                "the images"
            )
        matches[path], owners[end] = end, path
    if not matches:
        example = "/".join(next(iter(masks)))
        raise UserError(
            f"{folder}: none of its {len(masks)} masked paths, such as {example}.png, names one of the {len(paths)} "
            f"images, such as {paths[0]}; needed is {LAYOUT}"
        )
    return matches


def _mask(file: Path, path: Path, image_size: int, stored: int) -> NDArray[np.bool_]:
    """[image_size, image_size]: the mask of a file after the scaling and the crops that its image goes through."""
    try:
        width, height = described(content(path))[:2]
        with Image.open(file, formats=["PNG"]) as image:
            if image.size != (width, height):
                sizes = [" x ".join(map(str, size)) for size in (image.size, (width, height))]
                raise UserError(f"{file} is {sizes[0]} pixels and its image {path} {sizes[1]}; make them as large")
            levels = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Unreadable, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read: {reason_of(error)}; mend it, or take it out of the folder") from None
    if levels.ndim == 3:  # a transparent pixel is none of the part
        has_alpha = levels.shape[2] in (2, 4)
        opaque = levels[..., -1:] > 0 if has_alpha else np.ones_like(levels[..., :1])
        levels = ((levels[..., :-1] if has_alpha else levels) * opaque).any(2)
    mask = fitted(np.where(levels, 255, 0).astype(np.uint8)[..., None], stored)[..., 0] > 127
    start = (stored - image_size) // 2
    return mask[start : start + image_size, start : start + image_size]
