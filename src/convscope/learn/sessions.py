"""The seconds of a run over all the sessions in which it was trained, kept in its checkpoints."""

import time
from collections.abc import MutableMapping
from typing import Any

import pytorch_lightning as pl

from convscope.learn.rows import Rows


class Sessions(pl.Callback):
    """Adds what earlier sessions of a run took, up to the checkpoint that this one goes on from.

    What a session did after its last checkpoint is done again, and counted then. seconds: by phase; gets what the
    earlier sessions took for "preparation", and as "earlier" what they took for everything. began: when this session
    began, by time.perf_counter.
    """

    state_key = "Sessions"  # in checkpoints

    def __init__(self, seconds: MutableMapping[str, float], began: float):
        self.seconds, self.began = seconds, began

    def state_dict(self) -> dict[str, Any]:
        whole = self.seconds.get("earlier", 0.0) + time.perf_counter() - self.began
        return {"seconds": {"whole": whole, "preparation": self.seconds.get("preparation", 0.0)}}

    def on_load_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint of version 0.1 has the seconds of its epochs alone."""
        states = checkpoint["callbacks"]
        if self.state_key in states:
            before = states[self.state_key]["seconds"]
        else:
            epochs = states.get("RowPerEpoch", {"rows": []})
            measured = sum(row["seconds"] for row in Rows.read(epochs["rows"]))
            before = {"whole": measured + _within_epoch(checkpoint, epochs), "preparation": 0.0}
        self.seconds["earlier"] = before["whole"]
        self.seconds["preparation"] = self.seconds.get("preparation", 0.0) + before["preparation"]


def _within_epoch(checkpoint: dict[str, Any], epochs: dict[str, Any]) -> float:
    """Seconds of the epoch that the checkpoint was written in; at an epoch's end they are in its row."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    return float(epochs.get("spent", 0.0)) if progress["started"] > progress["processed"] else 0.0
