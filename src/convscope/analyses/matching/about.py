"""Settings and description of job=match."""

from typing import Annotated

from pydantic import Field, model_validator

from convscope.analyses import About, Topic
from convscope.config import Count, PathText, Split, config
from convscope.errors import UserError

RANDOM = "random"  # match.beside: the same net with fresh random weights
OTHER_WEIGHTS = 1000  # added to the seed, so that an untrained net is not the one that a training began with
FEWEST = 4  # images; with fewer, CKA has no unbiased estimate


@config("match")
class MatchConfig:
    """images: how many, or their indices. layers: of both nets by name, or {layer of the first: of the second}.

    beside: the second net where ckpt names one: random, or a checkpoint. pairs: pictured of the best, the median and
    the worst matches of each layer. tile: pixels of a tile. runs: the folder of a sweep, or a list of run folders.
    """

    images: Annotated[int, Field(ge=FEWEST, examples=[200])] | list[int] = 200
    split: Split = "val"
    layers: Annotated[list[str], Field(min_length=1)] | Annotated[dict[str, str], Field(min_length=1)] | None = None
    beside: PathText | None = None
    pairs: Count = 2
    tile: Annotated[int, Field(ge=16, le=224, examples=[72])] = 72
    runs: PathText | list[PathText] | None = None

    @model_validator(mode="after")
    def _has_images_to_shuffle(self) -> "MatchConfig":
        if isinstance(self.images, list):
            if len(set(self.images)) != len(self.images):
                raise UserError(f"match.images={self.images} names an image twice; name each once")
            if len(self.images) < FEWEST:
                raise UserError(f"match.images={self.images}: {FEWEST} images or more are needed to compare two nets")
        if self.runs is not None and self.beside is not None:
            raise UserError("match.beside is a second net, and match.runs names the nets; leave one of them out")
        return self

    @property
    def folders(self) -> list[str]:
        """The folders of match.runs as a list."""
        return [self.runs] if isinstance(self.runs, str) else list(self.runs or [])


ABOUT = About(
    job="match",
    config=MatchConfig,
    label="match",
    looks="by matching maps one to one",
    tiny=("match.images=8", "match.beside=random", "match.pairs=1", "match.tile=16", "match.layers=[conv1,conv5]"),
    topics=(
        Topic(
            "match",
            "Match",
            "Which features another net has too",
            "",
            "Each map of one net gets the map of the other that answers most alike to the same images, one to one. A "
            "map recurs where their correlation is higher than 95 % of those that the same search gives after the "
            "images of one net are shuffled: then only what every image has at the same place is left, such as a "
            "bright center. CKA compares whole layers, however the maps share the work: 1 the same, 0 unrelated.",
        ),
    ),
    sweep_key="match.runs",
    sweep_folder="match",
    each_epoch={
        "recur": "share of the maps that recur from the drawn epoch before",
        "cka": "linear CKA with the drawn epoch before",
    },
)
