"""Closed outlines as arrays of points, and the canvas that fills them. All drawing here is filling polygons."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

Color = tuple[float, float, float]  # 0..255
Point = tuple[float, float]


def mix(first: Color, second: Color, share: float) -> Color:
    """The color `share` of the way from the first to the second."""
    return tuple(a + share * (b - a) for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0, points: int = 28) -> np.ndarray:
    """[points, 2]; a positive angle (radians) turns clockwise on the screen, because y points down."""
    cos, sin = math.cos(angle), math.sin(angle)
    return _circle(points) @ np.array([(rx * cos, rx * sin), (-ry * sin, ry * cos)]) + (x, y)


@cache
def _circle(points: int) -> np.ndarray:
    turn = np.arange(points) * (2 * np.pi / points)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def smooth(*knots: Point, steps: int = 6) -> np.ndarray:
    """[len(knots) * steps, 2]: a closed Catmull-Rom curve through the knots. A knot given twice makes a corner."""
    p1 = np.array(knots)[:, None]
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    curve = p1 + t / 2 * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return curve.reshape(-1, 2)


def symmetric(*right_half: Point, steps: int = 6) -> np.ndarray:
    """The smooth closed curve through the knots of the right half (top to bottom) and their mirror images."""
    left_half = [(-x, y) for x, y in reversed(right_half) if x > 0]
    return smooth(*right_half, *left_half, steps=steps)


def mirror(points: np.ndarray) -> np.ndarray:
    return points * (-1.0, 1.0)


def bend(start: ArrayLike, over: ArrayLike, end: ArrayLike, points: int = 9) -> np.ndarray:
    """[points, 2]: the quadratic Bezier curve from start to end that leans towards `over`. Not closed."""
    t = np.linspace(0, 1, points)[:, None]
    return (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(over) + t**2 * np.array(end)


def ribbon(spine: np.ndarray, width: float, taper: float = 0.0) -> np.ndarray:
    """The outline [2 n, 2] of a band along an open curve [n, 2]; `taper` 1 points both ends, -1 the far one only."""
    along = np.gradient(spine, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    t = np.linspace(0, 1, len(spine))
    profile = np.sin(np.pi * t) if taper > 0 else 1 - t
    half = width / 2 * (1 - abs(taper) + abs(taper) * profile)[:, None] * np.stack([-along[:, 1], along[:, 0]], axis=1)
    return np.concatenate([spine + half, (spine - half)[::-1]])


def grown(outline: np.ndarray, distance: float) -> np.ndarray:
    """The outline [n, 2] pushed outwards by a distance that is small against its size."""
    along = np.roll(outline, -1, 0) - np.roll(outline, 1, 0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    x, y = outline[:, 0], outline[:, 1]
    area = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)  # its sign is the sense of rotation
    return outline + np.sign(area) * distance * np.stack([along[:, 1], -along[:, 0]], axis=1)


def staggered(top: float, bottom: float, step: float = 0.24) -> np.ndarray:
    """[n, 2]: places in rows from top to bottom over x in -1.3..1.3, every other row shifted by half a step."""
    rows = np.arange(top, bottom, step)
    x, y = np.meshgrid(np.arange(-1.3, 1.3, step), rows)
    x += step / 2 * (np.arange(len(rows)) % 2)[:, None]
    return np.stack([x, y], axis=-1).reshape(-1, 2)


class Frame(NamedTuple):
    """Where the head is on the canvas: face coordinates have the head's center at 0, its radius at 1 and y down."""

    x: float  # canvas pixels
    y: float
    unit: float  # canvas pixels per head radius
    roll: float  # radians
    yaw: float  # shift of the face's middle per head radius when the head turns aside
    pitch: float
    stretch: float  # breadth over its usual value

    def put(self, points: np.ndarray, lift: float | np.ndarray = 0.0) -> np.ndarray:
        """Canvas coordinates [..., 2] of face coordinates [..., 2]; `lift` [...]: height above the head's rim."""
        cos, sin = self.unit * math.cos(self.roll), self.unit * math.sin(self.roll)
        turned = np.array([(cos * self.stretch, sin * self.stretch), (-sin / self.stretch, cos / self.stretch)])
        moved = points @ turned + (self.x, self.y)
        if isinstance(lift, np.ndarray) or lift:
            shift = (cos * self.yaw - sin * self.pitch, sin * self.yaw + cos * self.pitch)
            moved += np.multiply.outer(lift, shift)
        return moved

    def put_on_face(self, points: np.ndarray) -> np.ndarray:
        """Like put, with the points lifted onto the dome of the face, so that a turned head shows them displaced."""
        radius2 = np.square(points).sum(axis=1)
        return self.put(points, np.sqrt(np.maximum(1.15 - radius2, 0)))


class Canvas:
    """A transparent RGBA picture that is filled polygon by polygon.

    regions: of the same size where asked for: at each pixel the `region` that was drawn there last, 0 where none was.
    """

    def __init__(self, side: int, with_regions: bool = False) -> None:
        self.image = Image.new("RGBA", (side, side))
        self.regions = Image.new("L", (side, side)) if with_regions else None
        self.region = 0
        self._set_pens()

    def _set_pens(self) -> None:
        self._pen = ImageDraw.Draw(self.image)
        self._region_pen = None if self.regions is None else ImageDraw.Draw(self.regions)

    def fill(self, outline: np.ndarray, color: Color) -> None:
        """Fills one outline [n, 2], or a whole stack of them [..., n, 2]."""
        ink = (*(min(255, max(0, round(value))) for value in color), 255)
        for points in outline.reshape(-1, 2 * outline.shape[-2]).tolist():
            self._pen.polygon(points, fill=ink)
            if self._region_pen is not None:
                self._region_pen.polygon(points, fill=self.region)

    @contextmanager
    def inside(self, outline: np.ndarray) -> Iterator[None]:
        """A context in which filling changes pixels inside the outline only."""
        whole, self.image = self.image, self.image.copy()
        regions, self.regions = self.regions, self.regions and self.regions.copy()
        self._set_pens()
        yield
        stencil = Image.new("L", whole.size)
        ImageDraw.Draw(stencil).polygon(outline.ravel().tolist(), fill=255)
        whole.paste(self.image, mask=stencil)
        if regions and self.regions:
            regions.paste(self.regions, mask=stencil)
        self.image, self.regions = whole, regions
        self._set_pens()
