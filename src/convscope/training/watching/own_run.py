"""The features of job=train: of images whose batches say their indices, into a record that the program has opened."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.analyses.visualize.compute import drawn_layers
from convscope.data.images import Images
from convscope.engine.hooks import evaluating, in_float32
from convscope.runs.record import Record
from convscope.training.watching.evolution import Evolution
from convscope.training.watching.pass_watcher import PassWatcher, process


class OwnRun:
    """With choice.images="train" the search takes a pass of its own over the training images."""

    def __init__(self, record: Record, data: Images, choice: FeatureConfig, seed: int):
        self.data, self.choice = data, choice
        self.evolution = Evolution(record, data, choice, seed)
        self.rides = choice.images == "val"  # on the validation pass

    def watch(self, net: nn.Module) -> None:
        """Sets the net. Raises UserError for layers and maps that it does not have."""
        self.net, layers = net, drawn_layers(self.choice, net, self.data.image_shape)
        self.watcher = PassWatcher(net, layers, self.data.image_shape, _OwnBatches())

    def begin_pass(self) -> None:
        if self.rides:
            self.watcher.begin()

    def begin_batch(self, batch: Any) -> None:
        if self.rides:
            self.watcher.begin_batch(batch)

    def end_pass(self, epoch: int, repeat: Callable[[], None]) -> dict[str, float]:
        """Ends the pass and draws the epoch; returns its columns by name, none but in the first process."""
        if not self.rides:
            self._search_training_images()
        tops = self.watcher.end(repeat)
        return {} if process().rank else self.evolution.draw(self.net, epoch, tops)

    def _search_training_images(self) -> None:
        device = next(self.net.parameters()).device
        self.watcher.begin()
        with torch.inference_mode():
            for batch in self.data.ordered_dataloader("train", device):
                self.watcher.begin_batch(batch)
                self.net(batch.image)

    def redraw(self, epoch: int) -> None:
        """Draws a shown epoch by the weights of its end, where a session ended before its pictures were written."""
        rows = self.evolution.rows
        if not process().rank and rows and rows[-1]["epoch"] == epoch:
            with torch.inference_mode(), evaluating(self.net), in_float32(self.net):
                self.evolution.redraw(self.net)

    def fail(self, error: BaseException) -> None:
        """Takes the hooks off the net after an error, which may come before there is a net."""
        if hasattr(self, "watcher"):
            self.watcher.close()

    def state(self) -> dict[str, Any]:
        return self.evolution.state_dict()

    def end(self) -> None:
        if not process().rank:
            self.evolution.end()


class _OwnBatches:
    def begin(self) -> None:
        pass

    def indices(self, batch: Any) -> Tensor:
        return batch.index

    def keep(self, strongest: Callable[[], set[int]], indices: Tensor, batch: Any) -> None:
        pass
