"""convscope shows what a convnet learns, while it learns it.

Shape letters used everywhere: N images, C maps, H W pixels, h w positions of a map, K classes, P picks (a pick is one
unit of one image). Pixels are grey levels minus their mean, about -128..128.

From Zeiler & Fergus (2013) to the code:

    section 2.1   deconvnet, switches, projections      engine/deconvnet.py, engine/cropped_projection.py
    section 3     the nets, as rows                     models/rows.py, models/build.py, conf/model/
                  preprocessing, crops and flips        data/transforms.py, data/cache.py
                  the recipe; filter renormalization    training/recipe.py, conf/optim/; models/renorm.py
    section 4     Fig. 2: top-9 grids                   engine/top9.py, analyses/visualize/
                  Fig. 4: feature evolution             training/callbacks/feature_evolution.py
                  Fig. 5: feature invariance            analyses/invariance/
    section 4.1   Fig. 6: architecture selection        analyses/diagnosis/
    section 4.2   Fig. 7: occlusion sensitivity         analyses/occlusion/
    section 4.3   Table 1, Fig. 8: correspondence       analyses/correspondence/
    section 5.1   Table 2: errors                       analyses/evaluation/
                  Table 3: ablations                    analyses/sweep_table/
    section 5.2   Tables 4 to 7, Fig. 9: transfer       analyses/transfer/
                  start from a net, freeze rows         models/checkpoints.py, training/start.py
                  images that two sets share            analyses/overlap/
    AlexNet 6.1   nearest images, five classes          analyses/neighbors/
    all of it     the claims, tested on one's own run   analyses/claims/
    all tables    what the papers measured              metrics/papers.yaml

cli/ reads a command line and runs a job; runs/ writes and reads the run folder; report/ draws its page.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
PUBLIC = ("grid", "load", "occlude", "pretrained", "project", "read_run", "top9")  # of api.py
WATCHING = {"FeatureEvolution": "callbacks.feature_evolution", "watch": "watching"}  # name -> module in training/


__all__ = [*PUBLIC, *WATCHING]


def __getattr__(name: str) -> Any:
    """`from convscope import load`: torch is imported only when it is needed, as --help should not wait for it."""
    if name in WATCHING:
        return getattr(import_module(f"convscope.training.{WATCHING[name]}"), name)
    if name not in PUBLIC:
        raise AttributeError(f"module 'convscope' has no attribute {name!r}")
    from convscope import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC, *WATCHING]
