"""One animal: draws the parts of a species on a canvas, in the colors and the mood of one look."""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from convscope.data.critters.shapes import (
    Canvas,
    Color,
    Frame,
    bend,
    ellipse,
    grown,
    mirror,
    mix,
    ribbon,
    staggered,
    symmetric,
)
from convscope.data.critters.species import Ears, Look, Mark, Species

PARTS = ("left eye", "right eye", "nose", "mouth", "left ear", "right ear")  # left as the viewer sees it
Region = IntEnum(  # what a pixel of the animal belongs to
    "Region", "BODY DARK_OF_BODY LIGHT_OF_BODY HEAD DARK_OF_HEAD LIGHT_OF_HEAD EAR MOUTH NOSE WHISKERS EYE"
)
_BODY_MARKS = {"dark": Region.DARK_OF_BODY, "light": Region.LIGHT_OF_BODY}
_HEAD_MARKS = {"dark": Region.DARK_OF_HEAD, "light": Region.LIGHT_OF_HEAD}
_FACE = (Region.HEAD, Region.DARK_OF_HEAD, Region.LIGHT_OF_HEAD, Region.MOUTH, Region.NOSE, Region.EYE)
MASKED_PARTS: dict[str, tuple[Region, ...]] = {  # parts and their regions; what is no animal is the background
    "eyes": (Region.EYE,),
    "nose": (Region.NOSE,),
    "mouth": (Region.MOUTH,),
    "ears": (Region.EAR,),
    "whiskers": (Region.WHISKERS,),
    "dark marks": (Region.DARK_OF_HEAD, Region.DARK_OF_BODY),
    "light marks": (Region.LIGHT_OF_HEAD, Region.LIGHT_OF_BODY),
    "head": _FACE,
    "body": (Region.BODY, Region.DARK_OF_BODY, Region.LIGHT_OF_BODY),
}
INK = (46, 36, 44)
BODY = symmetric((0, 0.3), (0.66, 0.66), (1.02, 1.2), (1.24, 1.9), (1.35, 3.0), (1.3, 4.2), (0, 4.3))
ON_HEAD = staggered(-1.1, 1.1)
ON_BODY = staggered(0.8, 4.2)


class Artist(NamedTuple):
    """The canvas, the place of the head and the colors that the functions below draw with."""

    canvas: Canvas
    frame: Frame
    look: Look

    def shade(self, name: str) -> Color:
        if name == "fur":
            return self.look.fur
        return mix(self.look.fur, (255, 252, 244), 0.72) if name == "light" else mix(self.look.fur, INK, 0.76)

    def outlined(self, outline: np.ndarray, color: Color, edge: float = 0.035) -> np.ndarray:
        """Fills an outline (canvas coordinates) with a dark edge around it; returns the edge's own outline."""
        border = grown(outline, edge * self.frame.unit)
        self.canvas.fill(border, mix(color, INK, 0.62))
        self.canvas.fill(outline, color)
        return border


def draw_animal(canvas: Canvas, frame: Frame, species: Species, look: Look) -> list[np.ndarray]:
    """Fills the canvas with one animal and returns the points [n, 2] (canvas pixels) of each of the PARTS.

    A canvas with regions gets the Region of each of its pixels.
    """
    artist = Artist(canvas, frame, look)
    _body(artist, species)
    ears = _ears(artist, species) if not species.ears.in_front else []
    head, canvas.region = frame.put(species.head), Region.HEAD
    artist.outlined(head, look.fur)
    with canvas.inside(head):
        _coat(artist, species.coat, ON_HEAD)
        _marks(artist, species.marks)
    ears = ears or _ears(artist, species)
    mouth = _mouth(artist, species)
    nose = _nose(artist, species)
    _whiskers(artist, species)
    return [_eye(artist, species, side) for side in (-1, 1)] + [nose, mouth, *ears]


