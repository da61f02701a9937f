"""Which image each loading process is at: one that is killed cannot tell any more, those that live can look it up."""

import os
import re
from collections.abc import Callable, Mapping
from signal import strsignal
from types import MappingProxyType

import torch
from torch.utils.data import get_worker_info

from convscope.errors import UserError

NONE = -1
NOTHING: Mapping[int, int] = MappingProxyType({})


class Watch:
    """Memory that the loading processes share with the one that started them; [workers, 2] process id and image."""

    def __init__(self, workers: int):
        self._held = torch.full((workers, 2), NONE).share_memory_()

    def at(self, position: int) -> None:
        """This process is about to read an image; NONE: it has read what it was asked for."""
        if (here := get_worker_info()) is not None:
            self._held.numpy()[here.id] = os.getpid(), position

    def of(self, pid: int) -> int | None:
        """The image that a process was at, None where it was at none."""
        found = [position for held, position in self._held.tolist() if held == pid and position != NONE]
        return found[0] if found else None


def death(
    error: BaseException, image: Callable[[int], str | None], ended: Mapping[int, int] = NOTHING
) -> UserError | None:
    """What a loading process died of, in one line, from the error by which torch tells it; None for other errors.

    image: the file that a process, named by its id, was reading. ended: the signals that are known to have ended some.
    """
    said = f"{error} {error.__cause__}"  # torch tells the signal, if at all, in one of the two
    if not (told := re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)", said)):
        return None
    numbers = [int(number) for number in told[1].split(",")]
    files = [name for number in numbers if (name := image(number))]
    where = f" while it read {', '.join(files)}" if files else ""
    known = [str(strsignal(ended[number])) for number in numbers if number in ended]
    named = re.search(r"killed by signal: ([A-Za-z ]+)", said)
    signal = named[1].strip() if named else known[0] if known else ""
    how = f"was ended by the signal {signal}" if signal else "ended before its work was done"
    if signal.startswith("Bus"):
        hint = "mostly the shared memory /dev/shm is full: make it larger, or type data.workers=0"
    elif signal.startswith("Killed"):
        hint = "mostly memory has run out: type a smaller data.workers (0: none) or optim.batch_size"
    else:
        hint = "type data.workers=0 to see its error" + (", or remove the file" if files else "")
    return UserError(f"a process that loads images {how}{where}; {hint}")
