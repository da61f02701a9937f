"""The ten species of critters, the parts of their faces, and the colors and moods that they share."""

from typing import NamedTuple

import numpy as np

from convscope.data.critters.shapes import Color, Point, bend, ellipse, mirror, ribbon, smooth, symmetric


class Ears(NamedTuple):
    outline: np.ndarray  # [n, 2]
    shade: str = "fur"
    inner: float = 0.6  # size of the bare inside over that of the ear; 0 for none
    tip: np.ndarray | None = None  # a dark tip
    in_front: bool = False  # hangs over the face instead of standing behind the head


class Eyes(NamedTuple):
    x: float
    y: float
    rx: float
    ry: float
    pupil: tuple[float, float]  # over rx and ry
    slant: float = 0.0  # radians; positive lifts the outer corner


class Mouth(NamedTuple):
    lines: tuple[np.ndarray, ...]  # outlines, dark
    tongue: np.ndarray | None = None
    teeth: tuple[np.ndarray, ...] = ()
    beak: np.ndarray | None = None  # a lower beak


class Mark(NamedTuple):
    outline: np.ndarray
    shade: str  # fur | light | dark


class Species(NamedTuple):
    name: str
    head: np.ndarray
    ears: Ears
    eyes: Eyes
    nose: tuple[np.ndarray, ...]  # outlines
    mouth: Mouth
    marks: tuple[Mark, ...]  # on the head, first to last
    chest: tuple[Mark, ...] = ()
    coat: str = "fur"  # fur | feathers | skin: the texture under the marks
    whiskers: int = 0  # on each side


def both(shade: str, *outlines: np.ndarray) -> tuple[Mark, ...]:
    return tuple(Mark(side, shade) for outline in outlines for side in (outline, mirror(outline)))


def w_mouth(y: float, width: float, drop: float) -> tuple[np.ndarray, ...]:
    """The usual mouth of a mammal: a line down from the nose, and a curve to either side."""
    low = y + drop
    side = ribbon(bend((0, low), (width * 0.55, low + 0.2), (width, low - 0.02)), 0.05, 0.5)
    return ribbon(np.linspace((0, y), (0, low + 0.02), 4), 0.045), side, mirror(side)


def stripe(start: Point, over: Point, end: Point, width: float = 0.15) -> np.ndarray:
    return ribbon(bend(start, over, end), width, 1.0)


def triangle(y: float, rx: float, ry: float) -> np.ndarray:
    return symmetric((0, y - ry * 0.8), (rx * 0.9, y - ry * 0.7), (rx * 0.6, y + ry * 0.4), (0, y + ry), steps=4)


ROUND = symmetric((0, -0.93), (0.5, -0.86), (0.92, -0.4), (1.02, 0.12), (0.8, 0.66), (0.4, 0.9), (0, 0.96))
CHEEKY = symmetric((0, -0.86), (0.55, -0.82), (0.92, -0.35), (1.08, 0.3), (0.78, 0.72), (0.38, 0.88), (0, 0.92))
LONG = symmetric((0, -0.92), (0.5, -0.84), (0.86, -0.4), (0.84, 0.15), (0.66, 0.7), (0.36, 0.98), (0, 1.04))
EGG = symmetric((0, -0.95), (0.46, -0.86), (0.78, -0.4), (0.88, 0.2), (0.72, 0.68), (0.36, 0.9), (0, 0.95))
DROP = symmetric((0, -0.86), (0.5, -0.8), (0.88, -0.35), (0.84, 0.15), (0.46, 0.62), (0.2, 0.8), (0, 0.84))
TAPER = symmetric((0, -0.82), (0.55, -0.76), (0.94, -0.25), (1.16, 0.24), (1.16, 0.24), (0.66, 0.5), (0.28, 0.96),
                  (0, 1.06))  # fmt: skip
BROAD = symmetric((0, -0.8), (0.55, -0.88), (0.96, -0.6), (1.06, 0.1), (0.92, 0.66), (0.5, 0.92), (0, 0.98))
BUMPS = symmetric((0, -0.6), (0.24, -0.7), (0.34, -1.02), (0.62, -1.16), (0.9, -0.98), (0.96, -0.6), (1.2, 0.1),
                  (1.04, 0.6), (0.55, 0.84), (0, 0.9))  # fmt: skip

