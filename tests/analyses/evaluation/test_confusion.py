"""Confusion against a loop over images."""

import torch

from convscope.analyses.evaluation.compute.confusion import confusion, mistakes


def answers(seed=0, count=500):
    draw = torch.Generator().manual_seed(seed)
    truth = torch.tensor([3, 4, 8, 11])[torch.randint(0, 4, (count,), generator=draw)]
    return truth, torch.randint(0, 14, (count,), generator=draw)


def test_counts_by_a_loop():
    truth, answer = answers()
    found = confusion(truth, answer)
    classes = [3, 4, 8, 11]
    expected = [[0] * 5 for _ in classes]
    for true, said in zip(truth.tolist(), answer.tolist(), strict=True):
        expected[classes.index(true)][classes.index(said) if said in classes else 4] += 1
    assert found.classes.tolist() == classes and found.counts.tolist() == expected


def test_mistakes_by_a_loop():
    truth, answer = answers(1)
    counted = {}
    for pair in zip(truth.tolist(), answer.tolist(), strict=True):
        counted[pair] = counted.get(pair, 0) + (pair[0] != pair[1])
    found = mistakes(truth, answer, 1000)
    assert {(one.truth, one.answer): one.images for one in found} == {p: n for p, n in counted.items() if n}
    assert [one.images for one in found] == sorted((one.images for one in found), reverse=True)
    assert all(one.share == one.images / int((truth == one.truth).sum()) for one in found)
    assert mistakes(truth, answer, 3) == found[:3]


def test_no_mistakes():
    truth, _ = answers()
    assert mistakes(truth, truth, 5) == []
    assert torch.equal(confusion(truth, truth).counts[:, :-1], torch.diag(truth.unique(return_counts=True)[1]))