def _body(artist: Artist, species: Species) -> None:
    upright = artist.frame._replace(roll=0.6 * artist.frame.roll, yaw=0.0, pitch=0.0)
    artist, artist.canvas.region = artist._replace(frame=upright), Region.BODY
    outline = upright.put(BODY)
    artist.outlined(outline, mix(artist.look.fur, INK, 0.1))
    with artist.canvas.inside(outline):
        _coat(artist, species.coat, ON_BODY)
        for mark in species.chest:
            artist.canvas.region = _BODY_MARKS.get(mark.shade, Region.BODY)
            artist.canvas.fill(upright.put(mark.outline), mix(artist.shade(mark.shade), INK, 0.1))
        artist.canvas.region = Region.BODY
        shadow = upright.put(species.head * (0.96, 1.0) + (0, 0.2))
        artist.canvas.fill(shadow, mix(artist.look.fur, INK, 0.45))


def _ears(artist: Artist, species: Species) -> list[np.ndarray]:
    """The points of the left and of the right ear."""
    artist.canvas.region = Region.EAR
    return [_ear(artist, species.ears, side, turn) for side, turn in zip((-1, 1), artist.look.ear_turn, strict=True)]


def _ear(artist: Artist, ears: Ears, side: int, turn: float) -> np.ndarray:
    base = ears.outline[np.hypot(*ears.outline.T).argmin()]  # the ear turns about its base
    turned = np.array([(math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))])

    def put(outline: np.ndarray) -> np.ndarray:
        moved = (outline - base) * artist.look.ear_length @ turned + base
        return artist.frame.put(moved * (side, 1), 0.45 if ears.in_front else -0.3)

    outline = put(ears.outline)
    border = artist.outlined(outline, artist.shade(ears.shade))
    if ears.tip is not None:
        with artist.canvas.inside(outline):
            artist.canvas.fill(put(ears.tip), artist.shade("dark"))
    if ears.inner:
        middle = ears.outline.mean(axis=0) * 0.8 + base * 0.2
        artist.canvas.fill(put(middle + ears.inner * (ears.outline - middle)), mix(artist.look.skin, INK, 0.12))
    return border


def _coat(artist: Artist, coat: str, places: np.ndarray) -> None:
    """The texture of the skin at these places [n, 2]: thin hairs, rows of feathers, or spots."""
    rng, look = np.random.default_rng(artist.look.coat_seed), artist.look
    dark = artist.shade("dark")
    if coat == "feathers":
        feather, rim = ellipse(0, 0, 0.12, 0.15, points=10), ellipse(0, 0.06, 0.14, 0.17, points=10)
        for row in np.split(places[:, None], np.flatnonzero(np.diff(places[:, 1])) + 1):  # laps over the row above
            artist.canvas.fill(artist.frame.put(row + rim), mix(dark, look.fur, 0.45))
            artist.canvas.fill(artist.frame.put(row + feather), look.fur)
        return
    marked = places[rng.random(len(places)) < (0.16 if coat == "skin" else 0.45)]
    marked = (marked + rng.uniform(-0.1, 0.1, marked.shape))[:, None]  # [n, 1, 2]
    if coat == "skin":
        spots = marked + rng.uniform(0.07, 0.17, (len(marked), 1, 1)) * ellipse(0, 0, 1, 0.85, points=12)
        artist.canvas.fill(artist.frame.put(spots), mix(look.fur, dark, 0.5))
        return
    hairs = marked + ((-0.022, 0), (0.022, 0), (0, 0.17))
    hairs[:, 2, :1] += 0.06 * marked[:, 0, :1] + rng.normal(0, 0.05, (len(marked), 1))
    half = len(hairs) // 2
    rng.shuffle(hairs)
    artist.canvas.fill(artist.frame.put(hairs[:half]), mix(look.fur, INK, 0.2))
    artist.canvas.fill(artist.frame.put(hairs[half:]), mix(look.fur, (255, 255, 250), 0.3))


