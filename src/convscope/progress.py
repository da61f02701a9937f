"""A bar over long work, with the time left; in files and pipes nothing."""

from collections.abc import Iterable
from typing import TypeVar

from rich import progress
from rich.console import Console

Item = TypeVar("Item")


def track(items: Iterable[Item], words: str) -> Iterable[Item]:
    """The items, one after another, while a bar under `words` moves; it goes when the last one is done."""
    console = Console(stderr=True)
    return progress.track(items, words, console=console, transient=True, disable=not console.is_terminal)
