"""Settings and description of job=neighbors."""

from convscope.analyses import About, Topic
from convscope.config import Count, config


@config("neighbors")
class NeighborsConfig:
    """images: validation images whose neighbors are searched, how many or their indices. nearest: training images each.

    layer: whose features are compared (None: the last hidden one). scored: images counted over (None: all).
    """

    images: Count | list[int] = 8
    nearest: Count = 6
    layer: str | None = None
    scored: Count | None = 200


ABOUT = About(
    job="neighbors",
    config=NeighborsConfig,
    label="neighbors",
    looks="by the training images nearest to others",
    divides=True,
    tiny=("neighbors.images=2", "neighbors.nearest=2", "neighbors.scored=4"),
    topics=(
        Topic(
            "neighbors",
            "Neighbors",
            "What the net holds to be alike",
            "AlexNet 2012, Fig. 4",
            "Validation images with the five classes that the net finds most probable, and the training images "
            "whose features in the last hidden layer are nearest. Neighbors that look alike to us, though their "
            "pixels differ, say that the layer sees what we see.",
        ),
    ),
)
