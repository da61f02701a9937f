"""What analyses measure of each layer after an epoch: the columns, their words on the page, and nothing disturbed."""

import torch

from convscope.analyses import abouts
from convscope.data.critters.source import critters
from convscope.data.epoch_images import epoch_images
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.models.build import build
from convscope.report.page import column_words
from convscope.training.watching.epoch_measures import EpochMeasures

ROWS = {
    "conv1": {"kind": "conv", "maps": 4, "kernel": 5, "stride": 2},
    "conv2": {"kind": "conv", "maps": 4, "kernel": 3},
    "fc3": {"kind": "full", "units": "classes"},
}


def test_every_column_has_words_and_the_second_epoch_has_a_column_for_each_word_and_layer():
    jobs = {about.job: about for about in abouts().values() if about.each_epoch}
    data = ImageData(critters(10, 20, 37, 0, None), DataSettings(image_size=32))
    net, images = build(ROWS, 32, 10).eval(), epoch_images(data, 0, 20)
    weights, state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    for job, about in jobs.items():
        measures = EpochMeasures([job])
        first, second = (measures.measure(net, images, ["conv1", "conv2"]) for _ in range(2))
        assert set(first) <= set(second)
        assert set(second) == {f"{head}/{layer}" for head in about.each_epoch for layer in ("conv1", "conv2")}
        bytes_kept = sum(value.numel() * value.element_size() for value in measures.memories[job].values())
        assert bytes_kept < 8 * 2**20  # goes into every checkpoint
    assert jobs and column_words() == {
        head: words for about in jobs.values() for head, words in about.each_epoch.items()
    }
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state()) and not net.training
