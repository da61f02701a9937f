"""One picture of a critter from (seed, split, index), at any size, with the mask and boxes of what it shows."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from convscope.data.critters.face import MASKED_PARTS, draw_animal
from convscope.data.critters.scenery import background, cover, draw_objects, light
from convscope.data.critters.shapes import Canvas, Frame
from convscope.data.critters.species import SPECIES, Look, Species, random_look
from convscope.errors import UserError

SPLITS = ("train", "val")
FINER = 2  # the animal is drawn on a canvas this many times finer, then averaged down


class Critter(NamedTuple):
    """A picture, the mask of its animal and the boxes of the animal's parts.

    regions: where asked for, at each pixel of the drawing, FINER times as fine as the picture, the face.Region of the
    animal that is visible there; else 0.
    """

    image: np.ndarray  # [size, size, 3] uint8
    mask: np.ndarray  # [size, size] uint8, 1 where the animal is visible
    boxes: np.ndarray  # [6, 4] float32, x0, y0, x1, y1 in pixels of each of face.PARTS, hidden or not
    species: int  # the label: a place in SPECIES
    regions: Image.Image | None = None


class Pose(NamedTuple):
    """Place and turn of the head, in shares of the picture: the same for any size."""

    fill: float  # size of the head with its ears over the available space
    place: tuple[float, float]  # 0..1 over the remaining space, x and y
    roll: float
    yaw: float
    pitch: float
    stretch: float


class Plan(NamedTuple):
    """All random values of a scene, drawn independently of the species, so that they do not reveal it."""

    pose: Pose
    look: Look
    scenery_seed: int
    shine: tuple[float, float]  # where the light on the face comes from


def scene(seed: int, split: str, index: int, size: int, with_regions: bool = False) -> Critter:
    """The picture of an index; species take turns. Raises UserError for a size below 16."""
    check_size(size)
    return render(plan(seed, split, index), SPECIES[index % len(SPECIES)], size, with_regions)


def part_masks(seed: int, split: str, index: int, size: int) -> np.ndarray:
    """[P, size, size] bool: where each of face.MASKED_PARTS is visible in a picture; last, the background.

    A pixel belongs to a part that fills half of it or more, so that a thin part may have none.
    """
    critter = scene(seed, split, index, size, with_regions=True)
    assert critter.regions is not None
    masks = []
    for regions in MASKED_PARTS.values():
        visible = critter.regions.point([255 if number in regions else 0 for number in range(256)])
        masks.append(np.asarray(visible.reduce(FINER)) > 127)
    return np.stack([*masks, critter.mask == 0])


def check_size(size: int) -> None:
    """Raises UserError for a size below 16."""
    if size < 16:
        raise UserError(f"critters of {size} x {size} pixels show no parts: ask for 16 pixels or more")


def drawn(seed: int, split: str, indices: range, size: int) -> np.ndarray:
    """The images [N, size, size, 3] uint8 of these indices."""
    return np.stack([scene(seed, split, index, size).image for index in indices])


def plan(seed: int, split: str, index: int) -> Plan:
    """The random values of a picture. Raises UserError for an unknown split."""
    if split not in SPLITS:
        raise UserError(f"critters have no split {split!r}: choose {' or '.join(SPLITS)}")
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    pose = Pose(
        fill=rng.uniform(0.54, 1.0),
        place=(rng.uniform(0, 1), rng.uniform(0, 1)),
        roll=float(np.clip(rng.normal(0, 0.22), -0.55, 0.55)),
        yaw=rng.uniform(-0.26, 0.26),
        pitch=rng.uniform(-0.12, 0.12),
        stretch=rng.uniform(0.95, 1.07),
    )
    return Plan(pose, random_look(rng), int(rng.integers(2**31)), (rng.uniform(-0.9, 0.9), rng.uniform(-1, -0.2)))


def frame(pose: Pose, species: Species, side: int) -> Frame:
    """The frame that puts head and ears into the middle 7/8 of the picture's width and its upper 13/16."""
    points = np.concatenate([species.head, species.ears.outline, species.ears.outline * (-1, 1)])
    points = Frame(0, 0, 1, pose.roll, 0, 0, pose.stretch).put(points)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    unit = pose.fill * min(0.86 / (right - left), 0.8 / (bottom - top))
    x = 0.07 + pose.place[0] * (0.86 - unit * (right - left)) - unit * left
    y = 0.06 + pose.place[1] * (0.82 - unit * (bottom - top)) - unit * top
    return Frame(x * side, y * side, unit * side, pose.roll, pose.yaw, pose.pitch, pose.stretch)


def render(plan: Plan, species: Species, size: int, with_regions: bool = False) -> Critter:
    """The picture of a plan with an animal of this species."""
    side, rng = size * FINER, np.random.default_rng(plan.scenery_seed)
    head = frame(plan.pose, species, side)
    picture = Image.fromarray(background(rng, size).clip(0, 255).astype(np.uint8)).resize((side, side))
    behind, animal, before = Canvas(side), Canvas(side, with_regions), Canvas(side)
    draw_objects(rng, behind, side)
    parts = draw_animal(animal, head, species, plan.look)
    cover(rng, before, side)
    mask = animal.image.getchannel("A")
    mask.paste(0, mask=before.image)
    if animal.regions:
        animal.regions.paste(0, mask=before.image)
    for layer in (behind, animal, before):
        picture.paste(layer.image, mask=layer.image)
    visible = np.asarray(mask.reduce(FINER))
    lit = np.asarray(picture.reduce(FINER)) * light(rng, size)
    lit *= 1 + (_volume(head, plan.shine, size) * (visible / 255))[..., None]
    boxes = np.array([[*part.min(axis=0), *part.max(axis=0)] for part in parts], np.float32) / FINER
    return Critter(
        lit.clip(0, 255).astype(np.uint8),
        (visible > 127).astype(np.uint8),
        boxes.clip(0, size),
        [candidate.name for candidate in SPECIES].index(species.name),
        animal.regions,
    )


def _volume(head: Frame, shine: tuple[float, float], size: int) -> np.ndarray:
    """[size, size]: brightness of the round head over its mean, by the direction of the light."""
    y, x = np.mgrid[:size, :size].astype(np.float32) * FINER
    x, y = (x - head.x) / head.unit - shine[0] * 0.5, (y - head.y) / head.unit - shine[1] * 0.6
    return 0.17 - 0.2 * np.clip(x * x + y * y, 0, 2.2)
