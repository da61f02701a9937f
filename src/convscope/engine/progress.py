"""Progress bars with the remaining time for long work; nothing is written to files and pipes."""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar("Item")


def track(items: Iterable[Item], words: str) -> Iterator[Item]:
    """Yields the items while a bar with the text `words` shows the progress; the bar disappears at the end."""
    return track_parts(items, words, len(items) if isinstance(items, Sized) else None, lambda _: 1)


def track_parts(parts: Iterable[Item], words: str, total: int | None, size: Callable[[Item], int]) -> Iterator[Item]:
    """Yields parts of different sizes, as `track` does. total: the sum of the sizes; None where it is not known."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(words, total=total)
        for part in parts:
            yield part
            bar.advance(task, size(part))
