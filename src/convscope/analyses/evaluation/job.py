"""job=evaluate: top-1, top-5 and class mean accuracy, and which classes are confused (Z&F Table 2, VGG section 4)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.evaluation.compute import (
    ConfusionMatrix,
    EvaluatedNet,
    NetTallies,
    confusion_matrix,
    most_confused,
    table_names,
    tally_nets,
)
from convscope.analyses.evaluation.compute.ensemble import check_distinct, ensemble_record
from convscope.analyses.evaluation.compute.multilabel import (
    class_precisions,
    interval_text,
    plot_caption,
    precision_numbers,
    rank_images,
    table6,
)
from convscope.analyses.evaluation.figure import LABELLED, confusion_plot, precision_plot
from convscope.analyses.inputs import Inputs
from convscope.analyses.weak_nets import chance_level
from convscope.data.shared_passes import process
from convscope.metrics.classification import Accuracies, PredictionTally
from convscope.metrics.intervals import Interval, in_percent, share_interval
from convscope.metrics.papers import PrintedNumber, published_table
from convscope.runs.record import Conclusion, Number, Picture, Result, Table

CROPS_IN_WORDS = {
    "center": "the center crop",
    "ten": "ten crops (corners, center, mirrored), mean of their softmax",
    "fifty": "fifty crops (5 x 5 places, mirrored), mean of their softmax",
    "both": "fifty crops, and whole images densely, mean of both softmax",
    "dense": "whole images and their mirror images, full layers as convolutions",
}
PAPER_ROWS = {  # crops -> the paper's table, and its rows that were measured in this way
    "center": ("zf_table2", ["as Fig. 3, 1 net", "as Fig. 3, 5 nets (a)", "(a) and (b), 6 nets"]),
    "ten": ("zf_table2", ["as Fig. 3, 1 net", "as Fig. 3, 5 nets (a)", "(a) and (b), 6 nets"]),
    "fifty": ("vgg_table5", ["D, crops", "E, crops"]),
    "both": ("vgg_table5", ["D, both", "E, both"]),
    "dense": ("vgg_table3", ["A, S 256", "D, S 256", "E, S 256"]),
    "scales": ("vgg_table4", ["D, S 256", "E, S 256"]),
}
MEASURES = {"top-1": "top1", "top-5": "top5", "class mean": "class_mean"}  # words -> field of Scores


def results(inputs: Inputs, config: EvaluationConfig) -> Iterator[Result]:
    """Opens one net or several, each from its own checkpoint, on the images of the first, and yields their errors."""
    checkpoints = inputs.checkpoints
    check_distinct(checkpoints)
    subjects = inputs.all_subjects()
    nets = [EvaluatedNet(*pair) for pair in zip(table_names(checkpoints, subjects), subjects, strict=True)]
    inputs.facts |= {
        "ckpt": inputs.checkpoint_setting,
        "evaluated": ensemble_record(nets, checkpoints, config),
    }
    return evaluate(nets, config, inputs.seed)


def evaluate(nets: Sequence[EvaluatedNet], plan: EvaluationConfig, seed: int) -> Iterator[Result]:
    """Yields a table with a row for each net and the ensemble, the confusion of the last of them, and the numbers.

    Images that show several classes are measured by average precision, and have no confusion. Of several processes the
    first yields.
    """
    if nets and nets[0].subject.data.several:
        yield from _multilabel_results(nets, plan, seed)
        return
    evaluated = tally_nets(nets, plan, seed)
    if process().rank:
        return
    first = nets[0].subject
    scores = {name: tally.scores() for name, tally in evaluated.tallies.items()}
    last = list(evaluated.tallies.values())[-1]
    top1, chance = {name: of.top1 for name, of in scores.items()}, chance_level(last.truth, len(first.classes))
    yield Conclusion("evaluation", in_words(top1, chance, f"{plan.split} images", _most_confused(last, first.classes)))
    yield Table("evaluation/table", [_row(name, of_net) for name, of_net in scores.items()],
                _caption(evaluated, plan, nets))  # fmt: skip
    yield _paper_table([net.subject.net_name for net in nets], first.data_name, plan)
    yield from _numbers(scores)
    name = list(evaluated.tallies)[-1]
    yield from _confusion(name, last, first.classes, plan.confused)


def _multilabel_results(nets: Sequence[EvaluatedNet], plan: EvaluationConfig, seed: int) -> Iterator[Result]:
    """A table of mean average precision with a row for each net and the ensemble, then Table 6."""
    ranked, data_name = rank_images(nets, plan, seed), nets[0].subject.data_name
    if process().rank:
        return
    rows = []
    for rankings, first_guess in ranked:
        mean = rankings.mean
        rows.append({"net": rankings.name, "images": rankings.images, "mean AP %": round(100 * mean.value, 2),
                     "95 %": interval_text(mean),
                     "first guess is shown %": round(100 * first_guess, 2)})  # fmt: skip
    name, mean = ranked[-1][0].name, ranked[-1][0].mean
    yield Conclusion("evaluation", (
        f"{name[:1].upper()}{name[1:]} reaches a mean average precision of {in_percent(mean)} on {mean.n:,} "
        f"{plan.split} images; its first guess is shown in {100 * ranked[-1].first_guess:.1f} % of them."))  # fmt: skip
    yield Table("evaluation/table", rows, (
        f"Mean average precision on {plan.split} of {data_name} by the center crop. First guess: the share of images "
        "that show the class it says, and not as difficult to see. Of images that show several classes there is no "
        "table of confusions"))  # fmt: skip
    last_first = [rankings for rankings, _ in ranked[::-1]]
    precisions = class_precisions(last_first, nets[0].subject.data.classes)
    yield table6(precisions, "evaluation", plan.split)
    yield Picture("evaluation/table6", precision_plot(precisions), plot_caption(precisions), plot=True)
    yield from precision_numbers(precisions, "evaluation")


def in_words(top1: Mapping[str, Interval], chance: float, images: str, confused: str) -> str:
    """What came out: how often the net, or all together, is right, beside chance and the best single net."""
    last, right = list(top1.items())[-1]
    words = f"The {'ensemble' if len(top1) > 1 else 'net'} is right in {in_percent(right)} of {right.n:,} {images}"
    words += f" (chance {100 * chance:.3g} %)"
    if len(top1) > 1:
        alone = {net: of for net, of in top1.items() if net != last}
        best = max(alone, key=lambda net: alone[net].value)
        words += f"; {best} alone in {in_percent(alone[best])}, the best of {len(alone)}"
    return f"{words}{confused}."


def _most_confused(tally: PredictionTally, classes: Sequence[str]) -> str:
    for pair in most_confused(tally.truth, tally.answer, 1):
        of_class = share_interval(pair.images, int((tally.truth == pair.truth).sum()))
        return (
            f"; most often it takes {classes[pair.truth]} for {classes[pair.answer]} ({in_percent(of_class)} of them)"
        )
    return ""


def _row(name: str, scores: Accuracies) -> dict[str, Any]:
    """Accuracies in percent, and errors as the papers print them, with 95 % intervals."""
    row: dict[str, Any] = {"net": name, "images": scores.top1.n}
    for measure, field in MEASURES.items():
        row[f"{measure} accuracy %"] = round(100 * getattr(scores, field).value, 2)
    for measure, field in MEASURES.items():
        value: Interval = getattr(scores, field)
        row[f"{measure} error %"] = round(100 * (1 - value.value), 2)
        row[f"{measure} error 95 %"] = f"{100 * (1 - value.high):.1f} to {100 * (1 - value.low):.1f}"
    return row


def _caption(evaluated: NetTallies, plan: EvaluationConfig, nets: Sequence[EvaluatedNet]) -> str:
    sides, data_name = ", ".join(map(str, evaluated.scales)), nets[0].subject.data_name
    caption = f"Errors on {plan.split} of {data_name} by {CROPS_IN_WORDS[plan.crops]}, smallest side {sides} pixels"
    caption += ", mean of the softmax over the sizes" if len(evaluated.scales) > 1 else ""
    caption += ". The ensemble is the mean of the nets' softmax" if len(nets) > 1 else ""
    if evaluated.unknown:
        caption += f". Left out: {evaluated.unknown} images of classes that the net does not know"
    return caption


def _paper_table(nets: Sequence[str], data_name: str, plan: EvaluationConfig) -> Table:
    """The papers' errors by this way to evaluate: of these nets, where a paper has them, and of some others."""
    key, rows = PAPER_ROWS["scales" if plan.crops == "dense" and plan.scales and len(plan.scales) > 1 else plan.crops]
    table = published_table(key)
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
    """In what the evaluation differs from the paper's; "" where it does not."""
    if data_name != "imagenet" or plan.split != "val" or plan.images is not None:
        return "other images"
    if plan.crops == "center":
        return "the paper averages ten crops"
    return "the paper averages three sizes" if plan.crops in ("fifty", "both") and len(plan.scales or [0]) != 3 else ""


