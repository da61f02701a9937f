"""A tiny PASCAL VOC drawn by the tests: one to three colored shapes in an image, several classes, some difficult."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ["aeroplane", "diningtable", "dog", "person"]  # names of the set, so that the paper has numbers for them
COLORS = [(220, 60, 50), (60, 190, 80), (60, 90, 230), (230, 210, 60)]


class Drawn(NamedTuple):
    """An object: class, box (x0 y0 x1 y1), whether it is difficult."""

    name: str
    box: tuple[int, int, int, int]
    difficult: bool


def tiny_voc(root, train=24, val=16, seed=0):
    """Writes root/VOCdevkit/VOC2012 with Annotations and class files; {image: objects}, the devkit's folder."""
    draw, devkit = np.random.default_rng(seed), root / "VOCdevkit/VOC2012"
    drawn = {f"2008_{number:06d}": objects(draw, number) for number in range(train + val)}
    splits = {"train": list(drawn)[:train], "val": list(drawn)[train:]}
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (devkit / folder).mkdir(parents=True)
    for name, objects_drawn in drawn.items():
        picture(objects_drawn).save(devkit / f"JPEGImages/{name}.jpg", quality=95)
        (devkit / f"Annotations/{name}.xml").write_text(annotation(name, objects_drawn))
    for split, names in splits.items():
        (devkit / f"ImageSets/Main/{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for class_name in CLASSES:
            lines = [f"{name} {flag(drawn[name], class_name):2d}\n" for name in names]
            (devkit / f"ImageSets/Main/{class_name}_{split}.txt").write_text("".join(lines))
    return drawn, devkit


def objects(draw, number):
    """The first is never difficult and its class goes round, so every class is shown in every split."""
    objects_drawn = []
    for place, at in enumerate(draw.permutation(4)[: draw.integers(1, 4)]):
        kind = number % 4 if place == 0 else int(draw.integers(4))
        x, y, side = 40 * (int(at) % 2) + 2, 40 * (int(at) // 2) + 2, int(draw.integers(20, 36))
        objects_drawn.append(Drawn(CLASSES[kind], (x, y, x + side, y + side), place > 0 and bool(draw.random() < 0.3)))
    return objects_drawn


def picture(objects_drawn):
    image = Image.new("RGB", (84, 84), (120, 120, 120))
    pen = ImageDraw.Draw(image)
    for item in objects_drawn:
        kind = CLASSES.index(item.name)
        (pen.ellipse if kind % 2 else pen.rectangle)(item.box, fill=COLORS[kind])
    return image


def annotation(name, objects_drawn):
    sides = ("xmin", "ymin", "xmax", "ymax")
    marked = "".join(
        f"<object><name>{item.name}</name><difficult>{int(item.difficult)}</difficult><bndbox>"
        + "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, item.box, strict=True))
        + "</bndbox><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        for item in objects_drawn
    )
    return f"<annotation><filename>{name}.jpg</filename>{marked}</annotation>"


def flag(objects_drawn, kind):
    matches = [item for item in objects_drawn if item.name == kind]
    return -1 if not matches else int(any(not item.difficult for item in matches))
