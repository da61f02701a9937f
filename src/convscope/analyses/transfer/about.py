"""Settings and description of job=transfer."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from convscope.analyses import About, Topic
from convscope.config import Count, NewPathText, PathText, config
from convscope.errors import UserError

RANDOM = "random"  # in transfer.beside: the same net with fresh random weights
Kind = Literal["svm", "softmax"]


@config("transfer")
class TransferConfig:
    """How features are classified. What the paper leaves open (layers, c, grid, unit_length) is our choice.

    features: of each layer, or VGG's dense ones too (scales, pool). beside: "random" or checkpoints, nets that are
    treated alike. store, keep: how features lie on disk, and the folder where they stay.
    """

    layers: list[str] | None = None
    classifiers: Annotated[list[Kind], Field(min_length=1)] = Field(default_factory=lambda: list(get_args(Kind)))
    per_class: Annotated[list[Count], Field(min_length=1)] = Field(default_factory=lambda: [5, 10, 15, 30])
    test_per_class: Count = 50
    folds: Count = 5
    c: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        default_factory=lambda: [1.0, 10.0, 100.0]
    )
    grid: Count = 6
    unit_length: bool = True
    store: Literal["float32", "float16"] = "float32"
    keep: NewPathText | None = None
    features: Literal["layers", "dense"] = "layers"
    scales: Annotated[list[int], Field(min_length=1)] | None = None
    pool: Literal["stack", "average"] = "stack"
    beside: list[PathText] | None = Field(default_factory=lambda: [RANDOM])

    @model_validator(mode="after")
    def _scales_are_dense(self) -> "TransferConfig":
        if self.scales is not None and self.features != "dense":
            raise UserError(f"transfer.scales={self.scales} are sides of whole images for transfer.features=dense")
        return self


ABOUT = About(
    job="transfer",
    config=TransferConfig,
    label="transfer",
    looks="by classifying other images by its features",
    divides=True,
    tiny=(
        "transfer.layers=[conv5]",
        "transfer.per_class=[2]",
        "transfer.test_per_class=2",
        "transfer.folds=1",
        "transfer.c=[1]",
    ),
    topics=(
        Topic(
            "transfer",
            "Transfer",
            "What the features are worth for other images",
            "Tables 4 to 7, Fig. 9",
            "The net stays as it is; only a linear classifier on the features of one layer learns to tell other "
            "images apart, from few of each class. If deeper layers do better, the net has learned more than "
            "its own classes. A net of random weights beside it shows what the features owe to training.",
        ),
    ),
)
