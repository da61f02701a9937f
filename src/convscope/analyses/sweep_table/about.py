"""Settings and description of job=table."""

from typing import Literal

from convscope.analyses import About, Topic
from convscope.config import PathText, config


@config("table", elsewhere={"sweep": "sweep"})
class SweepTableConfig:
    """paper: a table of metrics/papers.yaml. base: the row that the others are compared with. epoch: which one counts.

    order: of the rows; that of the paper's table, then of their folders, or the best first. sweep: the folder of a
    sweep, or of training runs, or a list of them.
    """

    paper: str | None = None
    base: str | None = None
    epoch: Literal["last", "best"] = "last"
    order: Literal["paper", "best"] = "paper"
    sweep: PathText | list[PathText] | None = None

    @property
    def folders(self) -> list[str]:
        """The folders as a list."""
        folders = [self.sweep] if isinstance(self.sweep, str) else list(self.sweep or [])
        return [folder for folder in folders if folder != "???"]


ABOUT = About(
    job="table",
    config=SweepTableConfig,
    label="table",
    looks="one beside the other",
    tiny=(),
    topics=(
        Topic(
            "sweep",
            "Tables",
            "The runs of a sweep beside one another",
            "Tables 2 and 3",
            "Nets that differ in one thing, trained from scratch: what does it change? Errors are the share of "
            "images whose class is not the first guess (top-1), or not among the first five (top-5). Where the "
            "images or sizes are not the paper's, its numbers cannot be compared with these, only which rows "
            "are better than others.",
        ),
    ),
    images=False,
    sweep_key="sweep",
    sweep_folder="table",
)
