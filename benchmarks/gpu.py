"""What only a GPU can show, in under six minutes on one card: first whether its values are right, then how fast it is.

A line for each: what, measured, goal, unit. The net is ZFNet at 224 pixels; it trains in bfloat16, all else is float32
without TF32. Photographs from $CONVSCOPE_DATA/imagenette224 where that is set, else drawn JPEGs of ImageNet's usual
size. CONVSCOPE_DEVICE=cpu runs all of it on a small net and small images, so that it keeps working where there is no
GPU; its ratios say nothing then.
make gpu
"""

import csv
import io
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from torch import Tensor, nn

THREADS = torch.get_num_threads()
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for the exact resume

from deconvnet import CONF, LAYERS, Units, captum_batched, project, project_fields, stock  # noqa: E402
from occlusion import Occluder, captum, occlude, occlude_fully, strongest_map  # noqa: E402
from top9 import Search  # noqa: E402

from convscope.analyses.visualize.about import FeatureConfig  # noqa: E402
from convscope.data.module import ImageData  # noqa: E402
from convscope.data.settings import DataSettings  # noqa: E402
from convscope.data.sources import Files, Source, folder, limited  # noqa: E402
from convscope.models.build import ConvNet, build, he_  # noqa: E402
from convscope.models.lrn import fused_kernel, local_response_norm  # noqa: E402
from convscope.models.renorm import filter_rms, renormalize_filters_  # noqa: E402
from convscope.models.rows import plain_rows, read_rows  # noqa: E402
from convscope.runs.record import Record  # noqa: E402
from convscope.training.callbacks.session_seconds import Sessions  # noqa: E402
from convscope.training.classifier import Classifier  # noqa: E402
from convscope.training.job import TrainingPlan, train  # noqa: E402
from convscope.training.recipe import Recipe  # noqa: E402

torch.set_num_threads(THREADS)  # the files above take one

DEVICE = torch.device(os.environ.get("CONVSCOPE_DEVICE", "cuda"))
IMAGENET = 1_281_167  # training images of an epoch
CONSTANTS = 5, 1e-4, 0.75, 2.0  # of the normalization: size, alpha, beta, k
CLASSES = [f"class {number}" for number in range(10)]
RECIPE = Recipe("sgd", 1e-5, 0.9, 0.0, 128, "constant", 0, 0.0, "he", 0.01, [], 0.1)


class Case(NamedTuple):
    """Sizes. side, width: of the images and the net. batch: of training. looked: images that are searched, `together`
    at a time. maps: of each layer that are projected. occluder: its square. photographs: training images, `distinct`
    files of them. rounds: of each measurement.
    """

    side: int
    width: float
    batch: int
    looked: int
    together: int
    maps: int
    occluder: Occluder
    photographs: int
    distinct: int
    rounds: int


FULL = Case(224, 1.0, 128, 1024, 256, 16, Occluder(32, 8), 20480, 512, 5)
SMALL = Case(64, 0.1, 16, 32, 16, 1, Occluder(16, 16), 64, 16, 1)
CASE = SMALL if DEVICE.type == "cpu" else FULL


def line(what: str, measured: float, goal: str, unit: str = "") -> None:
    """Prints one result."""
    print(f"{what}  {measured:.3g}  goal {goal}  {unit}".rstrip(), flush=True)


def seconds(sides: dict[str, Callable[[], object]], times: int = 1) -> dict[str, float]:
    """Seconds of a call of each function by the device's clock: the sides take turns; the median over the rounds.

    times: calls between two readings of the clock. A round before the first warms up and is not counted.
    """
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(CASE.rounds + 1):
        for name, side in sides.items():
            measured[name].append(_clocked(side, times) / times)
    return {name: statistics.median(rounds[1:]) for name, rounds in measured.items()}


def _clocked(side: Callable[[], object], times: int) -> float:
    if DEVICE.type != "cuda":
        start = time.perf_counter()
        for _ in range(times):
            side()
        return time.perf_counter() - start
    began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    began.record()
    for _ in range(times):
        side()
    ended.record()
    torch.cuda.synchronize()
    return float(began.elapsed_time(ended)) / 1000


