"""Bytes become the net's input: to the last bit what numpy makes of them, image by image and all at once."""

import numpy as np
import pytest
import torch

from convscope.data import centering
from convscope.data.batches import Batch
from convscope.data.centering import Centering, all_at_once, one_by_one
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.training.loaders import TrainingImages

R, S, N = 19, 16, 40  # stored side, the net's, images


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (N, R, R, 3), np.uint8)


def opened(images, **changed):
    split = Pixels(images, np.arange(N) % 2)
    settings = DataSettings(**{"image_size": S, "stored": R, "batch_size": N, **changed})
    return ImageData(Source(["a", "b"], split, split), settings)


def by_hand(images, batch, mean, scale):
    """[N,3,S,S] float32 in numpy: the mean subtracted from whole images, then the cut, the mirror, noise and scale."""
    whole, out = images[batch.index.numpy()].astype(np.float32) - mean, np.empty((N, S, S, 3), np.float32)
    cuts = [((R - S) // 2, (R - S) // 2, 0)] * N if batch.cuts is None else batch.cuts.tolist()
    for place, (top, left, flip) in enumerate(cuts):
        out[place] = whole[place, top : top + S, left : left + S][:, :: -1 if flip else 1]
    if batch.shift_bits is not None:
        out += batch.shift_bits.numpy().view(np.float32)[:, None, None]
    return (out * np.float32(scale)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("centered", [one_by_one, all_at_once])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1.0, 0.017, (0.1, 0.2, 0.3)])
@pytest.mark.parametrize("split", ["train", "val"])
def test_every_bit_is_that_of_numpy(centered, noise, scale, split, images, monkeypatch):
    monkeypatch.setattr(centering, "one_by_one", centered)  # on a CPU, also what other devices do
    data = opened(images, color_noise=noise, pixel_scale=scale)
    loader = data.train_dataloader() if split == "train" else data.val_dataloader()
    (batch,) = loader
    assert batch.image.dtype == torch.uint8 and batch.image.shape == (N, 3, S, S)
    result = data.centered(batch)
    assert np.array_equal(result.image.numpy(), by_hand(images, batch, data._mean, scale))
    assert result.image.is_contiguous(memory_format=torch.channels_last)
    assert (result.cuts, result.shift_bits) == (None, None) and result.label is batch.label
    if split == "train":
        assert {0, 1} == set(batch.cuts[:, 2].tolist()) and len(set(batch.cuts[:, 0].tolist())) == R - S + 1
        assert (batch.shift_bits is not None) == bool(noise)


def test_floats_are_the_nets_input_already(images):
    batch = Batch(torch.rand(2, 3, S, S), torch.zeros(2, dtype=torch.int64), torch.arange(2))
    assert Centering(np.zeros((R, R, 3), np.float32), 0.5)(batch) is batch


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_the_trainers_precision_comes_last(precision, images):
    """So that a net of 16 bits gets what it got from float32 images, rounded once."""
    import pytorch_lightning as pl

    data = opened(images, color_noise=0.1, pixel_scale=0.017)
    loaders = TrainingImages(data)
    loaders.trainer = pl.Trainer(accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False)
    plugin, (batch,) = loaders.trainer.precision_plugin, data.train_dataloader()
    on_its_way = loaders.transfer_batch_to_device(plugin.convert_input(batch), torch.device("cpu"), 0)
    image = loaders.on_after_batch_transfer(on_its_way, 0).image
    dtype = torch.bfloat16 if precision == "bf16-true" else torch.float64
    expected = torch.from_numpy(by_hand(images, batch, data._mean, 0.017)).to(dtype)
    assert image.dtype == dtype and torch.equal(image, expected)


def test_batches_of_a_job_are_those_of_its_single_images(images):
    data = opened(images, batch_size=7, pixel_scale=0.5)
    batches = data.ordered_dataloader("val", "cpu")
    assert len(batches) == 6
    assert torch.equal(torch.cat([batch.image for batch in batches]), data.images("val", range(N)))
