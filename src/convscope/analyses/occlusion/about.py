"""Settings and description of job=occlude."""

from convscope.analyses import About, Topic
from convscope.config import Count, PathText, Split, config


@config("occlude")
class OcclusionConfig:
    """Which images, the square that covers them, and the layer; conf/job/occlude.yaml has a line on each key.

    images: how many, or their indices. layer: None: the last convolution or block. size, stride: pixels of the square
    and from one place to the next (None: a seventh of the image, a quarter of the square).
    """

    images: Count | list[int] = 5
    split: Split = "val"
    layer: str | None = None
    size: int | None = None
    stride: int | None = None
    value: float = 0.0
    projections: bool = True
    searched: Count | None = 2000
    scored: Count = 100
    boxes: PathText | None = None


ABOUT = About(
    job="occlude",
    config=OcclusionConfig,
    label="occlusion",
    looks="by covering one place of an image after another",
    tiny=("occlude.images=1", "occlude.size=24", "occlude.stride=20", "occlude.searched=8", "occlude.scored=2"),
    topics=(
        Topic(
            "occlusion",
            "Occlusion",
            "What the net looks at",
            "Fig. 7",
            "A gray square covers one place of the image after another; each point of a map stands for one "
            "place of the square. Where the probability of the true class drops, the net needed what was "
            "covered. A net that looks at the object, not at its surroundings, drops there alone.",
        ),
    ),
)