def smooth_images(count: int, side: int) -> Tensor:
    """Random images with detail at several scales, on the device."""
    draw = torch.Generator().manual_seed(0)
    images = torch.zeros(count, 3, side, side)
    for coarse in (side, side // 4, side // 16):
        images += F.interpolate(torch.randn(count, 3, coarse, coarse, generator=draw), side, mode="bilinear") * 0.4
    return images.to(DEVICE, memory_format=torch.channels_last)


def zfnet(classes: int) -> ConvNet:
    """ZFNet on He weights."""
    torch.manual_seed(0)
    net = build(yaml.safe_load(CONF.read_text())["layers"], CASE.side, classes, CASE.width)
    he_(net)
    return net


class Looking:
    """A net with what is looked at in it: its strongest units, and the same net of torch's own modules for Captum."""

    def __init__(self) -> None:
        self.net = zfnet(1000).eval().requires_grad_(False)
        self.peer = stock(self.net).to(DEVICE)
        self.net.to(DEVICE)
        self.images = smooth_images(CASE.looked, CASE.side)
        self.top = self.search().top
        self.units = {layer: self._units(layer) for layer in LAYERS}
        with torch.inference_mode():
            target = int(self.net(self.images[:1]).argmax())
        self.watched = "conv5", strongest_map(self.net, self.images[0], "conv5"), target

    @torch.inference_mode()
    def forward(self) -> None:
        for part in self.images.split(CASE.together):
            self.net(part)

    @torch.inference_mode()
    def search(self) -> Search:
        with Search(self.net, LAYERS) as search:
            for numbers in torch.arange(len(self.images)).split(CASE.together):
                search.watch(numbers)
                self.net(self.images[numbers[0] : numbers[-1] + 1])
        return search

    def _units(self, layer: str) -> Units:
        """The nine strongest units of the first maps that are alive."""
        top = self.top[layer]
        maps = (top.score[:, -1] > 0).nonzero()[: CASE.maps, 0]
        image, row, col = (field[maps].flatten().cpu() for field in (top.image, top.row, top.col))
        return Units(image, maps.cpu().repeat_interleave(9), row, col)

    def ours(self, layer: str) -> Any:
        return project_fields(self.net, self.images, layer, self.units[layer])

    def whole(self, layer: str) -> Tensor:
        return project(self.net, self.images, layer, self.units[layer])

    def captum(self, layer: str) -> Tensor:
        return captum_batched(self.peer, self.images)(layer, self.units[layer])


def check_norm() -> None:
    """Values and gradients of the normalization against the formula in float64."""
    x = (torch.randn(4, 96, 13, 13) * 50).to(DEVICE, memory_format=torch.channels_last).requires_grad_()
    exact = x.detach().double().cpu().requires_grad_()
    size, alpha, beta, k = CONSTANTS
    pairs = [(local_response_norm(x, *CONSTANTS), nn.LocalResponseNorm(size, alpha * size, beta, k)(exact))]
    down = torch.randn(4, 96, 13, 13)
    pairs += [(torch.autograd.grad(pairs[0][0], x, down.to(DEVICE))[0],
               torch.autograd.grad(pairs[0][1], exact, down.double())[0])]  # fmt: skip
    for what, (ours, theirs) in zip(("values", "gradients"), pairs, strict=True):
        worst = float(((ours.double().cpu() - theirs).abs().max() / theirs.abs().max()).detach())
        line(f"LRN, {what}: difference from float64", worst, "at most 1e-05", "of the largest")


def check_renormalization() -> None:
    weight = (
        torch.randn(256, 96, 5, 5, device=DEVICE) * torch.linspace(0.01, 0.3, 256, device=DEVICE)[:, None, None, None]
    )
    before = weight.double()
    renormalize_filters_(weight, 0.1)
    rms = before.square().mean((1, 2, 3), keepdim=True).sqrt()
    worst = float((weight - before * (0.1 / rms).clamp(max=1)).abs().max() / weight.abs().max())
    line("renormalization: difference from float64", worst, "at most 1e-05", "of the largest")
    line("renormalization: largest RMS at a radius of 0.1", float(filter_rms(weight).max()), "at most 0.1")


@torch.inference_mode()
def check_search(looking: Looking) -> None:
    """The record of conv5 against all activations of the images, sorted."""
    kept: list[Tensor] = []
    handle = looking.net.get_submodule("conv5").register_forward_hook(lambda *call: kept.append(call[2].clone()))
    looking.forward()
    handle.remove()
    strongest = torch.cat(kept).flatten(2).amax(2).sort(dim=0, descending=True).values[:9].T
    score = looking.top["conv5"].score.to(strongest)
    worst = float((strongest - score)[score > 0].abs().max() / strongest.max())
    line("top-9 search: difference from all activations, sorted", worst, "at most 1e-06", "of the largest")


def check_projections(looking: Looking) -> None:
    worst = 0.0
    for layer in LAYERS:
        ours, whole = looking.ours(layer), looking.captum(layer)
        side = max(ours.values.shape[2:])
        wide = F.pad(whole, [side] * 4)  # boxes may leave the image
        for values, top, left, theirs, image in zip(*ours, wide, whole, strict=True):
            box = theirs[:, top + side :, left + side :][:, : values.shape[1], : values.shape[2]]
            worst = max(worst, float((values - box).abs().max() / image.abs().max()))
    line("projections: difference from Captum", worst, "at most 2e-06", "of the largest")


def check_occlusion(looking: Looking) -> None:
    image = looking.images[0]
    ours, full = (look(looking.net, image, *looking.watched, CASE.occluder) for look in (occlude, occlude_fully))
    worst = float((ours.probability - full.probability).abs().max())
    line("occlusion: difference from full passes", worst, "at most 1e-05", "of probability")


def photographs(place: Path) -> Source:
    """JPEGs with detail at several scales; each file stands for several images."""
    if given := os.environ.get("CONVSCOPE_DATA"):
        return folder(Path(given) / "imagenette224")

    def drawn(number: int) -> Path:
        draw, path = np.random.default_rng(number), place / f"{number}.jpg"
        coarse = Image.fromarray(draw.integers(0, 256, (24, 32, 3), np.uint8)).resize((500, 375), 3)
        grain = draw.normal(0, 12, (375, 500, 1))
        Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=92)
        return path

    with ThreadPoolExecutor() as pool:
        paths = list(pool.map(drawn, range(CASE.distinct)))
    several = paths * (CASE.photographs // CASE.distinct)
    files = (Files(some, np.arange(len(some)) % len(CLASSES)) for some in (several, paths))
    return Source(CLASSES, *files)


class Trained(NamedTuple):
    """A finished training: the rows of its epochs, seconds that feature evolution held it up, weights at its end."""

    rows: list[dict[str, float]]
    looking: float
    weights: dict[str, Tensor]


def trained(place: Path, source: Source, epochs: int, shown: list[int], **trainer: Any) -> Trained:
    """Trains ZFNet in a run folder, or goes on there. shown: epochs whose features are drawn."""
    data = ImageData(source, DataSettings(CASE.side, CASE.batch, cache_dir=str(place.parent / "cache")))
    net = zfnet(len(source.classes))
    rows = plain_rows(read_rows(yaml.safe_load(CONF.read_text())["layers"], len(source.classes), CASE.width))
    about = {"net": {"name": "zfnet", "layers": rows, "image_size": CASE.side, "classes": len(source.classes)}}
    accelerator = "cpu" if DEVICE.type == "cpu" else "gpu"
    settings = {"max_epochs": epochs, "accelerator": accelerator, "devices": 1, "precision": "bf16-mixed", **trainer}
    plan = TrainingPlan(settings, FeatureConfig(LAYERS, CASE.maps, shown, "val", "auto"), 0, about)
    sessions, record = Sessions({}, time.perf_counter()), Record(place)
    with redirect_stdout(io.StringIO()):
        train(Classifier(net, RECIPE, len(source.classes)), data, plan, record, sessions)
    checkpoint = torch.load(place / "checkpoints/last.ckpt", map_location="cpu", weights_only=True)
    with (place / "metrics.csv").open() as file:
        rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    return Trained(rows, sessions.seconds["looking"], checkpoint["state_dict"])


def check_resume(place: Path, source: Source) -> None:
    """Two epochs at once against one and, in another session, one more."""
    few = source._replace(train=limited(source.train, 4 * CASE.batch, 0), val=limited(source.val, CASE.batch, 0))
    exact = {"deterministic": "warn"}
    whole = trained(place / "whole", few, 2, [1], **exact)
    trained(place / "parts", few, 1, [1], **exact)
    parts = trained(place / "parts", few, 2, [1], **exact)
    torch.use_deterministic_algorithms(False)
    worst = max(float((weight - parts.weights[name]).abs().max()) for name, weight in whole.weights.items())
    line("exact resume: difference of weights from those of an unbroken run", worst, "0")


def training_step() -> Callable[[], None]:
    """A step of training in bfloat16 on images that are on the device, with renormalization."""
    net = zfnet(1000).to(DEVICE).train()
    optimizer = torch.optim.SGD(net.parameters(), 1e-6, momentum=0.9, fused=True)
    images = (torch.randn(CASE.batch, 3, CASE.side, CASE.side) * 58).to(DEVICE, memory_format=torch.channels_last)
    labels = torch.arange(CASE.batch, device=DEVICE)
    filters = [weight for weight in net.parameters() if weight.dim() == 4]

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(DEVICE.type, torch.bfloat16):
            loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        for weight in filters:
            renormalize_filters_(weight, RECIPE.renorm)

    return step


def time_training(place: Path, source: Source) -> None:
    """With features drawn after the first two of four epochs: the third trains beside the drawing, the fourth alone."""
    step = seconds({"step": training_step()}, 20 if CASE is FULL else 1)["step"]
    synthetic = CASE.batch / step
    line("training, synthetic data", synthetic, "at least 8600", "images/s")
    run = trained(place / "timed", source, 4, [1, 2])
    rates = [row["images_per_second"] for row in run.rows]
    line("training, JPEGs from the decoded store", rates[-1], "at least 8170", "images/s")
    line("training, JPEGs against synthetic data", rates[-1] / synthetic, "at least 0.95", "x")
    line("training beside drawing against training alone", rates[2] / rates[3], "at least 0.9", "x")
    share = run.looking / 2 / (IMAGENET / rates[-1])
    line("feature evolution, share of an epoch of ImageNet", share, "at most 0.05")


def time_norm() -> None:
    """The normalization of pool1's maps, forward and backward; torch's own on maps as it likes them."""
    side = max(1, CASE.side // 4 - 1)
    dtype = torch.float32 if CASE is SMALL else torch.bfloat16  # which torch's own cannot on a CPU
    x = torch.randn(CASE.batch, 96, side, side, device=DEVICE, dtype=dtype).requires_grad_()
    ours = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    size, alpha, beta, k = CONSTANTS

    def both(x: Tensor, norm: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        down = torch.ones_like(x)
        return lambda: torch.autograd.grad(norm(x), x, down)

    source, copy = torch.empty_like(x), torch.empty_like(x)
    sides = {
        "ours": both(ours, lambda x: local_response_norm(x, *CONSTANTS)),
        "torch": both(x, lambda x: F.local_response_norm(x, size, alpha * size, beta, k)),
        "copy": lambda: copy.copy_(source),
    }
    times = seconds(sides, 20 if CASE is FULL else 1)
    line("LRN, forward and backward, against torch's", times["torch"] / times["ours"], "at least 4", "x")
    bound = 2.5 * times["copy"]  # five values are moved for each map's value, two of them by a copy
    line("LRN, forward and backward, against the memory bound", times["ours"] / bound, "at most 2", "x")


def time_renormalization() -> None:
    net = zfnet(1000).to(DEVICE)
    filters = [weight.detach() for weight in net.parameters() if weight.dim() == 4]
    sides = {"step": training_step(), "renorm": lambda: [renormalize_filters_(weight, 0.1) for weight in filters]}
    times = seconds(sides, 10 if CASE is FULL else 1)
    line("renormalization, share of a training step", times["renorm"] / times["step"], "at most 0.01")


def time_looking(looking: Looking) -> None:
    times = seconds({"search": looking.search, "forward": looking.forward})
    line("top-9 search against the plain forward pass", times["search"] / times["forward"], "at most 1.05", "x")
    sides = {name: partial(_over_layers, project) for name, project in
             {"ours": looking.ours, "captum": looking.captum, "whole": looking.whole}.items()}  # fmt: skip
    times = seconds(sides)
    line("projections against Captum batched", times["captum"] / times["ours"], "at least 10", "x")
    line("projections against our own over whole images", times["whole"] / times["ours"], "at least 1", "x")
    image, target = looking.images[0], looking.watched[2]
    times = seconds({
        "ours": lambda: occlude(looking.net, image, *looking.watched, CASE.occluder),
        "full": lambda: occlude_fully(looking.net, image, *looking.watched, CASE.occluder, 64),
        "captum": lambda: captum(looking.peer, image, target, CASE.occluder, 64),
    })  # fmt: skip
    line("occlusion against Captum, 64 an evaluation", times["captum"] / times["ours"], "at least 5", "x")
    line("occlusion against our own full passes", times["full"] / times["ours"], "at least 1", "x")


def _over_layers(projecting: Callable[[str], object]) -> None:
    for layer in LAYERS:
        projecting(layer)


def main() -> None:
    if DEVICE.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device; CONVSCOPE_DEVICE=cpu runs this on a CPU, small")
    warnings.simplefilter("ignore")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    name = torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else f"{DEVICE.type}, small: no ratio counts"
    print(f"on {name}; torch {torch.__version__}; LRN fused: {fused_kernel(DEVICE) is not None}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        source, looking = photographs(Path(folder)), Looking()
        check_norm()
        check_renormalization()
        check_search(looking)
        check_projections(looking)
        check_occlusion(looking)
        check_resume(Path(folder), source)
        time_training(Path(folder), source)
        time_norm()
        time_renormalization()
        time_looking(looking)


if __name__ == "__main__":
    main()
