"""The record of the search against all activations, stored and sorted."""

import gc
import random

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from convscope.engine.top9 import empty, merge, to_arrays
from convscope.engine.top9_search import Search
from convscope.errors import UserError
from engine.specimens import maps_of, photographs, row_net

LAYERS = ["conv1", "pool1", "conv2", "conv3", "conv4", "fc5", "fc6"]


def tied_images(count=31):
    """Images of few grey levels, some of them equal, some black, so that many scores and positions tie."""
    images = photographs(31).mul(0.7).round()
    images[7], images[20], images[3:6] = images[30], images[12], 0
    images[9, :, :, 30:] = 0
    return images[:count]


@pytest.fixture(scope="module")
def net():
    net = row_net()
    net.conv2.bias.data[::2], net.conv2.bias.data[1::2] = -40, 1  # dead maps
    return net


def brute_force(net, layer, images):
    """For each map a list of (score, image, row, col), sorted by plain Python."""
    return strongest(torch.cat([maps_of(net, layer, image[None]) for image in images]))  # one by one, as no batch does


def strongest(maps):
    """The same for the maps [N, C, h, w] of all images."""
    width, entries = maps.shape[3], []
    for values in maps.flatten(2).unbind(1):  # [N, h * w]
        best = sorted((-max(row), image, row.index(max(row))) for image, row in enumerate(values.tolist()))[:9]
        entries.append([(-score, image, place // width, place % width) for score, image, place in best])
    return entries


def places_of(top):
    """For each map a list of (image, row, col)."""
    return [list(zip(*rows, strict=True)) for rows in zip(*(field.tolist() for field in top[1:]), strict=True)]


def searched(net, layers, images, parts):
    with Search(net, layers) as search, torch.inference_mode():
        for part in parts:
            search.watch(part)
            net(images[part])
    return search.top


def same(top, entries, tolerance=1e-4):
    rows_of_entries = [list(zip(*rows, strict=True)) for rows in zip(*(field.tolist() for field in top), strict=True)]
    for ours, theirs in zip(rows_of_entries, entries, strict=True):
        assert [entry[1:] for entry in ours] == [entry[1:] for entry in theirs]
        assert [entry[0] for entry in ours] == pytest.approx([entry[0] for entry in theirs], abs=tolerance)


@pytest.fixture(scope="module")
def truth(net):
    images = tied_images()
    return {layer: brute_force(net, layer, images) for layer in LAYERS}


@pytest.mark.parametrize("size", [1, 4, 9, 31])
def test_equals_brute_force_for_any_batch_size(net, truth, size):
    images = tied_images()
    for layer, top in searched(net, LAYERS, images, torch.arange(31).split(size)).items():
        same(top, truth[layer])


def test_equals_brute_force_in_any_order(net, truth):
    images, numbers = tied_images(), list(range(31))
    random.Random(0).shuffle(numbers)
    for layer, top in searched(net, LAYERS, images, torch.tensor(numbers).split(5)).items():
        same(top, truth[layer])


def test_any_split_merges_to_the_same_record(net, truth):
    images = tied_images()
    shares = [torch.arange(start, 31, 3) for start in range(3)]  # as three processes would take them
    tops = [searched(net, LAYERS, images, share.split(4)) for share in shares]
    for layer in LAYERS:
        for order in ((0, 1, 2), (2, 0, 1)):
            record = empty(len(truth[layer]))
            for number in order:
                record = merge(record, tops[number][layer])
            same(record, truth[layer])


def test_dead_maps_show_the_first_images_at_the_first_position(net):
    top = searched(net, ["conv2"], tied_images(), torch.arange(31).split(8))["conv2"]
    assert not top.score[::2].any() and top.score[1::2, 0].gt(0).all()
    assert torch.equal(top.image[::2], torch.arange(9).expand(6, 9))
    assert not top.row[::2].any() and not top.col[::2].any()


def test_fewer_than_nine_images(net):
    top = searched(net, ["conv3"], tied_images(), [torch.arange(4)])["conv3"]
    assert top.score.shape == top.row.shape == (16, 9)
    assert top.score[:, 4:].eq(-torch.inf).all() and all(field[:, 4:].eq(-1).all() for field in top[1:])
    assert top.image[:, :4].sort().values.equal(torch.arange(4).expand(16, 4))


@pytest.mark.parametrize("pool", [
    nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2),
    nn.MaxPool2d((1, 4), (1, 3)), nn.MaxPool2d(2, 3), nn.MaxPool2d(3, 1, dilation=2), nn.MaxPool2d(3, 1, 1),
])  # fmt: skip
@pytest.mark.parametrize("size", [(8, 8), (9, 7), (12, 10)])
def test_scores_and_places_do_not_depend_on_the_pool_above(pool, size):
    """Among few grey levels almost every maximum ties; pools that skip positions must not give the scores."""
    net = nn.Sequential(nn.Identity(), nn.ReLU(), pool).eval()
    images = torch.randint(-2, 3, (12, 3, *size), generator=torch.Generator().manual_seed(1)).float()
    top = searched(net, ["1"], images, torch.arange(12).split(5))["1"]
    same(top, brute_force(net, "1", images), 0)


def test_scores_below_zero_before_a_relu_in_place():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)).double().eval()
    net[0].bias.data.fill_(-30)
    images = photographs(12, (10, 10))
    top = searched(net, ["0"], images, torch.arange(12).split(5))["0"]
    assert top.score.max() < 0
    same(top, brute_force(net, "0", images))


