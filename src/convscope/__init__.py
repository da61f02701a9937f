"""convscope shows what a convnet learns, while it learns it.

From Python, each function takes a net and images of your own, or a Subject (docs/python.md shows all with pictures):

    subject(net, images)       any nn.Module with a data set, loader, tensor or folder, opened once for several analyses
    load, pretrained           the net of a run folder; a net of torchvision or timm
    read_run                   the records in a run folder
    top9, grid                 the nine images that excite each map most, and their picture
    project                    a unit back to pixels, by the deconvnet
    receptive_fields           how much of the image one unit of each layer sees
    receptive                  from which of these pixels its value comes: effective receptive fields
    visualize                  top-9 grids of all layers, first filters, receptive fields
    sanity                     do projections depend on the weights, the unit, the image?
    occlude                    a gray square over every place: what does the answer depend on?
    invariance                 images shifted, enlarged, turned: how far do features move?
    correspond                 the same part covered in several images: do features change alike?
    diagnose                   dead maps, copies, grids of too coarse a stride, with verdicts
    dissect                    which part of an image does each map answer to?
    match                      which features another net has too: maps matched one to one, CKA
    neighbors                  the training images nearest in features
    ablate                     every map switched off: which classes need it, which mistakes it makes
    evaluate                   top-1, top-5, confusions
    transfer                   linear classifiers on the features of each layer
    overlap                    images that two sets share
    claims                     the paper's claims, tested on a training run
    FeatureEvolution, watch    top-9 grids after each epoch of your own training, in a Trainer of Lightning or in a loop

Shape letters used everywhere: N images, C maps, H W pixels, h w positions of a map, K classes, P picks (a pick is one
unit of one image). Pixels of convscope's own nets are grey levels minus their mean, about -128..128; those of
other nets are what their normalization makes of them.

From Zeiler & Fergus (2013) to the code:

    section 2.1   deconvnet, switches, projections      engine/deconvnet.py, engine/projection.py
    section 3     the nets, as rows                     models/rows.py, models/build.py, conf/model/
                  preprocessing, crops and flips        data/transforms.py, data/cache.py
                  the recipe; filter renormalization    training/recipe.py, conf/optim/; models/renorm.py
    section 4     Fig. 2: top-9 grids                   engine/top9.py, analyses/visualize/
                  Fig. 4: feature evolution             training/watching/, training/callbacks/
                  is a projection about the net?        analyses/sanity/, engine/dependence.py
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
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # editors see the functions; Python imports them when one is asked for
    from convscope.api import *  # noqa: F403
    from convscope.training.callbacks.feature_evolution import FeatureEvolution
    from convscope.training.watching.loop import watch

# ruff: noqa: F405 (names of __all__ come from there)

__all__ = [  # those of api/, which are not imported before one is asked for
    "FeatureEvolution",
    "Findings",
    "Run",
    "Subject",
    "Top9",
    "ablate",
    "claims",
    "correspond",
    "diagnose",
    "dissect",
    "evaluate",
    "grid",
    "invariance",
    "load",
    "match",
    "neighbors",
    "occlude",
    "overlap",
    "pretrained",
    "project",
    "read_run",
    "receptive",
    "receptive_fields",
    "sanity",
    "subject",
    "top9",
    "transfer",
    "visualize",
    "watch",
]
WATCHING = {"FeatureEvolution": "callbacks.feature_evolution", "watch": "watching.loop"}  # name -> module in training/


def __getattr__(name: str) -> Any:
    """`from convscope import load`: torch is imported only when it is needed, as --help should not wait for it."""
    if name in WATCHING:
        return getattr(import_module(f"convscope.training.{WATCHING[name]}"), name)
    if name not in __all__:
        raise AttributeError(f"module 'convscope' has no attribute {name!r}")
    from convscope import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
