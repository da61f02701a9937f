"""The folder of a long training run, drawn in a few seconds: each tile says which layer, map, rank and epoch it is of.

OMP_NUM_THREADS=1 python tests/report/long_run.py <folder> [epochs layers maps]
"""

import colorsys
import json
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image, ImageDraw

from convscope.plots.grid import MapTiles, thumbnails, top9_grid
from convscope.runs.picture_files import DENSE
from convscope.runs.record import Arrays, Picture, Record

SPECIES = ["fox", "owl", "<script>alert(1)</script>", "hare"]
IMAGES = 1200  # of the validation split
INPUT = 96
FIELDS = [(7, 2, -1), (27, 8, -5), (59, 16, -21), (91, 16, -37), (123, 16, -53)]  # size, stride, start
SIDES = [46, 12, 6, 6, 6]
DEAD = 3  # this map of the third layer dies at epoch 5; the last map of the first layer has never lived


@patch.dict(DENSE, method=0)  # a quarter of the time; the files are larger
def long_run(folder: Path, epochs: int = 64, layers: int = 5, maps: int = 16) -> Path:
    """A finished training run with an atlas: no page yet."""
    record = Record(folder)
    numbers_of = {f"conv{number}": [3 + 7 * position for position in range(maps)] for number in range(1, layers + 1)}
    static = {layer: _grid(layer, numbers) for layer, numbers in numbers_of.items()}
    pictured: set[int] = set()
    for epoch in range(1, epochs + 1):
        tops = {layer: _top(layer, numbers, epoch) for layer, numbers in numbers_of.items()}
        record.add(Arrays("top9", {f"{layer}.{k}": v for layer, top in tops.items() for k, v in top.items()}, epoch))
        for layer, numbers in numbers_of.items():
            count = (tops[layer]["score"][numbers] > 0).sum(1).tolist()
            image, sheet = _stamped(static[layer], epoch, count)
            caption = f"{layer}, epoch {epoch}: the nine val images that excite each map most"
            record.add(Picture(f"top9/{layer}", image, caption, epoch, layer, sheet=sheet | {"maps": numbers}))
            tiles = [np.asarray(image.crop((x, y, x + 56, y + 56))) for x, y in sheet["projections"]]
            strip = {"tile": 56, "columns": 8, "maps": numbers}
            record.add(Picture(f"strips/{layer}", thumbnails(tiles, 8, 56), "", epoch, layer, sheet=strip))
        records = [{name: field[numbers_of[layer]] for name, field in top.items()} for layer, top in tops.items()]
        images = {index for top in records for index in top["image"][top["score"] > 0].tolist()}
        for sheet, (image, about) in enumerate(_whole_images(sorted(images - pictured))):
            record.add(Picture(f"images/{sheet}", image, "", epoch, sheet=about))
        pictured |= images
        record.row(epoch, _metrics(epoch, layers))
    _around(folder, record, numbers_of, epochs)
    return folder


def tile(words: list[str], color: tuple[int, int, int], side: int) -> np.ndarray:
    """A flat square with a few small words."""
    image = Image.new("RGB", (side, side), color)
    ImageDraw.Draw(image).multiline_text((3, 1), "\n".join(words), fill="white", spacing=1, font_size=11)
    return np.asarray(image)


def color(layer: int, map_: int, patch: bool) -> tuple[int, int, int]:
    """Layers differ in hue, maps a little too; patches are darker than projections."""
    red, green, blue = colorsys.hsv_to_rgb((layer / 5 + map_ / 800) % 1, 0.6, 0.45 if patch else 0.65)
    return int(255 * red), int(255 * green), int(255 * blue)


def _grid(layer: str, numbers: list[int]):
    """The tiles of all epochs; what differs between epochs is stamped on it."""
    blocks = []
    for number in numbers:
        both = [
            [tile([layer, f"m{number}", f"r{rank}{kind}"], color(int(layer[4:]), number, kind == "i"), 56)
             for rank in range(9)]
            for kind in ("p", "i")
        ]  # fmt: skip
        blocks.append(MapTiles(f"{layer} map {number}", *both))
    return top9_grid(blocks, layer, side=56)


def _stamped(grid, epoch: int, count: list[int]):
    """The grid at an epoch: "e7" on each tile there is, paper where there is none."""
    values = np.array(grid.image)
    stamp = tile([f"e{epoch}"], (20, 20, 20), 56)[1:14, :30]
    for corners in (grid.projections, grid.patches):
        for (left, top), tiles in zip(corners, count, strict=True):
            for rank in range(9):
                x, y = left + rank % 3 * grid.step, top + rank // 3 * grid.step
                if rank < tiles:
                    values[y + 42 : y + 55, x + 24 : x + 54] = stamp
                else:
                    values[y : y + 56, x : x + 56] = 247
    places = {"projections": list(map(list, grid.projections)), "patches": list(map(list, grid.patches))}
    sheet = {"size": list(grid.image.size), "tile": grid.tile, "step": grid.step, **places, "count": count}
    return Image.fromarray(values), sheet


