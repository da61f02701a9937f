"""How often nets are right: top-1, top-5, class mean, and what they take for what (Z&F Table 2, VGG section 4)."""

from collections.abc import Iterator, Sequence
from typing import Any

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.evaluation.compute import Contestant, Outcome, outcome, table_names
from convscope.analyses.evaluation.compute.confusion import Confusion, confusion, mistakes
from convscope.analyses.evaluation.compute.ensemble import about, check_distinct
from convscope.analyses.evaluation.figure import LABELLED, confusion_plot
from convscope.analyses.inputs import Inputs
from convscope.metrics.classification import Scores, Tally
from convscope.metrics.intervals import Interval
from convscope.metrics.papers import paper
from convscope.runs.record import Number, Picture, Result, Table

CROPS = {
    "center": "the center crop",
    "ten": "ten crops (corners, center, mirrored), mean of their softmax",
    "fifty": "fifty crops (5 x 5 places, mirrored), mean of their softmax",
    "both": "fifty crops, and whole images densely, mean of both softmax",
    "dense": "whole images and their mirror images, full layers as convolutions",
}
PAPERS = {  # which rows of the papers were measured in this way
    "center": ("zf_table2", ["as Fig. 3, 1 net", "as Fig. 3, 5 nets (a)", "(a) and (b), 6 nets"]),
    "ten": ("zf_table2", ["as Fig. 3, 1 net", "as Fig. 3, 5 nets (a)", "(a) and (b), 6 nets"]),
    "fifty": ("vgg_table5", ["D, crops", "E, crops"]),
    "both": ("vgg_table5", ["D, both", "E, both"]),
    "dense": ("vgg_table3", ["A, S 256", "D, S 256", "E, S 256"]),
    "scales": ("vgg_table4", ["D, S 256", "E, S 256"]),
}
MEASURES = {"top-1": "top1", "top-5": "top5", "class mean": "class_mean"}


def results(inputs: Inputs, config: EvaluationConfig) -> Iterator[Result]:
    """Opens one net or several, each from its own checkpoint, on the images of the first, and yields their errors."""
    checkpoints = inputs.checkpoints
    check_distinct(checkpoints)
    subjects = inputs.all_subjects()
    nets = [Contestant(*pair) for pair in zip(table_names(checkpoints, subjects), subjects, strict=True)]
    inputs.facts |= {"ckpt": inputs.checkpoint_setting, "evaluated": about(nets, checkpoints, config)}
    return evaluate(nets, config, inputs.seed)


def evaluate(nets: Sequence[Contestant], plan: EvaluationConfig, seed: int) -> Iterator[Result]:
    """One table with a row for each net and the ensemble, the confusion of the last of them, and the numbers."""
    if nets and nets[0].subject.data.several:
        import convscope.analyses.transfer.job  # noqa: F401
        from convscope.analyses.transfer.compute.multilabel import evaluated

        yield from evaluated(nets, plan, seed)
        return
    found = outcome(nets, plan, seed)
    first = nets[0].subject
    scores = {name: tally.scores() for name, tally in found.tallies.items()}
    yield Table("evaluation/table", [_row(name, one) for name, one in scores.items()], _told(found, plan, nets))
    yield _context([net.subject.net_name for net in nets], first.data_name, plan)
    yield from _numbers(scores)
    name, tally = list(found.tallies.items())[-1]
    yield from _confusions(name, tally, first.classes, plan.confused)


def _row(name: str, scores: Scores) -> dict[str, Any]:
    """Accuracies in percent, and errors as the papers print them, with 95 % intervals."""
    row: dict[str, Any] = {"net": name, "images": scores.top1.n}
    for words, field in MEASURES.items():
        row[f"{words} accuracy %"] = round(100 * getattr(scores, field).value, 2)
    for words, field in MEASURES.items():
        value: Interval = getattr(scores, field)
        row[f"{words} error %"] = round(100 * (1 - value.value), 2)
        row[f"{words} error 95 %"] = f"{100 * (1 - value.high):.1f} to {100 * (1 - value.low):.1f}"
    return row