def _marks(artist: Artist, marks: tuple[Mark, ...]) -> None:
    for mark in marks:
        artist.canvas.region = _HEAD_MARKS.get(mark.shade, Region.HEAD)
        artist.canvas.fill(artist.frame.put_on_face(mark.outline), artist.shade(mark.shade))


def _mouth(artist: Artist, species: Species) -> np.ndarray:
    put, canvas, mouth = artist.frame.put_on_face, artist.canvas, species.mouth
    canvas.region = Region.MOUTH
    points = [put(line) for line in mouth.lines]
    if mouth.tongue is not None:
        points.append(artist.outlined(put(mouth.tongue), mix(artist.look.skin, (230, 80, 90), 0.4), 0.025))
    if mouth.beak is not None:
        points.append(artist.outlined(put(mouth.beak), mix(_nose_color(artist), INK, 0.25), 0.02))
    points += [artist.outlined(put(tooth), (252, 250, 240), 0.022) for tooth in mouth.teeth]
    for line in mouth.lines:
        canvas.fill(put(line), INK)
    return np.concatenate(points)


def _nose_color(artist: Artist) -> Color:
    return mix(INK, artist.look.fur, 0.08) if artist.look.dark_nose else mix(artist.look.skin, (200, 60, 60), 0.12)


def _nose(artist: Artist, species: Species) -> np.ndarray:
    put, color, artist.canvas.region = artist.frame.put_on_face, _nose_color(artist), Region.NOSE
    points = [artist.outlined(put(outline), color, 0.02) for outline in species.nose]
    if len(species.nose) == 1:
        low, high = species.nose[0].min(axis=0), species.nose[0].max(axis=0)
        x, y = low + (high - low) * (0.4, 0.3)
        rx, ry = (high - low) * (0.16, 0.11)
        gleam = ellipse(x, y, rx, ry, points=10)
        artist.canvas.fill(put(gleam), mix(color, (255, 255, 255), 0.6))
    return np.concatenate(points)


def _whiskers(artist: Artist, species: Species) -> None:
    fur, artist.canvas.region = artist.look.fur, Region.WHISKERS
    color = mix(fur, (255, 255, 255), 0.85) if sum(fur) < 520 else mix(fur, INK, 0.6)
    for row in range(species.whiskers):
        y = 0.34 + 0.1 * row
        whisker = ribbon(bend((0.36, y), (0.8, y - 0.1), (1.36, y + 0.16 * row - 0.12)), 0.045, -1.0)
        for outline in (whisker, mirror(whisker)):
            artist.canvas.fill(artist.frame.put_on_face(outline), color)


def _eye(artist: Artist, species: Species, side: int) -> np.ndarray:
    """The points of the eye on that side (-1 the viewer's left), its dark rim included."""
    eyes, look, put, canvas = species.eyes, artist.look, artist.frame.put_on_face, artist.canvas
    canvas.region = Region.EYE
    rx, ry = eyes.rx * look.eye_size, eyes.ry * look.eye_size * look.lid
    button = min(eyes.pupil) > 0.9  # the pupil covers the iris
    x, slant = side * eyes.x, -side * eyes.slant
    border = artist.outlined(put(ellipse(x, eyes.y, rx, ry, slant)), INK if button else look.iris, 0.035)
    if not button:
        gaze = (x + look.gaze[0] * rx * (1 - eyes.pupil[0]), eyes.y + look.gaze[1] * ry * (1 - eyes.pupil[1]))
        canvas.fill(put(ellipse(*gaze, rx * eyes.pupil[0], ry * eyes.pupil[1])), (26, 20, 26))
    size = 0.4 if button else 0.28  # of the gleam
    canvas.fill(put(ellipse(x - 0.32 * rx, eyes.y - 0.36 * ry, size * rx, size * ry, points=12)), (255, 255, 255))
    return border
