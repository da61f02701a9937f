from dataclasses import dataclass
from typing import Any, Literal

import pytest

from convscope.config import read_plan
from convscope.errors import UserError


@dataclass(frozen=True)
class Bake:
    cakes: int | list[int] | None = 1
    heat: float = 180.0
    split: Literal["train", "val"] = "val"
    names: list[str] | None = None
    only: dict[str, Any] | None = None
    glazed: bool = True
    path: str | None = None


@pytest.mark.parametrize(
    "values",
    [
        {}, {"cakes": 3}, {"cakes": [1, 2]}, {"cakes": None}, {"heat": 200}, {"heat": 1.5}, {"names": ["a"]},
        {"only": {"frontal": 1}}, {"glazed": False}, {"path": "x.csv"}, {"split": "train"},
    ],
)  # fmt: skip
def test_what_fits_is_taken(values):
    assert read_plan(Bake, "bake", values) == Bake(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"cakes": "many"}, "bake.cakes=many is not a whole number, a list such as [3, 7] or null"),
        ({"cakes": 2.5}, "bake.cakes=2.5 is not a whole number"),
        ({"cakes": True}, "bake.cakes=True is not a whole number"),
        ({"cakes": [1, "x"]}, "is not a whole number, a list such as [3, 7] or null"),
        ({"heat": None}, "bake.heat=null is not a number"),
        ({"heat": "hot"}, "bake.heat=hot is not a number"),
        ({"names": "conv1"}, "bake.names=conv1 is not a list such as [conv1, conv5] or null"),
        ({"only": "frontal"}, "bake.only=frontal is not a mapping such as {frontal: 1} or null"),
        ({"glazed": "maybe"}, "bake.glazed=maybe is not true or false"),
        ({"path": 3}, "bake.path=3 is not a word or null"),
        ({"split": 3}, "bake.split=3 is not a word"),
        ({"icing": 3}, "bake.icing is no key; possible: cakes, heat, split, names, only, glazed, path"),
    ],
)
def test_what_does_not_fit_is_told_by_its_key(values, said):
    with pytest.raises(UserError) as told:
        read_plan(Bake, "bake", values)
    assert said in str(told.value)
