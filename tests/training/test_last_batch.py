"""Numbers of images with which some process or some batch would have too few of them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as draws
from torch import nn
from torchvision.models import resnet18

from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from convscope.training.trainer import (
    check_image_numbers,
    check_sync_batchnorm,
    joins_last_image,
    takes_one_image,
)
from random_settings import composed, tried

LIMITS = draws.one_of(draws.none(), draws.integers(1, 12), draws.floats(0.01, 1.0))


class Counting(nn.Module):
    """Needs `needed` images at a time, and says it as torch's batch norms do."""

    def __init__(self, needed):
        super().__init__()
        self.norm = nn.BatchNorm1d(3) if needed == 2 else nn.Identity()

    def forward(self, image):
        return self.norm(image.amax((2, 3)))


def lightning_batches(images, size, limit):
    """The sizes of the batches that an epoch of one process has."""
    sizes = [min(size, images - start) for start in range(0, images, size)]
    return sizes if limit is None else sizes[: limit if isinstance(limit, int) else math.floor(limit * len(sizes))]


@tried(80)
@given(draws.integers(1, 40), draws.integers(1, 6), LIMITS, draws.sampled_from([1, 2]))
def test_a_net_gets_as_many_images_as_it_needs_or_is_refused(images, size, limit, needed):
    sizes = lightning_batches(images, size, limit)
    few = [batch for batch in sizes if batch < needed]
    try:
        joins = joins_last_image(Counting(needed), 8, images, size, {"limit_train_batches": limit})
    except UserError as refusal:
        assert (few == sizes or size == 1) and "two images or more at a time" in str(refusal)
    else:
        assert joins == bool(few) and (not joins or few == sizes[-1:] != sizes)


@tried(80)
@given(draws.integers(1, 40), draws.integers(1, 40), draws.integers(1, 5), draws.integers(1, 6), LIMITS, LIMITS)
def test_a_process_without_images_is_refused(train, val, world, size, train_limit, val_limit):
    shares = [math.ceil(train / world)], [len(range(rank, val, world)) for rank in range(world)]
    limits = train_limit, val_limit
    batches = [lightning_batches(n, size, limit) for part, limit in zip(shares, limits, strict=True) for n in part]
    settings = {"limit_train_batches": train_limit, "limit_val_batches": val_limit}
    if all(batches):
        check_image_numbers({"train": train, "val": val}, size, world, settings)
        return
    with pytest.raises(UserError, match=r"^[^\n]*(type a number of batches|take more images)[^\n]*$"):
        check_image_numbers({"train": train, "val": val}, size, world, settings)


def test_only_what_trains_on_maps_of_one_pixel_needs_two_images_and_is_not_changed_by_the_trial():
    net = resnet18(num_classes=2)
    before, state = {key: value.clone() for key, value in net.state_dict().items()}, torch.get_rng_state()
    assert not takes_one_image(net, 32) and takes_one_image(net, 64)
    assert all(value.equal(before[key]) for key, value in net.state_dict().items()) and net.training
    assert torch.get_rng_state().equal(state)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # as model.freeze does
    assert takes_one_image(net, 32)


WORDS = ["job=train", "model=torchvision", "model.name=shufflenet_v2_x0_5", "data.image_size=32", "data.train=13",
         "data.val=10", "evolution=off", "trainer.max_epochs=1", "trainer.accelerator=cpu"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("changed", "batches", "steps"),
    [
        (["optim.batch_size=4", "data.limit=9", "data.workers=1"], 2, 2),
        (["optim.batch_size=3", "+trainer.accumulate_grad_batches=3"], 4, 2),
    ],
)
def test_a_net_with_batch_norms_trains_through_a_last_batch_of_one(changed, batches, steps, cache, tmp_path):
    JOBS["train"]({**composed([*WORDS, *changed, f"data.cache_dir={cache}"]), "words": []}, tmp_path / "run")
    saved = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert saved["state_dict"]["net.conv1.1.num_batches_tracked"] == batches and saved["global_step"] == steps


NEEDS = "the batch norms of this net need two images or more at a time"
ONE = f"one training image in each process: {NEEDS}; take more images (e.g. a larger data.limit)"


@pytest.mark.parametrize(
    ("changed", "processes", "said"),
    [
        (["optim.batch_size=1"], 1, f"optim.batch_size=1: {NEEDS}; type optim.batch_size=2 or more"),
        (["data.limit=1"], 1, ONE),
        (["+trainer.limit_val_batches=0.3", "optim.batch_size=8"], 1, "trainer.limit_val_batches=0.3 of 2 batches is "
         "less than one; type a number of batches, e.g. trainer.limit_val_batches=1"),
        (["data.limit=3"], 3, ONE),
        (["data.limit=2"], 3, "2 validation images for 3 processes, each of which needs one; take more images (e.g. a "
         "larger data.limit), or fewer processes, e.g. trainer.devices=2"),
    ],
)  # fmt: skip
def test_too_few_images_are_told_before_anything_is_written(changed, processes, said, cache, tmp_path, monkeypatch):
    if processes > 1:
        for name, value in {"LOCAL_RANK": "0", "WORLD_SIZE": str(processes)}.items():
            monkeypatch.setenv(name, value)
    settings = composed([*WORDS, *changed, f"data.cache_dir={cache}"])
    with pytest.raises(UserError) as refusal:
        JOBS["train"]({**settings, "words": []}, tmp_path / "run")
    assert str(refusal.value) == said and not (tmp_path / "run").exists()


def test_batch_norms_over_processes_need_gpus():
    with pytest.raises(UserError, match="trainer.sync_batchnorm=true is for GPUs"):
        check_sync_batchnorm({"sync_batchnorm": True}, "cpu", 2)
    for settings, device, processes in (({"sync_batchnorm": True}, "cpu", 1), ({}, "cpu", 2), ({}, "cuda", 2)):
        check_sync_batchnorm(settings, device, processes)
