"""How long a run took, its earlier sessions included."""

import time
from collections.abc import MutableMapping
from typing import Any

import pytorch_lightning as pl

from convscope.training.watching.recorded_run import EpochRows


class Sessions(pl.Callback):
    """Adds up the seconds of a run's sessions: one session from each start or resume to its end.

    Counts an earlier session up to its last checkpoint only; later work is repeated and counted then. seconds: by
    phase; the callback adds what the earlier sessions took to "preparation", and sets "earlier" to what they took in
    all. began: when this session began, by time.perf_counter.
    """

    state_key = "Sessions"  # in checkpoints

    def __init__(self, seconds: MutableMapping[str, float], began: float):
        self.seconds, self.began = seconds, began

    def state_dict(self) -> dict[str, Any]:
        whole = self.seconds.get("earlier", 0.0) + time.perf_counter() - self.began
        return {"seconds": {"whole": whole, "preparation": self.seconds.get("preparation", 0.0)}}

    def on_load_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """Reads the seconds of earlier sessions. A checkpoint of version 0.1 has only those of its epochs."""
        states = checkpoint["callbacks"]
        if self.state_key in states:
            before = states[self.state_key]["seconds"]
        else:
            epochs = states.get("RowPerEpoch", {"rows": []})
            measured = sum(row["seconds"] for row in EpochRows.read(epochs["rows"]))
            before = {"whole": measured + _seconds_within_epoch(checkpoint, epochs), "preparation": 0.0}
        self.seconds["earlier"] = before["whole"]
        self.seconds["preparation"] = self.seconds.get("preparation", 0.0) + before["preparation"]


def _seconds_within_epoch(checkpoint: dict[str, Any], epochs: dict[str, Any]) -> float:
    """Seconds of the unfinished epoch of a checkpoint; 0 at the end of an epoch, whose row has them already."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    return float(epochs.get("spent", 0.0)) if progress["started"] > progress["processed"] else 0.0
