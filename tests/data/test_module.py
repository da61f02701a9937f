"""Batches, their order over epochs, processes and interruptions, and the errors of wrong settings."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import BatchSampler

from convscope.data.module import ImageData
from convscope.data.sampler import BatchShare, EpochSampler, Share
from convscope.data.settings import DataSettings
from convscope.data.sources import Files, Pixels, Source
from convscope.data.transforms import random_cuts
from convscope.errors import UserError
from data.short_training import Small, fit

R, S = 37, 32  # stored and net's side


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    splits = [Pixels(rng.integers(0, 256, (n, R, R, 3), dtype=np.uint8), np.arange(n) % 3) for n in (50, 20)]
    return Source(["a", "b", "c"], *splits)


def settings(**changed):
    return DataSettings(**{"image_size": S, "batch_size": 8, "workers": 0, "seed": 5, **changed})


def test_training_batches_pixel_by_pixel(source):
    data = ImageData(source, settings(pixel_scale=0.5))
    mean = source.train.images.mean(0)
    assert torch.allclose(data.mean, torch.tensor(mean).permute(2, 0, 1).float(), atol=1e-4)
    indices = []
    for batch in map(data.centered, data.train_dataloader()):
        assert batch.image.dtype == torch.float32 and batch.image.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(batch.label, torch.tensor(source.train.labels)[batch.index])
        cuts = random_cuts(np.stack([np.zeros(len(batch.index), int), batch.index.numpy()], 1), 5, R - S)
        for image, index, top, left, flip in zip(batch.image, batch.index, *cuts, strict=True):
            whole = source.train.images[index] - mean  # subtract, then cut and mirror: the paper's order
            expected = whole[top : top + S, left : left + S]
            expected = expected[:, ::-1] if flip else expected
            assert np.allclose(image.permute(1, 2, 0).numpy(), expected * 0.5, atol=1e-3)
        indices += batch.index.tolist()
    assert sorted(indices) == list(range(50)) and indices != sorted(indices)


def test_validation_is_the_center_in_order(source):
    data = ImageData(source, settings())
    batches = [data.centered(batch) for batch in data.val_dataloader()]
    assert torch.equal(torch.cat([b.index for b in batches]), torch.arange(20))
    margin = (R - S) // 2
    middle = torch.tensor(source.val.images[:, margin : margin + S, margin : margin + S]).permute(0, 3, 1, 2)
    expected = middle.float() - data.mean[:, margin : margin + S, margin : margin + S]
    assert torch.allclose(torch.cat([b.image for b in batches]), expected, atol=1e-4)
    assert torch.equal(data.pixels("val", [3, 1]), middle[[3, 1]])
    assert torch.allclose(data.images("val", torch.tensor([3, 1])), expected[[3, 1]], atol=1e-4)
    assert data.labels("val", [3, 1]).tolist() == [0, 1]
    assert [b.index.tolist() for b in data.ordered_dataloader("train")][0] == list(range(8))
    assert np.isclose(data.pixel_std, (source.train.images - source.train.images.mean(0)).std(), rtol=1e-3)


def test_epochs_differ_and_repeat(source):
    data = ImageData(source, settings())
    loader = data.train_dataloader()
    first = [data.centered(batch) for batch in loader]
    loader.sampler.set_epoch(1)
    second = [data.centered(batch) for batch in loader]
    assert first[0].index.tolist() != second[0].index.tolist()
    image = {int(i): x for b in first for i, x in zip(b.index, b.image, strict=True)}
    images_at = {int(i): x for b in second for i, x in zip(b.index, b.image, strict=True)}
    assert sum(torch.equal(image[i], images_at[i]) for i in range(50)) < 10  # other crops
    assert all(
        torch.equal(a.image, data.centered(b).image)
        for a, b in zip(first, ImageData(source, settings()).train_dataloader(), strict=True)
    )


def test_workers_give_the_same_batches(source):
    in_process = list(ImageData(source, settings(color_noise=0.1)).train_dataloader())
    by_workers = list(ImageData(source, settings(color_noise=0.1, workers=2)).train_dataloader())
    assert all(
        (x is None and y is None) or torch.equal(x, y)
        for a, b in zip(in_process, by_workers, strict=True)
        for x, y in zip(a, b, strict=True)
    )


def test_color_noise_moves_whole_training_images(source):
    plain, noisy = (ImageData(source, settings(color_noise=c)) for c in (0.0, 0.1))
    a, b = (data.centered(next(iter(data.train_dataloader()))).image for data in (plain, noisy))
    shift = (b - a).flatten(2)
    assert shift.std(2).max() < 1e-3 and shift.mean(2).abs().max() > 0.5
    assert torch.equal(next(iter(plain.val_dataloader())).image, next(iter(noisy.val_dataloader())).image)


def test_processes_share_the_images():
    for count, world in ((50, 4), (3, 8), (7, 1)):
        order = list(EpochSampler(count, 1, Share(), epoch=2))
        parts = [list(EpochSampler(count, 1, Share(rank, world), epoch=2)) for rank in range(world)]
        assert (
            len({len(part) for part in parts})
            == 1
            == len({len(EpochSampler(count, 1, Share(0, world))), len(parts[0])})
        )
        assert {key for part in parts for key in part} == set(order) and {epoch for epoch, _ in order} == {2}
        for size in (1, 4, 60):
            shares = [BatchShare(range(100, 100 + count), size, Share(rank, world)) for rank in range(world)]
            batches = [batch for share in shares for batch in BatchSampler(share, size, drop_last=False)]
            assert sorted(batches) == list(BatchSampler(range(100, 100 + count), size, drop_last=False))
            assert sum(map(len, shares)) == count


def test_a_sampler_starts_where_it_is_told():
    whole = list(EpochSampler(50, 1, Share(1, 2), epoch=3))
    late = EpochSampler(50, 1, Share(1, 2), epoch=3, skip=10)
    assert list(late) == whole[10:] and len(late) == 25
    late.set_epoch(3)
    assert list(late) == whole[10:]
    late.set_epoch(4)
    assert list(late) == list(EpochSampler(50, 1, Share(1, 2), epoch=4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "save", "step", "trainer"),
    [
        ({}, {"every_n_train_steps": 9}, 9, {}),  # in the second epoch
        ({"workers": 2}, {"every_n_train_steps": 9}, 9, {}),
        ({}, {"every_n_train_steps": 7}, 7, {}),  # with the last batch of the first
        ({}, {"every_n_epochs": 1}, 7, {}),
        ({}, {"every_n_epochs": 1, "save_on_train_epoch_end": True}, 7, {}),
        ({}, {"every_n_epochs": 1, "save_on_train_epoch_end": True}, 2, {"limit_train_batches": 2}),
        ({"batch_size": 7}, {"every_n_train_steps": 10}, 10, {}),  # of 50 images: a last batch of one
        ({"batch_size": 7}, {"every_n_train_steps": 6}, 6, {"accumulate_grad_batches": 2}),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_equals_an_unbroken_one(source, tmp_path, changed, save, step, trainer):
    def run(name, resume=None):
        data = ImageData(source, settings(**changed))
        data.joins_last_image = "batch_size" in changed
        model = Small(S, batch_norm=data.joins_last_image)
        return fit(model, data, tmp_path / name, save, resume, **trainer)

    whole = run("whole")
    resumed = run("rest", tmp_path / f"whole/{step}.ckpt")
    assert resumed.fed == whole.fed_from(step) and len(whole.fed) > len(resumed.fed) > 0
    assert all(value.equal(whole.state_dict()[key]) for key, value in resumed.state_dict().items())


def test_streamed_images_equal_stored_ones(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)).save(tmp_path / f"{number}.jpg")
    files = Files([tmp_path / f"{number}.jpg" for number in range(12)], np.arange(12) % 3)
    source = Source(["a", "b", "c"], files, files)
    cached, streamed = (ImageData(source, settings(cache_dir=str(tmp_path / "cache"), cache_gib=g)) for g in (1, 0))
    for a, b in zip(cached.train_dataloader(), streamed.train_dataloader(), strict=True):
        assert torch.equal(a.image, b.image) and torch.equal(a.index, b.index)
    assert isinstance(cached.train_dataloader().dataset.split, Pixels)
    assert isinstance(streamed.train_dataloader().dataset.split, Files)
    sent = pickle.dumps(cached.train_dataloader().dataset)  # to a worker that does not fork
    assert len(sent) < 30_000 and torch.equal(
        pickle.loads(sent)[(0, 3)].image, cached.train_dataloader().dataset[(0, 3)].image
    )
    loaders = [streamed.train_dataloader()]
    streamed.settings = settings(workers=2)
    loaders.append(streamed.train_dataloader())
    files.paths[5].write_bytes(b"")
    for loader in loaders:
        with pytest.raises(UserError, match=r"^/[^\n]*5.jpg can no longer be read: [^\n]*$"):
            list(loader)
    assert streamed.bad_images == []


def test_a_closed_cache_is_told_once_and_stops_nothing(tmp_path):
    for number in range(6):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(tmp_path / f"{number}.png")
    files = Files([tmp_path / f"{number}.png" for number in range(6)], np.arange(6) % 3)
    source = Source(["a", "b", "c"], files, files, remarks=["a line on the set"])
    (tmp_path / "file").touch()
    data = ImageData(source, settings(cache_dir=str(tmp_path / "file")))
    assert data.remarks == ["a line on the set"]
    assert data.size("train") == data.size("val") == 6 and data.pixels("val", [4])[0, 0, 0, 0] == 4
    first, second = data.remarks
    assert first == "a line on the set" and second.startswith(f"data.cache_dir={tmp_path / 'file'}: ")


def test_images_of_any_array_arrive_in_processes_that_are_not_forked(source, tmp_path):
    """Whole files, parts of them, files with and without a header, and what no file holds."""
    pixels = source.train.images
    np.save(tmp_path / "a.npy", pixels)
    pixels.tofile(tmp_path / "b.raw")
    saved = np.load(tmp_path / "a.npy", mmap_mode="r")
    raw = np.memmap(tmp_path / "b.raw", np.uint8, "r", offset=3 * pixels[0].size, shape=(9, R, R, 3))
    order = np.array([4, 2, 31])
    for images in (pixels, saved, saved[7:], saved[::3], saved[::-1], saved[order], saved[:, :, ::-1], raw, raw[2:5]):
        crops = ImageData(source, settings())._crops("train")
        crops.split = Pixels(images, np.arange(len(images)))
        sent = pickle.dumps(crops)
        assert torch.equal(pickle.loads(sent)[(0, 1)].image, crops[(0, 1)].image)
        assert len(sent) < 30_000 or images is not saved and images is not raw


@pytest.mark.parametrize("size", [None, 0, 49 * R * R * 3, 51 * R * R * 3])
def test_a_cache_entry_that_another_run_has_built_anew_is_named_where_it_is_opened_later(size, source, tmp_path):
    """size: of the new file in bytes, None for one that is removed."""
    path, images = tmp_path / "images.u8", source.train.images
    images.tofile(path)
    crops = ImageData(source, settings())._crops("train")
    crops.split = Pixels(np.memmap(path, np.uint8, "r", shape=images.shape), source.train.labels)
    path.unlink()
    if size is not None:
        path.write_bytes(bytes(size))
    with pytest.raises(UserError, match=r"images.u8 was removed or built anew by another run; start this run again$"):
        pickle.loads(pickle.dumps(crops))[(0, 1)]
    assert np.array_equal(crops.stored(np.arange(50)), images)  # the process that has opened it keeps it


def test_bad_images_are_listed(tmp_path):
    for number in range(6):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"torn")
    files = Files([tmp_path / f"{number}.png" for number in range(6)], np.arange(6) % 3)
    source = Source(["a", "b", "c"], files, files)
    data = ImageData(source, settings(cache_dir=str(tmp_path / "cache"), on_bad_image="skip"))
    assert data.size("train") == 5 and [path.name for path, _ in data.bad_images] == ["2.png"]
    assert data.pixels("train", [2])[0, 0, 0, 0] == 3  # indices go on without it
    with pytest.raises(UserError, match="2.png cannot be read"):
        ImageData(source, settings(cache_dir=str(tmp_path / "cache"))).size("train")


@pytest.mark.parametrize(("room", "is_stored"), [(1.5, True), (0.5, False)])
def test_a_set_that_is_every_split_is_one_set(room, is_stored, tmp_path):
    for number in range(6):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"torn")
    files = Files([tmp_path / f"{number}.png" for number in range(6)], np.arange(6) % 3)
    gib = room * 6 * R * R * 3 / 2**30
    changed = {"cache_dir": str(tmp_path / "cache"), "cache_gib": gib, "on_bad_image": "skip"}
    data = ImageData(Source(["a", "b", "c"], files, files, test=files), settings(**changed))
    assert [data.size(split) for split in ("train", "val", "test")] == [5, 5, 5]
    assert [path.name for path, _ in data.bad_images] == ["2.png"]
    assert len(list((tmp_path / "cache").glob("images-*/images.u8"))) == is_stored


def test_a_given_mean_takes_the_place_of_the_images_own(source):
    mean = torch.full((3, R, R), 100.0)
    data = ImageData(source, settings(), mean)
    assert torch.equal(data.mean, mean)
    assert torch.equal(data.images("val", [0]), data.pixels("val", [0]).float() - 100)
    colors = ImageData(source, settings(pixel_scale=(1.0, 2.0, 4.0)), mean)
    assert torch.equal(colors.images("val", [0]), data.images("val", [0]) * torch.tensor([1, 2, 4])[:, None, None])
    with pytest.raises(UserError, match="mean image is 9 pixels wide, data.image_size=32 needs 37"):
        ImageData(source, settings(), torch.zeros(3, 9, 9)).mean  # noqa: B018


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_size", 4, "data.image_size=4 is too small; 8 or more"),
        ("batch_size", 0, "optim.batch_size=0 is too small; it is 1 or more"),
        ("limit", 0, "data.limit=0 is too small; it is 1 or more"),
        ("workers", -1, "data.workers=-1 is too small; it is 0 or more"),
        ("cache_gib", -1, "data.cache_gib=-1 is too small"),
        ("color_noise", -0.1, "data.color_noise=-0.1 is too small"),
        ("pixel_scale", 0, "data.pixel_scale=0.0 is no scale"),
        ("on_bad_image", "cry", "data.on_bad_image=cry is unknown; possible: stop, skip"),
    ],
)
def test_wrong_settings(key, value, message):
    with pytest.raises(UserError, match=message):
        settings(**{key: value})


def test_images_are_chosen_evenly_or_by_index(source):
    data = ImageData(source, settings())
    six = data.choose("val", 6, seed=1)
    assert data.labels("val", six).bincount().tolist() == [2, 2, 2] and len(six.unique()) == 6
    assert torch.equal(six, data.choose("val", 6, seed=1)) and not torch.equal(six, data.choose("val", 6, seed=2))
    assert data.choose("val", 99, seed=0).tolist() == list(range(20))  # as many as there are
    assert data.choose("train", [7, 0, 7], seed=0).tolist() == [7, 0, 7]  # in the order asked for


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (0, "0 images are none to look at; ask for 1 or more, of the 20 in val"),
        (-3, "-3 images are none to look at"),
        ([], "an empty list of images; name some of 0 to 19, or say how many"),
        ([2, 20, -1], "no image 20, -1 in val; its images are 0 to 19"),
        (2.5, r"2.5 names no images; say how many, e.g. 5, or which, e.g. \[3, 17\]"),
        ("three", "'three' names no images; say how many"),
        ([1, "x"], r"\[1, 'x'\] names no images"),
    ],
)
def test_images_that_cannot_be_chosen(source, choice, message):
    with pytest.raises(UserError, match=message):
        ImageData(source, settings()).choose("val", choice, seed=0)


@pytest.fixture
def in_files(tmp_path):
    """Photographs of several sizes, of flat colors, in files."""
    paths, colors = [], [(10, 20, 30), (200, 100, 50), (90, 90, 90), (0, 250, 5)]
    for number, color in enumerate(colors):
        paths.append(tmp_path / f"photograph {number}.png")
        Image.new("RGB", (50 + 10 * number, 80 - 9 * number), color).save(paths[-1])
    split = Files(paths, np.arange(4) % 2)
    return Source(["a", "b"], split, split), colors


def test_names_are_those_of_the_files_or_the_indices(source, in_files, tmp_path):
    assert ImageData(source, settings()).names("val", [3, 11]) == ["3", "11"]
    data = ImageData(in_files[0], settings(cache_dir=str(tmp_path / "cache")))
    assert data.names("val", torch.tensor([2, 0])) == ["photograph 2.png", "photograph 0.png"]
    limited = ImageData(in_files[0], settings(limit=2, cache_dir=str(tmp_path / "cache")))
    kept = limited.names("val", [0, 1])
    shown = limited.pixels("val", [0, 1])[:, :, 5, 5].tolist()
    assert [in_files[1][int(name.split()[1][0])] for name in kept] == [tuple(color) for color in shown]


def test_names_leave_out_unreadable_images(in_files, tmp_path):
    in_files[0].val.paths[1].write_bytes(b"no image")
    data = ImageData(in_files[0], settings(cache_dir=str(tmp_path / "cache"), on_bad_image="skip"))
    assert data.size("val") == 3
    colors = data.pixels("val", [0, 1, 2])[:, :, 5, 5].tolist()
    names = data.names("val", [0, 1, 2])
    assert [in_files[1][int(name.split()[1][0])] for name in names] == [tuple(color) for color in colors]


def test_any_files_are_read_as_the_net_sees_them(source, in_files, tmp_path):
    data, paths = ImageData(source, settings(pixel_scale=0.5)), in_files[0].val.paths
    image, pixels = data.read(paths[::-1])
    assert pixels.shape == (4, 3, S, S) and pixels.dtype == torch.uint8
    assert [tuple(color) for color in pixels[:, :, 9, 9].tolist()] == in_files[1][::-1]
    margin = (R - S) // 2
    mean = data.mean[:, margin : margin + S, margin : margin + S]
    assert torch.allclose(image, 0.5 * (pixels.float() - mean), atol=1e-4)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad.jpg can no longer be read: .+"):
        data.read([paths[0], tmp_path / "bad.jpg"])
