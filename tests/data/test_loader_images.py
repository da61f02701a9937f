"""Images of a loader of the user's own: their indices in any order, read again or kept; labels and names of the set."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from convscope.data.dataset_images import DatasetImages
from convscope.data.items import batch_images, first_image
from convscope.data.loader_images import LoaderImages
from convscope.data.loader_order import LoaderOrder, undisturbed_random
from convscope.data.sampler import Share
from convscope.errors import UserError
from convscope.models.library_metadata import Colors

COUNT = 11


class Numbered(Dataset):
    """Image n is full of n; it counts how often it is read."""

    classes, reads = ["even", "odd"], 0

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        self.reads += 1
        return torch.full((3, 4, 4), float(index)), index % 2


class Streamed(IterableDataset):
    def __iter__(self):
        return iter([torch.full((3, 4, 4), float(index)) for index in range(COUNT)])


@pytest.mark.parametrize(
    "loader",
    [
        lambda data: DataLoader(data, 4),
        lambda data: DataLoader(data, 4, shuffle=True),
        lambda data: DataLoader(data, 3, shuffle=True, drop_last=True),
        lambda data: DataLoader(data, 4, sampler=DistributedSampler(data, 2, 1, shuffle=False)),
        lambda data: DataLoader(data, 4, sampler=DistributedSampler(data, 2, 0, shuffle=True)),
        lambda data: DataLoader(data, 4, sampler=WeightedRandomSampler(torch.ones(COUNT), 20)),
        lambda data: DataLoader(data, batch_sampler=[[3, 1], [10], [0, 2, 4]]),
        lambda data: DataLoader(data, 2, shuffle=True, num_workers=1),
    ],
)
def test_the_indices_are_those_of_the_images(loader):
    """The value of an image is its index."""
    loader = loader(Numbered())
    order = LoaderOrder(loader)
    for _ in range(2):
        batches = iter(loader)
        order.begin()
        for number, (images, _labels) in enumerate(batches):
            assert order.indices(number, len(images)).tolist() == images[:, 0, 0, 0].tolist()
    assert len(loader) == sum(1 for _ in loader)


def test_a_loader_gives_the_same_images_with_and_without_somebody_who_listens():
    def epochs(listened):
        torch.manual_seed(0)
        loader = DataLoader(Numbered(), 4, shuffle=True)
        if listened:
            LoaderOrder(loader)
        return [labels.tolist() for _ in range(2) for _, labels in loader]

    assert epochs(True) == epochs(False)


def test_a_loader_gets_its_batch_sampler_back():
    loader = DataLoader(Numbered(), 4, shuffle=True)
    sampler = loader.batch_sampler
    first, second = LoaderOrder(loader), LoaderOrder(loader)
    second.close()
    batches = iter(loader)
    first.begin()
    images, _ = next(batches)
    assert first.indices(0, 4).tolist() == images[:, 0, 0, 0].tolist()
    first.close()
    assert loader.batch_sampler is sampler


def test_images_that_a_collate_function_left_out_have_no_index():
    order = LoaderOrder(DataLoader(Numbered(), 4))
    order.begin()
    assert order.indices(0, 3).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("loader", [DataLoader(Streamed(), 4), [torch.zeros(2, 3, 4, 4)]])
def test_images_without_an_index_are_counted_over_all_processes(loader):
    images = LoaderImages(loader, (3, 4, 4), process=Share(1, 2))
    images.begin()
    assert images.indices(torch.zeros(2, 3, 4, 4)).tolist() == [1, 3]
    assert images.indices(torch.zeros(2, 3, 4, 4)).tolist() == [5, 7]


def test_strongest_images_are_kept_and_others_forgotten():
    images = LoaderImages(DataLoader(Streamed(), 4), (3, 4, 4), Colors((0.5,), (1 / 255,)))
    images.begin()
    for start in (0, 4):
        batch = torch.arange(start, start + 4.0)[:, None, None, None].expand(4, 3, 4, 4)
        images.keep(lambda: {1, 2, 5}, images.indices((batch, torch.arange(4))), (batch, torch.arange(4)))
    images.keep(lambda: {2, 5}, torch.tensor([8]), batch[:1])
    images.end(False)
    assert images.images.images("val", [5, 2])[:, 0, 0, 0].tolist() == [5, 2]
    assert images.images.labels("val", [5, 2]).tolist() == [1, 2]
    assert images.images.pixels("val", [5])[0, 0, 0, 0] == round(5 + 127.5)
    with pytest.raises(UserError, match="image 1 was not kept"):
        images.images.images("val", [1])


def test_images_that_the_data_set_gives_again_are_not_ranked_after_each_batch():
    loader = DataLoader(Numbered(), 4)
    images, batch = LoaderImages(loader, (3, 4, 4)), next(iter(loader))
    images.begin()
    images.keep(lambda: pytest.fail("nothing is kept"), images.indices(batch), batch)
    assert images.rereadable


def test_labels_of_some_images_need_no_other_image():
    data = Numbered()
    images = DatasetImages({"val": data}, image_shape=(3, 4, 4))
    assert images.labels("val", [3, 4]).tolist() == [1, 0] and data.reads == 2
    assert images.classes == ["even", "odd"] and data.reads == 2


def test_labels_are_read_once():
    data = Numbered()
    images = DatasetImages({"val": data}, image_shape=(3, 4, 4))
    images.choose("val", 2, seed=0)
    assert images.labels("val", range(COUNT)).tolist() == [index % 2 for index in range(COUNT)]
    assert images.labels("val", []).tolist() == [] and data.reads == COUNT


def test_several_labels_of_an_image_are_none():
    data = TensorDataset(torch.zeros(4, 1, 5, 5), torch.ones(4, 6))
    data.targets = torch.ones(4, 6)
    assert DatasetImages({"val": data}).labels("val", [0, 3]).tolist() == [0, 0]
    part = Numbered()
    part.targets = list(range(COUNT))
    assert DatasetImages({"val": Subset(part, [7, 2])}).labels("val", [0, 1]).tolist() == [7, 2]


def test_the_image_of_a_dictionary_is_not_its_mask():
    mask, image = torch.zeros(2, 1, 4, 4), torch.ones(2, 3, 4, 4)
    assert batch_images({"mask": mask, "image": image}) is image
    with pytest.raises(UserError, match="a batch has a int64 tensor"):
        batch_images({"label": torch.zeros(3, dtype=torch.int64)})


def test_the_first_image_leaves_the_random_numbers_as_they_were():
    class Drawn(Numbered):
        def __getitem__(self, index):
            return torch.rand(3, 4, 4) + random.random() + np.random.rand()

    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert first_image(DataLoader(Drawn())) is not None and first_image(DataLoader(Streamed())) is None
    with pytest.raises(ZeroDivisionError), undisturbed_random():
        Drawn()[0]
        raise ZeroDivisionError
    assert torch.equal(states[0], torch.get_rng_state()) and states[1] == random.getstate()
    assert states[2] == np.random.get_state()[1].tolist()
