"""Confusion against a loop over images."""

import torch

from convscope.analyses.evaluation.compute import confusion_matrix, most_confused


def answers(seed=0, count=500):
    draw = torch.Generator().manual_seed(seed)
    truth = torch.tensor([3, 4, 8, 11])[torch.randint(0, 4, (count,), generator=draw)]
    return truth, torch.randint(0, 14, (count,), generator=draw)


def test_counts_by_a_loop():
    truth, answer = answers()
    matrix = confusion_matrix(truth, answer)
    classes = [3, 4, 8, 11]
    expected = [[0] * 5 for _ in classes]
    for true, predicted in zip(truth.tolist(), answer.tolist(), strict=True):
        expected[classes.index(true)][classes.index(predicted) if predicted in classes else 4] += 1
    assert matrix.classes.tolist() == classes and matrix.counts.tolist() == expected


def test_mistakes_by_a_loop():
    truth, answer = answers(1)
    counted = {}
    for classes in zip(truth.tolist(), answer.tolist(), strict=True):
        counted[classes] = counted.get(classes, 0) + (classes[0] != classes[1])
    pairs = most_confused(truth, answer, 1000)
    assert {(pair.truth, pair.answer): pair.images for pair in pairs} == {p: n for p, n in counted.items() if n}
    assert [pair.images for pair in pairs] == sorted((pair.images for pair in pairs), reverse=True)
    assert all(pair.share == pair.images / int((truth == pair.truth).sum()) for pair in pairs)
    assert most_confused(truth, answer, 3) == pairs[:3]


def test_no_mistakes():
    truth, _ = answers()
    assert most_confused(truth, truth, 5) == []
    assert torch.equal(confusion_matrix(truth, truth).counts[:, :-1], torch.diag(truth.unique(return_counts=True)[1]))
