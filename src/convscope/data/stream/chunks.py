"""Images in chunks: files of about a thousand JPEGs each, of which any image is read without reading the others.

The layout is litdata's: uint32 count, uint32 offsets [count + 1], then for each image uint32 length of its name, uint32
length of its JPEG, name, JPEG. Memory holds one number for each chunk; labels are a memory map.

litdata's StreamingDataset reads the same files, but cannot serve training here (tests/data/stream/test_litdata.py):
its order depends on the number of loading processes, so neither seed and epoch nor a checkpoint of another number of
processes decide it; and read by index it fetches a chunk of a remote set again whenever the order returns to it, or
fetches single images and ignores its limit.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from io import FileIO
from os import pread, utime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convscope.data.decode import Unreadable, decoded_bytes
from convscope.data.passes import Statistics
from convscope.data.stream.stores import StoreCache, require_litdata

OPEN = 64  # chunks that a process keeps open: more than a window of the training order has


class ChunkWriter:
    """Writes pairs of bytes into folder/chunk-0-<n>.bin with litdata's writer, `images` pairs in each file."""

    def __init__(self, folder: Path, images: int):
        require_litdata()
        from litdata.streaming.writer import BinaryWriter

        self._writer, self._count = BinaryWriter(str(folder), chunk_size=images), 0

    def add_(self, name: bytes, image: bytes) -> None:
        self._writer.add_item(self._count, (name, image))
        self._count += 1

    def finish_(self) -> None:
        """Writes the last chunk and index.json."""
        self._writer.done()
        self._writer.merge(1)


class OpenChunk(NamedTuple):
    """An open file and the offsets of its images."""

    file: FileIO
    offsets: np.ndarray


class ChunkFiles:
    """The chunks of a split: folder/<names[i]> has counts[i] images. store: brings missing chunks."""

    def __init__(self, folder: Path, names: list[str], counts: np.ndarray, store: StoreCache | None = None):
        self.folder, self.names, self.store = folder, names, store
        self.ends = np.cumsum(counts)
        self._opened: OrderedDict[int, OpenChunk] = OrderedDict()

    def chunk_of(self, number: int) -> int:
        """The number of the chunk that holds the image."""
        return int(np.searchsorted(self.ends, number, "right"))

    def path_of(self, number: int) -> Path:
        """The chunk file that holds the image."""
        return self.folder / self.names[self.chunk_of(number)]

    def item(self, number: int) -> tuple[str, bytes]:
        """Name and JPEG of an image. Raises Unreadable: the chunk is damaged or missing."""
        chunk = self.chunk_of(number)
        place = number - (int(self.ends[chunk - 1]) if chunk else 0)
        file, offsets = self._open(chunk)
        start, end = int(offsets[place]), int(offsets[place + 1])
        data = pread(file.fileno(), end - start, start)
        lengths = np.frombuffer(data[:8].ljust(8, b"\0"), "<u4")
        if len(data) < 8 or 8 + int(lengths.sum()) != len(data):
            raise Unreadable(_damaged(self.folder / self.names[chunk]))
        name, image = data[8 : 8 + lengths[0]], data[8 + lengths[0] :]
        return name.decode("utf-8", "replace"), image

    def _open(self, chunk: int) -> OpenChunk:
        if chunk in self._opened:
            self._opened.move_to_end(chunk)
            return self._opened[chunk]
        path = self.folder / self.names[chunk]
        file = self._file(path)
        count = int(self.ends[chunk]) - (int(self.ends[chunk - 1]) if chunk else 0)
        head = np.frombuffer(pread(file.fileno(), 8 + 4 * count, 0), np.uint8)
        if len(head) < 8 + 4 * count or head[:4].view("<u4")[0] != count:
            raise Unreadable(_damaged(path))
        self._opened[chunk] = OpenChunk(file, head[4:].view("<u4"))
        while len(self._opened) > OPEN:
            self._opened.popitem(last=False)[1].file.close()
        return self._opened[chunk]

    def _file(self, path: Path) -> FileIO:
        """The open chunk. Fetches it again where another process has removed it before it could be opened."""
        for _ in range(5):
            try:
                file = FileIO(path)
                if self.store:
                    utime(path)  # the store removes chunks that are not used for longest
                return file
            except FileNotFoundError:
                if self.store:
                    self.store.bring(path.name)
        raise Unreadable(f"{path} is gone; copy it there again, or convert the set anew")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": OrderedDict()}


@dataclass(frozen=True)
class Chunks:
    """Images of `size` x `size` pixels in chunks. labels: [N] int32. chosen: numbers of the images used (None: all)."""

    files: ChunkFiles
    labels: np.ndarray
    size: int
    statistics: Statistics
    chosen: np.ndarray | None = None

    def image(self, position: int) -> np.ndarray:
        """[size, size, 3] uint8. Raises Unreadable."""
        number = self._number(position)
        name, data = self.files.item(number)
        try:
            return decoded_bytes(data, self.size)
        except Unreadable as error:
            path = self.files.path_of(number)
            raise Unreadable(f"{path} is damaged at its image {name}: {error}; copy it there again") from None

    def name(self, position: int) -> str:
        """The name of the file that the image was converted from."""
        return self.files.item(self._number(position))[0]

    def counts(self) -> np.ndarray:
        """Numbers of images used of each chunk, in the order of the images."""
        ends = self.files.ends
        return np.diff(ends if self.chosen is None else np.searchsorted(self.chosen, ends), prepend=0)

    def of(self, positions: np.ndarray) -> "Chunks":
        """The images at these ascending positions."""
        return replace(
            self, labels=self.labels[positions], chosen=positions if self.chosen is None else self.chosen[positions]
        )

    def _number(self, position: int) -> int:
        return int(position if self.chosen is None else self.chosen[position])


def _damaged(path: Path) -> str:
    return f"{path} is damaged; copy it there again, or convert the set anew"
