"""The maps that made a mistake: those without which the true class gains most on the wrong answer."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.analyses.ablation.compute import Answers, LayerEffects, ScoredImages
from convscope.engine.switched_maps import SwitchedMaps
from convscope.engine.upper_part import BasePass, UpperPart

DRAWS = 100  # random sets of maps
MOST = 64  # maps that are switched off together at most


class Mistake(NamedTuple):
    """A wrong answer. index: of the image. target, answer: numbers of the net's classes, with their probabilities.

    margin: logit of the answer minus that of the target. changes [C]: how much less of it each map alone leaves when it
    is off. maps: those that lessen it, the strongest first. enough: how many of them, off together, make the target the
    answer; None: not even MOST or all of them. by_chance: the share of DRAWS sets of as many random maps that are on
    for the image which do so too; None where that was not counted.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which no one needs
    target: int
    answer: int
    p_target: float
    p_answer: float
    margin: float
    changes: Tensor
    maps: list[int]
    enough: int | None
    by_chance: float | None


def most_certain_mistakes(plain: Answers, count: int) -> Tensor:
    """Indices of the images with the most certain wrong answers, in this order."""
    wrong = (~plain.right).nonzero()[:, 0]
    order = plain.certainty[wrong].argsort(descending=True, stable=True)
    return plain.index[wrong[order[:count]]]


def take_apart(images: ScoredImages, effects: LayerEffects, index: int, value: str, seed: int = 0) -> Mistake:
    """The maps that made the mistake at an image, with `value` in their place."""
    part, subject, single = effects.part, images.subject, SwitchedMaps(effects.part)
    base = single.base(subject.data.images(images.split, torch.tensor([index])))
    plain = images.answers(base, torch.tensor([index]))
    target, answer = int(plain.target), int(plain.answer)
    off = torch.empty_like(base.output).copy_(torch.as_tensor(effects.value(value), device=base.output.device))
    margin = float(base.logits[0, answer] - base.logits[0, target])
    changes, on = torch.zeros(part.maps), torch.zeros(part.maps, dtype=torch.bool)
    for pairs in single.pairs(base, effects.value(value), torch.tensor(effects.maps)):
        logits = pairs.logits.float()
        changes[pairs.map.cpu()] = margin - (logits[:, answer] - logits[:, target]).cpu()
        on[pairs.map.cpu()] = True
    maps = [number for number in changes.argsort(descending=True, stable=True).tolist() if changes[number] > 0]
    first = [torch.tensor(maps[:count]) for count in range(1, min(MOST, len(maps)) + 1)]
    hits = _answers_without(part, base, off, first) == target
    enough = int(hits.int().argmax()) + 1 if hits.any() else None
    return Mistake(
        index, target, answer, float(plain.log_probability.exp()), float(plain.certainty), margin, changes, maps,
        enough, None if enough is None else _by_chance(part, base, off, on.nonzero()[:, 0], (enough, target), seed),
    )  # fmt: skip


def _by_chance(
    part: UpperPart, base: BasePass, off: Tensor, on: Tensor, aim: tuple[int, int], seed: int
) -> float | None:
    """The share of random sets of so many maps among `on` without which the target is the answer. aim: both numbers."""
    count, target = aim
    draw = torch.Generator().manual_seed(seed)
    sets = [on[torch.randperm(len(on), generator=draw)[:count]] for _ in range(DRAWS)]
    return float((_answers_without(part, base, off, sets) == target).double().mean())


def _answers_without(part: UpperPart, base: BasePass, off: Tensor, sets: list[Tensor]) -> Tensor:
    """The answer for one image without each of these sets of maps, int64 [n]."""
    answers = [torch.zeros(0, dtype=torch.int64)]
    for start in range(0, len(sets), part.outputs_at_once):
        some = sets[start : start + part.outputs_at_once]
        with torch.inference_mode():
            output = base.output.expand(len(some), *base.output.shape[1:]).clone()
            by_map, values = output.movedim(part.channel, 1), off[0].movedim(part.channel - 1, 0)
            for number, maps in enumerate(some):
                by_map[number, maps] = values[maps]
            image = torch.zeros(len(some), dtype=torch.int64, device=output.device)
            answers.append(part.logits(base, image, output).argmax(1).cpu())
    return torch.cat(answers)
