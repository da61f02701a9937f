"""Steps that give the same values other dimensions: reshapes, parts of maps, and maps joined into one tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convscope.engine.calls import Ref
from convscope.engine.regions import whole_map
from convscope.engine.steps import Place, Step


@dataclass(frozen=True)
class ReshapeStep(Step):
    """Other dimensions for the same values."""

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        shape = self.output.region_shape(-1, place.region.size)
        return areas[0].reshape(shape)

    def whole(self, maps: Sequence[Tensor]) -> Tensor:
        return maps[0].reshape(self.output.region_shape(-1, self.output.sides))

    def remembers(self, rule: str) -> bool:
        return False

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        return [signal.reshape(self.inputs[0].region_shape(-1, place.areas[0].size))]


@dataclass(frozen=True)
class PartStep(Step):
    """One of several outputs of a call, such as a chunk of the maps."""

    part: int = 0

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        return self.whole(areas)

    def whole(self, maps: Sequence[Tensor]) -> Tensor:
        return self.call.again(maps[0])[self.part]


@dataclass(frozen=True)
class JoinStep(Step):
    """Maps joined into one tensor: the signal is split."""

    dim: int = 1

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        values = dict(zip((below.number for below in self.inputs), areas, strict=True))
        tensors = self.call.arguments()["tensors"]
        parts = [values[leaf.number] if self._of_image(leaf) else self._fixed_part(leaf, place) for leaf in tensors]
        return torch.cat(parts, self.dim)

    def whole(self, maps: Sequence[Tensor]) -> Tensor:
        return self.compute(maps, self.place(whole_map(len(maps[0]), self.output.sides)))

    def _fixed_part(self, leaf: Ref | Tensor, place: Place) -> Tensor:
        """The regions of a tensor that does not depend on the image."""
        value = self._value(leaf)
        whole = value.expand(len(place.region.rows.start), *value.shape[1:])
        return self.output.recut(whole, whole_map(len(whole), self.output.sides), place.region)

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        tensors, shapes = self.call.arguments()["tensors"], {below.number: below.shape for below in self.inputs}
        numbers = [leaf.number if self._of_image(leaf) else -1 for leaf in tensors]
        lengths = [
            (shapes[number] if number in shapes else self._value(leaf).shape)[self.dim]
            for number, leaf in zip(numbers, tensors, strict=True)
        ]
        parts = list(zip(numbers, signal.split(lengths, self.dim), strict=True))
        return [sum(part for number, part in parts if number == below.number) for below in self.inputs]
