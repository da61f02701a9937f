"""Pictures of an epoch, which a run records one by one, held back until its row of numbers comes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from convscope.runs.record import Picture

PictureFile = tuple[Picture, Path]
Send = Callable[[Sequence[PictureFile], Mapping[str, Any], int], None]


class EpochBuffer:
    """Sends the pictures and the row of an epoch in one call.

    send: gets pictures, values by name and their epoch. Pictures of an epoch without a row are sent when those of
    another epoch come, or at the end. Of each picture of the whole run, which is drawn again and again, the last one is
    sent at the end. epoch: the latest one, 0 before the first.
    """

    def __init__(self, send: Send):
        self.send, self.epoch = send, 0
        self._of_epoch: dict[str, PictureFile] = {}
        self._of_run: dict[str, PictureFile] = {}

    def picture(self, picture: Picture, path: Path) -> None:
        if picture.epoch is None:
            self._of_run[picture.name] = picture, path
            return
        if picture.epoch != self.epoch:
            self._send_epoch({})
        self.epoch = picture.epoch
        self._of_epoch[picture.name] = picture, path

    def row(self, epoch: int, values: Mapping[str, float]) -> None:
        if epoch != self.epoch:
            self._send_epoch({})
        self.epoch = epoch
        self._send_epoch(values)

    def end(self, values: Mapping[str, Any]) -> None:
        """Sends what is left. values: of the whole run, sent with its pictures."""
        self._send_epoch({})
        pictures, self._of_run = list(self._of_run.values()), {}
        if pictures or values:
            self.send(pictures, values, self.epoch)

    def _send_epoch(self, values: Mapping[str, float]) -> None:
        pictures, self._of_epoch = list(self._of_epoch.values()), {}
        if pictures or values:
            self.send(pictures, values, self.epoch)
