"""The page of a sweep, written after its runs, from their folders."""

from collections import defaultdict
from pathlib import Path

from convscope.errors import UserError
from convscope.runs.throttle import Throttle

SHARE = 0.05  # of this process's time at most is the page's: it grows with the runs, which may be short
_pages: defaultdict[Path, Throttle] = defaultdict(lambda: Throttle(SHARE))


def write_after_run(folder: Path) -> None:
    """The page of the sweep around a run that has just ended, if there is one and its time has come."""
    from convscope.runs.reading import enclosing_sweep

    around = enclosing_sweep(folder)
    if around is not None and _pages[around].due:
        with _pages[around].counted():
            write_page_of(around)


def write_page_of(sweep: Path) -> None:
    """What a run has left in its folder must not fail another one: an error is only told."""
    from convscope.report.sweep import write_sweep_page

    try:
        write_sweep_page(sweep)
    except Exception as error:
        if type(error) is not UserError:  # a sweep without training runs has no page
            print(f"the page of the sweep {sweep.name} could not be written: {error}", flush=True)
