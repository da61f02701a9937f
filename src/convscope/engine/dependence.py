"""What a projection depends on: the weights, the unit, the image; and how much of the image it recovers.

A picture that stays the same with random weights says nothing of the net (Adebayo et al. 2018), one that stays the same
for another unit of the same place nothing of the unit, and one that stays the same for another image nothing of the
image (Mahendran & Vedaldi 2016). Dependence is 1 - similarity.

Similarity is the cosine of two projections, over pixels and colors, with their sign: how alike two tiles are on a grid,
whose zero is grey and whose contrast does not count. Adebayo et al. also compare magnitudes. They are not taken here:
projections of unrelated images share the shape of the receptive field, and their magnitudes correlate by 0.1 to 0.8,
while the cosine of unrelated projections is 0, as that of a projection with its own pixels in a random order.

* weights: the same unit with random weights in all layers at and below its own (`randomization`). Where the random net
  does not answer at that place, another of its maps that does: its maps have no identity that could be lost.
* unit: another map of the layer that answers at the same place of the same image, chosen at random.
* image: another of the images that excite the map most, each at the place of its strongest answer. At the same place
  of the other image, the unit mostly does not answer, and what is not there is unlike everything.
* recovery: the correlation with the patch of the image without its low frequencies. Nie et al. (2018) show that guided
  back-propagation recovers the image where weights are random. Pixels count by the energy of the projection around
  them, because a unit sees only a part of its field.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.deconvnet import Units
from convscope.engine.features import features
from convscope.engine.projection import Projection, patches, project_fields
from convscope.engine.randomization import WeightedLayer, randomized, weighted_layers
from convscope.engine.trace import trace

COMPARED = 3  # images of a map, at most, that are projected again with random weights and for another unit
FINE, AROUND = 2.0, 4.0  # pixels: standard deviations of the low frequencies, and of what is around a pixel
MEASURES = "weights", "unit", "image", "recovery"


class MapDependence(NamedTuple):
    """Of m maps, float64 [m] each, means over their images; nan where nothing could be compared. maps: their numbers.

    weights, unit, image: dependence, 0 where nothing changes, 1 where nothing remains. recovery: -1 to 1.
    """

    maps: list[int]
    weights: Tensor
    unit: Tensor
    image: Tensor
    recovery: Tensor

    @property
    def mean(self) -> "Dependence":
        """Means over the maps."""
        return Dependence(*(float(values.nanmean()) for values in self[1:]))


class Dependence(NamedTuple):
    """`MapDependence` of a layer, as means over its maps; nan where nothing could be compared."""

    weights: float = torch.nan
    unit: float = torch.nan
    image: float = torch.nan
    recovery: float = torch.nan

    @property
    def words(self) -> str:
        """The line below a grid; "" where nothing was measured."""
        parts = [
            f"on the {name} {_short(value)}"
            for name, value in zip(MEASURES[:3], self[:3], strict=True)
            if value == value
        ]
        return f"depends {', '.join(parts)}" if parts else ""


def _short(value: float) -> str:
    """.81 for 0.81."""
    return f"{max(0.0, value):.2f}".removeprefix("0")


class Probe(NamedTuple):
    """Units [P] of a layer with their images [N, 3, H, W], and what their projections are compared with.

    answers: bool [P, C], which maps of the layer answer at the place of each unit. layers: at and below it, itself
    first. seed: of what is drawn.
    """

    net: nn.Module
    images: Tensor
    layer: str
    units: Units
    answers: Tensor
    layers: list[WeightedLayer]
    seed: int = 0

    def other_units(self) -> Units:
        """For each unit another map that answers at the same place; any other one where none does."""
        chance = torch.rand(self.answers.shape, generator=torch.Generator().manual_seed(self.seed))
        chance = chance + self.answers
        chance[torch.arange(len(chance)), self.units.map] = -1
        return self.units._replace(map=chance.argmax(1))

    def projected_others(self, rule: str) -> Tensor:
        """Projections [P, 3, h, w] of the other units; of zeros in a layer of one map."""
        units = self.other_units()
        values = project_fields(self.net, self.images, self.layer, units, rule).values
        values[(units.map == self.units.map).to(values.device)] = 0
        return values

    def projected_at_random(self, rules: Sequence[str], layers: Sequence[WeightedLayer]) -> dict[str, Tensor]:
        """Projections [P, 3, h, w] by rule with random weights in `layers`; the net has its own again at the end."""
        with randomized(self.net, layers, self.images, self.seed):
            units = self.units
            if self.layers and self.layers[0] in layers:
                units = self._replace(answers=answering_maps(self.net, self.images, self.layer, units)).living_units()
            return {rule: project_fields(self.net, self.images, self.layer, units, rule).values for rule in rules}

    def living_units(self) -> Units:
        """Each unit itself where its map answers, else a map that does at the same place, if one does."""
        numbers = torch.arange(len(self.units.map))
        maps = torch.where(self.answers[numbers, self.units.map], self.units.map, self.other_units().map)
        return self.units._replace(map=torch.where(self.answers.any(1), maps, self.units.map))


def probe(net: nn.Module, images: Tensor, layer: str, units: Units, seed: int = 0) -> Probe:
    """The probe of these units. images: [N, 3, H, W] on the net's device, to which units.image refers.

    Raises UserError for a layer that the net does not have, or that runs more than once.
    """
    units = Units(*(field.cpu().long() for field in units))
    numbers, image = units.image.unique(return_inverse=True)
    images, units = images[numbers.to(images.device)], units._replace(image=image)
    layers = weighted_layers(net, trace(net, tuple(images.shape[1:])), layer)
    return Probe(net, images, layer, units, answering_maps(net, images, layer, units), layers, seed)


def answering_maps(net: nn.Module, images: Tensor, layer: str, units: Units) -> Tensor:
    """Bool [P, C]: the maps of the layer that are above zero at the place and in the image of each unit."""

    def answers(output: Tensor) -> Tensor:
        image, _, row, col = (field.to(output.device) for field in units)
        return (output[image] if output.dim() == 2 else output[image, :, row, col]) > 0

    return features(net, images, [layer], answers).layers[layer].cpu().clone()


def first_units(units: Units, count: int) -> Tensor:
    """The numbers [p] of the first `count` units of each map."""
    maps = units.map.cpu()
    ranks = [int((maps[:place] == number).sum()) for place, number in enumerate(maps.tolist())]
    return (torch.tensor(ranks) < count).nonzero()[:, 0]


def measure(
    net: nn.Module, images: Tensor, layer: str, units: Units, projections: Mapping[str, Projection], seed: int = 0
) -> dict[str, MapDependence]:
    """Dependence and recovery of the units' maps by rule. projections: of the units by each rule.

    images: [N, 3, H, W] on the net's device, to which units.image refers. Weights and unit are measured on COMPARED
    images of each map. Raises UserError as `probe` does.
    """
    part = first_units(units, COMPARED)
    compared = probe(net, images, layer, Units(*(field[part.to(field.device)] for field in units)), seed)
    random, maps = compared.projected_at_random(list(projections), compared.layers), compared.units.map
    measured = {}
    for rule, projection in projections.items():
        values = projection.values.cpu()
        weights = 1 - similarity(values[part], random[rule])
        unit = 1 - similarity(values[part], compared.projected_others(rule))
        recovered = recovery(values, patches(images, units, projection))
        measured[rule] = MapDependence(
            maps.unique().tolist(), mean_by_map(weights, maps), mean_by_map(unit, maps),
            1 - similarity_of_images(values, units.map.cpu()), mean_by_map(recovered, units.map.cpu()),
        )  # fmt: skip
    return measured


def similarity(projections: Tensor, others: Tensor) -> Tensor:
    """Cosines float64 [P], -1..1, of projections [P, 3, h, w] and others; nan where one of them is zero everywhere."""
    return _rounded((_normalized(projections) * _normalized(others)).sum(1))


def similarity_of_images(projections: Tensor, maps: Tensor) -> Tensor:
    """Mean cosine of each two projections [P, 3, h, w] of one map, float64 [m], in the order of the maps' numbers.

    maps: int64 [P]. nan for a map of a single projection.
    """
    means = []
    for number in maps.unique():
        flat = _normalized(projections[maps == number])
        above = torch.ones(len(flat), len(flat), dtype=torch.bool).triu(1)
        means.append(_rounded((flat @ flat.T)[above]).nanmean())
    return torch.stack(means) if means else torch.zeros(0, dtype=torch.float64)


def _rounded(cosines: Tensor) -> Tensor:
    """The cosines without what is rounding alone, so that a picture is as like itself as can be."""
    return (cosines * 1e9).round() / 1e9


def _normalized(projections: Tensor) -> Tensor:
    """[P, F] float64 of length 1; nan for a projection of zeros, or with values that are not finite."""
    flat = projections.cpu().double().flatten(1)
    flat = flat / flat.abs().amax(1, keepdim=True)
    return flat / flat.norm(dim=1, keepdim=True)


def mean_by_map(values: Tensor, maps: Tensor) -> Tensor:
    """Means [m] of values [P] over the units of each map, in the order of the maps' numbers, without nan values."""
    means = [values[maps == number].nanmean() for number in maps.unique()]
    return torch.stack(means) if means else values.new_zeros(0)


