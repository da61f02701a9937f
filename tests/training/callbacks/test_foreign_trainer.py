"""FeatureEvolution in a Trainer that convscope knows nothing of: records, folder, page, loggers, odd loaders."""

import csv
import importlib.util
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torchvision.transforms import v2

import convscope
from conftest import ROOT, python
from convscope import FeatureEvolution
from convscope.errors import UserError
from training.foreign import IMAGES, MEAN, STD, lightning, photos, quiet, small_net, train_loader, write_photos

pl, Net, Photos = lightning()
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


def fitted(folder, data, module=None, arguments=None, **settings):
    """The run folder of a fit with the callback."""
    evolution = FeatureEvolution(**{"layers": ["0", "5"], "maps": 3, "folder": folder / "run"} | (arguments or {}))
    torch.manual_seed(0)
    trainer = quiet(pl, folder, callbacks=[evolution, *settings.pop("callbacks", [])], **settings)
    data = (
        {"datamodule": data}
        if isinstance(data, pl.LightningDataModule)
        else {"train_dataloaders": data[0], "val_dataloaders": data[1]}
    )
    ckpt = settings.get("ckpt")
    trainer.fit(Net() if module is None else module, **data, ckpt_path=ckpt)
    return folder / "run"


def records(run, epoch=2):
    return load_file(run / "top9" / f"epoch_{epoch:03d}.safetensors")


def same(first, second, tolerance=1e-5):
    """Whether two records name the same images at the same places, with the same scores."""
    assert first.keys() == second.keys()
    for name in first:
        if name.endswith("score"):
            torch.testing.assert_close(first[name], second[name], rtol=tolerance, atol=tolerance)
        else:
            assert torch.equal(first[name], second[name]), name
    return True


