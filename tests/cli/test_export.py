"""job=export: films, posters, figures and the page in one file, read back."""

import base64
import io
import json
import re
import shutil
import time

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from convscope.cli.exports import films, job, plan
from convscope.cli.exports.plan import ExportConfig
from convscope.errors import UserError
from convscope.plots.poster import PosterBlock, poster
from convscope.report.one_file import spread
from convscope.runs import film_file
from convscope.runs.heartbeat import PREFIX, STATUS, RunStatus
from convscope.runs.picture_files import figure_file
from convscope.runs.record import Picture, Record
from report.long_run import color as color_of
from report.long_run import long_run

EPOCHS, MAPS, DIES = 5, [3, 10, 17, 24], 5  # DIES: the epoch at which the last map of conv3 does
POINTS = {"a4": (595, 842), "a3": (842, 1191), "a2": (1191, 1684)}  # ISO 216 in 1/72 inch


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return long_run(tmp_path_factory.mktemp("export") / "lr$0.1_{$x", EPOCHS, 3, len(MAPS))  # no mathematics


def exported(folder, out, **values):
    return job.export_run(folder, ExportConfig(out=str(out), **values))


def frames(path):
    """The frames of a webp or gif as arrays, and how long each stays in milliseconds."""
    with Image.open(path) as film:
        pairs = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            pairs.append((np.asarray(film.convert("RGB")).astype(int), film.info["duration"]))
    return pairs


@pytest.mark.parametrize("form", ["webp", "gif"])
def test_a_film_of_a_map_has_a_frame_for_each_epoch_and_its_colors(form, run, tmp_path, monkeypatch, capsys):
    (path,) = exported(run, tmp_path, what="film", layer="conv2", map=10, format=form)
    pairs = frames(path)
    assert len(pairs) == EPOCHS and path.name == f"conv2_map10.{form}"
    times = [duration for _, duration in pairs]
    assert len({*times[:-1]}) == 1 and times[-1] > 2 * times[0]
    for pixels, _ in pairs:  # a flat corner of the first projection and of the first patch
        height, width, _ = pixels.shape
        assert height % 2 == width % 2 == 0
        for x, patch in ((width // 4, False), (3 * width // 4, True)):
            below = pixels[height // 2 - 60 : height // 2 + 60, x - 60 : x + 60].reshape(-1, 3)
            assert np.abs(below - color_of(2, 10, patch)).sum(1).min() < 24
    assert all((first != second).any() for (first, _), (second, _) in zip(pairs, pairs[1:], strict=False))
    assert "epochs" not in capsys.readouterr().out
    monkeypatch.setattr(films, "MOST_IN_MEMORY", 3)
    thinned = frames(*exported(run, tmp_path, what="film", layer="conv2", map=10, format=form))
    likest = [min(range(EPOCHS), key=lambda place: np.abs(pairs[place][0] - pixels).mean()) for pixels, _ in thinned]
    assert likest == [0, 2, 4]
    assert f"{form} has room for 3 of the 5 epochs, evenly chosen; export.format=mp4 has all" in capsys.readouterr().out


def test_a_film_of_each_layer_keeps_the_place_of_a_dead_map(run, tmp_path):
    paths = exported(run, tmp_path, what="film", format="webp")
    assert [path.name for path in paths] == ["conv1.webp", "conv2.webp", "conv3.webp"]
    before, after = (frames(paths[2])[place][0] for place in (DIES - 2, DIES - 1))
    changed = np.argwhere((np.abs(before - after) > 40).all(2)[110:])  # below the title: the last map has gone
    assert len(changed) and changed[:, 1].min() > 0


def test_a_film_as_mp4(run, tmp_path):
    reader = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    (path,) = exported(run, tmp_path, what="film", layer="conv1", map=3)
    count, seconds = reader.count_frames_and_secs(str(path))
    assert path.suffix == ".mp4" and seconds == pytest.approx((EPOCHS - 1) * 0.6 + 2.5, abs=0.2) and count > EPOCHS


def test_without_its_library_mp4_is_refused_and_webp_the_default(run, tmp_path, monkeypatch):
    monkeypatch.setattr(film_file, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"mp4 needs imageio-ffmpeg; type pip install 'convscope\[film\]', or take"):
        exported(run, tmp_path, what="film", format="mp4")
    assert film_file.default_film_format() == "webp" and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"what": "film", "layer": "conv9"},
            r"no export.layer=conv9 \(did you mean conv\d\?\); possible: conv1, conv2",
        ),
        ({"what": "film", "layer": "conv1", "map": 4}, "does not show export.map=4 of conv1; possible: 3, 10, 17, 24"),
        ({"what": "film", "map": 3}, "export.map=3 is a map of which layer"),
        ({"what": "film", "format": "pdf"}, "film has no export.format=pdf; possible: mp4, webp, gif"),
        ({"what": "poster", "layer": "conv1", "epoch": 9}, "no export.epoch=9 of conv1; possible: 1, 2, 3, 4, 5"),
        ({"what": "page", "map": 3, "layer": "conv1"}, "export.map=3 is for export.what=film and poster"),
        ({"what": "film", "epoch": 3}, "export.epoch=3 is for export.what=poster"),
        ({"what": "page", "megabytes": 0.01}, "more than export.megabytes=0.01; export.layer="),
    ],
)
def test_what_a_run_does_not_have_is_refused_in_one_line(values, words, run, tmp_path):
    with pytest.raises(UserError, match=words):
        exported(run, tmp_path, **values)


