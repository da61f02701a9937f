"""The page on which parts are marked, in a real browser: what is clicked is where the jobs look."""

import csv
import io
import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from convscope.data.annotations import read_boxes
from convscope.data.masked_images import images_of_csv
from convscope.data.module import ImageData
from convscope.data.part_annotations import photographs_with_parts
from convscope.data.settings import DataSettings
from convscope.data.sources import images as image_files
from convscope.report.annotation_page import Photograph, write_annotation_page
from convscope.runs.csv_reader import read_csv
from random_settings import done_or_refused
from report.on_screen import on_paper, screen

COLORS = {"left eye": (255, 0, 0), "right eye": (0, 255, 0), "nose": (0, 0, 255)}
GROUND = (255, 0, 255)  # of the object, on grey
NEAR = 60  # levels by which a pixel of a jpeg may differ from its color
SIZE = 64  # pixels of the net's input


def scene(width, height, seed):
    """A grey photograph with an object and a disc of each color on it, within its central square."""
    draw, side = np.random.default_rng(seed), min(width, height)
    photo = Image.new("RGB", (width, height), (128, 128, 128))
    pen, left, top = ImageDraw.Draw(photo), (width - side) // 2, (height - side) // 2
    x0, y0 = left + side * draw.uniform(0.1, 0.2), top + side * draw.uniform(0.1, 0.2)
    pen.rectangle((round(x0), round(y0), round(x0 + 0.7 * side), round(y0 + 0.6 * side)), GROUND)
    for number, color in enumerate(COLORS.values()):
        x, y = x0 + side * (0.12 + 0.22 * number), y0 + side * draw.uniform(0.15, 0.45)
        pen.ellipse([x - side / 14, y - side / 14, x + side / 14, y + side / 14], color)
    return photo


