"""Our reader of chunks against litdata's own, and what damaged chunks are told."""

import io
import pickle

import numpy as np
import pytest
from litdata import StreamingDataset
from PIL import Image

from convscope.data.decode import Unreadable
from convscope.data.passes import Statistics
from convscope.data.stream.chunks import OPEN, ChunkFiles, Chunks, ChunkWriter

COUNT = 2 * OPEN + 5  # 69 chunks of two images, the last of one


def noise(number):
    pixels = np.random.default_rng(number).integers(0, 256, (9 + number % 3, 9, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    writer = ChunkWriter(tmp_path, 2)
    for number in range(COUNT):
        writer.add_(f"bild ü{number}.jpg".encode(), noise(number))
    writer.finish_()
    return tmp_path


@pytest.fixture
def files(folder):
    names = [f"chunk-0-{number}.bin" for number in range(OPEN + 3)]
    return ChunkFiles(folder, names, np.array([2] * (OPEN + 2) + [1]))


def test_litdata_reads_the_same(folder, files):
    theirs = StreamingDataset(str(folder))
    assert len(theirs) == COUNT
    for number in np.random.default_rng(0).permutation(COUNT).tolist():
        name, data = files.item(number)
        assert name == f"bild ü{number}.jpg" and data == noise(number)
        assert [bytes(part) for part in theirs[number]] == [name.encode(), data]
    assert len(files._opened) == OPEN
    sent = pickle.loads(pickle.dumps(files))
    assert sent.item(3) == files.item(3)


def test_some_of_the_images(files):
    statistics = Statistics(np.zeros((9, 9, 3), np.float32), 1.0)
    whole = Chunks(files, np.arange(COUNT, dtype=np.int32), 9, statistics)
    subset = whole.of(np.array([0, 3, 4, 5, 100])).of(np.array([1, 3, 4]))
    assert [subset.name(at) for at in range(3)] == ["bild ü3.jpg", "bild ü5.jpg", "bild ü100.jpg"]
    assert subset.labels.tolist() == [3, 5, 100] and subset.counts().sum() == 3
    assert subset.counts()[[1, 2, 50]].tolist() == [1, 1, 1]
    assert np.array_equal(subset.image(1), np.array(Image.open(io.BytesIO(noise(5))).convert("RGB"))[1:10])
    assert np.array_equal(whole.counts(), [2] * (OPEN + 2) + [1])


@pytest.mark.parametrize("damage", ["gone", "empty", "short", "other", "inside"])
def test_a_damaged_chunk_is_named(damage, folder, files):
    path = folder / "chunk-0-4.bin"
    data = path.read_bytes()
    broken = {"empty": b"", "short": data[:-30], "other": b"\7" + data[1:], "inside": data[:30] + bytes(len(data) - 30)}
    path.unlink() if damage == "gone" else path.write_bytes(broken[damage])
    whole = Chunks(files, np.arange(COUNT), 9, Statistics(np.zeros((9, 9, 3), np.float32), 1.0))
    with pytest.raises(Unreadable, match="chunk-0-4.bin is (gone|damaged)"):
        whole.image(9)
    assert whole.image(7).shape == (9, 9, 3)