def _told(found: Outcome, plan: EvaluationConfig, nets: Sequence[Contestant]) -> str:
    sides = ", ".join(map(str, found.scales))
    told = f"Errors on {plan.split} of {nets[0].subject.data_name} by {CROPS[plan.crops]}, smallest side {sides} pixels"
    told += ", mean of the softmax over the sizes" if len(found.scales) > 1 else ""
    told += ". The ensemble is the mean of the nets' softmax" if len(nets) > 1 else ""
    return told + (f". Left out: {found.unknown} images of classes that the net does not know" if found.unknown else "")


def _context(nets: Sequence[str], data_name: str, plan: EvaluationConfig) -> Table:
    """What the papers print for this way to evaluate: of these nets, where they have them, and of some others."""
    key, rows = PAPERS["scales" if plan.crops == "dense" and plan.scales and len(plan.scales) > 1 else plan.crops]
    table = paper(key)
    rows = list(dict.fromkeys([*(table.runs[net] for net in nets if net in table.runs), *rows]))
    reason = _departure(data_name, plan)
    columns = ("val top-1", "val top-5")
    return Table(
        "evaluation/papers",
        [{"row": row, **{f"{column} error %": _value(table.figure(row, column)) for column in columns},
          "beside ours": f"not comparable: {reason}" if reason else "same images and way"} for row in rows],
        f"What a paper prints, for context: {table.source}",
    )  # fmt: skip


def _departure(data_name: str, plan: EvaluationConfig) -> str:
    """In what the evaluation is not the paper's; "" where in nothing."""
    if data_name != "imagenet" or plan.split != "val" or plan.images is not None:
        return "other images"
    if plan.crops == "center":
        return "the paper averages ten crops"
    return "the paper averages three sizes" if plan.crops in ("fifty", "both") and len(plan.scales or [0]) != 3 else ""


def _value(figure: Any) -> float | None:
    return None if figure is None else figure.value


def _numbers(scores: dict[str, Scores]) -> Iterator[Number]:
    for name, one in scores.items():
        end = f"/{name}" if len(scores) > 1 else ""
        for words, field in MEASURES.items():
            value: Interval = getattr(one, field)
            yield Number(f"evaluation/{field}{end}", value.value, f"{words} accuracy of {name}: {_percent(value)}")


def _percent(found: Interval) -> str:
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _confusions(name: str, tally: Tally, classes: list[str], most: int) -> Iterator[Result]:
    found = confusion(tally.truth, tally.answer)
    labels = [classes[number] for number in found.classes.tolist()]
    more = "" if len(labels) <= LABELLED else "; the table of the pairs confused most often tells which"
    yield Picture("evaluation/confusion", confusion_plot(found.counts.numpy(), labels),
                  f"What {name} takes for what: a row for each true class, a column for each answer{more}",
                  plot=True)  # fmt: skip
    yield Table("evaluation/confusion", _matrix(found, labels), f"Images of each true class by the answer of {name}")
    pairs = [{"true class": classes[one.truth], "taken for": classes[one.answer], "images": one.images,
              "% of the class": round(100 * one.share, 1)}
             for one in mistakes(tally.truth, tally.answer, most)]  # fmt: skip
    if pairs:
        yield Table("evaluation/confused", pairs, f"The pairs that {name} confuses most often")


def _matrix(found: Confusion, labels: list[str]) -> list[dict[str, Any]]:
    """Rows of the csv; a column for other answers where there are any."""
    columns = [*labels, "another class"] if found.counts[:, -1].any() else labels
    return [{"true class": label, **dict(zip(columns, row, strict=False))}
            for label, row in zip(labels, found.counts.tolist(), strict=True)]  # fmt: skip