def stored_turned(photo, orientation):
    """The pixels and the EXIF of a file that shows the photograph when it is turned as EXIF says."""
    exif = Image.Exif()
    exif[274] = orientation
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    return photo.transpose(back), exif


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photographs that browsers show, turn or do not know, with names that csv files and addresses have to quote."""
    root = tmp_path_factory.mktemp("my photos")
    for folder in ("val/Füchse, 2", "val/cat"):
        (root / folder).mkdir(parents=True)
    turned, exif = stored_turned(scene(300, 220, 1), 6)
    turned.save(root / "val/Füchse, 2/A 1.JPG", exif=exif, quality=95)
    scene(150, 200, 2).save(root / 'val/cat/b#1 "q" 50%.png')
    scene(1600, 1200, 3).save(root / "val/cat/large.jpg", quality=95)
    scene(40, 36, 4).save(root / "val/cat/small.png")
    turned, exif = stored_turned(scene(240, 200, 5), 8)
    turned.save(root / "val/cat/turned.webp", exif=exif, quality=95)
    scene(220, 220, 6).save(root / "val/cat/unknown.tif")
    return root


@pytest.fixture
def annotate(opened, tmp_path):
    """annotate(words) runs job=annotate and opens its page."""

    def run(*words):
        assert done_or_refused(["job=annotate", *map(str, words)], tmp_path / "run") == "done"
        return opened(tmp_path / "run/annotate.html")

    return run


@pytest.fixture
def plain(opened, tmp_path):
    """plain(count) opens a page of photographs of 200 x 100 pixels. last: the size of the last one."""

    def write(count=3, last=(200, 100)):
        photographs = []
        for number in range(count):
            size = last if number == count - 1 else (200, 100)
            Image.new("RGB", size, (90, 90, 90 + number)).save(tmp_path / f"{number}.png")
            photographs.append(Photograph(f"{number}.png", (tmp_path / f"{number}.png").as_uri(), *size))
        page = opened(write_annotation_page(tmp_path / "p.html", photographs, tmp_path, ["eye", "nose"], ["animal"]))
        return shown(page)

    return write


def shown(page):
    """The page when its photograph is on the screen."""
    expect(page.locator("#photo")).to_be_visible()
    return page


def on_screen(page, color):
    """x, y of the middle of what has a color on the photograph, and x0, y0, x1, y1, in pixels of the screen."""
    pixels, box = screen(page.locator("#photo")), page.locator("#photo").bounding_box()
    rows, columns = np.nonzero((abs(pixels - np.array(color)) < NEAR).all(2))
    corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    middle = [columns.mean() + 0.5, rows.mean() + 0.5]
    return [float(value) + box["xy"[place % 2]] for place, value in enumerate([*middle, *corners])]


def drag(page, x0, y0, x1, y1):
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1)
    page.mouse.up()


def at(page, x, y):
    """A place of the photograph, as shares of its sides, on the screen."""
    box = page.locator("#photo").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def saved(page, name, folder):
    """Saves parts.csv or boxes.csv into the folder."""
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save {name}").click()
    assert download.value.suggested_filename == name
    download.value.save_as(folder / name)
    return folder / name


def status(page, text):
    expect(page.locator("#status")).to_contain_text(text)


def mark_all(page, count):
    """Marks what the colors show on so many photographs."""
    for number in range(count):
        expect(page.locator("#number")).to_have_value(str(number + 1))
        shown(page)
        discs = [on_screen(page, color)[:2] for color in COLORS.values()]
        corners = on_screen(page, GROUND)[2:]
        for disc in discs:
            page.mouse.click(*disc)
        drag(page, *corners)
        status(page, "All parts are marked")
        page.keyboard.press("n")


def test_clicks_and_drags_are_where_the_jobs_look(annotate, photos, tmp_path, cache):
    page = annotate("data=images", f"data.root='{photos}'")
    mark_all(page, 6)
    expect(page.locator("#counts")).to_have_text("4 of 4 parts · 6 of 6 photographs complete")
    parts, boxes = saved(page, "parts.csv", photos), saved(page, "boxes.csv", photos)
    settings = DataSettings(image_size=SIZE, batch_size=8, workers=0, cache_dir=str(cache))
    data = ImageData(image_files(photos), settings)
    marked = photographs_with_parts(data, str(parts), {}, None, 0)
    assert marked.parts == list(COLORS) and len(marked.names) == 6
    discs = images_of_csv(data, str(parts), 6, 0, radius=2)
    for masks, image in zip(discs.draw(list(range(6))), discs.read(list(range(6)))[1].numpy(), strict=True):
        for mask, color in zip(masks, COLORS.values(), strict=True):
            assert np.abs(image[:, mask].mean(1) - color).max() < 30
    for place, image in zip(marked.places.numpy(), marked.pixels.numpy(), strict=True):
        for (x, y), color in zip(place, COLORS.values(), strict=True):
            rows, columns = np.nonzero((abs(image.transpose(1, 2, 0).astype(int) - color) < 90).all(2))
            assert abs(columns.mean() + 0.5 - x) < 0.7 and abs(rows.mean() + 0.5 - y) < 0.7
    around = read_boxes(boxes, SIZE)
    images = data.read(around.paths)[1].numpy()
    for (x0, y0, x1, y1), image in zip(around.boxes, images, strict=True):
        rows, columns = np.nonzero((abs(image.astype(int) - 128) > 50).any(0))
        assert np.allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], [x0, y0, x1, y1], atol=1.2)
    page.get_by_label("with whole paths").check()
    elsewhere = saved(page, "parts.csv", tmp_path)
    expect(page.locator("#after code").first).to_contain_text("job=correspond")
    for number, words in enumerate([
        ["job=correspond", f"correspond.parts={elsewhere}", "correspond.layers=[conv1]", "correspond.images=2"],
        ["job=dissect", f"dissect.parts={elsewhere}", "dissect.layers=[conv1]", "dissect.shuffles=1"],
        ["job=occlude", f"occlude.boxes='{boxes}'", "occlude.images=1", "occlude.size=32", "occlude.stride=32",
         "occlude.projections=false", "occlude.scored=2", "occlude.searched=2"],
    ]):  # fmt: skip
        small = ["data=images", f"data.root='{photos}'", f"data.image_size={SIZE}", f"data.cache_dir={cache}"]
        small += ["model.width=0.05", "data.workers=0", "trainer.accelerator=cpu"]
        assert done_or_refused([*words, *small], tmp_path / str(number)) == "done"


def test_a_folder_is_chosen_on_the_page(annotate, photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "my folder", ignore=shutil.ignore_patterns("*.csv"))
    page = annotate()
    expect(page.locator("#start")).to_be_visible()

    def choose():
        page.locator("#folder").set_input_files(folder)
        expect(page.locator("#count")).to_have_text("6")

    choose()
    shown(page)
    names = page.evaluate("work.annotation.photographs.map(({ path }) => path)")
    assert set(names) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    for name, words in [("val/cat/turned.webp", "is turned by its EXIF"), ("val/cat/unknown.tif", "cannot show")]:
        page.locator("#number").fill(str(names.index(name) + 1))
        page.locator("#number").press("Enter")
        expect(page.locator("#trouble")).to_contain_text(words)
        expect(page.locator("#trouble")).to_contain_text("data=images 'data.root=/where/it/is/my folder' makes")
        expect(page.locator("#photo")).to_be_hidden()
    turned = names.index("val/cat/turned.webp")
    onward = "document.getElementById('image').addEventListener('load', () => step(-1), { once: true })"
    page.evaluate(f"{onward}; show({turned})")  # onward before it is known that it is turned
    expect(page.locator("#path")).to_have_text(names[turned - 1])
    page.evaluate(f"isStoredTurned(work.annotation.photographs[{turned}].file)")
    expect(shown(page).locator("#trouble")).to_be_hidden()
    page.locator("#number").fill(str(names.index("val/Füchse, 2/A 1.JPG") + 1))
    page.locator("#number").press("Enter")
    shown(page)
    page.mouse.click(*on_screen(page, COLORS["left eye"])[:2])
    page.reload()
    choose()
    expect(page.locator("#path")).to_have_text("val/Füchse, 2/A 1.JPG")
    expect(page.locator(".mark.point")).to_have_count(1)
    rows = list(csv.DictReader(saved(page, "parts.csv", folder).open(encoding="utf-8")))
    assert [row["path"] for row in rows] == ["val/Füchse, 2/A 1.JPG"]
    expect(page.locator("#after")).to_contain_text("into the folder my folder (its paths begin there)")
    expect(page.locator("#after code").first).to_contain_text("'correspond.parts=/where/it/is/my folder/parts.csv'")
    page.reload()
    page.locator("#files").set_input_files(folder / "val/cat/large.jpg")
    page.mouse.click(*at(shown(page), 0.5, 0.5))
    assert [row["path"] for row in csv.DictReader(saved(page, "parts.csv", tmp_path).open())] == ["large.jpg"]
    expect(page.locator("#after")).to_contain_text("into the folder of the photographs (its paths begin there)")
    expect(page.locator("#after code").first).to_contain_text(" correspond.parts=/where/it/is/parts.csv")


def test_marks_of_a_changed_photograph_come_back(opened, tmp_path):
    page = opened(write_annotation_page(tmp_path / "p.html", [], None, ["eye", "nose"], []))
    file, color = tmp_path / "photos/1.png", (90, 90, 90)
    file.parent.mkdir()
    Image.new("RGB", (200, 100), color).save(file.with_name("2.png"))

    def choose(photograph):
        photograph.save(file)
        page.reload()
        page.locator("#folder").set_input_files(file.parent)
        shown(page)

    def marks():
        return [mark["part"] for mark in page.evaluate("marksOf()")]

    def parts():
        return page.locator("#parts .choice span").all_inner_texts()

    def mark_second(share):
        page.keyboard.press("n")
        page.keyboard.press("1")
        page.mouse.click(*at(shown(page), share, 0.5))
        status(page, "eye at")
        page.keyboard.press("p")
        shown(page)

    one, other = Image.new("RGB", (200, 100), color), scene(200, 100, 1)
    choose(one)
    page.mouse.click(*at(page, 0.5, 0.5))
    page.mouse.click(*at(page, 0.2, 0.5))
    choose(other)
    status(page, "1 photograph changed since: earlier marks are set aside, and Undo brings them back.")
    assert marks() == []
    page.get_by_role("button", name="Rename nose").click()
    page.get_by_role("button", name="Remove part").click()
    mark_second(0.3)
    choose(other)  # it still has no marks of its own
    page.get_by_role("button", name="Undo").click()
    assert marks() == parts() == ["eye", "nose"]
    page.get_by_role("button", name="Redo").click()
    assert marks() == [] and parts() == ["eye"]
    page.mouse.click(*at(page, 0.8, 0.8))
    choose(one)
    status(page, "Photograph 1 of 2. All parts are marked")
    assert marks() == parts() == ["eye", "nose"]
    mark_second(0.5)
    choose(other)
    assert marks() == ["eye"]
    mark_second(0.7)
    edited = other.rotate(180)
    choose(edited)
    page.get_by_role("button", name="Undo").click()
    for photograph in (edited, other):
        choose(photograph)
        assert marks() == ["eye"]
    page.get_by_role("button", name="Clear photograph").click()
    load(page, "path,part,x,y\n0.png,nose,1,2\n")
    status(page, "marks of 1 photograph that are not on this page are kept")
    other.save(file.with_name("0.png"))
    choose(other)
    assert marks() == []
    page.keyboard.press("p")
    assert marks() == ["nose"]


def test_two_tabs_share_their_marks(plain, context):
    page = plain(2)
    other = context.new_page()
    other.goto(page.url)
    shown(other)
    page.bring_to_front()
    page.mouse.click(*at(page, 0.5, 0.5))
    page.mouse.click(*at(page, 0.2, 0.5))
    status(other, "Marks of another tab are taken over.")
    expect(other.locator(".mark.point")).to_have_count(2)
    other.bring_to_front()
    other.keyboard.press("n")
    other.mouse.click(*at(shown(other), 0.5, 0.5))
    expect(page.locator("#counts")).to_have_text("2 of 3 parts · 0 of 2 photographs complete, 2 begun")
    expect(page.locator("#undo")).to_be_disabled()  # what the other tab did can be undone there
    page.bring_to_front()
    newer = page.evaluate("JSON.stringify({ marking: { ...work.marking, marks: {} } })")
    page.evaluate("newer => localStorage.setItem(MEMORY.marking + work.annotation.folder, newer)", newer)
    page.keyboard.press("n")  # stores no marks
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")  # gone back to it
    expect(page.locator(".mark.point")).to_have_count(0)
    expect(other.locator(".mark.point")).to_have_count(0)
    other.bring_to_front()
    other.keyboard.press("z")
    status(other, "Nothing more to undo")


def test_the_keyboard_alone_is_enough(plain):
    page = plain(last=(100, 50))
    page.locator("#stage").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#cross")).to_be_visible()
    for key in ["ArrowRight"] * 5 + ["ArrowDown"] * 3 + ["Enter"]:
        page.keyboard.press(key)
    status(page, "eye at 120, 62. Next: nose")
    page.keyboard.press("3")
    for key in ["Enter", "ArrowLeft", "ArrowLeft", "ArrowUp", "Enter", "Escape"]:
        page.keyboard.press(key)
    status(page, "")
    marks = page.evaluate("marksOf()")
    assert marks == [{"part": "eye", "x": 120, "y": 62}, {"part": "animal", "x": 112, "y": 58, "x1": 120, "y1": 62}]
    page.keyboard.press("ArrowRight")
    expect(page.locator("#number")).to_have_value("2")
    for back, forth in [("z", "Shift+Z"), ("Control+z", "Control+y"), ("Z", "Shift+z"), ("Control+Z", "Control+Y")]:
        page.keyboard.press(back)  # Z without Shift: CapsLock
        expect(page.locator("#number")).to_have_value("1")
        expect(page.locator(".mark.corner")).to_have_count(0)
        page.keyboard.press(forth)
        expect(page.locator(".mark.corner")).to_have_count(4)
    page.locator(".mark.point").focus()
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator(".mark.point")).to_be_focused()
    moved = page.evaluate("[marksOf()[0].x, stage.scale]")
    assert moved[0] == pytest.approx(120 - 10 / moved[1], abs=0.06)
    page.keyboard.press("Delete")
    assert [mark["part"] for mark in page.evaluate("marksOf()")] == ["animal"]
    page.keyboard.press("u")
    expect(page.locator("#number")).to_have_value("2")
    shown(page)
    for key in ["Enter", "ArrowRight", "ArrowDown", "n"]:
        page.keyboard.press(key)
    shown(page)
    page.keyboard.press("Enter")
    status(page, "eye at 100, 50. Next: nose")  # the corner of a smaller photograph


def test_marks_are_moved_and_stay_on_the_photograph(plain):
    page = plain(1)
    page.mouse.click(*at(page, 0.25, 0.5))
    page.keyboard.press("3")
    drag(page, *at(page, 0.5, 0.2), *at(page, 0.8, 0.7))
    drag(page, *at(page, 0.25, 0.5), *at(page, 0.35, 0.4))
    drag(page, *at(page, 0.8, 0.7), *at(page, 1.4, 0.9))
    animal, eye = sorted(page.evaluate("marksOf()"), key=lambda mark: mark["part"])
    assert [eye["x"], eye["y"]] == pytest.approx([70, 40], abs=0.5)
    assert [animal[key] for key in ("x", "y", "x1", "y1")] == pytest.approx([100, 20, 200, 90], abs=0.5)
    title = page.locator(".mark.title span").bounding_box()
    place = title["x"] + 5, title["y"] + 5
    drag(page, *place, place[0] - 2000, place[1] + 2000)
    animal = next(mark for mark in page.evaluate("marksOf()") if mark["part"] == "animal")
    assert [animal[key] for key in ("x", "y", "x1", "y1")] == pytest.approx([0, 30, 100, 100], abs=0.5)
    page.keyboard.press("3")
    page.mouse.click(*at(page, 0.9, 0.5))  # a click is no box
    status(page, "animal is a box: drag")
    page.mouse.move(*at(page, 0.9, 0.25))
    page.mouse.wheel(0, -600)
    expect(page.locator("#zoom")).not_to_have_text("100 %")
    page.keyboard.press("2")
    page.mouse.click(*at(page, 0.9, 0.25))
    nose = next(mark for mark in page.evaluate("marksOf()") if mark["part"] == "nose")
    assert [nose["x"], nose["y"]] == pytest.approx([180, 25], abs=0.3)


def test_parts_are_added_renamed_and_removed(plain):
    page = plain(2)
    page.mouse.click(*at(page, 0.5, 0.5))
    page.locator("#name").fill("<b>Öhr, links</b>")
    page.get_by_role("button", name="+ point").click()
    page.mouse.click(*at(page, 0.2, 0.2))
    page.get_by_role("button", name="Rename eye").click()
    page.get_by_role("textbox", name="New name of eye").fill("nose")
    page.keyboard.press("Enter")
    status(page, "There is a point nose already")
    page.get_by_role("button", name="Rename eye").click()
    page.get_by_role("textbox", name="New name of eye").fill("iris")
    page.keyboard.press("Enter")
    assert [mark["part"] for mark in page.evaluate("marksOf()")] == ["iris", "<b>Öhr, links</b>"]
    page.get_by_role("button", name="Rename iris").click()
    page.get_by_role("button", name="Remove part").click()
    assert [mark["part"] for mark in page.evaluate("marksOf()")] == ["<b>Öhr, links</b>"]
    page.get_by_role("button", name="Remove <b>Öhr, links</b> from this photograph").click()
    assert page.evaluate("marksOf()") == [] and page.locator("#parts li").count() == 3
    page.get_by_label("next photograph when all").check()
    page.get_by_role("button", name="Undo").click()
    page.keyboard.press("1")
    page.mouse.click(*at(page, 0.7, 0.7))
    page.keyboard.press("2")
    drag(page, *at(page, 0.1, 0.1), *at(page, 0.9, 0.9))
    expect(page.locator("#number")).to_have_value("2")


def load(page, text, name="old.csv"):
    page.locator("#csv").set_input_files([{"name": name, "mimeType": "text/csv", "buffer": text.encode()}])


def test_an_earlier_csv_is_taken_up_and_saved_again(plain, tmp_path):
    page = plain()
    page.mouse.click(*at(page, 0.5, 0.5))
    wide = f".\\0.png;10,5;20;;;1\n{tmp_path}/1.png;3;4;5;6;0\nfar/9.png;1;2;;;1\n"
    load(page, f"Path;eye_X;eye_Y;beak_x;beak_y;frontal\n{wide}")
    status(page, "old.csv: 4 marks on 2 photographs; marks of 1 photograph that are not on this page are kept")
    load(page, 'path,x0,y0,x1,y1,part\r\n"1.png",1,2,30,40,\r\n1.png,1,2,30,40,"a ""b"", c"\r\n')
    page.keyboard.press("2")
    page.mouse.click(*at(page, 0.25, 0.5))
    rows = list(csv.DictReader(io.StringIO(saved(page, "parts.csv", tmp_path).read_text())))
    assert [tuple(row.values()) for row in rows] == [
        ("0.png", "eye", "10.5", "20", "1"), ("0.png", "nose", rows[1]["x"], rows[1]["y"], "1"),
        ("1.png", "eye", "3", "4", "0"), ("1.png", "beak", "5", "6", "0"), ("far/9.png", "eye", "1", "2", "1"),
    ]  # fmt: skip
    assert list(read_csv(saved(page, "boxes.csv", tmp_path), ["path"], "").rows) == [
        (2, ["1.png", "1", "2", "30", "40", "object"]), (3, ["1.png", "1", "2", "30", "40", 'a "b", c'])
    ]  # fmt: skip
    for text, words in [
        ("path,part\n1.png,eye\n", "neither part,x,y"), ("image,x,y\n1,2,3\n", "no column path"),
        ("path,part,x,y\n1.png,eye,a,3\n", "row 2: “a” is no number"),
    ]:  # fmt: skip
        load(page, text, "bad.csv")
        status(page, words)


def test_names_go_through_the_csv_unchanged(plain, tmp_path):
    page = plain(1)
    names = ['a, b;c\t"d".png', " blank.png", "é/ü ñ.jpg", "照片/100%#?.png", "=1+1.png", "x\ny.png", "back\\slash.png"]
    marks = [[name, [{"part": name.strip(), "x": 1.5, "y": 2}]] for name in names]
    (tmp_path / "names.csv").write_bytes(page.evaluate("marks => csvOfMarks(marks, false)", marks).encode())
    rows = [row.cells for row in read_csv(tmp_path / "names.csv", ["path", "part", "x", "y"], "").rows]
    assert rows == [[name.replace(" blank", "./ blank"), name.strip(), "1.5", "2"] for name in names]
    for end in [{}, {"more": {"frontal": ""}}]:
        marks = [[row[0], [{"part": row[1], "x": 1.5, "y": 2, **end}]] for row in rows]
        back = page.evaluate("marks => [...marksOfCsv(csvOfMarks(marks, false))]", marks)
        assert [[path, [{"more": {}, **mark}]] for path, (mark,) in marks] == back
    tabs = 'path\tpart\tx\ty\r\na.png\teye\t\t\r\n "b, c.png"\t "eye"\t1\t2\r\n'
    taken = [["a.png", []], ["b, c.png", [{"part": "eye", "x": 1, "y": 2, "more": {}}]]]
    assert page.evaluate("text => [...marksOfCsv(text)]", tabs) == taken


def test_a_narrow_screen_touch_and_names_of_controls(plain, page):
    page.set_viewport_size({"width": 390, "height": 844})
    plain()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    x, y = at(page, 0.3, 0.6)
    touch = page.context.new_cdp_session(page)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    status(page, "eye at 6")
    page.keyboard.press("3")
    places = [at(page, share, share) for share in (0.4, 0.5, 0.6, 0.7)]
    for number, (x, y) in enumerate(places):
        kind = "touchMove" if number else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    status(page, "animal from 80, 40")
    controls = page.locator("button:visible, input:visible").all()
    assert len(controls) > 20
    for control in controls:
        assert control.evaluate("it => it.textContent.trim() || it.ariaLabel || it.labels[0]?.textContent.trim()")
    for button in page.locator(".moves button, .tools button, .panel button:visible").all():
        assert button.bounding_box()["height"] >= 44
    on_paper(page)
    assert page.locator("#photo").bounding_box()["width"] > 600  # as wide as the sheet
    marks, places = ["eye", "animal"], ["eye\n✓ 60, 60", "nose\npoint", "animal\n✓ 80, 40"]
    assert page.locator("button:visible").all_inner_texts() == [*marks, *places]


def test_a_browser_that_remembers_nothing_is_told_of(plain, page):
    page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    plain()
    expect(page.locator("#trouble")).to_contain_text("This browser remembers nothing")
    page.mouse.click(*at(page, 0.5, 0.5))
    expect(page.locator(".mark.point")).to_have_count(1)