BEAR = Species(
    "bear", ROUND,
    Ears(ellipse(0.74, -0.74, 0.34, 0.34)),
    Eyes(0.36, -0.14, 0.11, 0.13, (0.95, 0.95)),
    (triangle(0.26, 0.24, 0.15),),
    Mouth(w_mouth(0.38, 0.2, 0.14)),
    (Mark(ellipse(0, 0.42, 0.46, 0.38), "light"),),
    chest=(Mark(ribbon(bend((-0.5, 1.15), (0, 1.75), (0.5, 1.15)), 0.2, 0.6), "light"),),
)  # fmt: skip
CAT = Species(
    "cat", CHEEKY,
    Ears(smooth((0.2, -0.72), (0.36, -1.12), (0.72, -1.5), (0.72, -1.5), (0.95, -1.05), (0.99, -0.35), (0.6, -0.5))),
    Eyes(0.43, -0.1, 0.23, 0.2, (0.26, 0.92), 0.22),
    (triangle(0.27, 0.12, 0.09),),
    Mouth(w_mouth(0.34, 0.25, 0.09)),
    both("light", ellipse(0.16, 0.42, 0.21, 0.16)),
    whiskers=3,
)  # fmt: skip
DOG = Species(
    "dog", LONG,
    Ears(smooth((0.42, -0.86), (0.82, -0.86), (1.16, -0.4), (1.24, 0.22), (1.02, 0.52), (0.82, 0.2), (0.72, -0.4)),
         shade="dark", inner=0, in_front=True),
    Eyes(0.34, -0.2, 0.16, 0.18, (0.78, 0.8)),
    (symmetric((0, 0.08), (0.2, 0.1), (0.27, 0.22), (0.12, 0.36), (0, 0.39), steps=4),),
    Mouth(w_mouth(0.38, 0.32, 0.14), tongue=symmetric((0, 0.54), (0.14, 0.58), (0.15, 0.78), (0, 0.88), steps=4)),
    (Mark(symmetric((0, -0.95), (0.16, -0.95), (0.13, -0.3), (0.52, 0.3), (0.5, 0.72), (0, 1.05)), "light"),),
    chest=(Mark(ellipse(0, 1.6, 0.5, 0.7), "light"),),
)  # fmt: skip
FOX = Species(
    "fox", TAPER,
    Ears(smooth((0.2, -0.64), (0.5, -1.15), (0.98, -1.56), (0.98, -1.56), (1.1, -1.0), (1.0, -0.2), (0.6, -0.4)),
         tip=smooth((0.64, -1.3), (0.98, -1.58), (0.98, -1.58), (1.1, -1.1), steps=5)),
    Eyes(0.42, -0.04, 0.19, 0.12, (0.55, 0.95), 0.42),
    (triangle(0.66, 0.16, 0.12),),
    Mouth(w_mouth(0.77, 0.17, 0.01)),
    both("light", smooth((0.02, 0.9), (0.14, 0.5), (0.28, 0.24), (0.7, 0.18), (1.2, 0.24), (0.8, 0.7), (0.3, 1.0))),
    chest=(Mark(symmetric((0, 0.9), (0.55, 1.0), (0.4, 1.6), (0, 2.1)), "light"),),
)  # fmt: skip
FROG = Species(
    "frog", BUMPS,
    Ears(ellipse(0.88, 0.06, 0.14, 0.15), shade="light", inner=0.5, in_front=True),
    Eyes(0.62, -0.8, 0.25, 0.24, (0.8, 0.36)),
    (ellipse(0.1, -0.06, 0.045, 0.06, 0.3), ellipse(-0.1, -0.06, 0.045, 0.06, -0.3)),
    Mouth((ribbon(bend((-0.86, 0.3), (0, 0.72), (0.86, 0.3), 15), 0.07, 0.4),)),
    (Mark(smooth((-1.2, 0.34), (-0.6, 0.48), (0, 0.54), (0.6, 0.48), (1.2, 0.34), (0.8, 1.1), (-0.8, 1.1)), "light"),),
    chest=(Mark(ellipse(0, 1.9, 0.62, 0.9), "light"),),
    coat="skin",
)  # fmt: skip
MOUSE = Species(
    "mouse", DROP,
    Ears(ellipse(0.93, -0.72, 0.56, 0.58), inner=0.68),
    Eyes(0.34, -0.06, 0.13, 0.16, (0.95, 0.95)),
    (ellipse(0, 0.38, 0.17, 0.14),),
    Mouth(w_mouth(0.51, 0.17, 0.02), teeth=(symmetric((0, 0.57), (0.08, 0.57), (0.08, 0.74), (0, 0.75), steps=3),)),
    (Mark(ellipse(0, 0.56, 0.34, 0.32), "light"),),
    chest=(Mark(ellipse(0, 1.7, 0.5, 0.75), "light"),),
    whiskers=2,
)  # fmt: skip
OWL = Species(
    "owl", BROAD,
    Ears(smooth((0.32, -0.72), (0.66, -0.98), (1.06, -1.36), (1.06, -1.36), (1.02, -0.9), (0.98, -0.45), (0.6, -0.5)),
         shade="dark", inner=0.5),
    Eyes(0.43, -0.14, 0.3, 0.3, (0.56, 0.56)),
    (symmetric((0, -0.02), (0.1, 0.06), (0.13, 0.22), (0, 0.5), (0, 0.5), steps=4),),
    Mouth((), beak=symmetric((0, 0.36), (0.1, 0.36), (0.08, 0.52), (0, 0.6), steps=4)),
    (*both("light", ellipse(0.45, -0.04, 0.52, 0.58, 0.2)),
     *both("dark", stripe((0.03, -0.1), (0.2, -0.66), (0.92, -0.84), width=0.17))),
    coat="feathers",
)  # fmt: skip
PANDA = Species(
    "panda", ROUND,
    Ears(ellipse(0.76, -0.76, 0.34, 0.34), shade="dark", inner=0),
    Eyes(0.38, -0.08, 0.12, 0.13, (0.95, 0.95)),
    (triangle(0.3, 0.17, 0.1),),
    Mouth(w_mouth(0.38, 0.2, 0.1)),
    both("dark", ellipse(0.42, -0.04, 0.25, 0.34, 0.6)),
    chest=(Mark(symmetric((0, 0.95), (0.9, 1.0), (1.4, 1.3), (1.3, 1.7), (0, 1.62)), "dark"),),
)  # fmt: skip
RABBIT = Species(
    "rabbit", EGG,
    Ears(smooth((0.1, -0.8), (0.12, -1.5), (0.32, -2.0), (0.5, -2.04), (0.64, -1.55), (0.58, -0.7)), inner=0.66),
    Eyes(0.46, -0.1, 0.17, 0.22, (0.75, 0.8)),
    (triangle(0.26, 0.11, 0.07),),
    Mouth(w_mouth(0.32, 0.2, 0.1), teeth=(symmetric((0, 0.46), (0.11, 0.46), (0.11, 0.7), (0, 0.71), steps=3),)),
    both("light", ellipse(0.2, 0.42, 0.25, 0.21)),
    chest=(Mark(ellipse(0, 1.3, 0.5, 0.45), "light"),),
    whiskers=2,
)  # fmt: skip
TIGER = Species(
    "tiger", ROUND,
    Ears(ellipse(0.74, -0.74, 0.33, 0.33), inner=0.55),
    Eyes(0.42, -0.14, 0.18, 0.16, (0.5, 0.55), 0.15),
    (triangle(0.22, 0.22, 0.13),),
    Mouth(w_mouth(0.32, 0.27, 0.13)),
    (*both("light", ellipse(0.2, 0.46, 0.29, 0.27), ellipse(0.42, -0.3, 0.22, 0.14)),
     *both("dark", stripe((1.12, -0.32), (0.85, -0.22), (0.66, -0.02)), stripe((1.14, 0.06), (0.85, 0.1), (0.62, 0.22)),
           stripe((1.1, 0.42), (0.85, 0.4), (0.6, 0.48)), stripe((0.86, 0.8), (0.7, 0.66), (0.5, 0.72)),
           stripe((0.3, -1.0), (0.26, -0.7), (0.2, -0.5), width=0.13)),
     Mark(stripe((0, -1.05), (0.02, -0.7), (0, -0.36)), "dark")),
    chest=both("dark", stripe((1.5, 1.3), (0.8, 1.3), (0.2, 1.55)), stripe((1.6, 1.75), (0.8, 1.7), (0.2, 1.95)),
               stripe((1.7, 2.2), (0.8, 2.1), (0.2, 2.35))),
    whiskers=3,
)  # fmt: skip

