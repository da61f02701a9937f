"""Settings and description of job=diagnose."""

from typing import Annotated

from pydantic import Field

from convscope.analyses import About, Topic
from convscope.config import PathText, Split, config


@config("diagnose")
class DiagnosisConfig:
    """Which images judge filters and units. radius: RMS at which filters were renormalized (None: they were not).

    maps: of the second layer, searched for a grid. runs: the folder of a sweep, whose runs are compared.
    """

    images: Annotated[int, Field(ge=1, examples=[500])] = 500
    split: Split = "val"
    radius: Annotated[float, Field(gt=0, examples=[0.1])] | None = 0.1
    maps: Annotated[int, Field(ge=1, examples=[64])] = 64
    runs: PathText | None = None


ABOUT = About(
    job="diagnose",
    config=DiagnosisConfig,
    label="diagnosis",
    looks="by its filters, maps and units",
    tiny=("diagnose.images=8", "diagnose.maps=2"),
    topics=(
        Topic(
            "diagnosis",
            "Diagnosis",
            "What is wrong inside the net",
            "Fig. 6",
            "Filters that nothing excites, filters that are copies of one another, grid patterns that too "
            "coarse a stride leaves behind, units that never change: by such signs the paper found its better "
            "first layer.",
        ),
    ),
    sweep_key="diagnose.runs",
    sweep_folder="comparison",
)
