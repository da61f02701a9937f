"""Do deeper features classify better (section 5.3, Table 7)? Read from what job=transfer has left of the same net."""

from pathlib import Path

import numpy as np

from convscope.analyses.claims.compute import DEEP, LEAST, Claim, judged, unmeasured
from convscope.engine.hidden_layers import Hidden
from convscope.errors import UserError
from convscope.metrics.contrasts import excess
from convscope.runs.reading import Run, read_run, read_table, run_folder_of

TYPE = f"type job=transfer ckpt=<its> data=<other images> transfer.folds={LEAST}, then claims.transfer=<that folder>"


def deeper(run: Run, transfer: Path | None, layers: Hidden, seed: int) -> Claim:
    """Accuracy of the last hidden layer minus that of the first convolution, fold by fold, by the linear SVM.

    At the largest number of images of each class; folds draw from the same images, so they are hardly independent
    cases. Raises UserError for a folder that is not of job=transfer on this run's net.
    """
    if transfer is None:
        return unmeasured(DEEP, f"the images of this run cannot tell; {TYPE}")
    by_layer, most = _accuracies(run, transfer)
    if read_run(transfer).summary.get("own_images"):
        reason = f"{transfer.name} took the images that the net was trained on, which cannot tell"
        return unmeasured(DEEP, f"{reason}; {TYPE}")
    first, last = (by_layer.get(layer, {}) for layer in (layers.first, layers.last))
    folds = sorted(first.keys() & last.keys())
    if not folds:
        return unmeasured(DEEP, f"{transfer.name} has no accuracies of {layers.first} and {layers.last}; {TYPE}")
    high, low = ([one[fold] / 100 for fold in folds] for one in (last, first))
    because = f"{layers.first} {np.mean(low):.1%}, {layers.last} {np.mean(high):.1%} at {most} images of each class"
    return judged(DEEP, excess(high, low, seed), f"{because}; {len(folds)} folds, which share images")


def _accuracies(run: Run, transfer: Path) -> tuple[dict[str, dict[int, float]], int]:
    """Layer -> fold -> accuracy in percent, of this net and the SVM, and the images of each class."""
    found, path = read_run(transfer), transfer / "tables" / "transfer" / "trials.csv"
    if found.summary.get("job") != "transfer" or not path.is_file():
        raise UserError(f"claims.transfer={transfer} is no folder of a finished job=transfer; {TYPE}")
    if run_folder_of(found.settings.get("ckpt")) != run.folder.resolve():
        raise UserError(f"claims.transfer={transfer} looked at another net than run={run.folder}; {TYPE}")
    header, lines = read_table(path)
    rows = [dict(zip(header, line, strict=True)) for line in lines if len(line) == len(header)]
    own = [row for row in rows if row["classifier"] == "svm" and row["net"] == rows[0]["net"]]
    most = max((int(row["per_class"]) for row in own), default=0)
    by_layer: dict[str, dict[int, float]] = {}
    for row in own:
        if int(row["per_class"]) == most:
            by_layer.setdefault(row["layer"], {})[int(row["fold"])] = float(row["accuracy"])
    return by_layer, most
