from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from convscope.config import Count, PathText, config, read_config
from convscope.errors import UserError


@config("bake", elsewhere={"oven": "kitchen.oven"})
class Bake:
    cakes: int | list[int] | None = 1
    heat: float = 180.0
    split: Literal["train", "val"] = "val"
    names: list[str] | None = None
    only: dict[str, Any] | None = None
    glazed: bool = True
    path: PathText | None = None
    layers: Annotated[list[Count], Field(min_length=1)] | None = None
    trays: Annotated[int, Field(ge=1, le=9, examples=[2])] = 2
    oven: str = "gas"


@pytest.mark.parametrize(
    "values",
    [
        {}, {"cakes": 3}, {"cakes": [1, 2]}, {"cakes": None}, {"heat": 200}, {"heat": 1.5}, {"names": ["a"]},
        {"only": {"frontal": 1}}, {"glazed": False}, {"path": "x.csv"}, {"split": "train"},
    ],
)  # fmt: skip
def test_what_fits_is_taken(values):
    assert read_config(Bake, {"bake": values}) == Bake(**values)


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
        ({"path": 3}, "bake.path=3 is no path; write a name that is a number as bake.path=./3"),
        ({"split": 3}, "bake.split=3 is unknown; possible: train, val"),
        ({"split": "vall"}, "bake.split=vall is unknown (did you mean val?); possible: train, val"),
        ({"trays": 0}, "bake.trays=0 is too small; it is 1 to 9, e.g. bake.trays=2"),
        ({"trays": 10}, "bake.trays=10 is too large; it is 1 to 9"),
        ({"trays": 2**70}, f"bake.trays={2**70} is not a whole number"),
        ({"heat": float("inf")}, "bake.heat=inf is not a number"),
        ({"layers": []}, "bake.layers=[] has 0 values; it needs 1 or more"),
        ({"layers": [3, 0]}, "bake.layers=[3, 0] is too small; it is 1 or more"),
        ({"path": ""}, "bake.path='' is no path"),
        ({"oven": "gas"}, "bake.oven is no key"),
        ({"icing": 3}, "bake.icing is no key; possible: cakes, heat, split, names, only, glazed, path, layers, trays"),
    ],
)
def test_what_does_not_fit_is_told_by_its_key(values, said):
    with pytest.raises(UserError) as told:
        read_config(Bake, {"bake": values})
    assert said in str(told.value)


def test_a_field_from_elsewhere_is_read_and_refused_by_its_own_key():
    assert read_config(Bake, {"bake": {}, "kitchen": {"oven": "wood"}}).oven == "wood"
    assert read_config(Bake, {"bake": {}}).oven == "gas"
    with pytest.raises(UserError, match="kitchen.oven=3 is not a word"):
        read_config(Bake, {"bake": {}, "kitchen": {"oven": 3}})


def test_a_class_made_by_hand_refuses_in_the_same_words():
    with pytest.raises(UserError, match=r"bake.trays=0 is too small; it is 1 to 9"):
        Bake(trays=0)
    with pytest.raises(UserError, match="bake=3 holds no keys"):
        read_config(Bake, {"bake": 3})
