"""Colors and moods of the animals, drawn from ranges that all species share."""

from typing import NamedTuple

import numpy as np

from convscope.data.critters.shapes import Color

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
