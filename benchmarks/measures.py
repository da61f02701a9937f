"""What `evolution.measures` adds to an epoch of the demo: each analysis by itself, as a share of an epoch without any.

The net, the images, the layers and the number of images that are measured are those of `experiment=demo`; the epoch is
one of fewer training images, whose seconds are scaled to all. The second epoch is measured: the first has nothing
before it to compare with. Drawing is left out of both sides (benchmarks/loop.py has it).
python benchmarks/measures.py
"""

import loop
from interleaved import line, paired

from convscope.analyses import abouts
from convscope.analyses.visualize.about import FeatureConfig
from convscope.data.critters.source import critters
from convscope.data.epoch_images import epoch_images
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.engine.blocks import default_layers
from convscope.training.watching.epoch_measures import EpochMeasures

SIDE, WIDTH, TRAIN, TRAINED, VAL = 96, 0.25, 4000, 800, 200  # demo trains on 4,000 and validates on 1,000
GOAL = 0.05


def main() -> None:
    data = ImageData(
        critters(TRAINED, VAL, round(SIDE * 256 / 224), 0, None), DataSettings(image_size=SIDE, batch_size=128)
    )
    net, off = loop.net(SIDE, WIDTH), FeatureConfig(None, 16, [], "val")
    images, layers = epoch_images(data, 0), default_layers(net, SIDE)
    jobs = [about.job for about in abouts().values() if about.each_epoch]
    sides = {job: EpochMeasures([job]) for job in jobs}
    times = paired(
        {"epoch": lambda: loop.ours(data, net, off)}
        | {job: lambda side=side: side.measure(net.eval(), images, layers) for job, side in sides.items()},
        rounds=3,
    )
    whole = [seconds * TRAIN / TRAINED for seconds in times["epoch"]]
    total = 0.0
    for job in jobs:
        share = sorted(seconds / epoch for seconds, epoch in zip(times[job], whole, strict=True))[1]
        total += share
        line(f"evolution.measures=[{job}], share of an epoch of the demo", share, GOAL)
    line("evolution.measures of all of them, share of an epoch of the demo", total, 4 * GOAL)


if __name__ == "__main__":
    main()
