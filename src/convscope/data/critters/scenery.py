"""Everything in a picture that is not the animal: the background, scattered objects, and the light."""

import numpy as np
from PIL import Image

from convscope.data.critters.shapes import Canvas, Color, bend, ellipse, mix, ribbon

GRAIN = 48  # cells of random numbers along a side, whatever the size of the picture


def _soft(wave: np.ndarray, edge: float = 4.0) -> np.ndarray:
    """The wave as 0..1 with soft edges a few pixels wide."""
    return np.clip(wave * edge, -0.5, 0.5) + 0.5


def _cloud(rng: np.random.Generator, cells: int, side: int) -> np.ndarray:
    """[side, side] of about -0.5..0.5: random numbers on a grid of cells x cells, enlarged."""
    grid = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC)) - 0.5


def _random_color(rng: np.random.Generator) -> Color:
    hue, saturation, value = rng.random(), rng.uniform(0.1, 0.62), rng.uniform(0.45, 1.0)
    wheel = np.clip(np.abs((hue + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1, 0, 1)
    return tuple((255 * value * (1 - saturation + saturation * wheel)).tolist())


def background(rng: np.random.Generator, side: int) -> np.ndarray:
    """[side, side, 3] float32 grey levels: two colors in one of eight textures, under a gradient."""
    first, second = np.array(_random_color(rng)), np.array(_random_color(rng))
    second = first + (second - first) * rng.uniform(0.35, 1.0)
    turn, pitch, phase = rng.uniform(0, np.pi), rng.uniform(5, 24), rng.uniform(0, 6)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    kind = rng.integers(8)
    cells = int(rng.integers(4, 12))
    if kind == 0:  # a plain wall
        blend = 0.4 * u + 0.5
    elif kind == 1:  # stripes
        blend = _soft(np.sin(pitch * u + phase), 2)
    elif kind == 2:  # checks
        blend = _soft(np.sin(pitch * u) * np.sin(pitch * v + phase), 3)
    elif kind == 3:  # plaid
        blend = 0.5 * _soft(np.sin(pitch * u + phase), 3) + 0.5 * _soft(np.sin(pitch * v), 3)
    elif kind == 4:  # dots
        blend = _soft(np.cos(pitch * u) + np.cos(pitch * v) - 0.9, 1.5)
    elif kind == 5:  # blobs
        blend = _soft(_cloud(rng, cells, side), 6)
    elif kind == 6:  # noise
        blend = 0.5 + 0.6 * _cloud(rng, cells, side) + 0.6 * _cloud(rng, GRAIN, side)
    else:  # hills before a sky
        ridge = rng.uniform(-0.4, 0.5) + 0.16 * np.sin(pitch / 4 * x + phase) + 0.1 * _cloud(rng, cells, side)
        blend = _soft(y - ridge, 14)
    picture = first + np.clip(blend, 0, 1)[..., None] * (second - first)
    slope = rng.uniform(-0.25, 0.25)
    return (picture * (1 + slope * y)[..., None]).astype(np.float32)


def _object_outline(rng: np.random.Generator, x: float, y: float, size: float) -> np.ndarray:
    """The outline [n, 2] of a stone, stick, leaf, star or tile around a point; any unit."""
    kind, turn = rng.integers(5), rng.uniform(0, 2 * np.pi)
    end = size * np.array([np.cos(turn), np.sin(turn)])
    if kind == 0:
        return ellipse(x, y, size, size * rng.uniform(0.5, 1), turn)
    if kind == 1:
        return ribbon(np.linspace((x, y) - 1.8 * end, (x, y) + 1.8 * end, 4), size * 0.3)
    if kind == 2:
        return ribbon(bend((x, y) - 1.3 * end, (x, y) + 0.6 * end[::-1], (x, y) + 1.3 * end, 11), size, 1.0)
    corners = 10 if kind == 3 else int(rng.integers(3, 5))
    angles = turn + np.arange(corners) * 2 * np.pi / corners
    radius = size * np.where(np.arange(corners) % 2, 0.5 if kind == 3 else 1.0, 1.0)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def draw_objects(rng: np.random.Generator, canvas: Canvas, side: int) -> None:
    """Draws up to six objects behind the animal; some look like an ear, an eye or a stripe on purpose."""
    for _ in range(rng.integers(0, 7)):
        x, y, size = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.03, 0.11)
        outline, color = _object_outline(rng, x, y, size) * side, _random_color(rng)
        canvas.fill(outline + 0.012 * side, mix(color, (30, 26, 34), 0.5))
        canvas.fill(outline, color)


def cover(rng: np.random.Generator, canvas: Canvas, side: int) -> None:
    """Draws objects before the animal in about half of the pictures: blades of grass from below, or one at the edge."""
    kind = rng.integers(6)
    if kind == 0:
        green = _random_color(rng)
        for x in rng.uniform(0, 1, rng.integers(4, 14)):
            tip = (x + rng.normal(0, 0.08), rng.uniform(0.72, 0.88))
            blade = ribbon(bend((x, 1.02), (x, 0.85), tip), 0.035, -1.0)
            canvas.fill(blade * side, mix(green, (20, 40, 20), rng.uniform(0, 0.4)))
    elif kind in (1, 2):
        turn, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.36, 0.46)
        x, y = 0.5 + far * np.cos(turn), 0.5 + far * np.sin(turn)
        outline, color = _object_outline(rng, x, y, rng.uniform(0.06, 0.12)) * side, _random_color(rng)
        canvas.fill(outline, color)


def light(rng: np.random.Generator, side: int) -> np.ndarray:
    """[side, side, 3] float32, the factor of each grey level: brighter on one side, a tint, darker corners."""
    turn, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.28)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    field = 1 + strength * (x * np.cos(turn) + y * np.sin(turn)) - rng.uniform(0, 0.1) * (x * x + y * y)
    tint = rng.uniform(0.9, 1.1) * (1 + rng.normal(0, 0.035, 3))
    return (field[..., None] * tint).astype(np.float32)
