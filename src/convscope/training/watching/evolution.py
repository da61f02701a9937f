"""Feature evolution (section 4.1, Fig. 4): what excites the maps after each shown epoch, as pictures and numbers.

A shown epoch is one for which features are drawn. Nothing here knows what trains the net, nor when its passes are made.
"""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.analyses.visualize.compute import (
    FeatureView,
    SplitPixels,
    drawn_maps,
    feature_view,
    layer_rule,
    with_dependence,
)
from convscope.analyses.visualize.figure import exciting_images, feature_grid, strip_sheet, thumbnail_sheets
from convscope.data.epoch_images import epoch_images
from convscope.data.images import Images
from convscope.engine.hooks import evaluating
from convscope.engine.projection_rule import AUTO, RuleChoice
from convscope.engine.top9 import Top9, to_arrays
from convscope.metrics.convergence import LayerChange, TopImages, dead_share, keep_exciting, layer_change
from convscope.plots.curves import convergence_curves
from convscope.plots.grid import MapHistory, evolution_grid
from convscope.report.convergence import convergence_in_words, layer_convergences
from convscope.runs.map_tiles import strongest_of
from convscope.runs.reading import Run, read_run
from convscope.runs.record import Arrays, Picture, Record
from convscope.runs.throttle import Throttle
from convscope.training.watching.epoch_measures import EpochMeasures
from convscope.training.watching.recorded_run import EpochRows

QUALITY = 75  # of the jpegs of Fig. 4
DrawnMaps = dict[str, list[int]]  # by layer


class EpochProjections(NamedTuple):
    """A layer at a shown epoch: the top-9 record of its C maps, and the strongest projection [m, 3, S, S] of `maps`.

    maps: the numbers of the m maps that are shown.
    """

    top: Top9
    maps: list[int]
    strongest: torch.Tensor

    @property
    def images(self) -> TopImages:
        """[C, 9]: the images that excite each map."""
        return keep_exciting(self.top.score.numpy(), self.top.image.numpy())


def change_since(after: EpochProjections, before: EpochProjections | None) -> LayerChange:
    """The change of a layer since the previous shown epoch, if there is one."""
    if before is None:
        return LayerChange(0.0, 0.0, dead_share(after.images))
    similarity = F.cosine_similarity(after.strongest.flatten(1), before.strongest.flatten(1)).numpy()
    return layer_change(before.images, after.images, after.maps, similarity)