SPECIES = (BEAR, CAT, DOG, FOX, FROG, MOUSE, OWL, PANDA, RABBIT, TIGER)


FURS = (  # any species can have any of them
    (222, 146, 76), (176, 118, 74), (232, 202, 158), (242, 238, 230), (150, 154, 162), (118, 122, 138),
    (204, 122, 98), (238, 194, 98), (186, 168, 146), (132, 160, 182), (164, 142, 192), (124, 170, 118),
    (232, 162, 170), (104, 164, 164), (206, 194, 96),
)  # fmt: skip
SKINS = ((238, 156, 156), (244, 184, 150), (240, 160, 70), (222, 122, 132), (206, 160, 176))
IRISES = ((136, 190, 84), (238, 186, 56), (96, 164, 214), (190, 122, 62), (226, 138, 54), (120, 200, 186))


class Look(NamedTuple):
    """Colors and proportions that vary between animals independently of the species."""

    fur: Color
    skin: Color  # inside of the ears, tongue, nose or beak
    iris: Color
    dark_nose: bool
    ear_turn: tuple[float, float]  # radians, left and right
    ear_length: float  # over the usual
    eye_size: float
    lid: float  # height of the eyes over the usual
    gaze: tuple[float, float]  # shift of the pupils over the eye's radius
    coat_seed: int


def random_look(rng: np.random.Generator) -> Look:
    """A look drawn from the ranges that all species share."""
    fur = np.clip(np.array(FURS[rng.integers(len(FURS))]) * rng.uniform(0.86, 1.08) + rng.normal(0, 7, 3), 0, 255)
    return Look(
        fur=tuple(fur.tolist()),
        skin=SKINS[rng.integers(len(SKINS))],
        iris=IRISES[rng.integers(len(IRISES))],
        dark_nose=bool(rng.random() < 0.6),
        ear_turn=(rng.normal(0, 0.1), rng.normal(0, 0.1)),
        ear_length=rng.uniform(0.88, 1.08),
        eye_size=rng.uniform(0.9, 1.14),
        lid=rng.uniform(0.82, 1.06),
        gaze=(rng.uniform(-0.25, 0.25), rng.uniform(-0.15, 0.2)),
        coat_seed=int(rng.integers(2**31)),
    )
