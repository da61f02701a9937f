"""job=transfer: features of all layers against one plain pass over the same images, the SVMs of a whole run, and ours
against scikit-learn's at Caltech-101's size.

The net is ZFNet at 224 pixels on random He weights; seven layers go into files on disk.
"""

from interleaved import line, paired, ratio  # first: sets the number of threads

import tempfile  # isort: skip
import time
from contextlib import redirect_stdout
from functools import partial
from io import StringIO

import numpy as np
import torch
import torch.nn.functional as F
from deconvnet import zfnet
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from convscope.analyses.subject import Subject
from convscope.analyses.transfer.about import TransferConfig
from convscope.analyses.transfer.compute import transferred_layers, trials
from convscope.analyses.transfer.compute.feature_files import SPLITS, StoredFeatures
from convscope.analyses.transfer.compute.feature_pass import FeatureRequest, features_on_disk
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.metrics.linear_probe import coordinates, fit_probe

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
        wanted = FeatureRequest(transferred_layers(seen.net, SIZE), 6)

        def on_disk() -> None:
            with features_on_disk({"net": seen}, wanted):
                pass

        @torch.inference_mode()
        def plain() -> None:
            for split in SPLITS:
                for batch in seen.data.ordered_dataloader(split):
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
    plan = TransferConfig(classifiers=["svm"], per_class=[EACH], folds=FOLDS, test_per_class=15)
    start = time.process_time()
    done = list(trials({"net": StoredFeatures(held, labels)}, names, plan, 0, torch.device("cpu")))
    seconds = time.process_time() - start
    told = f"{len(done)} SVMs, {FOLDS} folds x {LAYERS} layers, {CLASSES} x {EACH} images, C of {len(plan.c)}"
    print(f"{told}: {seconds:.1f} s of processor time, goal {GOAL:.0f} s", flush=True)


def classifiers_against_scikit_learn() -> None:
    """102 classes x 30 images of features whose spectrum decays as convnets' does, of classes that overlap; C = 10.

    LogisticRegression by default stops further from its minimum; tol=1e-5 gets as near to it as ours.
    """
    classes, each, draw = 102, 30, np.random.default_rng(0)
    labels, fade = np.repeat(np.arange(classes), each), np.linspace(1, 0.02, VALUES, dtype=np.float32) ** 2
    centers = draw.standard_normal((classes, VALUES), dtype=np.float32)
    noise = 9 * draw.standard_normal((len(labels), VALUES), dtype=np.float32)
    held = F.normalize(torch.from_numpy((centers[labels] + noise) * fade).clamp_min(0))
    images = coordinates(held @ held.T, held[:1] @ held.T).train
    peers = {"svm": LinearSVC(C=10), "softmax": LogisticRegression(C=10, tol=1e-5, max_iter=1000)}
    for kind, peer in peers.items():
        seconds = []
        for run in (partial(peer.fit, images.numpy(), labels),
                    partial(fit_probe, images, torch.from_numpy(labels), classes, kind, 10)):  # fmt: skip
            start = time.process_time()
            run()
            seconds.append(time.process_time() - start)
        line(f"{type(peer).__name__} of scikit-learn against our {kind}, {images.shape[0]} x {images.shape[1]}",
             seconds[0] / seconds[1], 3.0 if kind == "svm" else 1.0)  # fmt: skip


def main() -> None:
    features_against_a_pass()
    classifiers_against_scikit_learn()
    torch.set_num_threads(2)
    svms_of_a_run()


if __name__ == "__main__":
    main()