def _top(layer: str, numbers: list[int], epoch: int) -> dict[str, torch.Tensor]:
    """The record of all maps up to the last shown one. Layer k changes until epoch 4 k, then stays the same."""
    depth, maps = int(layer[4:]), numbers[-1] + 1
    draw = np.random.default_rng([depth, min(epoch, 4 * depth)])
    image = np.stack([draw.choice(IMAGES, 9, replace=False) for _ in range(maps)])
    score = -np.sort(-draw.uniform(1, 200 * epoch**0.5, (maps, 9)), axis=1).astype(np.float32)
    if depth == 3 and epoch >= 5:
        score[numbers[DEAD]] = 0
    if depth == 1:
        score[numbers[-1]] = 0
    side = SIDES[(depth - 1) % 5]
    row, col = (draw.integers(0, side, (maps, 9)) for _ in range(2))
    return {name: torch.from_numpy(field) for name, field in
            (("score", score), ("image", image), ("row", row), ("col", col))}  # fmt: skip


def _whole_images(indices: list[int]):
    for first in range(0, len(indices), 100):
        part = indices[first : first + 100]
        tiles = [tile([f"image {index}", SPECIES[index % 4][:9]], color(0, index, False), 112) for index in part]
        names = [f"{SPECIES[index % 4]}_{index:05d}.jpg" for index in part]
        about = {"tile": 112, "columns": 10, "images": part, "labels": [index % 4 for index in part], "names": names}
        yield thumbnails(tiles), about


def _metrics(epoch: int, layers: int) -> dict[str, float]:
    row = {"lr": 0.01, "train/loss": 2.4 / epoch, "train/top1": 1 - 0.9 / epoch, "val/loss": 2.5 / epoch}
    row |= {"val/top1": 1 - 0.92 / epoch, "val/top5": 1 - 0.4 / epoch, "seconds": 12.5, "images_per_second": 640.0}
    for depth in range(1, layers + 1):
        row[f"stayed/conv{depth}"] = 0.0 if epoch == 1 else 1.0 if epoch > 4 * depth else 0.1
        row[f"similarity/conv{depth}"] = 0.0 if epoch == 1 else 0.9 if epoch > 4 * depth else 0.2
        row[f"dead/conv{depth}"] = 1 / 110 if depth == 1 or (depth == 3 and epoch >= 5) else 0.0
    return row


def _around(folder: Path, record: Record, numbers_of: dict[str, list[int]], epochs: int) -> None:
    """summary.json, .hydra and the pictures of the whole run."""
    rows = []
    for number, (layer, numbers) in enumerate(numbers_of.items()):
        size, stride, start = FIELDS[number % 5]
        rows.append({"name": layer, "kind": "conv", "maps": numbers[-1] + 1, "side": SIDES[number % 5],
                     "field": size, "stride": stride, "start": start})  # fmt: skip
        strip = Image.fromarray(tile([f"evolution of {layer}"], color(number + 1, 0, False), 240))
        record.add(Picture(f"evolution/{layer}", strip, f"{layer}: the strongest projection of each map", layer=layer))
    rows.append({"name": "fc8", "kind": "full", "maps": 4, "side": 1, "field": "image", "stride": "", "start": ""})
    last = {"epoch": epochs, "val/top1": 1 - 0.92 / epochs, "val/top5": 1 - 0.4 / epochs}
    record.summary({
        "job": "train", "name": "long", "seed": 0, "data": "critters", "classes": SPECIES,
        "net": {"name": "zfnet", "image_size": INPUT, "parameters": 1234567, "rows": rows},
        "final": last, "best": last, "seconds": {"fit": 12.5 * epochs}, "finished": True,
    })  # fmt: skip
    (folder / ".hydra").mkdir(exist_ok=True)
    config = {"job": "train", "name": "long", "data": {"source": "critters", "image_size": INPUT}}
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    (folder / ".hydra" / "overrides.yaml").write_text(f"- trainer.max_epochs={epochs}\n")
    (folder / ".hydra" / "hydra.yaml").write_text("hydra:\n  runtime:\n    choices: {model: zfnet, data: critters}\n")


if __name__ == "__main__":
    long_run(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
