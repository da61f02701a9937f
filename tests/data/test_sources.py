"""The data sets, and what a wrong folder is told."""

import numpy as np
import pytest
from PIL import Image
from torchvision.models import Swin_T_Weights

from convscope.data import sources
from convscope.data.classnames import imagenet
from convscope.data.sources import Files, Pixels, limited
from convscope.errors import UserError


def put(path, color=(200, 30, 30), size=(24, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


@pytest.fixture
def photos(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for name in ("cat", "ant", "bee"):
            for number in range(count):
                put(tmp_path / split / name / f"{number}.jpg")
    return tmp_path


def message(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folder_sorts_classes_and_files(photos):
    put(photos / "train/bee/deep/er/x.PNG")
    put(photos / "train/bee/.hidden.jpg")
    (photos / "train/bee/notes.txt").write_text("no image")
    (photos / "train/.ipynb_checkpoints").mkdir()
    source = sources.folder(str(photos))
    assert source.classes == ["ant", "bee", "cat"]
    assert [path.relative_to(photos / "train").as_posix() for path in source.train.paths] == [
        *(f"ant/{n}.jpg" for n in range(3)), *(f"bee/{n}.jpg" for n in range(3)), "bee/deep/er/x.PNG",
        *(f"cat/{n}.jpg" for n in range(3)),
    ]  # fmt: skip
    assert source.train.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 3 and source.train.labels.dtype == np.int64
    assert source.val.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_folder_takes_test_where_there_is_no_val(photos):
    (photos / "val").rename(photos / "test")
    assert len(sources.folder(photos).val.paths) == 6


def test_classes_csv_gives_names(photos):
    (photos / "classes.csv").write_text("index,wnid,name\n0,ant,an ant\n2,cat,the cat\n")
    assert sources.folder(photos).classes == ["an ant", "bee", "the cat"]
    (photos / "classes.csv").write_text("wnid,name\nant,pet\ncat,pet\n")
    assert sources.folder(photos).classes == ["pet (ant)", "bee", "pet (cat)"]
    (photos / "classes.csv").write_text("ant,pet\n")
    assert "classes.csv has no column wnid, name; its columns: ant, pet; needed: a first line wnid,name" in message(
        sources.folder, photos
    )


def test_folder_problems_say_what_to_type(photos, tmp_path):
    assert "type data.root=" in message(sources.folder, None)
    assert "data.root=/nowhere is no folder" in message(sources.folder, "/nowhere")
    assert "name one that holds images" in message(sources.images, "/nowhere")
    (tmp_path / "empty").mkdir()
    assert "has no folder train (it holds nothing); needed: train/<class>/" in message(
        sources.folder, tmp_path / "empty"
    )
    (tmp_path / "bare/train/a").mkdir(parents=True)
    assert "has no images in class folders" in message(sources.folder, tmp_path / "bare")
    put(tmp_path / "bare/train/a/1.jpg")
    assert "has only one class, a; a classifier needs two" in message(sources.folder, tmp_path / "bare")
    (tmp_path / "bare/train/b").mkdir()
    assert "has class folders without images: b" in message(sources.folder, tmp_path / "bare")
    put(tmp_path / "bare/train/b/1.jpg")
    assert "has no folder val or test (it holds train)" in message(sources.folder, tmp_path / "bare")
    put(tmp_path / "bare/val/1.jpg")
    assert "val has no class folders; sort its images" in message(sources.folder, tmp_path / "bare")
    for name in "ab":
        (tmp_path / "bare/val" / name).mkdir()
    assert "has no images in its class folders" in message(sources.folder, tmp_path / "bare")


def test_val_classes_that_differ_are_named(photos):
    (photos / "val/cat").rename(photos / "val/dog")
    told = message(sources.folder, photos)
    assert "train and val need the same class folders; only in train: cat; only in val: dog" in told


def test_a_thousand_ids_get_imagenets_names(tmp_path):
    for wnid in imagenet():
        for split in ("train", "val"):
            folder = tmp_path / split / wnid
            folder.mkdir(parents=True)
            (folder / "x.JPEG").touch()
    classes = sources.imagenet(tmp_path).classes
    assert classes[0] == "tench" and classes[-1] == "toilet tissue" and len(set(classes)) == 1000


def test_the_ids_of_imagenet_are_those_of_timm_and_the_names_those_of_torchvision():
    info = pytest.importorskip("timm.data").ImageNetInfo("imagenet-1k")
    assert list(imagenet()) == [info.index_to_label_name(number) for number in range(1000)]
    assert list(imagenet().values()) == list(Swin_T_Weights.IMAGENET1K_V1.meta["categories"])
    for (wnid, name), number in zip(imagenet().items(), range(1000), strict=True):
        assert info.index_to_description(number).split(",")[0].split()[0] == name.split()[0].rstrip(","), wnid


def test_ids_of_any_part_of_imagenet_get_their_names(tmp_path):
    dogs = {"n02085620": "Chihuahua", "n02099601": "golden retriever", "n00007846": "n00007846"}  # the last: no class
    for wnid in dogs:
        for split in ("train", "val"):
            put(tmp_path / split / wnid / "1.JPEG")
    source = sources.folder(tmp_path)
    assert source.classes == [dogs[wnid] for wnid in sorted(dogs)] and source.folders == sorted(dogs)


def test_any_images_in_folders_of_imagenets_ids_have_these_classes(tmp_path):
    for wnid in ("n02099601", "n02085620"):
        for number in range(3 if wnid.endswith("1") else 2):
            put(tmp_path / wnid / "inside" / f"{number}.png")
    source = sources.images(tmp_path)
    assert source.classes == ["Chihuahua", "golden retriever"] and source.val.labels.tolist() == [0, 0, 1, 1, 1]
    assert [path.parts[-3] for path in source.val.paths] == ["n02085620"] * 2 + ["n02099601"] * 3
    put(tmp_path / "more.png")
    assert sources.images(tmp_path).classes == ["unlabeled"]


def test_folders_of_imagenets_ids_may_lie_deeper_but_in_one_place(tmp_path):
    for wnid in ("n02099601", "n02085620"):
        put(tmp_path / "val" / wnid / "inside" / "1.png")
    source = sources.images(tmp_path)
    assert source.classes == ["Chihuahua", "golden retriever"] and source.val.labels.tolist() == [0, 1]
    put(tmp_path / "train" / "n02099601" / "1.png")
    assert sources.images(tmp_path).classes == ["unlabeled"]


def test_limit_is_balanced_and_repeatable():
    labels = np.repeat(np.arange(4), [50, 50, 50, 3])
    split = Files([f"{n}.jpg" for n in range(len(labels))], labels)
    some = limited(split, 23, seed=1)
    assert np.bincount(some.labels).tolist() == [7, 7, 6, 3]
    assert [split.labels[int(path[:-4])] for path in some.paths] == some.labels.tolist()
    assert some.paths == limited(split, 23, seed=1).paths != limited(split, 23, seed=2).paths
    assert limited(split, None, 1) is split and limited(split, 1000, 1) is split
    pixels = limited(Pixels(np.arange(153), labels), 23, 1)
    assert [f"{n}.jpg" for n in pixels.images] == some.paths