def test_a_run_without_grids_or_epochs(run, tmp_path):
    with pytest.raises(UserError, match="has no top-9 grids to show; its folder pictures/ is missing"):
        exported(tmp_path, tmp_path, what="film")
    short = tmp_path / "short"
    shutil.copytree(run, short)
    lines = [line for line in (short / "index.jsonl").read_text().splitlines() if '"epoch": 1,' in line]
    (short / "index.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="a film needs several epochs, and .* shows epoch 1 alone"):
        exported(short, tmp_path, what="film", format="gif")
    (page,) = exported(short, tmp_path, what="page")
    (page,) = exported(short, tmp_path, what="page", megabytes=0.99 * page.stat().st_size / 1e6)
    assert re.search(r"tiles as WebP of quality \d\d\.<", page.read_text())


@pytest.mark.parametrize(
    ("paper", "values", "stem"), [("a4", {"epoch": 2}, "conv2_epoch2_a4"), ("a2", {"map": 10}, "conv2_map10_a2")]
)
def test_a_poster_is_one_page_of_its_paper_with_labels_as_text_and_tiles_as_they_are(
    paper, values, stem, run, tmp_path, capsys
):
    pdf, svg = exported(run, tmp_path, what="poster", layer="conv2", paper=paper, dpi=1200, **values)
    assert [pdf.name, svg.name] == [f"{stem}.pdf", f"{stem}.svg"]
    content = pdf.read_bytes()
    (box,) = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", content)
    assert sorted(round(float(side)) for side in box) == list(POINTS[paper])
    assert len(re.findall(rb"/Type /Page\b", content)) == 1 and b"/FontFile2" in content  # letters of a font
    text = svg.read_text()
    numbers, what = (range(1, EPOCHS + 1), "epoch") if "map" in values else (MAPS, "map")
    labels = [f"{what} {number}" for number in numbers]
    assert all(f">{label}</text>" in text for label in labels) and "convscope from lr$0.1_{$x.<" in text
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in
                re.findall(r"data:image/png;base64,([^\"]+)", text)]  # fmt: skip
    assert {picture.size for picture in pictures} == {(3 * 56 + 2 * 2, 3 * 56 + 2 * 2)}
    assert len(pictures) == 2 * len(labels)
    words = capsys.readouterr().out
    advice = re.findall(r"evolution\.tile=(\d+) gives (\d+) dpi", words)
    centimeters = float(re.search(r"([\d.]+) cm wide", words)[1])
    assert [int(tile) for tile, _ in advice] == sorted(int(tile) for tile, _ in advice) and int(advice[-1][0]) <= 512
    for tile, dpi in advice:
        assert int(tile) / int(dpi) == pytest.approx(centimeters / 2.54, rel=0.03)
    assert ("smaller export.paper" in words) == (paper != "a4")


def test_the_text_of_a_poster_stays_within_its_edges():
    """On an upright sheet, with a name of a layer as DenseNet has, and a run folder of a default name or longer."""
    blocks = [PosterBlock("map 0", [Image.new("RGB", (9, 9))] * 9, [])] * 12
    for name in ("2026-01-02_03-04-05-000000_zfnet", "2026-01-02_" * 20):
        title = "features.denseblock3.denselayer12.conv1: what its maps look for, epoch 12"
        note = f"{'Of each map the nine images that excite it most. ' * 2}Drawn by convscope from {name}."
        figure = poster(blocks, title, note, "a3").figure
        figure.set_dpi(300)
        width, height = figure.bbox.size
        assert width < height
        texts = [text.get_window_extent(FigureCanvasAgg(figure).get_renderer()) for text in figure.texts[:2]]
        assert all(box.x1 < width - 0.03 * height for box in texts)
        assert texts[1].y1 < min(axes.get_window_extent().y0 for axes in figure.axes)
        assert "from 2026-01" in figure.texts[1].get_text().replace("\n", " ")