def columns(run):
    with open(run / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """The folder of a run of two epochs."""
    return fitted(tmp_path_factory.mktemp("plain"), Photos(root))


def brute_force(net, images, layer, pool=None):
    """Layer -> scores and images of the nine strongest, [C, 9], by one pass over all images and a full sort."""
    maps = {}
    hook = net.get_submodule(layer).register_forward_hook(lambda module, args, output: maps.update({layer: output}))
    with torch.no_grad():
        net.eval()(images)
    hook.remove()
    score, image = maps[layer].amax((2, 3)).T.sort(dim=1, descending=True)
    return score[:, :9], image[:, :9]


def test_the_record_is_that_of_a_full_sort(root, tmp_path):
    module = Net()
    run = fitted(tmp_path, Photos(root), module, {"layers": ["model.0"]}, max_epochs=1)
    images = torch.stack([image for image, _ in photos(root, "val")])
    score, image = brute_force(module.model, images, "0")
    kept = records(run, 1)
    torch.testing.assert_close(kept["0.score"], score)
    assert torch.equal(kept["0.image"], image)


def test_the_folder_is_a_run_that_the_library_reads_and_a_page(run):
    read = convscope.read_run(run)
    assert read.remarks == [] and read.summary["finished"] and read.summary["classes"] == ["squares", "stripes"]
    measured = columns(run)
    assert measured["epoch"] == ["1", "2"]
    for name in ("train_loss", "val_acc", "stayed/0", "similarity/0", "dead/5"):
        assert all(float(value) >= 0 for value in measured[name])
    grids = [entry for entry in read.entries if entry.name.startswith("top9/")]
    assert {(entry.layer, entry.epoch) for entry in grids} == {(layer, epoch) for layer in "05" for epoch in (1, 2)}
    assert all(len(entry.sheet["maps"]) == 3 for entry in grids)
    assert {entry.name for entry in read.entries} >= {"evolution/0", "evolution/5", "settling", "images/0"}
    page = (run / "report" / "index.html").read_text()
    assert "<h1" in page and "Sequential" in page


def test_a_run_resumed_in_the_middle_equals_an_unbroken_one(root, run, tmp_path):
    checkpoint = pl.callbacks.ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    arguments = {"folder": None}
    fitted(tmp_path, Photos(root), None, arguments, max_epochs=1, callbacks=[checkpoint], enable_checkpointing=True)
    (folder,) = (tmp_path / "convscope").iterdir()
    last = tmp_path / "ckpt" / "last.ckpt"
    evolution = FeatureEvolution(["0", "5"], 3)
    trainer = quiet(pl, tmp_path, callbacks=[evolution])
    trainer.fit(Net(), datamodule=Photos(root), ckpt_path=last, weights_only=True)
    assert list((tmp_path / "convscope").iterdir()) == [folder]
    for epoch in (1, 2):
        same(records(folder, epoch), records(run, epoch))
    resumed, whole = columns(folder), columns(run)
    del resumed["seconds"], whole["seconds"]
    assert resumed == whole
    for name in ("top9/0/epoch_002.webp", "strips/0/epoch_002.webp", "evolution/5.jpg"):
        assert (folder / "pictures" / name).read_bytes() == (run / "pictures" / name).read_bytes()


def test_a_hostile_checkpoint_leads_out_of_no_folder(root, tmp_path):
    for folder in ("../elsewhere", str(tmp_path / "elsewhere"), "lightning_logs/version_0"):
        evolution = FeatureEvolution(["0"], 3)
        evolution.load_state_dict({"metrics": "", "folder": folder})
        quiet(pl, tmp_path / "root", max_epochs=1, callbacks=[evolution]).fit(Net(), datamodule=Photos(root))
    assert {path.name for path in tmp_path.iterdir()} == {"root"}
    assert not (tmp_path / "root" / "lightning_logs").exists()


def test_the_callback_changes_nothing_of_a_training(root, tmp_path):
    """Shuffled and augmented training images, an augmented validation: the same weights with and without it."""

    def trained(*callbacks):
        pl.seed_everything(3, verbose=False)
        flips = v2.RandomHorizontalFlip()
        loaders = [DataLoader(photos(root, split, flips), 8, shuffle=True) for split in ("train", "val")]
        module = Net()
        quiet(pl, tmp_path, callbacks=[*callbacks]).fit(module, *loaders)
        return module.state_dict()

    plain, watched = trained(), trained(FeatureEvolution(folder=tmp_path / "run"))
    assert all(torch.equal(plain[name], watched[name]) for name in plain)


class Dictionaries(Dataset):
    """The images of another data set as items of a dictionary."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        image, label = self.dataset[index]
        return {"name": f"photo {index}", "image": image, "label": label}


class Streamed(IterableDataset):
    """The images of another data set, one after another."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        return iter([self.dataset[index] for index in range(len(self.dataset))])


class OfDictionaries(Net):
    def validation_step(self, batch, _):
        self(batch["image"])


def val_records(root, tmp_path, val, module=None, **arguments):
    """The records of the first epoch over another validation loader, and the run folder."""
    settings = {"max_epochs": 1, "num_sanity_val_steps": arguments.pop("sanity", 2)}
    settings |= arguments.pop("settings", {})
    loaders = train_loader(root), val
    run = fitted(tmp_path, loaders, module, arguments, **settings)
    return records(run, 1), run


@pytest.mark.parametrize(
    "loader, sanity",
    [
        (lambda data: DataLoader(data, 8, shuffle=True), 0),
        (lambda data: DataLoader(data, 8, shuffle=True), 2),
        (lambda data: DataLoader(data, batch_sampler=[[*range(0, IMAGES, 2)], [*range(1, IMAGES, 2)]]), 2),
        (lambda data: DataLoader(Streamed(data), 7), 0),
        (lambda data: DataLoader(data, 4, num_workers=1, persistent_workers=True, shuffle=True), 2),
    ],
    ids=["shuffled", "shuffled, after a sanity check", "batches", "iterable", "workers"],
)
def test_any_loader_gives_the_same_record(root, run, tmp_path, loader, sanity):
    got, _ = val_records(root, tmp_path, loader(photos(root, "val")), sanity=sanity)
    assert same(got, records(run, 1))


def grid(run, layer="0", epoch=1):
    return np.asarray(Image.open(run / "pictures" / "top9" / layer / f"epoch_{epoch:03d}.webp")).astype(int)


def test_batches_that_are_dictionaries_and_images_that_only_the_loader_makes(root, run, tmp_path):
    """Images are made by the collate function: the data set alone gives others, so those of the batches are kept."""
    data = Dictionaries(photos(root, "val"))

    def darker(items):
        batch = torch.utils.data.default_collate(items)
        return batch | {"image": batch["image"] * 0.5}

    module = OfDictionaries()
    got, _ = val_records(root, tmp_path, DataLoader(data, 8, collate_fn=darker), module)
    score, image = brute_force(module.model, 0.5 * torch.stack([item["image"] for item in data]), "0")
    torch.testing.assert_close(got["0.score"], score)
    assert torch.equal(got["0.image"], image)


def test_images_kept_from_batches_look_as_those_read_again(root, run, tmp_path):
    _, folder = val_records(root, tmp_path, DataLoader(Streamed(photos(root, "val")), 7), mean=MEAN, std=STD)
    difference = np.abs(grid(folder) - grid(run))
    assert difference.mean() < 0.5


def stepping(step):
    """A module whose validation step is step(module, images)."""

    class Stepping(Net):
        def validation_step(self, batch, batch_idx):
            step(self, batch[0])

    return Stepping()


def test_images_that_are_another_each_time_are_kept_as_the_net_saw_them(root, tmp_path):
    """Augmented at random in the data set, in index order."""
    passed = []
    module = stepping(lambda module, images: passed.append(images) or module(images))
    loaders = train_loader(root), DataLoader(photos(root, "val", v2.GaussianNoise()), 8)
    evolution = FeatureEvolution(["0"], 2, folder=tmp_path / "run")
    quiet(pl, tmp_path, max_epochs=1, num_sanity_val_steps=0, callbacks=[evolution]).fit(module, *loaders)
    items = evolution.run.images.store.items
    strongest = {
        int(index)
        for index in records(tmp_path / "run", 1)["0.image"][evolution.run.evolution.previous["0"].maps].unique()
    }
    assert items.keys() == strongest
    for index, item in items.items():
        torch.testing.assert_close(item.image.float(), torch.cat(passed)[index], atol=2e-3, rtol=2e-3)


def test_gray_images_half_of_the_batches_mixed_precision_and_accumulation(root, tmp_path):
    class Gray(Net):
        def __init__(self):
            super().__init__()
            self.model = small_net(1)

    gray = TensorDataset(torch.rand(20, 1, 24, 40), torch.arange(20) % 2)
    settings = {"precision": "bf16-mixed", "accumulate_grad_batches": 2, "limit_val_batches": 2}
    with pytest.warns(UserWarning, match="stretched from black to white"):
        run = fitted(tmp_path, (DataLoader(gray, 4), DataLoader(gray, 4)), Gray(), {"layers": None}, **settings)
    kept = records(run)
    assert {name.partition(".")[0] for name in kept} == {"1", "5"}  # the two convolutions, rectified
    assert set(kept["1.image"].unique().tolist()) == {-1, *range(8)}  # there are no nine
    assert convscope.read_run(run).remarks == []


@pytest.mark.parametrize(
    "settings, arguments, drawn",
    [
        ({"check_val_every_n_epoch": 2}, {}, [2, 4]),
        ({"val_check_interval": 2}, {}, [1, 2, 3, 4]),
        ({}, {"every_n_epochs": 3}, [3]),
        ({"val_check_interval": 3, "check_val_every_n_epoch": None}, {"epochs": [1, 4]}, [1, 4]),
    ],
)
def test_epochs_that_are_drawn(root, tmp_path, settings, arguments, drawn, capsys):
    run = fitted(tmp_path, Photos(root), None, arguments, max_epochs=4, limit_val_batches=2, **settings)
    assert sorted(int(path.stem[-3:]) for path in (run / "top9").iterdir()) == drawn
    epochs = "1 epoch" if len(drawn) == 1 else f"{len(drawn)} epochs"
    assert f" of 2 layers at {epochs}); less with maps, every_n_epochs, tile" in capsys.readouterr().out
    measured = columns(run)
    assert len(measured["epoch"]) == 4
    assert [int(epoch) for epoch, value in zip(measured["epoch"], measured["dead/0"], strict=True) if value] == drawn


def test_of_several_loaders_one_is_watched_by_number_or_by_name(root, run, tmp_path):
    first, second = (DataLoader(photos(root, split), 8) for split in ("train", "val"))
    by_number, _ = val_records(root, tmp_path / "a", [first, second], loader=1)
    by_name, _ = val_records(root, tmp_path / "b", {"seen": first, "unseen": second}, loader="unseen")
    assert same(by_number, records(run, 1)) and same(by_name, records(run, 1))
    with pytest.raises(
        UserError, match="loader='unsen' is no validation loader .did you mean unseen.*possible: 'seen'"
    ):
        val_records(root, tmp_path / "c", {"seen": first, "unseen": second}, loader="unsen")


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_a_compiled_module(root, run, tmp_path, whole):
    module = Net()
    if whole:
        module = torch.compile(module, backend="eager")
    else:
        module.model = torch.compile(module.model, backend="eager")
    got, _ = val_records(root, tmp_path, DataLoader(photos(root, "val"), 8), module)
    assert same(got, records(run, 1), 1e-4)


def test_a_step_that_shows_more_images_than_the_batch_has(root, run, tmp_path):
    """Each image beside its mirror image, in one pass."""
    module = stepping(lambda module, images: module(torch.cat([images, images.flip(3)])))
    with pytest.warns(UserWarning, match="a pass of its own"):
        got, _ = val_records(root, tmp_path, DataLoader(photos(root, "val"), 8), module)
    assert same(got, records(run, 1))


def test_a_step_that_passes_each_image_twice(root, run, tmp_path):
    module = stepping(lambda module, images: module(images) + module(images.flip(3)))
    got, _ = val_records(root, tmp_path, DataLoader(photos(root, "val"), 8), module)
    assert same(got, records(run, 1))


def test_a_module_without_forward_and_a_named_net(root, run, tmp_path):
    class Backbone(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.body, self.loss, self.rate = small_net(), nn.CrossEntropyLoss(), 0.05

        def training_step(self, batch, _):
            return self.loss(self.body(batch[0]), batch[1])

        def validation_step(self, batch, _):
            self.body(batch[0])

        configure_optimizers = Net.configure_optimizers

    loader = DataLoader(photos(root, "val"), 8)
    assert same(val_records(root, tmp_path / "a", loader, Backbone())[0], records(run, 1))
    assert same(
        val_records(root, tmp_path / "b", loader, Backbone(), net="body", layers=["body.0", "5"])[0], records(run, 1)
    )


def test_without_a_validation_there_is_a_warning(root, tmp_path):
    with pytest.warns(UserWarning, match="no validation pass"):
        fitted(tmp_path, Photos(root), max_epochs=1, limit_val_batches=0)
    assert list(tmp_path.iterdir()) == []


def test_images_that_the_device_makes_smaller(root, tmp_path):
    class Cropping(Net):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch[0][:, :, 4:28, 4:28], batch[1]

    module = Cropping()
    got, folder = val_records(root, tmp_path, DataLoader(photos(root, "val"), 8), module)
    images = torch.stack([image[:, 4:28, 4:28] for image, _ in photos(root, "val")])
    assert torch.equal(got["0.image"], brute_force(module.model, images, "0")[1]) and grid(folder).any()


def test_validate_and_test_draw_nothing(root, tmp_path):
    evolution = FeatureEvolution(folder=tmp_path / "run")
    trainer = quiet(pl, tmp_path, callbacks=[evolution])
    trainer.validate(Net(), datamodule=Photos(root), verbose=False)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_fails_is_a_warning_and_the_training_goes_on(root, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "top9").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="features of epoch 1 could not be drawn"):
        run = fitted(tmp_path, Photos(root))
    assert columns(run)["epoch"] == ["1", "2"] and "could not be drawn" in (run / "report/index.html").read_text()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"layers": "layer1"}, r"layers='layer1' is no list of names; type layers=\["),
        ({"layers": []}, "layers=\\[\\] names no layer"),
        ({"maps": 0}, "maps=0 is no number of maps"),
        ({"maps": {"0": 3}}, "maps=.*type the numbers of maps by layer"),
        ({"every_n_epochs": 0}, "every_n_epochs=0; take 1 or more"),
        ({"epochs": [0, 1]}, "epochs=.* count from 1"),
        ({"rule": "guide"}, "rule='guide' is unknown.*did you mean guided"),
        ({"mean": 0.5}, "mean= without std="),
        ({"mean": "gray", "std": 1}, "mean='gray' is not 1 or 3 numbers"),
        ({"mean": (0.1, 0.2), "std": (1, 1)}, r"mean=\(0.1, 0.2\) is not 1 or 3 numbers"),
        ({"mean": 0.5, "std": (1, 0, 1)}, r"std=\(1, 0, 1\) divides pixels, so it is above 0"),
        ({"mean": (123, 117, 104), "std": (58, 57, 57)}, "mean=.* is of pixels from 0 to 255"),
        ({"tile": 4}, "tile=4 is no side"),
    ],
)
def test_arguments_that_are_not_possible_end_before_anything_begins(arguments, message):
    with pytest.raises(UserError, match=message):
        FeatureEvolution(**arguments)


