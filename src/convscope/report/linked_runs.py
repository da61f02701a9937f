"""Links between pages: a training run, the analyses of its net, its sweep, jobs on sweeps, and runs to compare with."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from convscope.analyses import abouts
from convscope.report.header import page_topic
from convscope.report.run_names import name_in_sweep
from convscope.runs.index import read_text
from convscope.runs.reading import (
    date_in,
    enclosing_sweep,
    is_run_folder,
    is_sweep_folder,
    read_facts,
    start_time,
)
from convscope.runs.sweep_runs import place_in_sweep

NOTES_FILE = "looked_at.jsonl"  # in the folder of a training run or a sweep, with a line for each analysis of it
MAX_COMPARABLE = 50  # runs that the page offers to compare with


class Link(NamedTuple):
    """Another run's page. address: relative to a page of this run. words: its text. when: the analysis was done."""

    address: str
    words: str
    when: str = ""


def note_analysis(analysis: Path, trained: Path, job: str, when: str) -> None:
    """Notes in the folder of a training run or a sweep that the page of the run `analysis` is about it.

    A folder that cannot be written stays without the note.
    """
    line = json.dumps({"folder": os.path.relpath(analysis.resolve(), trained), "job": job, "when": when})
    try:
        with open(trained / NOTES_FILE, "a", encoding="utf-8") as notes:
            notes.write(line + "\n")
    except OSError:
        return


def analyses_of(folder: Path) -> list[Link]:
    """The existing pages about the net of this run or about this sweep, newest first, one for each folder.

    The words of pages on the same topic say when each was made.
    """
    links: dict[str, Link] = {}
    for analysis, job, when in _notes(folder):
        if (link := _link(folder, analysis, page_topic(job), when)) is not None:
            links.pop(analysis, None)
            links[analysis] = link
    counts = Counter(link.words for link in links.values())
    return [
        link._replace(words=f"{link.words} ({link.when})") if counts[link.words] > 1 else link
        for link in reversed(links.values())
    ]


def analyses_by_job(folder: Path, job: str) -> list[Path]:
    """The existing run folders of one job about the net of this run, newest first."""
    noted = [folder / analysis for analysis, of_job, _ in _notes(folder) if of_job == job]
    return [analysis for analysis in dict.fromkeys(reversed(noted)) if is_run_folder(analysis)]


def _notes(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Folder relative to this one, job and time of each note; without damaged lines and absolute folders."""
    for line in read_text(folder / NOTES_FILE).splitlines():
        try:
            note: dict[str, Any] = json.loads(line)
            analysis, job, when = (str(note[key]) for key in ("folder", "job", "when"))
        except (ValueError, KeyError, TypeError):
            continue
        if not Path(analysis).is_absolute():
            yield analysis, job, when


def compared_sweeps(folder: Path, summary: Mapping[str, Any]) -> list[Path]:
    """The sweeps whose runs a job has compared, by its summary; without that which the folder of the job lies in."""
    keys = [about.sweep_key.rpartition(".")[2] for about in abouts().values() if about.job == summary.get("job")]
    values = [summary.get(key) for key in keys if key]
    paths = [path for value in values for path in (value if isinstance(value, list) else [value]) if path]
    sweeps = [Path(os.path.expanduser(str(path))).resolve() for path in paths]
    return [sweep for sweep in sweeps if is_sweep_folder(sweep) and not folder.resolve().is_relative_to(sweep)]


def trained_run(folder: Path, trained: Any) -> Link | None:
    """The page of the run whose net this run analyzes. trained: its folder relative to this one, in summary.json."""
    return _link(folder, trained) if isinstance(trained, str) else None


def sweep_page_of(folder: Path) -> Link | None:
    """The page of the sweep around this run, which is written after each of its runs; None for a single run."""
    sweep = enclosing_sweep(folder)
    up = sweep and "/".join(".." for _ in folder.resolve().relative_to(sweep).parts)
    return Link(f"../{up}/report/index.html", sweep.name) if sweep else None


def comparable_runs(folder: Path) -> list[dict[str, str]]:
    """The runs beside this one that have an atlas, newest first, at most MAX_COMPARABLE.

    Each has "title", "folder" (its name) and "report" (the address of its report from this run's). Those of one sweep
    have the titles of their pages.
    """
    folder, sweep = folder.resolve(), enclosing_sweep(folder)
    try:
        runs = [run for run in folder.parent.iterdir() if run != folder and os.path.isdir(run / "report" / "atlas")]
    except OSError:  # a parent that may not be read
        return []
    runs = sorted(runs, key=lambda run: (start_time(run), place_in_sweep(run)), reverse=True)[:MAX_COMPARABLE]
    return [
        {
            "title": name_in_sweep(read_facts(run), sweep) if sweep else _folder_title(run),
            "folder": run.name,
            "report": f"../../{address_of(run.name)}/report/",
        }
        for run in runs
    ]


def _folder_title(folder: Path) -> str:
    """Name and date of a folder <date>_<time>_<name>, in words; the name of another folder as it is."""
    date, name = date_in(folder.name), re.match(r"[\d-]+_[\d-]+_(.+)", folder.name)
    return f"{name[1]}, {date.strftime('%-d %B %Y, %H:%M')}" if date and name else folder.name


def _link(folder: Path, target: str, words: str = "", when: str = "") -> Link | None:
    """A link to the page of the run folder `target`, relative to `folder`; None if there is none, or it is absolute."""
    if Path(target).is_absolute() or not is_run_folder(folder / target):
        return None
    page = folder / target / "report" / "index.html"
    address = f"../{address_of(Path(target).as_posix())}/report/index.html"
    return Link(address, words, when) if page.is_file() else None


def address_of(path: str) -> str:
    """The path in the address of a page, whatever bytes the names of its folders hold."""
    return quote(os.fsencode(path))
