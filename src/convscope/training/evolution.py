"""Feature evolution (section 4.1, Fig. 4): what excites the maps after each shown epoch, as pictures and numbers."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from convscope.analyses.visualize.compute import FeatureChoice, SplitPixels, feature_view, rule_of
from convscope.analyses.visualize.figure import exciting_images, feature_grid, strongest_tiles, thumbnail_sheets
from convscope.data.batches import Batch
from convscope.data.module import ImageData
from convscope.engine.projection_rule import AUTO, RuleChoice
from convscope.engine.top9 import Search, Top9, merge, to_arrays
from convscope.plots.curves import settling
from convscope.plots.grid import Strip, evolution_grid
from convscope.report.convergence import answer, stories
from convscope.runs.record import Arrays, Picture, Record
from convscope.runs.throttle import Throttle
from convscope.training.change import Change, EpochProjections, change_since
from convscope.training.classifier import Classifier
from convscope.training.exact_resume import EpochRows

TILE = 64  # pixels of a stored tile of Fig. 4


class FeatureEvolution(pl.Callback):
    """Says when: rides on the validation pass of each shown epoch (or takes a pass over the training images).

    A resumed run finds the last shown epoch in its checkpoint, with the images that are on the sheets of thumbnails.
    The tiles of all epochs are in evolution/ and nowhere else: a long run does not hold them.
    """

    def __init__(self, record: Record, data: ImageData, choice: FeatureChoice, seed: int):
        self.record, self.data, self.choice, self.seed = record, data, choice, seed
        self.search: Search | None = None
        self.previous: dict[str, EpochProjections] = {}
        self.pictured: set[int] = set()  # images whose thumbnails stand on the sheets of earlier epochs
        self.rules: dict[str, RuleChoice] = {}  # by layer, chosen once in a run
        self.rows = EpochRows()
        self.seconds = 0.0  # spent on all this, over all sessions, the search's hooks aside
        self.pictures = Throttle(1 / 50)  # of the run so far

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        assert isinstance(module, Classifier)
        self.layers = self.choice.chosen_layers(module.net, self.data.settings.image_size)

    def state_dict(self) -> dict[str, Any]:
        seen = {layer: (dict(each.top._asdict()), each.maps, each.strongest) for layer, each in self.previous.items()}
        rules = {layer: dict(rule._asdict()) for layer, rule in self.rules.items()}
        before = {"previous": seen, "pictured": sorted(self.pictured), "rules": rules}
        return {"rows": self.rows.text(), "seconds": self.seconds, **before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.pictured = EpochRows.read(state["rows"]), set(state.get("pictured", []))
        self.rules = {layer: RuleChoice(**rule) for layer, rule in state.get("rules", {}).items()}
        self.seconds = state.get("seconds", 0.0)
        for layer, (top, maps, strongest) in state["previous"].items():
            self.previous[layer] = EpochProjections(Top9(**top), maps, strongest)

    def _shown(self, trainer: pl.Trainer) -> bool:
        return not trainer.sanity_checking and self.choice.at(trainer.current_epoch + 1)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        if self._shown(trainer):
            self.search = Search(module.net, self.layers)
            if self.choice.images == "val":
                self.search.__enter__()

    def on_validation_batch_start(self, trainer: Any, module: Any, batch: Batch, *_: Any) -> None:
        if self.search is not None and self.choice.images == "val":
            self.search.watch(batch.index)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if self.search is None:
            return
        search, self.search = self.search, None
        if self.choice.images == "val":
            search.__exit__(None, None, None)
        else:
            self._search_training_images(search, module)
        tops = {layer: _gathered(top, module) for layer, top in search.top.items()}
        if trainer.is_global_zero:
            start = time.perf_counter()
            for layer, numbers in self._show(trainer.current_epoch + 1, tops, module).items():
                for name, value in numbers.measured.items():
                    module.log(f"{name}/{layer}", value, rank_zero_only=True)
            self.seconds += time.perf_counter() - start

    def on_exception(self, *_: Any) -> None:
        if self.search is not None and self.choice.images == "val":
            self.search.__exit__(None, None, None)

    def _search_training_images(self, search: Search, module: Any) -> None:
        with search, torch.inference_mode():
            for batch in self.data.ordered_dataloader("train"):
                search.watch(batch.index)
                module.net(batch.image.to(module.device))

    def _show(self, epoch: int, tops: dict[str, Top9], module: Any) -> dict[str, Change]:
        self.record.add(Arrays("top9", to_arrays(tops), epoch))
        images = SplitPixels(self.data, self.choice.images)
        changes, tiles, excited = {}, {}, set[int]()
        for layer, top in tops.items():
            maps = self.choice.chosen_maps(layer, len(top.score), self.seed)
            view = feature_view(module.net, images, layer, top, maps, self._rule(module.net, images, layer, top))
            seen = EpochProjections(top, maps, view.projections[:, 0].clone())
            changes[layer] = change_since(seen, self.previous.get(layer))
            self.previous[layer] = seen
            caption = f"{layer}, epoch {epoch}: the nine {self.choice.images} images that excite each map most"
            grid = feature_grid(view, caption, self.choice.tile)
            caption += f"; projections by {view.rule.words}"
            self.record.add(Picture(f"top9/{layer}", grid.image, caption, epoch, layer, sheet=grid.sheet))
            tiles[layer] = np.stack(strongest_tiles(grid, TILE))
            excited |= set(exciting_images(view))
        self._draw_whole_images(epoch, images, excited - self.pictured)
        self._draw_evolution(epoch, tiles, changes)
        return changes

    def _rule(self, net: nn.Module, images: SplitPixels, layer: str, top: Top9) -> RuleChoice:
        """The layer's rule for the whole run, measured at the first shown epoch at which some maps are alive."""
        rule = self.rules.get(layer) or rule_of(net, images, layer, top, self.choice.rule)
        if rule.measured or self.choice.rule != AUTO:
            self.rules[layer] = rule
        return rule

    def _draw_whole_images(self, epoch: int, images: SplitPixels, new: set[int]) -> None:
        for number, (image, sheet) in enumerate(thumbnail_sheets(images, sorted(new))):
            caption = f"Images that excite the shown maps, for the first time at epoch {epoch}"
            self.record.add(Picture(f"images/{number}", image, caption, epoch, sheet=sheet))
        self.pictured |= new

    def _draw_evolution(self, epoch: int, tiles: dict[str, np.ndarray], changes: dict[str, Change]) -> None:
        stored = {f"{layer}.tile": torch.from_numpy(tile) for layer, tile in tiles.items()}
        self.record.add(Arrays("evolution", stored, epoch))
        measured = {f"{name}/{layer}": value for layer, c in changes.items() for name, value in c.measured.items()}
        self.rows.append({"epoch": epoch, **measured})
        if self.pictures.due:
            with self.pictures.counted():
                self._draw_run()

    def on_fit_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero and self.rows:
            self._draw_run()

    def _draw_run(self) -> None:
        """The pictures of the run so far: Fig. 4 by layer, what settled when."""
        paths = {int(row["epoch"]): _tiles_path(self.record.folder, int(row["epoch"])) for row in self.rows}
        shown = _spread([epoch for epoch, path in paths.items() if path.is_file()], 12)
        stored = {epoch: _stored_tiles(paths[epoch]) for epoch in shown}
        for layer, seen in self.previous.items():
            whole = len(seen.maps), TILE, TILE, 3
            tiles = {e: each[layer] for e, each in stored.items() if layer in each and each[layer].shape == whole}
            if not tiles:
                continue
            rows = [Strip(f"map {n}", [each[row] for each in tiles.values()]) for row, n in enumerate(seen.maps)]
            caption = f"{layer}: the strongest projection of each map as training goes on"
            grid = evolution_grid(rows, list(tiles), caption)
            self.record.add(Picture(f"evolution/{layer}", grid, caption, layer=layer))
        columns = {name: [row.get(name) for row in self.rows] for name in self.rows[0]}
        figure = settling(self.rows, list(self.previous), answer(stories(columns, {})))
        self.record.add(Picture("settling", figure, "Do the lower layers settle first?", plot=True))


