"""A bar over long work, with the time left; in files and pipes nothing."""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar("Item")


def track(items: Iterable[Item], words: str) -> Iterator[Item]:
    """The items, one after another, while a bar under `words` moves; it goes when the last one is done."""
    return track_parts(items, words, len(items) if isinstance(items, Sized) else None, lambda _: 1)


def track_parts(parts: Iterable[Item], words: str, total: int | None, size: Callable[[Item], int]) -> Iterator[Item]:
    """The same of parts of different sizes, `total` in all; None: nobody knows."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(words, total=total)
        for part in parts:
            yield part
            bar.advance(task, size(part))