def shuffled(projections: Tensor, seed: int = 0) -> Tensor:
    """The projections [P, 3, h, w] with the pixels of each in a random order: what chance makes of a cosine."""
    draw = torch.Generator().manual_seed(seed)
    flat = projections.cpu().flatten(2)
    return torch.stack([pixels[:, torch.randperm(flat.shape[2], generator=draw)] for pixels in flat]).view_as(
        projections
    )


def recovery(projections: Tensor, image_patches: Tensor) -> Tensor:
    """Correlation float64 [P], -1..1, of projections [P, 3, h, w] with the high frequencies of patches [P, 3, h, w].

    Of the luminance; a pixel counts by the projection's energy around it. nan for a projection or patch without any.
    """
    gray, patch = (values.cpu().double().mean(1, keepdim=True) for values in (projections, image_patches))
    patch = patch - blurred(patch, FINE)
    weight = blurred(gray.square(), AROUND)
    weight = weight / weight.sum((1, 2, 3), keepdim=True)

    def mean(values: Tensor) -> Tensor:
        return (weight * values).sum((1, 2, 3), keepdim=True)

    gray, patch = gray - mean(gray), patch - mean(patch)
    return (mean(gray * patch) / (mean(gray.square()) * mean(patch.square())).sqrt()).flatten()


def blurred(maps: Tensor, sigma: float) -> Tensor:
    """Maps [P, 1, h, w] convolved with a Gaussian of this standard deviation in pixels, their border repeated."""
    reach = int(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2)).to(maps)
    kernel = kernel / kernel.sum()
    padded = F.pad(maps, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
