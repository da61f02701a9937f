"""Chunks as litdata writes them.

Its reader is not used: of a remote set it gives single images only by keeping every chunk it ever fetched, and it holds
every chunk of a set open, which a set of AlexNet's size exceeds. A chunk's layout is simple (see chunks.py).
"""

from pathlib import Path

from convscope.data.stream.stores import installed


class ChunkWriter:
    """Pairs of bytes one after another into folder/chunk-0-<n>.bin, `images` of them in each; index.json at the end."""

    def __init__(self, folder: Path, images: int):
        installed()
        from litdata.streaming.writer import BinaryWriter

        self._writer, self._count = BinaryWriter(str(folder), chunk_size=images), 0

    def add_(self, name: bytes, image: bytes) -> None:
        self._writer.add_item(self._count, (name, image))
        self._count += 1

    def finish_(self) -> None:
        self._writer.done()
        self._writer.merge(1)
