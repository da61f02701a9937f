"""PASCAL VOC 2012 as torchvision keeps it: classes, targets, labels, and what is wrong with a folder."""

import pickle

import numpy as np
import pytest
import torch
from torchvision.datasets import VOCDetection

from convscope.data.batches import Crops, CropSettings
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import limited
from convscope.data.voc import voc2012
from convscope.errors import UserError
from data.shapes_set import CLASSES, flag, tiny_voc


@pytest.fixture
def voc(tmp_path):
    drawn, devkit = tiny_voc(tmp_path)
    return tmp_path, drawn, devkit


def message(root, **options):
    with pytest.raises(UserError) as caught:
        voc2012(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def plain(devkit):
    return list((devkit / "ImageSets/Main").glob("*_*.txt"))


def test_classes_images_and_targets(voc):
    root, drawn, devkit = voc
    for place in (root, root / "VOCdevkit", devkit):
        source = voc2012(place)
        assert source.classes == CLASSES and len(source.train.paths) == 24 and len(source.val.paths) == 16
        for split in (source.train, source.val):
            expected = [[flag(drawn[path.stem], name) for name in CLASSES] for path in split.paths]
            assert split.targets.tolist() == expected and split.targets.dtype == np.int8
    assert {-1, 0, 1} == set(source.train.targets.flatten().tolist())


def test_torchvision_reads_the_same_objects(voc):
    root, _, _ = voc
    theirs, ours = VOCDetection(root, year="2012", image_set="val"), voc2012(root).val
    assert theirs.images == list(map(str, ours.paths))
    for (_, expected), targets in zip(theirs, ours.targets, strict=True):
        names = {item["name"] for item in expected["annotation"]["object"]}
        assert names == {name for name, flag in zip(CLASSES, targets, strict=True) if flag >= 0}


def test_the_label_is_the_largest_object_that_is_not_difficult(voc):
    root, drawn, _ = voc
    split = voc2012(root).train
    for path, label in zip(split.paths, split.labels, strict=True):
        clear = [item for item in drawn[path.stem] if not item.difficult]
        areas = {item.name: (item.box[2] - item.box[0]) * (item.box[3] - item.box[1]) for item in clear}
        largest = max(item.box[2] - item.box[0] for item in clear) ** 2
        assert any(item.name == CLASSES[label] and (item.box[2] - item.box[0]) ** 2 == largest for item in clear), areas


def test_annotations_alone_and_class_files_alone_say_the_same(voc):
    root, _, devkit = voc
    both = voc2012(root)
    texts = {path: path.read_text() for path in plain(devkit)}
    for path in texts:
        path.unlink()
    alone = voc2012(root)
    assert alone.classes == both.classes and np.array_equal(alone.train.targets, both.train.targets)
    for path, text in texts.items():
        path.write_text(text)
    for path in (devkit / "Annotations").iterdir():
        path.unlink()
    files = voc2012(root)
    assert np.array_equal(files.val.targets, both.val.targets)
    assert files.val.labels.tolist() == files.val.targets.argmax(1).tolist()  # the first class that is shown


def test_targets_go_with_their_images(voc):
    root, _, _ = voc
    source = voc2012(root)
    subset = limited(source.train, 9, 3)
    assert len(subset.targets) == 9
    for path, row in zip(subset.paths, subset.targets, strict=True):
        assert row.tolist() == source.train.targets[source.train.paths.index(path)].tolist()


@pytest.mark.parametrize("gib", [8.0, 0.0])  # decoded once, or in every epoch
def test_batches_carry_targets_and_a_lost_image_shifts_none(voc, tmp_path, gib):
    root, _, _ = voc
    source = voc2012(root)
    source.train.paths[5].write_bytes(b"no image")
    settings = DataSettings(56, 7, cache_dir=str(tmp_path / "cache"), cache_gib=gib, on_bad_image="skip", workers=0)
    data = ImageData(source, settings)
    expected = np.delete(source.train.targets, 5, axis=0)
    assert data.several and data.size("train") == 23
    batches = list(data.train_dataloader())
    for batch in batches:
        assert np.array_equal(batch.targets.numpy(), expected[batch.index.numpy()])
    assert np.array_equal(data.targets("train", [4, 5]).numpy(), expected[[4, 5]])
    assert sum(len(batch.targets) for batch in batches) == 23


def test_targets_travel_to_a_process_that_does_not_fork(voc, tmp_path):
    root, _, _ = voc
    data = ImageData(voc2012(root), DataSettings(56, 4, cache_dir=str(tmp_path / "cache")))
    crops = Crops(data._store("val").split, CropSettings(56, 64))
    again = pickle.loads(pickle.dumps(crops))
    batch, batch_again = crops.__getitems__([3, 1]), again.__getitems__([3, 1])
    assert torch.equal(batch.targets, batch_again.targets) and torch.equal(batch.image, batch_again.image)


def test_what_is_missing_is_named(voc, tmp_path):
    root, _, devkit = voc
    assert "data=voc2012 needs a place: type data.root=" in message(None)
    nothing = message(tmp_path / "nothing")
    assert "no PASCAL VOC 2012 in" in nothing and "data.download=true to fetch 2 GB" in nothing
    (devkit / "ImageSets/Main/dog_val.txt").rename(devkit / "away")
    assert "dog_val.txt is missing, other classes have theirs" in message(root)
    (devkit / "ImageSets/Main/val.txt").unlink()
    assert "val.txt is missing or empty; it lists the images of val" in message(root)


def test_a_failed_download_is_told_in_one_line(tmp_path):
    (tmp_path / "file").touch()  # no folder can be made there, so nothing is asked of the network
    assert "PASCAL VOC 2012 could not be fetched into" in message(tmp_path / "file/inside", download=True)


def test_a_class_file_that_disagrees_is_named(voc):
    root, _, devkit = voc
    path = devkit / "ImageSets/Main/dog_train.txt"
    lines = path.read_text().splitlines()
    name, old_flag = lines[2].split()
    new_flag = "-1" if old_flag == "1" else "1"
    path.write_text("\n".join([*lines[:2], f"{name} {new_flag}", *lines[3:]]))
    expected = message(root)
    assert (
        f"dog_train.txt says {new_flag} of {name}, its Annotations say {old_flag}" in expected
        and "mend one of them" in expected
    )
    path.write_text("\n".join(lines[1:]))
    assert f"dog_train.txt says nothing of {lines[0].split()[0]}; of each image it says 1 (shown)" in message(root)
    path.write_text("\n".join([f"{lines[0].split()[0]} yes", *lines[1:]]))
    assert "yes; of each image it says 1" in message(root)


def test_an_image_without_any_object_is_named(voc):
    root, drawn, devkit = voc
    name = list(drawn)[3]
    for path in plain(devkit):
        path.unlink()
    (devkit / f"Annotations/{name}.xml").write_text("<annotation></annotation>")
    assert f"image {name} of train shows no object of any class (1 such images)" in message(root)
    (devkit / f"Annotations/{name}.xml").write_text("<annotation>")
    assert f"{name}.xml cannot be read" in message(root)
    (devkit / f"Annotations/{name}.xml").write_text("<annotation><object><name>dog</name></object></annotation>")
    assert f"{name}.xml cannot be read" in message(root)


def test_one_class_is_none_to_tell_apart(voc):
    root, _, devkit = voc
    for path in plain(devkit):
        path.unlink()
    for path in (devkit / "Annotations").iterdir():
        path.unlink()
    assert "names 0 classes; needed are ImageSets/Main/<class>_train.txt" in message(root)
