"""Settings and description of job=claims."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from convscope.analyses import About, Topic
from convscope.config import PathText, config
from convscope.errors import UserError


@config("claims", elsewhere={"run": "run"})
class ClaimsConfig:
    """How many images, and files about images and runs. run: the folder of a training run.

    against: other runs. boxes, parts, only: as of job=occlude and job=correspond. transfer: the folder of such a job.
    """

    scored: Annotated[int, Field(ge=2, examples=[100])] = 100
    against: PathText | list[PathText] | None = None
    boxes: PathText | None = None
    parts: PathText | None = None
    only: dict[str, Any] | None = None
    transfer: PathText | None = None
    run: PathText | None = None

    @model_validator(mode="after")
    def _files_are_there(self) -> "ClaimsConfig":
        for key in ("boxes", "parts"):
            path = getattr(self, key)
            if path is not None and not Path(path).expanduser().is_file():
                raise UserError(f"claims.{key}={path} is no file; see conf/job/claims.yaml for what it holds")
        return self

    @property
    def folders(self) -> list[Path]:
        """The folders of the other runs."""
        names = [self.against] if isinstance(self.against, str) else self.against or []
        return [Path(name).expanduser() for name in names]


ABOUT = About(
    job="claims",
    config=ClaimsConfig,
    label="claims",
    looks="by testing the paper's claims on it",
    divides=True,
    tiny=("claims.scored=4",),
    topics=(
        Topic(
            "claims",
            "Claims",
            "Which of the paper's claims hold here",
            "all sections",
            "Each claim of the paper becomes a number measured on this run, with its 95 % interval. Nothing is "
            "settled beforehand: with another net or other images a claim may fail.",
        ),
    ),
)