@pytest.mark.parametrize(
    "sanity, arguments, message",
    [
        (0, {"layers": ["layer9"]}, "no layer layer9 in this net"),
        (2, {"maps": {"0": [7]}, "layers": None}, "^maps: 0 has maps 0 to 5, not 7"),
        (0, {"layers": ["0", "5"], "maps": {"0": [1]}}, "maps names no maps of 5"),
        (2, {"net": "backbone"}, "net='backbone' is no module of Untrained; possible: model"),
        (2, {"loader": 1}, "loader=1 is no validation loader.*possible: 0"),
    ],
)
def test_arguments_that_do_not_suit_the_net_end_the_fit_before_its_first_step(
    root, tmp_path, arguments, message, sanity
):
    class Untrained(Net):
        def training_step(self, batch, _):
            raise AssertionError("the training has begun")

    with pytest.raises(UserError, match=message):
        fitted(tmp_path, Photos(root), Untrained(), arguments, num_sanity_val_steps=sanity)
    assert list(tmp_path.iterdir()) == []


class Named(Net):
    """Its forward takes a dictionary, as many a net of several inputs."""

    def forward(self, batch):
        return self.model(batch["image"])


def test_a_forward_that_takes_no_images_names_the_argument(root, tmp_path):
    with pytest.raises(UserError, match=r"FeatureEvolution\(net='model.backbone'\)"):
        fitted(tmp_path, Photos(root), Named(), {})


