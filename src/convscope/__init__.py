"""convscope shows what a convnet learns, while it learns it.

Shape letters used everywhere: N images, C maps, H W pixels, h w positions of a map, K classes, P picks (a pick is one
unit of one image). Pixels are grey levels minus their mean, about -128..128.

From Zeiler & Fergus (2013) to the code:

    section 2.1   deconvnet, switches, projections        look/deconvnet.py, look/cropped.py
    section 3     the nets, as rows                       nets/layers.py, nets/build.py, conf/model/
                  preprocessing, crops and flips          data/transforms.py, data/cache.py
                  the recipe; filter renormalization      learn/recipe.py, conf/optim/; nets/renorm.py
    section 4     Fig. 2: top-9 grids                     look/top9.py, gallery/          job=visualize
                  Fig. 4: feature evolution               learn/evolution.py              job=train
                  Fig. 5: feature invariance              look/invariance.py              job=invariance
    section 4.1   Fig. 6: architecture selection          look/filters.py                 job=diagnose
    section 4.2   Fig. 7: occlusion sensitivity           look/occlusion.py               job=occlude
    section 4.3   Table 1, Fig. 8: correspondence         look/correspondence.py          job=correspond
    section 5.1   Tables 2 and 3: errors, ablations       study/evaluation.py             job=evaluate, job=table
    section 5.2   Tables 4, 5, 7, Fig. 9: transfer        study/transfer.py               job=transfer
                  start from a net, freeze rows           nets/inherit.py, learn/start.py job=train
                  images that two sets share              score/overlap.py                job=overlap
    AlexNet 6.1   nearest images, five classes            look/neighbors.py               job=neighbors
    all of it     the claims, tested on one's own run     score/claims.py                 job=claims
    all tables    what the papers measured                score/papers.yaml

app/ reads a command line, commands/ turns it into objects and runs a job; record.py writes the run folder; report/
draws its page.
"""

from typing import Any

PUBLIC = ("grid", "load", "occlude", "pretrained", "project", "read_run", "top9")  # of api.py


__all__ = list(PUBLIC)


def __getattr__(name: str) -> Any:
    """`from convscope import load`: torch is imported only when it is needed, as --help should not wait for it."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'convscope' has no attribute {name!r}")
    from convscope import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
