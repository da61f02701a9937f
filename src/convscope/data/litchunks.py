"""The two things that litdata does for us: it writes chunks, and it fetches files of an object store (or a folder).

Its reader is not used: of a remote set it gives single images only by keeping every chunk it ever fetched, and it holds
every chunk of a set open, which a set of AlexNet's size exceeds. A chunk's layout is simple (see chunks.py).
"""

import os
from pathlib import Path
from typing import Any

from convscope.problem import Problem

STORES = ("s3://", "gs://", "r2://", "azure://", "hf://", "local:")  # local: is a folder treated as if it were far away


class ChunkWriter:
    """Pairs of bytes one after another into folder/chunk-0-<n>.bin, `images` of them in each; index.json at the end."""

    def __init__(self, folder: Path, images: int):
        _installed()
        from litdata.streaming.writer import BinaryWriter

        self._writer, self._count = BinaryWriter(str(folder), chunk_size=images), 0

    def add_(self, name: bytes, image: bytes) -> None:
        self._writer.add_item(self._count, (name, image))
        self._count += 1

    def finish_(self) -> None:
        self._writer.done()
        self._writer.merge(1)


class Fetcher:
    """Copies files of `url` into `folder` by litdata's clients; credentials come from where these look for them."""

    def __init__(self, url: str, folder: Path):
        _installed()
        self._url, self._folder = url.rstrip("/"), folder
        self._client: Any = None
        self._process = 0

    def fetch(self, name: str) -> None:
        """The file is there and whole afterwards. Raises Problem: no such file, no access, no network."""
        if self._process != os.getpid():  # clients do not survive a fork
            self._client, self._process = self._connected(), os.getpid()
        try:
            self._client.download_file(f"{self._url}/{name}", str(self._folder / name))
        except Exception as error:  # each store has errors of its own
            raise self._problem(name, error) from None
        if not (self._folder / name).is_file():
            raise self._problem(name, "nothing came")

    def _connected(self) -> Any:
        from litdata.streaming.downloader import get_downloader

        try:
            return get_downloader(self._url, str(self._folder), [], {})
        except Exception as error:
            raise self._problem("", error) from None

    def _problem(self, name: str, error: object) -> Problem:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return Problem(f"data.root={self._url}: {name or 'the store'} cannot be fetched: {reason}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None, "_process": 0}


def _installed() -> None:
    try:
        import litdata  # noqa: F401
    except ImportError:
        raise Problem(
            "converting images, and reading converted ones from an object store, needs litdata: "
            "pip install 'convscope[stream]'"
        ) from None