def _value(figure: PrintedNumber | None) -> float | None:
    return None if figure is None else figure.value


def _numbers(scores: dict[str, Accuracies]) -> Iterator[Number]:
    for name, of_net in scores.items():
        end = f"/{name}" if len(scores) > 1 else ""
        for measure, field in MEASURES.items():
            value: Interval = getattr(of_net, field)
            yield Number(f"evaluation/{field}{end}", value.value, f"{measure} accuracy of {name}: {in_percent(value)}")


def _confusion(name: str, tally: PredictionTally, classes: list[str], limit: int) -> Iterator[Result]:
    """The confusion matrix as a picture and a table, and at most `limit` pairs of classes that are confused most."""
    matrix = confusion_matrix(tally.truth, tally.answer)
    labels = [classes[number] for number in matrix.classes.tolist()]
    unnamed = "" if len(labels) <= LABELLED else "; the table of the pairs confused most often tells which"
    yield Picture("evaluation/confusion", confusion_plot(matrix.counts.numpy(), labels),
                  f"What {name} takes for what: a row for each true class, a column for each predicted one{unnamed}",
                  plot=True)  # fmt: skip
    yield Table(
        "evaluation/confusion",
        _matrix_rows(matrix, labels),
        f"Images of each true class (rows) by the class that {name} predicts (columns)",
    )
    pairs = [{"true class": classes[pair.truth], "taken for": classes[pair.answer], "images": pair.images,
              "% of the class": round(100 * pair.share, 1)}
             for pair in most_confused(tally.truth, tally.answer, limit)]  # fmt: skip
    if pairs:
        yield Table("evaluation/confused", pairs, f"The pairs that {name} confuses most often")


def _matrix_rows(matrix: ConfusionMatrix, labels: list[str]) -> list[dict[str, Any]]:
    """Rows of the csv, with a column for other predictions where there are any."""
    columns = [*labels, "another class"] if matrix.counts[:, -1].any() else labels
    return [{"true class": label, **dict(zip(columns, row, strict=False))}
            for label, row in zip(labels, matrix.counts.tolist(), strict=True)]  # fmt: skip