class Evolution:
    """Records the projections of each shown epoch, and how they change.

    A resumed run has the last shown epoch and the images on the sheets of thumbnails in its checkpoint. The tiles of
    all epochs are only in the run folder's strips, so that memory does not grow with the epochs. seconds: spent
    here in all sessions.
    """

    def __init__(self, record: Record, images: Images, choice: FeatureConfig, seed: int):
        self.record, self.images, self.choice, self.seed = record, images, choice, seed
        self.previous: dict[str, EpochProjections] = {}
        self.pictured: set[int] = set()  # images whose thumbnails are on the sheets of the shown epochs
        self.new = list[int]()  # those on the sheets of the last one
        self.rules: dict[str, RuleChoice] = {}  # by layer, chosen once in a run
        self.rows = EpochRows()
        self.seconds = 0.0
        self.measures = EpochMeasures(choice.measures)
        self.measures_drawn_maps = False  # alone, where only their images are at hand
        self.throttle = Throttle(1 / 50)  # of the pictures of the whole run
        self.is_drawn = False  # whether those pictures have the last shown epoch

    def state_dict(self) -> dict[str, Any]:
        previous = {
            layer: (dict(epoch.top._asdict()), epoch.maps, epoch.strongest) for layer, epoch in self.previous.items()
        }
        return {
            "rows": self.rows.text(),
            "seconds": self.seconds,
            "previous": previous,
            "pictured": sorted(self.pictured),
            "new": self.new,
            "rules": {layer: rule.state_dict() for layer, rule in self.rules.items()},
            "measures": self.measures.memories,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.pictured = EpochRows.read(state["rows"]), set(state.get("pictured", []))
        self.new = list(state.get("new", []))
        self.rules = {layer: RuleChoice.from_state(rule) for layer, rule in state.get("rules", {}).items()}
        self.measures.memories = dict(state.get("measures", {}))
        self.seconds = state.get("seconds", 0.0)
        for layer, (top, maps, strongest) in state["previous"].items():
            self.previous[layer] = EpochProjections(Top9(**top), maps, strongest)

    def draw(self, net: nn.Module, epoch: int, tops: Mapping[str, Top9]) -> dict[str, float]:
        """Records the features of an epoch, from the strongest images of each layer; returns its columns by name.

        Projects with the weights of now; the record's background draws and writes, after which `redraw` finds nothing.
        """
        start = time.perf_counter()
        self.record.background.wait()
        self.is_drawn = False
        if self.rows and self.rows[-1]["epoch"] >= epoch:  # a loop of the user's own that starts over
            self.previous, self.pictured, self.measures.memories = {}, set(), {}
        columns, exciting = dict[str, float](), set[int]()
        for view, top in self._record_layers(net, epoch, tops):
            projections = EpochProjections(top, view.maps, view.projections[:, 0].clone())
            change = change_since(projections, self.previous.get(view.layer))
            columns |= {f"{name}/{view.layer}": value for name, value in change.columns.items()}
            self.previous[view.layer] = projections
            exciting |= set(exciting_images(view))
        if self.measures and not self.measures_drawn_maps:  # else only the images of drawn maps are at hand
            with evaluating(net):
                columns |= self.measures.measure(net, epoch_images(self.images, self.seed), list(tops))
        self.new = sorted(exciting - self.pictured)
        self.pictured |= exciting
        self.rows.replace(epoch, columns)
        self._record_epoch(epoch)
        self.seconds += time.perf_counter() - start
        return columns

    def redraw(self, net: nn.Module) -> None:
        """Records the last shown epoch again, by the same weights, if a session ended before it was written."""
        if not self.rows or _end_path(self.record.folder, epoch := int(self.rows[-1]["epoch"])).is_file():
            return
        tops = {layer: projections.top for layer, projections in self.previous.items()}
        for _ in self._record_layers(net, epoch, tops):
            pass
        self._record_epoch(epoch)

    def _record_layers(
        self, net: nn.Module, epoch: int, tops: Mapping[str, Top9]
    ) -> Iterator[tuple[FeatureView, Top9]]:
        """Records the grid and the strip of each layer; gives its view and its whole record."""
        self.record.add(Arrays("top9", to_arrays(tops), epoch))
        images = SplitPixels(self.images, self.choice.images)
        for layer, top in tops.items():
            maps = drawn_maps(self.choice, layer, len(top.score), self.seed)
            view = feature_view(net, images, layer, top, maps, self._rule(net, images, layer, top, maps))
            view = with_dependence(net, images, view)
            self.record.background.do(partial(self._draw_grid, epoch, view))
            yield view, top

    @torch.inference_mode()
    def _draw_grid(self, epoch: int, view: FeatureView) -> None:
        layer = view.layer
        caption = f"{layer}, epoch {epoch}: the nine {self.choice.images} images that excite each map most"
        grid = feature_grid(view, caption, self.choice.tile_side(len(view.maps)))
        caption += f"; projections by {view.how}"
        self.record.add(Picture(f"top9/{layer}", grid.image, caption, epoch, layer, sheet=grid.sheet))
        strip, words = strip_sheet(grid), f"{layer}, epoch {epoch}: the strongest projection of each map"
        self.record.add(Picture(f"strips/{layer}", strip.image, words, epoch, layer, sheet=strip.sheet))

    def _rule(self, net: nn.Module, images: SplitPixels, layer: str, top: Top9, maps: list[int]) -> RuleChoice:
        """The layer's rule for the whole run, measured at the first shown epoch at which some maps are alive."""
        if self.measures_drawn_maps:
            drawn = torch.isin(torch.arange(len(top.score)), torch.tensor(maps))[:, None]
            top = top._replace(score=top.score.where(drawn, -torch.inf))
        rule = self.rules.get(layer) or layer_rule(net, images, layer, top, self.choice.rule)
        if rule.measured or self.choice.rule != AUTO:
            self.rules[layer] = rule
        return rule

    def _record_epoch(self, epoch: int) -> None:
        """Records what the layers of an epoch have in common, its file in evolution/ last (see `redraw`)."""
        images = SplitPixels(self.images, self.choice.images)
        for number, (image, sheet) in enumerate(thumbnail_sheets(images, self.new)):
            caption = f"Images that excite the shown maps, for the first time at epoch {epoch}"
            self.record.add(Picture(f"images/{number}", image, caption, epoch, sheet=sheet))
        maps = {layer: projections.maps for layer, projections in self.previous.items()}
        self.record.background.do(partial(self._draw_evolution, epoch, maps))

    def _draw_evolution(self, epoch: int, maps: DrawnMaps) -> None:
        drawn = {f"{layer}.maps": torch.tensor(numbers, dtype=torch.int64) for layer, numbers in maps.items()}
        self.record.add(Arrays("evolution", drawn, epoch))
        if self.throttle.due:
            with self.throttle.counted():
                self._draw_run()

    def end(self) -> None:
        """Draws the run for the last time, where that is not done."""
        self.record.background.wait()
        if self.rows and not self.is_drawn:
            self._draw_run()

    def _draw_run(self) -> None:
        """Records the pictures of the run so far: Fig. 4 for each layer, and when the layers settle."""
        epochs = [int(row["epoch"]) for row in self.rows]
        epochs = spread_epochs([epoch for epoch in epochs if _end_path(self.record.folder, epoch).is_file()], 12)
        run = read_run(self.record.folder)
        for layer, projections in self.previous.items():
            self._draw_layer(run, layer, projections.maps, epochs)
        columns = {name: [row.get(name) for row in self.rows] for name in self.rows[0]}
        figure = convergence_curves(
            self.rows, list(self.previous), convergence_in_words(layer_convergences(columns, {}))
        )
        self.record.add(Picture("settling", figure, "Each layer compared with the drawn epoch before", plot=True))
        self.is_drawn = True

    def _draw_layer(self, run: Run, layer: str, maps: list[int], epochs: list[int]) -> None:
        """Records Fig. 4 of a layer, from the epochs at which some of these maps are drawn."""
        strips = {epoch: strongest_of(run, layer, epoch) for epoch in epochs}
        strips = {epoch: strip for epoch, strip in strips.items() if strip.keys() & set(maps)}
        if strips:
            rows = [
                MapHistory(f"map {n}", [np.asarray(strip[n]) if n in strip else None for strip in strips.values()])
                for n in maps
            ]
            grid = evolution_grid(rows, list(strips), f"{layer}: the strongest projection of each map")
            caption = f"{layer} as training goes on: a row for each map, a column for each epoch (Fig. 4)"
            self.record.add(Picture(f"evolution/{layer}", grid, caption, layer=layer, quality=QUALITY))


def _end_path(folder: Path, epoch: int) -> Path:
    """The file that is written when all else of an epoch is: the numbers of the drawn maps under the keys <layer>.maps.

    Version 0.1 stored tiles in it.
    """
    return folder / "evolution" / f"epoch_{epoch:03d}.safetensors"


def spread_epochs(epochs: list[int], limit: int) -> list[int]:
    """At most `limit` of the epochs, with the first and the last, denser at the beginning as in Fig. 4."""
    if len(epochs) <= limit:
        return epochs
    places = np.unique(np.geomspace(1, len(epochs), limit).round().astype(int)) - 1
    return [epochs[place] for place in places]
