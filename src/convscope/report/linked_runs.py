"""Pages that belong together: that of a training run, and those of the jobs that looked at its net."""

import json
import os
import re
from collections import Counter
from datetime import datetime
from os.path import isdir
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from convscope.report.header import page_topic
from convscope.runs.reading import RUN_FILES, enclosing_sweep, start_time


def comparable_runs(folder: Path) -> list[dict[str, str]]:
    """The other runs in the same parent folder that have an atlas, newest first: title, folder, and where its report
    is as seen from the report of this one.
    """
    folder = folder.resolve()
    try:
        others = [other for other in folder.parent.iterdir() if other != folder and isdir(other / "report" / "atlas")]
    except OSError:  # a parent that may not be read
        return []
    others = sorted(others, key=lambda other: (start_time(other), other.name), reverse=True)[:MAX_COMPARABLE]
    return [
        {"title": _folder_title(other), "folder": other.name, "report": f"../../{quote(other.name)}/report/"}
        for other in others
    ]


def _folder_title(folder: Path) -> str:
    """<date>_<time>_<name> in words; the row of a sweep goes by its folder's name."""
    dated = re.match(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)[\d-]*_(.+)", folder.name)
    if not dated:
        return folder.name
    return f"{dated[2]}, {datetime.strptime(dated[1], '%Y-%m-%d_%H-%M-%S').strftime('%-d %B %Y, %H:%M')}"


MAX_COMPARABLE = 50  # most other runs to compare with


NOTES_FILE = "looked_at.jsonl"  # in the folder of the training run: a line for each job that has looked at its net


class Link(NamedTuple):
    """Another run's page. address: relative to a page of this run. words: what it shows. when: that was noted."""

    address: str
    words: str
    when: str = ""


def note_analysis(looking: Path, trained: Path, job: str, when: str) -> None:
    """Tells the run at `trained` that the page of `looking` is about its net. What cannot be written is left."""
    line = json.dumps({"folder": os.path.relpath(looking.resolve(), trained), "job": job, "when": when})
    try:
        with open(trained / NOTES_FILE, "a", encoding="utf-8") as notes:
            notes.write(line + "\n")
    except OSError:
        return


def analyses_of(folder: Path) -> list[Link]:
    """The pages about the net of this run that are still there, newest first; of a folder its last note counts.

    Of several that show the same the words say when each was made.
    """
    path = folder / NOTES_FILE
    found: dict[str, Link] = {}
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            said: dict[str, Any] = json.loads(text)
            other, job, when = (str(said[key]) for key in ("folder", "job", "when"))
        except (ValueError, KeyError, TypeError):
            continue
        if (link := _link(folder, other, page_topic(job), when)) is not None:
            found.pop(other, None)
            found[other] = link
    often = Counter(link.words for link in found.values())
    links = (
        link._replace(words=f"{link.words} ({link.when})") if often[link.words] > 1 else link for link in found.values()
    )
    return list(links)[::-1]


def trained_run(folder: Path, said: Any) -> Link | None:
    """The page of the run whose net this one looks at, as summary.json names it: a folder relative to this one."""
    return _link(folder, said) if isinstance(said, str) else None


def _link(folder: Path, other: str, words: str = "", when: str = "") -> Link | None:
    """None where no run's page is at `other`: what a file says of another folder is believed only if it is one."""
    place = folder / other
    if Path(other).is_absolute() or not any((place / mark).is_file() for mark in RUN_FILES):
        return None
    page = place / "report" / "index.html"
    return Link(f"../{quote(Path(other).as_posix())}/report/index.html", words, when) if page.is_file() else None


def sweep_page_of(folder: Path) -> Link | None:
    """The page of the sweep around this run; it is written after each of its runs."""
    around = enclosing_sweep(folder)
    above = around and "/".join(".." for _ in folder.resolve().relative_to(around).parts)
    return Link(f"../{above}/report/index.html", around.name) if around else None
