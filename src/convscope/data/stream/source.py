"""data=stream: a set that job=convert has written, in a folder or in an object store.

<set>/set.json, written last, has the class names, the stored size and the numbers of images;
<set>/{train,val}/ have chunk-*.bin, index.json (both litdata's), labels.npy and mean.npy.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from convscope.data.decode import printable
from convscope.data.passes import Statistics
from convscope.data.sampler import LANE_CHUNKS, LANES
from convscope.data.sources import Source
from convscope.data.stream.chunks import ChunkFiles, Chunks
from convscope.data.stream.stores import STORES, StoreCache
from convscope.data.transforms import stored_size
from convscope.errors import UserError, reason_of
from convscope.models.untrusted import class_names_problem

SET, FORMAT = "set.json", 1
SPLITS = ("train", "val")
SMALL_FILES = ("index.json", "labels.npy", "mean.npy")


class SetPlace(NamedTuple):
    """Where a set lies. url: of a remote set, whose files come into `folder`. limit: bytes of chunks there."""

    folder: Path
    url: str | None = None
    limit: float = 0.0

    def part(self, name: str) -> "SetPlace":
        """The place of a split."""
        return SetPlace(self.folder / name, self.url and f"{self.url}/{name}", self.limit)

    def store(self) -> StoreCache | None:
        return StoreCache(self.url, self.folder, self.limit) if self.url else None


def stream(root: str | Path | None, image_size: int, cache: Path, gib: float) -> Source:
    """The set at `root`, a folder or a URL, for nets of image_size. gib: limit of remote chunks in the folder `cache`.

    Raises UserError: no such set, an unfinished or damaged set, another stored size, a cache that is too small.
    """
    if root is None:
        raise UserError("data=stream needs a set that job=convert has made: type data.root=<its folder or URL>")
    place = _place(str(root), cache, gib)
    about = _about(str(root), place)
    needed = stored_size(image_size)
    if about["stored_size"] != needed:
        raise UserError(
            f"data.root={root}: its images are stored at {about['stored_size']} x {about['stored_size']} pixels, for "
            f"data.image_size={about['image_size']}; data.image_size={image_size} needs {needed}: type "
            f"data.image_size={about['image_size']}, or convert the images again"
        )
    train, val = (_split(place.part(name), about, name, needed) for name in SPLITS)
    return Source(about["classes"], train, val, about.get("folders", ()), _remarks(about))


def _remarks(about: Mapping[str, Any]) -> list[str]:
    """One line on the images that could not be read when the set was converted; none where all could."""
    left_out = [item for name in SPLITS for item in (about[name].get("left_out") or {}).items()]
    total = sum(count for _, (count, _) in left_out)
    reasons = [f"{printable(reason)} ({count}, e.g. {printable(name)})" for reason, (count, name) in left_out[:3]]
    more = ", ..." if left_out[3:] else ""
    lines = f"{total} images could not be read when the set was converted: {', '.join(reasons)}{more}"
    return [f"{lines}; where they can be now, convert it anew"] if total else []


def _place(root: str, cache: Path, gib: float) -> SetPlace:
    if root.startswith(STORES):
        folder = cache / f"stream-{hashlib.sha1(root.rstrip('/').encode()).hexdigest()[:16]}"
        try:
            for name in SPLITS:
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"data.cache_dir={cache}: {error.strerror or error}"
            raise UserError(f"{reason}; chunks of {root} are kept there: name another folder") from None
        return SetPlace(folder, root.rstrip("/"), gib * 2**30)
    if "://" in root:
        raise UserError(f"data.root={root} is of no known kind; possible: a folder, or {' '.join(STORES)}...")
    place = Path(root).expanduser()
    if not place.is_dir():
        raise UserError(f"data.root={root} is no folder; name one that job=convert has made, or a URL such as s3://...")
    return SetPlace(place)


def _about(root: str, place: SetPlace) -> dict[str, Any]:
    """The content of set.json. That of a remote set is fetched each time; after a change, old files are removed."""
    if place.url:
        with FileLock(place.folder / ".lock"):
            _fetch_set_json(place)
    path = place.folder / SET
    if not path.is_file():
        half = " (a conversion into it was not finished)" if (place.folder / ".unfinished").is_file() else ""
        raise UserError(
            f"data.root={root} is no converted set{half}: it has no {SET}; make one by job=convert data=folder "
            "data.root=<photographs> convert.to=<folder>, or read photographs as they are by data=folder"
        )
    try:
        about = json.loads(path.read_text())
        if about["format"] == FORMAT:
            if problem := class_names_problem(about["classes"], about.get("folders", [])):
                raise ValueError(problem)
            return about
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged; copy it there again, or convert the set anew") from None
    raise UserError(f"{path} is of format {about['format']}, this program reads {FORMAT}; convert the set anew")


def _fetch_set_json(place: SetPlace) -> None:
    path = place.folder / SET
    before = path.read_bytes() if path.is_file() else None
    path.unlink(missing_ok=True)
    store = place.store()
    assert store is not None
    store.bring(SET)
    if path.read_bytes() != before:
        for name in SPLITS:
            for old in (place.folder / name).glob("*.*"):
                old.unlink(missing_ok=True)


def _split(place: SetPlace, about: dict[str, Any], name: str, size: int) -> Chunks:
    store = place.store()
    if store:
        for file in SMALL_FILES:
            store.bring(file)
    try:
        chunks = json.loads((place.folder / "index.json").read_text())["chunks"]
        names, counts = [chunk["filename"] for chunk in chunks], [chunk["chunk_size"] for chunk in chunks]
        labels = np.load(place.folder / "labels.npy", mmap_mode="r")
        mean, std = np.load(place.folder / "mean.npy"), float(about[name]["std"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{place.folder} is damaged: {reason_of(error)}; copy it there again, or convert the set anew"
        ) from None
    if not len(labels) == sum(counts) == about[name]["images"]:
        raise UserError(f"{place.folder} is damaged: {sum(counts)} images, {len(labels)} labels; convert the set anew")
    sizes = [chunk["chunk_bytes"] for chunk in chunks]
    if store:
        _check_limit(place, sizes)
    else:
        _check_sizes(place.folder, dict(zip(names, sizes, strict=True)))
    files = ChunkFiles(place.folder, names, np.array(counts), store)
    return Chunks(files, labels, size, Statistics(mean, std))


def _check_sizes(folder: Path, sizes: dict[str, int]) -> None:
    """Raises UserError, which names a chunk that is missing or cut off, before any training."""
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            damage = f"has {path.stat().st_size} bytes, needs {size}" if path.is_file() else "is missing"
            raise UserError(f"{path} {damage}; copy it there again, or convert the set anew")


def _check_limit(place: SetPlace, sizes: list[int]) -> None:
    """Raises UserError where the chunks of a window exceed the limit: they would be fetched again for every batch."""
    window = sum(sorted(sizes)[-LANES * LANE_CHUNKS :])
    if place.limit < window:
        raise UserError(
            f"data.cache_gib={place.limit / 2**30:g} is too small for {place.url}: {LANES * LANE_CHUNKS} chunks, which "
            f"training mixes at a time, take {window / 2**30:.2g} GiB"
        )
