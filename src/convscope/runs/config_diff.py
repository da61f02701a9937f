"""Which of several runs differ in one thing alone, so that the difference of what came out can be put down to it."""

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from convscope.errors import UserError
from convscope.runs.reading import Run, is_run_folder, read_run

# What a run is called, where it runs, what is shown of it and its random numbers: a run is the same experiment without.
BESIDE = ("name", "seed", "model.name", "evolution.*", "logger.*", "logger", "trainer.accelerator", "trainer.devices",
          "trainer.strategy", "trainer.num_nodes", "data.workers", "data.cache_*", "ckpt", "run", "resume",
          "experiment")  # fmt: skip


def runs_in(folders: Sequence[Path]) -> list[Run]:
    """The training runs at these folders, or, of a sweep's folder, those in it.

    Raises UserError for a folder that is neither.
    """
    found = []
    for folder in folders:
        inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        here = [path for path in [folder, *inside] if is_run_folder(path)]
        if not here:
            raise UserError(
                f"no training run in {folder}; give the folder of a run, outputs/train/<run>, or of a sweep"
            )
        found += [read_run(path) for path in here]
    return [run for run in found if run.settings.get("job") == "train"]


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """The keys, dotted, whose values differ between two settings; an absent key, as of an older run, counts as None."""
    flat = flattened(one), flattened(other)
    return {key for key in flat[0].keys() | flat[1].keys() if flat[0].get(key) != flat[1].get(key)}


def differ_only_in(one: Mapping[str, Any], other: Mapping[str, Any], but: Collection[str]) -> bool:
    """Whether two runs' settings differ in nothing but keys of these patterns, and in what is no part of a result."""
    patterns = (*BESIDE, *but)
    return all(any(fnmatchcase(key, pattern) for pattern in patterns) for key in differing(one, other))


def flattened(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested mappings as one, its keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{above}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat
