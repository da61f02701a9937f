"""What no picture says of features: whether they are real, what they are for, whether another net has them too."""

from collections.abc import Sequence
from typing import Any

from convscope.api.findings import Findings
from convscope.api.looking import Net, analyze, settings_of
from convscope.api.subjects import as_subject
from convscope.config import Split


def sanity(
    net: Net,
    data: Any = None,
    *,
    layers: Sequence[str] | None = None,
    maps: int = 8,
    images: int = 3,
    searched: int | None = 300,
    split: Split = "val",
    stages: int = 4,
    drawn: int = 3,
    seed: int = 0,
) -> Findings:
    """Is a projection about the net, the unit and the image (Adebayo et al. 2018, Nie et al. 2018)?

    layers: None: those of `default_layers`. maps: of each layer; images: the strongest of each map, among `searched`
    ones (None: all). stages: in how many steps the weights become random. drawn: maps of a strip. Pictures
    sanity/by_layer and sanity/<layer>; tables sanity/layers and weights; numbers sanity/<layer>/weights, unit, image,
    recovery, by the rule that draws the layer; arrays sanity/maps.
    """
    return analyze("sanity", as_subject(net, data), settings_of(locals()), seed)
