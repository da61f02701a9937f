"""job=annotate: which photographs are on its page, and what is refused."""

import json
import os
import re
from urllib.parse import unquote

import pytest
from PIL import Image

from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from convscope.report.run_list import RunList
from random_settings import composed


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for name in ("val/dog/b, 1.jpg", "val/cat/ü.png", "train/cat/1.JPG", "train/dog/2.tif"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), "red").save(root / name)
    return root


def annotation(folder, *words):
    """What the page of job=annotate holds."""
    JOBS["annotate"]({**composed(["job=annotate", *words]), "words": list(words)}, folder)
    (text,) = re.findall(r"window\.ANNOTATION = (\{.*\});", (folder / "annotate.html").read_text())
    return json.loads(text)


@pytest.mark.parametrize("data", ["images", "folder"])
def test_the_photographs_with_paths_from_the_root(photos, tmp_path, data):
    page = annotation(tmp_path / "run", f"data={data}", f"data.root={photos}", "annotate.parts=[a b,c]")
    (listed,) = RunList(tmp_path.resolve()).rows()
    assert (listed.job, listed.state) == ("annotate", "finished")
    assert page["root"] == str(photos) and [part["name"] for part in page["parts"]] == ["a b", "c", "object"]
    paths = [photo["path"] for photo in page["photographs"]]
    assert paths == ["train/cat/1.JPG", "train/dog/2.tif", "val/cat/ü.png", "val/dog/b, 1.jpg"]
    for photo in page["photographs"]:
        source = photo["source"]
        is_copy = photo["path"].endswith("tif")
        path = tmp_path / "run" / source if is_copy else unquote(source.removeprefix("file://"))
        assert Image.open(path).size == (photo["width"], photo["height"]) == (30, 20)
        assert is_copy or path == str(photos / photo["path"])


def test_copies_and_files_that_no_csv_can_name(photos, tmp_path, capsys):
    (photos / "val/dog/broken.jpg").write_bytes(b"\xff\xd8\xff")
    Image.new("RGB", (30, 20)).save(os.fsencode(photos) + b"/val/dog/\xff.png")
    page = annotation(tmp_path / "run", "data=images", f"data.root={photos}", "annotate.copy=true", "data.limit=6")
    assert len(page["photographs"]) == 4 == len(list((tmp_path / "run/photographs").glob("*.jpg")))
    output = "".join(capsys.readouterr())
    assert "broken.jpg is left out" in output and "its name is no UTF-8" in output


def test_without_a_folder_the_page_asks_for_it(tmp_path, capsys):
    assert annotation(tmp_path / "run")["photographs"] == []
    assert "choose the folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data=digits"], "data=digits has no files"),
        (["data=images"], "type data.root="),
        (["annotate.parts=[a,'a ']"], r"annotate\.parts has a twice"),
        (["annotate.boxes=['']"], r"annotate\.boxes has an empty name"),
        (["annotate.parts=3"], r"annotate\.parts=3"),
    ],
)
def test_refusals_leave_no_folder(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        annotation(tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_no_images_that_can_be_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="no image that can be read"):
        annotation(tmp_path / "run", "data=images", f"data.root={tmp_path}")
