"""job=report: writes the page of a run folder again, any time later, also after a crash."""

from pathlib import Path

from convscope.errors import UserError
from convscope.report.page import write_page
from convscope.runs.reading import RUN_FILES, is_run_folder


def report(run: Path) -> Path:
    """Rebuilds report/index.html of the run folder and returns its path. UserError when the folder is none."""
    folder = Path(run)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; type run=<a run folder>, such as one of outputs/train/")
    if not is_run_folder(folder):
        raise UserError(f"{folder} is no run folder: none of {', '.join(RUN_FILES)} is in it{_inside(folder)}")
    return write_page(folder)


def _inside(folder: Path) -> str:
    runs = sorted(each.name for each in folder.iterdir() if each.is_dir() and is_run_folder(each))
    return f"; type run={folder}/<one of {', '.join(runs)}>" if runs else "; type run=<a run folder>"