def test_a_figure_is_written_as_text_and_copied(tmp_path):
    figure = Figure((4, 3))
    axes = figure.add_subplot()
    axes.set_title("how $x_{$ went")
    axes.set_xticks([0, 4], ["$1", "a$b$c^{"])
    axes.imshow(np.zeros((7, 5, 3)), interpolation="none")
    record = Record(tmp_path / "run")
    record.add(Picture("match/plain", figure, "A plot", plot=True))
    record.add(Picture("curves", figure, "Of an epoch", 3, plot=True))
    record.add(Picture("evolution/conv1", Image.new("RGB", (60, 40), "red"), "Its tiles & $x{$ more", layer="conv1"))
    record.add(Picture("images/0", Image.new("RGB", (60, 40)), "For the page alone"))
    assert sorted(path.name for path in (tmp_path / "run/figures").rglob("*.*")) == ["plain.pdf", "plain.svg"]
    before = [path.read_bytes() for path in sorted((tmp_path / "run/figures/match").iterdir())]
    record.add(Picture("match/plain", figure, "A plot", plot=True))
    assert before == [path.read_bytes() for path in sorted((tmp_path / "run/figures/match").iterdir())]
    paths = exported(tmp_path / "run", tmp_path / "out", what="figure")
    assert [path.name for path in paths] == [
        "match_plain.svg", "match_plain.pdf", "evolution_conv1.svg", "evolution_conv1.pdf",
    ]  # fmt: skip
    texts = [path.read_text() for path in paths[::2]]
    assert all(f">{words}</text>" in texts[0] for words in ("how $x_{$ went", "$1", "a$b$c^{"))
    assert ">Its tiles &amp; $x{$ more</text>" in texts[1]
    assert paths[0].read_bytes() == (tmp_path / "run/figures/match/plain.svg").read_bytes()
    (data,) = re.findall(r"data:image/png;base64,([^\"]+)", texts[1])
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (60, 40)


def test_a_drawing_outside_the_run_folder_is_none(tmp_path):
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    (tmp_path / "secret.svg").write_text("<svg/>")
    (folder / "figures/plot.svg").symlink_to(tmp_path / "secret.svg")
    assert figure_file(folder, "pictures/plot.png", "svg") is None
    assert figure_file(folder, "pictures/../../secret.png", "svg") is None


def state_of(folder):
    """Each file and folder within it, with what changes when it is written anew."""
    states = {path: path.stat() for path in (folder, *folder.rglob("*"))}
    return {path: (state.st_ino, state.st_mtime_ns) for path, state in states.items()}


def test_the_page_in_one_file_is_small_enough_and_says_what_it_lacks(run, tmp_path, capsys):
    before = state_of(run)
    (whole,) = exported(run, tmp_path, what="page")
    assert before == state_of(run)  # which may be read only
    assert "To be small" not in whole.read_text() and "needs no other file" in capsys.readouterr().out
    limit = 0.75 * whole.stat().st_size / 1e6
    (small,) = exported(run, tmp_path, what="page", megabytes=limit)
    assert small.stat().st_size <= 1e6 * limit
    text = small.read_text()
    assert re.search(r"To be small it (shows \d of 5 epochs|has its tiles as WebP)", text)
    assert not re.search(
        r"""(src|href)="(?!#|data:|https?:)|"\.\./""", re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    )
    assert "../pictures" not in text


def test_the_page_in_one_file_of_a_run_that_goes_on_says_so_and_follows_no_other_file(run, tmp_path):
    folder = tmp_path / "running"
    shutil.copytree(run, folder)
    summary = json.loads((folder / "summary.json").read_text())
    del summary["finished"]
    (folder / "summary.json").write_text(json.dumps(summary))
    status = RunStatus("running", "running, epoch 6 of 9", EPOCHS, 9, beat=time.time())
    (folder / STATUS).parent.mkdir(exist_ok=True)
    (folder / STATUS).write_text(f"{PREFIX}{json.dumps(status._asdict())};\n")
    (path,) = exported(folder, tmp_path, what="page")
    text = path.read_text()
    assert "when this file was written: running, epoch 6 of 9" in text
    assert "data-live" not in text and "url('data:image/jpeg" in text and "url('glances" not in text


def test_epochs_are_spread_with_the_first_and_the_last():
    assert spread([1, 2, 5, 9], 9) == [1, 2, 5, 9] and spread(range(1, 65), 1) == [64]
    assert spread(range(1, 65), 3) == [1, 33, 64] or spread(range(1, 65), 3) == [1, 32, 64]


def test_file_names_suit_every_system():
    assert plan.file_stem("features.3/conv:1", 7) == "features.3_conv_1_map7"
