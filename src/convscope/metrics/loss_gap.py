"""Why the training loss of a run lies above its validation loss, where it does, in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def training_conditions(dropout: bool, crops: bool, color_noise: float, smoothing: float, classes: int) -> list[str]:
    """What makes training images harder than validation images, in words.

    crops: whether stored images are larger than the net's. color_noise: its sigma. smoothing: of the labels, 0 where
    the loss has none. With smoothing s the cross entropy of C classes cannot fall below the entropy of the smoothed
    label, which has 1 - s + s / C at the true class and s / C at each other one.
    """
    conditions = ["dropout"] * dropout
    conditions.append("random crops and mirror images" if crops else "mirror images")
    conditions += ["color noise"] * (color_noise > 0)
    if smoothing > 0 and classes > 1:
        true, other = 1 - smoothing + smoothing / classes, smoothing / classes
        floor = -true * math.log(true) - (classes - 1) * other * math.log(other)
        conditions.append(f"label smoothing of {smoothing:g} (which alone keeps it above {floor:.2f})")
    return conditions


def conditions_of_settings(settings: Mapping[str, Any], classes: int) -> list[str]:
    """The conditions as the config of a run has them, for runs that did not record them; [] without a config."""
    optim, data, model = (settings.get(group) for group in ("optim", "data", "model"))
    if not all(isinstance(group, Mapping) for group in (optim, data, model)):
        return []
    rows = model.get("layers")  # type: ignore[union-attr]
    rows = rows.values() if isinstance(rows, Mapping) else rows or []
    dropout = any(isinstance(row, Mapping) and row.get("dropout") for row in rows)
    smoothing = 0.0 if optim.get("loss") == "multilabel" else optim.get("label_smoothing")  # type: ignore[union-attr]
    noise = data.get("color_noise")  # type: ignore[union-attr]
    noise, smoothing = (value if isinstance(value, int | float) else 0.0 for value in (noise, smoothing))
    return training_conditions(dropout, True, noise, smoothing, classes)


def loss_gap_in_words(training: Sequence[float | None], validation: Sequence[float | None], conditions: Any) -> str:
    """Why the last training loss is above the last validation loss; "" where it is not, or without conditions."""
    last = [next((loss for loss in reversed(losses) if loss is not None), None) for losses in (training, validation)]
    train, val = last
    if train is None or val is None or not train > val or not isinstance(conditions, list) or not conditions:
        return ""
    words = " and ".join(part for part in (", ".join(conditions[:-1]), conditions[-1]) if part)
    return (
        f"The training loss lies above the validation loss: it is measured with {words}, as the mean over an epoch in "
        "which the net learns; the validation loss is measured without them, after the epoch."
    )
