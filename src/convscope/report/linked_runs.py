"""Pages that belong together: that of a training run, and those of the jobs that looked at its net."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from convscope.report.header import shows
from convscope.runs.reading import MARKS

NOTED = "looked_at.jsonl"  # in the folder of the training run: a line for each job that has looked at its net


class Link(NamedTuple):
    """Another run's page. address: relative to a page of this run. words: what it shows. when: that was noted."""

    address: str
    words: str
    when: str = ""


def note(looking: Path, trained: Path, job: str, when: str) -> None:
    """Tells the run at `trained` that the page of `looking` is about its net. What cannot be written is left."""
    line = json.dumps({"folder": os.path.relpath(looking.resolve(), trained), "job": job, "when": when})
    try:
        with open(trained / NOTED, "a", encoding="utf-8") as notes:
            notes.write(line + "\n")
    except OSError:
        return


def lookers(folder: Path) -> list[Link]:
    """The pages about the net of this run that are still there, newest first; of a folder its last note counts.

    Of several that show the same the words say when each was made.
    """
    path = folder / NOTED
    found: dict[str, Link] = {}
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            said: dict[str, Any] = json.loads(text)
            other, job, when = (str(said[key]) for key in ("folder", "job", "when"))
        except (ValueError, KeyError, TypeError):
            continue
        if (link := _link(folder, other, shows(job), when)) is not None:
            found.pop(other, None)
            found[other] = link
    often = Counter(link.words for link in found.values())
    links = (
        link._replace(words=f"{link.words} ({link.when})") if often[link.words] > 1 else link for link in found.values()
    )
    return list(links)[::-1]


def trained(folder: Path, said: Any) -> Link | None:
    """The page of the run whose net this one looks at, as summary.json names it: a folder relative to this one."""
    return _link(folder, said) if isinstance(said, str) else None


def _link(folder: Path, other: str, words: str = "", when: str = "") -> Link | None:
    """None where no run's page is at `other`: what a file says of another folder is believed only if it is one."""
    place = folder / other
    if Path(other).is_absolute() or not any((place / mark).is_file() for mark in MARKS):
        return None
    page = place / "report" / "index.html"
    return Link(f"../{quote(Path(other).as_posix())}/report/index.html", words, when) if page.is_file() else None
