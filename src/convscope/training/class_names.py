"""The names of a finished run's classes as classes.csv of its images has them now, for its page.

torch is imported only where there is a classes.csv: job=report needs it for nothing else.
"""

import json
from pathlib import Path
from typing import Any

from convscope.runs.atomic_io import write
from convscope.runs.reading import recorded_settings, value_at


def rename_classes(run: Path) -> list[str]:
    """Writes the names that classes.csv gives the classes now into about.json and summary.json, and returns them.

    [], and nothing is written, where there is no classes.csv, where all names are as they were, or where the folders of
    the classes are not known: those of older versions are not, unless data.root has as many folders.
    Raises UserError for a csv that cannot be read, and as read_checkpoint does.
    """
    root = value_at(recorded_settings(run), "data", "root")
    place = Path(root).expanduser() if isinstance(root, str) else None
    if place is None or not (place / "classes.csv").is_file():
        return []
    from convscope.data.classnames import readable
    from convscope.training.start import images_of_run

    if (trained := images_of_run(run)) is None:
        return []
    names = readable(trained.folders or _folders_now(place), place)
    if len(names) != len(trained.classes):
        return []
    changed = [_rename(run / file, names) for file in ("about.json", "summary.json")]
    return names if any(changed) else []


def _folders_now(place: Path) -> list[str]:
    from convscope.data.classnames import utf8_text
    from convscope.data.folder_contents import listing
    from convscope.data.folders import split_folder

    if (train := split_folder(place, "train")) is None:
        return []
    names = [name for name in listing(train) if (train / name).is_dir() and not name.startswith(".")]
    return [utf8_text(name) for name in names]


def _rename(path: Path, names: list[str]) -> bool:
    """Writes the names into a file of facts; whether that changed it."""
    try:
        facts: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    old = facts.get("classes") if isinstance(facts, dict) else None
    if not isinstance(old, list) or len(old) != len(names) or old == names:
        return False
    write(path, json.dumps({**facts, "classes": names}, indent=2) + "\n")
    return True