def test_a_net_that_has_diverged_is_drawn_without_images(root, tmp_path):
    module = Net()
    torch.nn.init.constant_(module.model[0].weight, torch.nan)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run = fitted(tmp_path, Photos(root), module, {"layers": ["0"], "folder": tmp_path / "run"}, max_epochs=1)
    assert not [str(warning.message) for warning in warned if "could not be drawn" in str(warning.message)]
    assert (records(run, 1)["0.image"] == -1).all()


def test_each_fit_has_a_folder_of_its_own(root, tmp_path):
    """Also with one callback, as in a cross-validation, within a second."""
    evolution = FeatureEvolution(["0"], 2)
    for _ in range(2):
        quiet(pl, tmp_path, max_epochs=1, callbacks=[evolution]).fit(Net(), datamodule=Photos(root))
    assert len(list((tmp_path / "convscope").iterdir())) == 2


def test_a_folder_that_holds_a_run_is_not_written_over(root, run, tmp_path):
    with pytest.raises(UserError, match="holds a run already; name another, leave folder out"):
        fitted(tmp_path, Photos(root), None, {"folder": run})


def of_own_process(root, folder, namespace, *words):
    """The run folder of tests/training/foreign.py as a program."""
    ended = python(
        ROOT / "tests/training/foreign.py",
        namespace,
        root,
        folder,
        *words,
        cwd=folder.parent,
        PYTHONPATH=f"{ROOT / 'src'}",
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.mark.slow
def test_the_other_namespace_of_lightning_gives_the_same_run(root, run, tmp_path):
    if importlib.util.find_spec("lightning") is None:
        pytest.skip("the package lightning is not installed; its namespace lightning.pytorch cannot be tried")
    got = of_own_process(root, tmp_path / "run", "lightning.pytorch")
    assert same(records(got), records(run))