def test_not_a_number_enters_no_record(net):
    images = tied_images(12)
    images[2] = torch.nan
    top = searched(net, ["conv1", "conv3"], images, [torch.arange(12)])
    assert not any(record.image.eq(2).any() for record in top.values())


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_images(net):
    """After a pass only the record is left in memory."""

    def held(count):
        with Search(net, LAYERS) as search, torch.inference_mode():
            for start in range(0, count, 4):
                search.watch(torch.arange(start, start + 4))
                net(photographs(4, seed=start))
            gc.collect()
            tensors = [value for value in gc.get_objects() if type(value) is torch.Tensor]
            return sum(value.untyped_storage().nbytes() for value in tensors)

    assert held(32) - held(8) < 10_000


def test_training_passes_are_not_watched(net):
    with Search(net, ["conv1"]) as search:
        net.train()(tied_images(2))
        assert search.top == {}
        net.eval()
        search.watch(torch.arange(2))
        net(tied_images(2))
        net.train()(tied_images(5))
        net.eval()
    assert search.top["conv1"].image.max() == 1


def test_hooks_are_gone_afterwards(net):
    with pytest.raises(KeyError), Search(net, LAYERS) as search:
        search.watch(torch.arange(2))
        net(tied_images(12)[:2])
        assert any(module._forward_hooks for module in net.modules())
        raise KeyError
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_a_pass_must_be_announced(net):
    message = r"a pass over 3 images after watch\(\) of 2"
    with pytest.raises(ValueError, match=message), Search(net, ["conv1"]) as search:
        search.watch(torch.arange(2))
        net(tied_images(12)[:3])


def test_unknown_layer(net):
    with pytest.raises(
        UserError, match=r"no layer conv8 in this net \(did you mean conv4\?\); its layers: conv1, pool1, norm1"
    ):
        Search(net, ["conv1", "conv8"])


def test_a_layer_without_maps():
    net = torchvision.models.vit_b_16(weights=None).eval()
    message = "layer encoder puts out 197 x 768 for each image, neither maps nor units; choose a convolution"
    with Search(net, ["encoder"]) as search, pytest.raises(UserError, match=message), torch.inference_mode():
        search.watch(torch.arange(1))
        net(torch.zeros(1, 3, 224, 224))


def test_file(net, tmp_path):
    tops = searched(net, ["conv1", "conv3"], tied_images(12), [torch.arange(12)])
    save_file(to_arrays(tops), tmp_path / "top9.safetensors")
    arrays = load_file(tmp_path / "top9.safetensors")
    assert sorted(arrays) == sorted(f"{layer}.{name}" for layer in tops for name in ("score", "image", "row", "col"))
    assert arrays["conv1.score"].dtype == torch.float32 and arrays["conv1.image"].dtype == torch.int64
    for layer, top in tops.items():
        assert all(field.equal(arrays[f"{layer}.{name}"]) for name, field in top._asdict().items())


