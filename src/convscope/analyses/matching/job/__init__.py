"""job=match: which features of a net another net has too; with match.runs, which come back in every net of a sweep."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from convscope.analyses.evaluation.compute import table_names
from convscope.analyses.inputs import Inputs
from convscope.analyses.matching.about import OTHER_WEIGHTS, RANDOM, MatchConfig
from convscope.analyses.matching.compute import Matching, match_nets
from convscope.analyses.matching.compute.correlation import NO_MAPS
from convscope.analyses.matching.compute.layers import layer_pairs, same_images
from convscope.analyses.matching.figure import cka_plot, recurrence_plot
from convscope.analyses.matching.job.pictures import (
    MatchedNet,
    pair_pictures,
    partner_pictures,
    same_weights_line,
    search,
    shown_maps,
)
from convscope.analyses.matching.job.sweep import compare
from convscope.analyses.subject import Subject
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, share_interval
from convscope.runs.reading import run_folder_of
from convscope.runs.record import Conclusion, Number, Picture, Result, Table

UNTRAINED = "random weights"  # the name of the second net with match.beside=random
TWO = (
    "job=match compares two nets: type ckpt=[<a>,<b>], or one net and match.beside=random (itself untrained) or "
    "match.beside=<checkpoint>; for the runs of a sweep type match.runs=<its folder>"
)


def results(inputs: Inputs, config: MatchConfig) -> Iterator[Result]:
    """Opens two nets, or with match.runs those of a sweep, and yields what job=match finds."""
    if config.runs is not None:
        inputs.facts["runs"] = config.runs
        return compare([Path(folder).expanduser() for folder in config.folders], inputs.open, config, inputs.seed)
    checkpoints = inputs.checkpoints
    if len(checkpoints) + (config.beside is not None) != 2:
        count = len([checkpoint for checkpoint in checkpoints if checkpoint])
        raise UserError(f"{TWO} (ckpt names {count or 'none'}, match.beside={config.beside or 'null'})")
    subjects = inputs.all_subjects()
    untrained = None
    if config.beside == RANDOM:
        second = inputs.random_subject(subjects[0], OTHER_WEIGHTS, checkpoints[0])
        names = [*table_names(checkpoints, subjects), UNTRAINED]
    else:
        second = inputs.open(config.beside) if config.beside else subjects[1]
        checkpoints = [checkpoints[0], config.beside or checkpoints[1]]
        names = table_names(checkpoints, [subjects[0], second])
        untrained = inputs.random_subject(second, OTHER_WEIGHTS, checkpoints[1])
    folders = [run_folder_of(checkpoint) for checkpoint in checkpoints]
    inputs.facts["matched"] = [
        {"name": name, "run": folder and os.path.relpath(folder, inputs.folder.resolve())}
        for name, folder in zip(names, [*folders, None], strict=False)
    ]
    if folders[0] is not None:  # whose page links to this one
        inputs.facts["of_run"] = inputs.facts["matched"][0]["run"]
    pictured = shown_maps(folders[0]) if folders[0] is not None else {}
    nets = MatchedNet(names[0], subjects[0]), MatchedNet(names[1], second)
    return match(nets, config, inputs.seed, untrained, pictured)


def match(
    nets: tuple[MatchedNet, MatchedNet],
    plan: MatchConfig,
    seed: int,
    untrained: Subject | None = None,
    pictured: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Iterator[Result]:
    """Yields which maps of the first net the second has too, layer by layer, and pictures of matched maps.

    untrained: the second net with random weights, which the first is compared with as well. pictured: layer -> maps of
    the first net whose partners are drawn for the page of its run.
    """
    first, second = nets
    index = same_images(first.subject.data, second.subject.data, plan.split, plan.images, seed)
    pairs = layer_pairs(first.subject, second.subject, plan.layers)
    matching = match_nets(first.subject, second.subject, pairs, plan.split, index)
    null = untrained and match_nets(first.subject, untrained, pairs, plan.split, index)
    names = first.name, second.name
    rows = [_layer_row(matching, number, null) for number in range(len(pairs))]
    yield Conclusion("match", same_weights_line(first, [second]) + _sentence(matching, names, null))
    yield Table("match/layers", rows, _method(index, plan.split))
    yield _curves(matching, names, null)
    caption = (
        f"Linear CKA of every layer of {names[0]} with every layer of {names[1]}; with shuffled images it is near 0"
    )
    rows_and_columns = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    plot = cka_plot(matching.cka.values, *rows_and_columns, names)
    yield Picture("match/cka", plot, caption, plot=True)
    ours, theirs = (search(net, layers, plan, index) for net, layers in zip(nets, rows_and_columns, strict=True))
    yield from pair_pictures(ours, theirs, matching, plan)
    yield Table(
        "match/pairs",
        list(_pair_rows(matching)),
        "Every matched pair; shuffled: the same two maps, images of one net shuffled",
    )
    yield from _numbers(matching, names, null)
    yield from partner_pictures(ours, theirs, matching, plan, pictured)


def _layer_row(matching: Matching, number: int, null: Matching | None) -> dict[str, Any]:
    (layer, peer), pairing = list(matching.layers.items())[number]
    cka = matching.cka.interval(number, number)
    share = pairing.share
    return {
        "layer": layer,
        **({"layer of the other": peer} if any(ours != theirs for ours, theirs in matching.layers) else {}),
        "maps": " and ".join(map(str, pairing.maps)),
        "dead": " and ".join(map(str, pairing.dead)),
        "recur %": round(100 * share.value, 1),
        "95 %": f"{100 * share.low:.0f} to {100 * share.high:.0f}",
        **({"untrained %": round(100 * null.layers[layer, peer].share.value, 1)} if null else {}),
        "correlation": round(pairing.mean.value, 3),
        "shuffled": round(float(pairing.null.mean()), 3) if pairing.null.size else "",
        "recurs above": round(pairing.threshold, 3),
        "CKA": round(cka.value, 3),
        "CKA 95 %": f"{cka.low:.2f} to {cka.high:.2f}",
        **({"CKA untrained": round(float(null.cka.values[number, number]), 3)} if null else {}),
        "CKA shuffled": round(float(matching.cka.shuffled[:, number, number].mean()), 3),
    }


def total_share(matching: Matching) -> Interval:
    """The share of matched maps of all layers that recur."""
    count = sum(len(pairing.first) for pairing in matching.layers.values())
    recurring = sum(int(pairing.recurs.sum()) for pairing in matching.layers.values())
    return share_interval(recurring, count) if count else NO_MAPS


def _sentence(matching: Matching, names: Sequence[str], null: Matching | None) -> str:
    """What came out, in words."""
    share = total_share(matching)
    if not share.n:
        return f"No layer of {names[0]} and {names[1]} has maps that answer to these images."
    layers = {layer: pairing.share.value for (layer, _), pairing in matching.layers.items() if len(pairing.first)}
    words = (
        f"{share.value:.0%} of {share.n} maps of {names[0]} recur in {names[1]} (95 % interval {share.low:.0%} to "
        f"{share.high:.0%}; {_null_words(null)})"
    )
    highest, fewest = max(layers, key=lambda layer: layers[layer]), min(layers, key=lambda layer: layers[layer])
    if layers[highest] > layers[fewest]:
        words += f", most at {highest} ({layers[highest]:.0%}), fewest at {fewest} ({layers[fewest]:.0%})"
    return words + "."


def _null_words(null: Matching | None) -> str:
    """The shares of the nulls in words."""
    return (f"in an untrained net {total_share(null).value:.0%}, " if null else "") + "with shuffled images 5%"


def _method(index: Tensor, split: str) -> str:
    return (
        f"Correlations are over all positions of {len(index)} {split} images, of maps of other size on the coarser "
        "grid (means over areas). As many pairs as the smaller layer has maps that are not dead; dead: the same number "
        "everywhere, left out. Recurs above: the correlation that 95 % of the matches of shuffled images stay below. "
        "Intervals are over maps, those of CKA over batches of images"
    )


def _curves(matching: Matching, names: Sequence[str], null: Matching | None) -> Picture:
    plot = recurrence_plot(matching, null, "untrained" if names[1] == UNTRAINED else "other net")
    caption = f"What of {names[0]} recurs in {names[1]}, layer by layer, beside the same with shuffled images"
    caption += ", and in an untrained net" if null else ""
    return Picture("match/recurrence", plot, caption, plot=True)


def _pair_rows(matching: Matching) -> Iterator[dict[str, Any]]:
    for (layer, peer), pairing in matching.layers.items():
        columns = (
            pairing.first,
            pairing.second,
            pairing.correlation,
            pairing.shuffled,
            pairing.recurs,
        )
        for map_, partner, correlation, shuffled, recurs in zip(*columns, strict=True):
            yield {
                "layer": layer,
                "map": int(map_),
                "layer of the other": peer,
                "map of the other": int(partner),
                "correlation": round(float(correlation), 4),
                "shuffled": round(float(shuffled), 4),
                "recurs": "yes" if recurs else "no",
            }


def _numbers(matching: Matching, names: Sequence[str], null: Matching | None) -> Iterator[Number]:
    share = total_share(matching)
    words = (
        f"share of the maps of {names[0]} that recur in {names[1]}: {share}, over {share.n} maps; {_null_words(null)}"
    )
    yield Number("match/recur", share.value, words)
    for number, ((layer, _), pairing) in enumerate(matching.layers.items()):
        words = f"share of the maps of {layer} that recur: {pairing.share}, over {pairing.share.n} maps"
        yield Number(f"match/{layer}/recur", pairing.share.value, words, layer=layer)
        cka = matching.cka.interval(number, number)
        shuffled = float(matching.cka.shuffled[:, number, number].mean())
        words = f"linear CKA of {layer}: {cka}, over {cka.n} batches; shuffled {shuffled:.2g}"
        yield Number(f"match/{layer}/cka", cka.value, words, layer=layer)
