"""job=transfer: features of all layers against one plain pass over the same images, and the SVMs of a whole run.

The net is ZFNet at 224 pixels on random He weights; seven layers go into files on disk.
"""

from interleaved import line, paired, ratio  # first: sets the number of threads

import tempfile  # isort: skip
import time
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import torch
from deconvnet import zfnet

from convscope.data.module import DataSettings, ImageData
from convscope.data.sources import Pixels, Source
from convscope.study.features_on_disk import SPLITS, OnDisk, Wanted, features_on_disk
from convscope.study.transfer import Transfer, transferred_layers, trials
from convscope.subject import Subject

IMAGES, SIZE, GOAL = 48, 224, 120.0  # seconds; of all threads together, so that other programs disturb little
LAYERS, CLASSES, EACH, FOLDS, VALUES = 6, 20, 30, 5, 4096


def subject(cache: str) -> Subject:
    """Random images of two classes; what they show costs no time."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (IMAGES, 256, 256, 3), dtype=np.uint8)
    splits = [Pixels(pixels[half::2], np.arange(IMAGES // 2) % 2) for half in (0, 1)]
    settings = DataSettings(SIZE, 8, workers=0, cache_dir=cache)
    data = ImageData(Source(["one", "other"], *splits), settings)
    return Subject(zfnet(), data, ["one", "other"], [0, 1])


def features_against_a_pass() -> None:
    with tempfile.TemporaryDirectory() as cache, redirect_stdout(StringIO()):
        seen = subject(cache)
        wanted = Wanted(transferred_layers(seen.net, SIZE), 6)

        def on_disk() -> None:
            with features_on_disk({"net": seen}, wanted):
                pass

        @torch.inference_mode()
        def plain() -> None:
            for split in SPLITS:
                for batch in seen.data.shown_dataloader(split):
                    seen.net(batch.image)

        times = paired({"features": on_disk, "plain": plain}, rounds=3)
    name = f"features of {len(wanted.layers)} layers, on disk, against a plain pass"
    line(name, ratio(times, "features", "plain"), 1.1)


def svms_of_a_run() -> None:
    count, draw = CLASSES * (EACH + 15), np.random.default_rng(0)
    labels = np.arange(count) % CLASSES
    centers = draw.standard_normal((CLASSES, VALUES), dtype=np.float32)
    names = [str(number) for number in range(CLASSES)]
    held = {
        f"layer{number}": centers[labels] + 4 * draw.standard_normal((count, VALUES), dtype=np.float32)
        for number in range(LAYERS)
    }
    plan = Transfer(classifiers=["svm"], per_class=[EACH], folds=FOLDS, test_per_class=15)
    start = time.process_time()
    done = list(trials({"net": OnDisk(held, labels)}, names, plan, 0, torch.device("cpu")))
    seconds = time.process_time() - start
    told = f"{len(done)} SVMs, {FOLDS} folds x {LAYERS} layers, {CLASSES} x {EACH} images, C of {len(plan.c)}"
    print(f"{told}: {seconds:.1f} s of processor time, goal {GOAL:.0f} s", flush=True)


def main() -> None:
    features_against_a_pass()
    torch.set_num_threads(2)
    svms_of_a_run()


if __name__ == "__main__":
    main()
