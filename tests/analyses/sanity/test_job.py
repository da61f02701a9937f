"""What the job says of nets whose answers are known, and of what cannot be measured."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import convscope
from convscope.analyses.sanity.about import SanityConfig
from convscope.analyses.sanity.job import over_maps, sanity
from convscope.errors import UserError
from convscope.runs.record import Arrays, Conclusion, Number, Picture, Table


def photographs(count=12, side=32):
    draw = torch.Generator().manual_seed(0)
    return F.interpolate(torch.randn(count, 3, side // 4, side // 4, generator=draw), side, mode="bicubic")


def pooled_net():
    torch.manual_seed(0)
    steps = [nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 6, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()


def subject_of(net, images=None):
    return convscope.subject(net, photographs() if images is None else images)


def results_of(subject, learned=True, **settings):
    settings = {"maps": 3, "searched": 12, "stages": 2, "drawn": 2} | settings
    return list(sanity(subject, SanityConfig(**settings), 0, learned))


def test_all_results_of_a_small_net():
    results = results_of(subject_of(pooled_net()), layers=["4"])
    assert [type(result) for result in results[:5]] == [Conclusion, Picture, Table, Picture, Table]
    numbers = {result.name: result for result in results if isinstance(result, Number)}
    assert list(numbers) == [f"sanity/4/{name}" for name in ("weights", "unit", "image", "recovery")]
    (table,) = [result for result in results if result.name == "sanity/layers"]
    (drawn,) = [row for row in table.rows if row["draws"]]
    maps = next(result.tensors for result in results if isinstance(result, Arrays))
    for name in ("weights", "unit", "image", "recovery"):
        mean = float(maps[f"4.{drawn['rule']}.{name}"].nanmean())
        assert numbers[f"sanity/4/{name}"].value == pytest.approx(mean)
        assert float(drawn[name].split(" [")[0]) == pytest.approx(mean, abs=0.006)
        assert drawn[f"{name}, untrained"] and f"{mean:.2f} (untrained net" in results[0].caption
    assert results[0].caption.startswith("Projections of 4 depend on the weights ")
    assert "no learned weights" not in results[0].caption


def test_a_net_of_one_convolution_and_a_net_without_learned_weights():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 28 * 28, 3)).eval()
    results = results_of(subject_of(net), learned=False, stages=4)
    (weights,) = [result for result in results if result.name == "sanity/weights"]
    assert {(row["random"], row["alone"]) for row in weights.rows} == {("0", "0")}
    assert "The net has no learned weights: it is an untrained net itself." in results[0].caption
    assert next(result.value for result in results if result.name == "sanity/1/image") == pytest.approx(0, abs=1e-9)


def test_dead_layers_are_named_and_left_out():
    net = pooled_net()
    net[3].bias.data[:] = -1e4
    results = results_of(subject_of(net), layers=["1", "4"])
    assert "No two images excite a map of 4" in results[0].caption
    assert not [result for result in results if result.name.startswith("sanity/4")]
    with pytest.raises(
        UserError, match=r"no map of 4 is excited by two of the searched images.*sanity.layers=\[\.\.\.\]"
    ):
        results_of(subject_of(net), layers=["4"])


def test_bad_input():
    with pytest.raises(UserError, match="no layer conv9 in this net; its layers: 0, 1"):
        results_of(subject_of(pooled_net()), layers=["conv9"])
    with pytest.raises(UserError, match="sanity.split=val has 1 image; two or more are needed"):
        results_of(subject_of(pooled_net(), photographs(1)))
    with pytest.raises(UserError, match="images=1"):
        convscope.sanity(pooled_net(), photographs(), images=1)


def test_the_function_is_the_job():
    subject = subject_of(pooled_net())
    by_function = convscope.sanity(subject, layers=["4"], maps=3, searched=12, stages=2, drawn=2)
    numbers = {of.name: of.value for of in results_of(subject, layers=["4"]) if isinstance(of, Number)}
    assert by_function.numbers == numbers


def test_means_are_of_what_could_be_measured():
    nan = float("nan")
    assert over_maps(torch.tensor([0.25, nan, 0.75])).value == 0.5 and over_maps(torch.tensor([0.25, nan, 0.75])).n == 2
    assert str(over_maps(torch.tensor([nan]))) == str(over_maps(None)) == ""