def _tiles_path(folder: Path, epoch: int) -> Path:
    """Where the tiles [m, TILE, TILE, 3] uint8 of an epoch are, by <layer>.tile."""
    return folder / "evolution" / f"epoch_{epoch:03d}.safetensors"


def _stored_tiles(path: Path) -> dict[str, np.ndarray]:
    """By layer; none of a file that a power cut has left cut short, which must not end the training."""
    try:
        return {name.removesuffix(".tile"): tiles.numpy() for name, tiles in load_file(path).items()}
    except (OSError, SafetensorError):
        return {}


def _gathered(top: Top9, module: pl.LightningModule) -> Top9:
    """The record over all processes' images: equal to that of one process over all of them."""
    if module.trainer.world_size == 1:
        return top
    everyone = [module.all_gather(field.to(module.device)) for field in (*top, top.before)]  # each [world, C, 9]
    merged = Top9(*(field[0].cpu() for field in everyone))
    for rank in range(1, module.trainer.world_size):
        merged = merge(merged, Top9(*(field[rank].cpu() for field in everyone)))
    return merged


def _spread(epochs: list[int], most: int) -> list[int]:
    """At most `most` of the epochs, first and last among them, denser at the beginning as in Fig. 4."""
    if len(epochs) <= most:
        return epochs
    places = np.unique(np.geomspace(1, len(epochs), most).round().astype(int)) - 1
    return [epochs[place] for place in places]
