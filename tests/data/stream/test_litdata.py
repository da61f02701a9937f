"""Why training does not read chunks by litdata's StreamingDataset: what it cannot do, and that ours can."""

from contextlib import suppress

import numpy as np
import pytest
from litdata import StreamingDataLoader, StreamingDataset
from litdata.streaming import item_loader
from litdata.streaming.downloader import LocalDownloaderWithCache

from convscope.data.sampler import Share, WindowSampler
from convscope.data.stream.chunks import ChunkFiles, ChunkWriter
from convscope.data.stream.stores import StoreCache

CHUNKS, IMAGES = 40, 20  # more chunks than a window of the training order has, images in each
ORDER = [index for _, index in WindowSampler(np.full(CHUNKS, IMAGES), 0, Share())]


class Numbers(StreamingDataset):
    """The images as their numbers."""

    def __getitem__(self, index):
        return int(bytes(super().__getitem__(index)[0]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("chunks")
    writer = ChunkWriter(place, IMAGES)
    for number in range(CHUNKS * IMAGES):
        writer.add_(str(number).encode(), bytes(100))
    writer.finish_()
    return place


@pytest.fixture
def downloads(monkeypatch):
    """Names of the chunks that are fetched, one entry for each time."""
    fetched, fetch = [], LocalDownloaderWithCache.download_file

    def record(self, remote, local):
        fetched.append(remote.rpartition("/")[2])
        fetch(self, remote, local)

    monkeypatch.setattr(LocalDownloaderWithCache, "download_file", record)
    return [fetched.clear(), fetched][1]


def limit(folder, chunks):
    return chunks * max(path.stat().st_size for path in folder.glob("*.bin"))


def test_litdatas_order_depends_on_the_number_of_loading_processes(folder):
    orders = []
    for workers in (1, 2):
        loader = StreamingDataLoader(Numbers(str(folder), shuffle=True, seed=0), batch_size=8, num_workers=workers)
        orders.append([number for batch in loader for number in batch.tolist()])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(CHUNKS * IMAGES))
    assert orders[0] != orders[1]
    chunks = [len({number // IMAGES for number in order[:160]}) for order in (*orders, ORDER)]
    assert max(chunks[:2]) <= 10 and chunks[2] == 32  # a batch mixes few of its chunks, and a whole window of ours


def test_read_by_index_litdata_fetches_chunks_again_or_deletes_them_too_early_and_ours_come_once(
    folder, downloads, tmp_path, monkeypatch
):
    monkeypatch.setattr(item_loader, "_FORCE_DOWNLOAD_TIME", 0.5)  # it waits 30 s for what it has deleted
    (ours := tmp_path / "ours").mkdir()
    names = [f"chunk-0-{number}.bin" for number in range(CHUNKS)]
    files = ChunkFiles(ours, names, np.full(CHUNKS, IMAGES), StoreCache(f"local:{folder}", ours, limit(folder, 32)))
    assert [int(files.item(index)[0]) for index in ORDER] == ORDER
    assert sorted(downloads) == sorted(names) and len(list(ours.glob("*.bin"))) == 32

    downloads.clear()
    theirs = Numbers(f"local:{folder}", cache_dir=str(tmp_path / "theirs"), max_cache_size=limit(folder, 34))
    assert theirs[0] == 0
    theirs.on_demand_bytes = False
    with suppress(FileNotFoundError):
        assert [theirs[index] for index in ORDER] == ORDER
        assert sum(name.endswith(".bin") for name in downloads) > 2 * CHUNKS


def test_litdata_read_on_demand_exceeds_its_limit(folder, tmp_path):
    theirs = Numbers(f"local:{folder}", cache_dir=str(tmp_path), max_cache_size=limit(folder, 10))
    assert [theirs[index] for index in ORDER] == ORDER
    assert len(list(tmp_path.rglob("*.bin"))) == CHUNKS
