"""Conversion of a source to a set for data=stream: decodes images, crops to the stored size, writes JPEG chunks."""

import io
import json
import os
import shutil
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from convscope.config import NewPathText, config
from convscope.data.classnames import folder_names, utf8_text
from convscope.data.decode import BadImage, Unreadable, bad_images_error, decoded, fitted
from convscope.data.passes import Moments, in_blocks
from convscope.data.sources import Files, Pixels, Source
from convscope.data.stream.chunks import Chunks, ChunkWriter
from convscope.data.stream.source import FORMAT, SET, SPLITS
from convscope.data.transforms import stored_size
from convscope.errors import UserError, reason_of

UNFINISHED = ".unfinished"


@config("convert")
class Conversion:
    """to: the new folder. quality: of the JPEGs, 1 to 100. chunk: images in a file."""

    to: NewPathText | None = None
    quality: Annotated[int, Field(ge=1, le=100, examples=[95])] = 95
    chunk: Annotated[int, Field(ge=1, examples=[1024])] = 1024


class ConvertedSplit(NamedTuple):
    """A split that was written. bad: the images left out. bytes: of all JPEGs. std: of the pixels, in grey levels."""

    split: str
    images: int
    bad: list[BadImage]
    bytes: int
    std: float
    seconds: float


class EncodedImage(NamedTuple):
    """An image at the stored size [R, R, 3] uint8, and its JPEG."""

    name: str
    label: int
    image: np.ndarray
    jpeg: bytes


@dataclass(frozen=True)
class SplitTask:
    """A split to be written. on_bad: the treatment of unreadable images."""

    split: Files | Pixels
    size: int
    quality: int
    on_bad: Literal["stop", "skip"]


def converted(
    source: Source, plan: Conversion, image_size: int, seed: int, on_bad: Literal["stop", "skip"]
) -> Iterator[ConvertedSplit]:
    """Writes plan.to and yields each split when it is written; data=stream accepts the folder after both.

    Training images go into chunks in a random order (seed), validation images in the order of the source. Raises
    UserError: a folder that holds something else, an unreadable image (on_bad=stop), a full disk.
    """
    folder, splits = _new_folder(plan), list[ConvertedSplit]()
    for name, split in zip(SPLITS, (source.train, source.val), strict=True):
        if isinstance(split, Chunks):
            raise UserError("data=stream is converted already; name the source it was made of, e.g. data=folder")
        if split.targets is not None:
            raise UserError("images that show several classes cannot be converted; train on them as they are")
        count = len(split.labels)
        order = np.random.default_rng(seed).permutation(count) if name == "train" else np.arange(count)
        task = SplitTask(split, stored_size(image_size), plan.quality, on_bad)
        try:
            splits.append(_written(name, task, order, ChunkWriter(folder / name, plan.chunk), folder / name))
        except OSError as error:
            raise UserError(f"convert.to={plan.to} cannot be written: {reason_of(error)}") from None
        yield splits[-1]
    facts = {
        split.split: {"images": split.images, "bytes": split.bytes, "std": split.std, "left_out": _left_out(split.bad)}
        for split in splits
    }
    names = {"classes": source.classes, "folders": folder_names(source.folders)}
    about = {"format": FORMAT, "image_size": image_size, "stored_size": stored_size(image_size),
             "quality": plan.quality, **names, **facts}  # fmt: skip
    part = folder / f"{SET}.part"
    part.write_text(json.dumps(about, indent=1))
    os.replace(part, folder / SET)
    (folder / UNFINISHED).unlink()


def _left_out(bad: list[BadImage]) -> dict[str, tuple[int, str]]:
    """Reason -> number and first name of the images left out: later some may be readable, and the set lacks them."""
    counts = Counter(image.reason for image in bad)
    first = {image.reason: utf8_text(image.path.name) for image in reversed(bad)}
    return {reason: (count, first[reason]) for reason, count in counts.most_common()}


def _new_folder(plan: Conversion) -> Path:
    """The folder with only a file that marks it as unfinished. Removes the files of an interrupted conversion."""
    assert plan.to is not None
    folder = Path(plan.to).expanduser()
    if (folder / SET).is_file():
        raise UserError(f"convert.to={plan.to} holds a converted set; remove it, or name another folder")
    if (folder / UNFINISHED).is_file():
        print(f"{folder} was left unfinished; the conversion starts over", flush=True)
        for name in SPLITS:
            shutil.rmtree(folder / name, ignore_errors=True)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"convert.to={plan.to} holds something else; name a new folder, or an empty one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / UNFINISHED).touch()
    except OSError as error:
        raise UserError(f"convert.to={plan.to} cannot be written: {reason_of(error)}") from None
    return folder


def _written(name: str, task: SplitTask, order: np.ndarray, writer: ChunkWriter, place: Path) -> ConvertedSplit:
    start, size, bad = time.perf_counter(), 0, list[BadImage]()
    moments, labels = Moments(task.size), array("i")
    for block in in_blocks(_reader(task, order), len(order), f"converting {name} to {task.size} x {task.size}"):
        images = [image for image in block if isinstance(image, EncodedImage)]
        bad += [image for image in block if isinstance(image, BadImage)]
        if bad and task.on_bad == "stop":
            raise bad_images_error(bad, len(labels) + len(block))
        for image in images:
            writer.add_(os.fsencode(image.name), image.jpeg)
            size += len(image.jpeg)
        if images:
            labels.extend(image.label for image in images)
            moments.add_(np.stack([image.image for image in images]))
    if not labels:
        raise UserError(f"none of the {len(order)} images of {name} can be read; the first: {bad[0][0]}: {bad[0][1]}")
    writer.finish_()
    mean, std = moments.statistics()
    np.save(place / "labels.npy", np.asarray(labels, np.int32))
    np.save(place / "mean.npy", mean)
    return ConvertedSplit(name, len(labels), bad, size, std, time.perf_counter() - start)


def _reader(task: SplitTask, order: np.ndarray) -> Callable[[int], EncodedImage | BadImage]:
    split = task.split

    def read(turn: int) -> EncodedImage | BadImage:
        number = int(order[turn])
        label = int(split.labels[number])
        if isinstance(split, Pixels):
            image = fitted(split.images[number], task.size)
            return EncodedImage(str(number), label, image, _jpeg(image, task.quality))
        path = split.paths[number]
        try:
            image = decoded(path, task.size)
        except Unreadable as error:
            return BadImage(path, str(error))
        return EncodedImage(path.name, label, image, _jpeg(image, task.quality))

    return read


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()
