"""Images with the net's own classes, and what is where in drawn ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from convscope.analyses.subject import Subject, _subject, new_subject
from convscope.data.classnames import class_numbers, matching_classes
from convscope.data.critters.scene import scene
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"
CRITTERS = ["data.train=30", "data.val=40", "data.image_size=64", "model.width=0.05", "data.draw_seed=3"]


class Brightest(nn.Module):
    """Takes an image for the color, of the net's four classes red, green, blue and none, that is the strongest."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([-1000.0]))

    def forward(self, images):
        return torch.cat([images.mean((2, 3)), self.bias.expand(len(images), 1)], 1)


def subject(targets, limit=None):
    """12 images in turn red, green and blue, which the data calls r, g, b."""
    pixels = np.zeros((12, 37, 37, 3), np.uint8)
    pixels[np.arange(12), :, :, np.arange(12) % 3] = 200
    split = Pixels(pixels, np.arange(12) % 3)
    data = ImageData(Source(["r", "g", "b"], split, split), DataSettings(32, 5, limit=limit, workers=0))
    return Subject(Brightest(), data, ["red", "green", "blue", "none"], targets)


def test_a_known_class_is_the_target_whatever_the_net_says():
    examples = subject([2, 0, 3]).examples("val", [0, 1, 2, 3])
    assert examples.label.tolist() == [0, 1, 2, 0] and examples.target.tolist() == [2, 0, 3, 2]


def test_of_an_unknown_class_the_most_probable_one_is_the_target():
    brightest = subject([3, -1, -1])
    examples = brightest.examples("val", [0, 1, 2, 5, 4])
    assert examples.target.tolist() == [3, 1, 2, 2, 1]
    assert brightest.net.training  # as it was


def test_examples_are_what_the_data_has_at_these_places():
    brightest = subject([0, 1, 2])
    examples = brightest.examples("val", [7, 2])
    assert examples.index.tolist() == [7, 2] and examples.pixels[0, :, 5, 5].tolist() == [0, 200, 0]
    assert torch.equal(examples.image, brightest.data.images("val", [7, 2]))
    six = brightest.examples("val", 6, seed=1)
    assert six.label.bincount().tolist() == [2, 2, 2]  # evenly over the classes
    assert torch.equal(six.index, brightest.examples("val", 6, seed=1).index)
    assert not torch.equal(six.index, brightest.examples("val", 6, seed=2).index)
    with pytest.raises(UserError, match="no image 12 in train; its images are 0 to 11"):
        brightest.examples("train", [3, 12])


def assembled(cache, *words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[*CRITTERS, f"data.cache_dir={cache}", *words])
    return new_subject(OmegaConf.to_container(config, resolve=True))


@pytest.mark.parametrize("limit", ["data.limit=null", "data.limit=20"])
@pytest.mark.parametrize("split", ["val", "train"])
def test_the_truth_is_that_of_the_images_the_net_sees(limit, split, cache):
    """The scene whose pixels are those of the image is found among all, and its mask and boxes compared."""
    critters = assembled(cache, limit)
    side = critters.data.mean.shape[-1]  # 64 of these pixels are seen, as 224 of 256
    margin = (side - 64) // 2
    indices = [0, 11, critters.data.size(split) - 1]
    truth, pixels = critters.truth(split, indices), critters.data.pixels(split, indices)
    scenes = [scene(3, split, number, side) for number in range(40 if split == "val" else 30)]
    center = np.s_[margin : margin + 64, margin : margin + 64]
    for mask, boxes, image in zip(truth.masks, truth.boxes, pixels, strict=True):
        same = [drawn for drawn in scenes if np.array_equal(drawn.image[center], image.permute(1, 2, 0).numpy())]
        assert len(same) == 1
        assert np.array_equal(mask, same[0].mask[center]) and np.array_equal(boxes, same[0].boxes - margin)


def test_names_that_differ_in_case_alone_are_not_mixed_up():
    imagenet = ["Cardigan", "cardigan", "Siamese cat"]
    assert matching_classes(["cardigan", "Cardigan", "siamese_cat", "CARDIGAN", "dog"], imagenet) == [1, 0, 2, -1, -1]


IDS = [f"n{number:08d}" for number in range(1000)]  # not ImageNet's: no name is known for them
NAMES = [f"thing {number}" for number in range(1000)]


def test_classes_are_matched_by_number_where_all_are_there():
    lexical = sorted(map(str, range(1000)))  # "0", "1", "10", "100": as folders lie
    assert class_numbers(lexical, lexical, NAMES, IDS) == [int(name) for name in lexical]
    mixed = [f"{name} ({wnid})" if name.endswith("7") else name for name, wnid in zip(NAMES, IDS, strict=True)]
    assert class_numbers(mixed, (), NAMES, IDS) == list(range(1000))  # as a converted set has them, without folders
    assert class_numbers(mixed[:900], (), NAMES, IDS)[:9] == [0, 1, 2, 3, 4, 5, 6, -1, 8]
    turned = NAMES[::-1]  # by name: another order is not taken for the net's
    assert class_numbers(turned, turned, NAMES, IDS) == list(range(999, -1, -1))


def test_classes_are_matched_by_id_before_names():
    folders = [IDS[7], IDS[3], "n99999999", "thing 5"]
    assert class_numbers(["thing 1", "x", "thing 2", "thing 5"], folders, NAMES, IDS) == [7, 3, -1, 5]


def test_classes_of_a_net_that_is_known_by_name_or_by_ids_in_place_of_names():
    dogs = ["n02085620", "n02099601"]
    assert class_numbers(["my dog", "golden"], dogs, ["golden retriever", "Chihuahua"]) == [1, 0]  # a csv named them
    assert class_numbers(["Chihuahua", "golden retriever"], dogs, ["n02099601", "n02085620"]) == [
        1,
        0,
    ]  # of an older run


def test_targets_are_found_by_name():
    source = Source(["English_springer", "tench", "Fox"], *[Pixels(np.zeros((3, 8, 8, 3), np.uint8), np.arange(3))] * 2)
    data = ImageData(source, DataSettings(32, 2, workers=0))
    settings = {"data": {"source": "folder"}, "model": {"name": "small"}}
    net = nn.Linear(1, 1)
    small = _subject(settings, net, source, data, ["tench", "goldfish", "english springer"])
    assert small.targets == [2, 0, -1] and small.classes == ["tench", "goldfish", "english springer"]
    assert small.truth is None
    same = _subject(settings, net, source, data, source.classes)
    assert same.targets == [0, 1, 2]


def test_a_net_of_the_datas_own_classes_knows_them_all(cache):
    critters = assembled(cache)
    assert critters.targets == list(range(10)) and critters.classes == list(critters.data.classes)
    assert critters.device == torch.device("cpu")
