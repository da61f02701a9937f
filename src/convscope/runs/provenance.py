"""Where a result comes from: versions of the packages, the commit of the code, the decoder of the images."""

import json
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy", "pillow", "torchcodec")
SEPARATOR = ", then "  # between the decoders of a run that has had several


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that numbers depend on."""
    numbers = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            numbers[package] = version(package)
    return numbers


def code_commit() -> str | None:
    """The commit of this code, with "+changes" where files differ from it; None outside a git checkout."""

    def git(*arguments: str) -> str:
        folder = Path(__file__).parent
        command = ["git", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        changes = "+changes" if git("status", "--porcelain", "--untracked-files=no").strip() else ""
        return git("rev-parse", "--short=12", "HEAD").strip() + changes
    except (OSError, subprocess.SubprocessError):
        return None


def with_earlier_decoders(facts: dict[str, Any], folder: Path) -> tuple[dict[str, Any], str | None]:
    """The facts of a run that starts or resumes in `folder`, with all its decoders; and a warning if it has several.

    Two decoders may differ by single grey levels. A run that has had both cannot be repeated bit for bit.
    """
    earlier, current = _earlier_decoders(folder), facts.get("decoder")
    if current is None or earlier in ("", current):
        return facts, None
    decoders = earlier if earlier.split(SEPARATOR)[-1] == current else f"{earlier}{SEPARATOR}{current}"
    warning = (
        f"the images of this run are decoded by {decoders}: single grey levels may differ, so it does not end bit for "
        "bit as a run with one decoder; torchcodec is taken where it is installed, else torchvision, else Pillow"
    )
    return facts | {"decoder": decoders}, warning


def continues_run_of_0_1(folder: Path) -> bool:
    """Whether the training that resumes in `folder` was started by version 0.1, which recorded no decoder and no goal.

    Later versions record no decoder of images that are drawn, such as the critters.
    """
    about = _earlier_about(folder)
    return about is not None and not {"decoder", "goal"} & about.keys()


def _earlier_decoders(folder: Path) -> str:
    """The decoders in about.json, "torchvision" for version 0.1, which had no other; "" where nothing was trained."""
    about = _earlier_about(folder)
    return "" if about is None else str(about.get("decoder") or "torchvision")


def _earlier_about(folder: Path) -> dict[str, Any] | None:
    """about.json of the run that resumes in `folder`; None without a checkpoint, or where it cannot be read."""
    if not (folder / "checkpoints" / "last.ckpt").is_file():
        return None
    with suppress(OSError, ValueError):
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        return about if isinstance(about, dict) else None
    return None