class Bounded(nn.Module):
    """Layers that end at 6: in a module, in place, in a function, under a pool. `shared` runs twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU6(inplace=True))
        self.second, self.shared, self.pool = nn.Conv2d(5, 4, 3), nn.ReLU6(), nn.MaxPool2d(2)
        self.third, self.free, self.units = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 3, 1), nn.Linear(3, 4)
        self.after = nn.Identity()
        for conv in (self.second, self.third):
            conv.weight.data *= 20

    def forward(self, x):
        x = self.pool(self.shared(self.second(self.first(x))))
        x = self.after(self.third(self.shared(x)).clamp(0, 6))
        return self.units(self.free(x).mean((2, 3)))

    def before(self, x):
        """By layer, the values without the upper bound."""
        first = self.first[0](x)
        second = self.second(first.clamp(0, 6))
        third = self.third(self.pool(second.clamp(0, 6)))
        free = self.free(third.clamp(0, 6))
        return {"first": first.relu(), "pool": self.pool(second.relu()), "after": third.relu(), "free": free}


@pytest.mark.parametrize("size", [1, 4, 31])
@torch.no_grad()
def test_scores_at_an_upper_bound_are_ordered_by_what_is_before_it(size):
    net, images = Bounded().double().eval(), photographs(31, (12, 12)) * 40
    before = net.before(images)
    layers = ["first", "pool", "after", "free"]
    tops = searched(net, layers, images, torch.arange(31).split(size))
    for layer in layers:
        expected = strongest(before[layer])
        assert places_of(tops[layer]) == [[entry[1:] for entry in row] for row in expected], layer
        scores = [[entry[0] if layer == "free" else min(entry[0], 6) for entry in row] for row in expected]
        torch.testing.assert_close(tops[layer].score, torch.tensor(scores, dtype=torch.float32))
    assert all((tops[layer].score == 6).all(1).any() for layer in layers[:3])


@torch.no_grad()
def test_any_split_of_scores_at_an_upper_bound_merges_to_the_same_record():
    net, images = Bounded().double().eval(), photographs(31, (12, 12)) * 40
    whole = searched(net, ["first", "after"], images, [torch.arange(31)])
    parts = [searched(net, ["first", "after"], images, torch.arange(start, 31, 3).split(4)) for start in range(3)]
    for layer, top in whole.items():
        for order in ((0, 1, 2), (2, 0, 1)):
            record = empty(len(top.score))
            for number in order:
                record = merge(record, parts[number][layer])
            assert all(torch.equal(field, expected) for field, expected in zip(record, top, strict=True))


@pytest.mark.parametrize("make, layers", [
    (row_net, ["conv1", "conv3", "fc5"]), (Bounded, ["first", "pool", "after", "free"]),
])  # fmt: skip
def test_no_pass_waits_for_a_value_of_the_device(make, layers):
    """The meta device has no values: what reads one, or makes a shape of values, or copies to the CPU, fails there."""
    net = make().eval().to("meta")
    with Search(net, layers) as search, torch.inference_mode():
        for _ in range(2):
            search.watch(torch.arange(8))
            net(torch.empty(8, 3, 96, 96, device="meta", dtype=next(net.parameters()).dtype))
        with pytest.raises(NotImplementedError, match="meta"):
            search.top.values()
    assert all(top.image.shape[1] == 9 for top in search._records.values()) and search._records.keys() == {*layers}


def test_an_error_in_a_pass_leaves_no_trace_of_the_search():
    net = Bounded().double().eval()
    with Search(net, ["first"]) as search, torch.inference_mode():
        search.watch(torch.arange(1))
        net(photographs(1, (12, 12)))
        with pytest.raises(RuntimeError):
            net(photographs(1, (12, 12))[:, :2])
        calls = len(torch.overrides._get_current_function_mode_stack())
    assert calls == 0 and not net._forward_hooks and not net._forward_pre_hooks


def test_an_interruption_from_the_keyboard_leaves_no_trace_of_the_search():
    """torch then calls no hook, not even with always_call."""

    def interrupt(*_):
        raise KeyboardInterrupt

    net = Bounded().double().eval()
    with pytest.raises(KeyboardInterrupt), Search(net, ["first"]) as search, torch.inference_mode():
        search.watch(torch.arange(1))
        net(photographs(1, (12, 12)))
        next(net.children()).register_forward_hook(interrupt)
        net(photographs(1, (12, 12)))
    assert not torch.overrides._get_current_function_mode_stack()


class Last(nn.Module):
    """A layer with outputs [N, h, w, C], like the stages of Swin."""

    def __init__(self, inputs, maps):
        super().__init__()
        self.conv = nn.Conv2d(inputs, maps, 3, 2)

    def forward(self, x):
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class MapsLast(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.head = Last(3, 5), Last(5, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.two(self.one(x.permute(0, 2, 3, 1)).relu()).mean((1, 2)))


@torch.no_grad()
def test_maps_that_lie_last_are_maps():
    net, images = MapsLast().double().eval(), photographs(12, (21, 17))
    first = net.one.conv(images)
    expected = {"one": first, "two": net.two.conv(first.relu())}
    tops = searched(net, ["one", "two"], images, torch.arange(12).split(5))
    for layer, maps in expected.items():
        assert tops[layer].score.shape == (maps.shape[1], 9)
        assert places_of(tops[layer]) == [[entry[1:] for entry in row] for row in strongest(maps)]
