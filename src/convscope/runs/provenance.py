"""Where a result comes from: versions of what computed it, the commit of the code, what decoded the images."""

import json
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy", "pillow")
THEN = ", then "  # between the decoders of a run that has had several


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
    with suppress(PackageNotFoundError):
        found["torchcodec"] = version("torchcodec")
    return found


def with_earlier_decoders(facts: dict[str, Any], folder: Path) -> tuple[dict[str, Any], str | None]:
    """The facts of a run that begins or goes on in `folder`, with all its decoders, and a warning of several.

    Of two decoders single grey levels may differ, so such a run is none that could be had again bit for bit.
    """
    before, now = _decoders(folder), facts.get("decoder")
    if now is None or before in ("", now):
        return facts, None
    decoders = before if before.split(THEN)[-1] == now else f"{before}{THEN}{now}"
    told = (
        f"the images of this run are decoded by {decoders}: single grey levels may differ, so it does not end bit for "
        "bit as a run with one decoder; torchcodec is taken where it is installed, else torchvision, else Pillow"
    )
    return facts | {"decoder": decoders}, told


def continues_run_of_0_1(folder: Path) -> bool:
    """Whether version 0.1, which did not say what decoded the images, began the training that goes on in `folder`."""
    earlier = _earlier(folder)
    return earlier is not None and "decoder" not in earlier


def _decoders(folder: Path) -> str:
    """What about.json says of the decoders; an empty string where nothing was trained with any.

    A run of version 0.1 says nothing of it; it had torchvision's.
    """
    earlier = _earlier(folder)
    return "" if earlier is None else str(earlier.get("decoder") or "torchvision")


def _earlier(folder: Path) -> dict[str, Any] | None:
    """about.json of the run that goes on in `folder`; None where none has a checkpoint there, or it cannot be read."""
    if not (folder / "checkpoints" / "last.ckpt").is_file():
        return None
    with suppress(OSError, ValueError):
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        return about if isinstance(about, dict) else None
    return None


def code_commit() -> str | None:
    """The commit of this code, "+changes" where files differ from it; None outside a git checkout."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        changes = "+changes" if git("status", "--porcelain", "--untracked-files=no").strip() else ""
        return git("rev-parse", "--short=12", "HEAD").strip() + changes
    except (OSError, subprocess.SubprocessError):
        return None
