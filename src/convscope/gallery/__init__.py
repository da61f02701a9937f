"""What excites the maps of a layer, as pictures: a top-9 record becomes projections, image patches, a grid (Fig. 2).

Ties `look` (what happens inside the net) to `data` (the images) and `draw` (how it looks on paper); used after every
epoch of a training run and by job=visualize.
"""

from convscope.gallery.choice import SIDE, Choice
from convscope.gallery.sheets import (
    Packed,
    Tiles,
    excited,
    grid,
    map_tiles,
    projection_tiles,
    rules_sheet,
    strongest_tiles,
    thumbnail_sheets,
)
from convscope.gallery.views import OUTSIDE, Images, View, excited_count, rule_of, view

__all__ = [
    "OUTSIDE",
    "SIDE",
    "Choice",
    "Images",
    "Packed",
    "Tiles",
    "View",
    "excited",
    "excited_count",
    "grid",
    "map_tiles",
    "projection_tiles",
    "rule_of",
    "rules_sheet",
    "strongest_tiles",
    "thumbnail_sheets",
    "view",
]
