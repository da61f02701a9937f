import json

import pytest

from convscope.report.page import write_page
from convscope.report.sections import sections
from convscope.runs.reading import read_run
from convscope.runs.record import Number, Picture, Record, Table
from report.analyses import concluded, drawing

PAPER = ["rules", "receptive", "invariance", "diagnosis", "occlusion", "correspondence", "neighbors", "claims", "rest"]


def found(folder):
    return {section.idea.key: section for section in sections(read_run(folder))}


def test_sections_stand_in_the_order_of_the_paper_and_the_rest_comes_last(looked_run):
    assert list(found(looked_run)) == PAPER


def test_every_result_has_one_place(looked_run):
    sections_ = found(looked_run)
    plates = [plate.caption for each in sections_.values() for part in each.parts for plate in part.plates]
    pictures = [entry.caption for entry in read_run(looked_run).entries if entry.kind == "picture"]
    assert sorted(plates) == sorted(pictures)
    tables = [part.sheet.caption for each in sections_.values() for part in each.parts if part.sheet]
    assert len(tables) == 3


def test_names_without_a_known_idea_fall_to_more(looked_run):
    more = found(looked_run)["rest"]
    assert [fact.words for fact in more.facts] == ["a number of another program"]
    assert [len(part.plates) for part in more.parts] == [1, 0]
    assert more.parts[1].sheet.title == "Unheard, table"


def test_a_name_that_only_begins_like_an_idea_is_none_of_it(tmp_path):
    Record(tmp_path).add(Number("occlusions/x", 1.0))
    assert list(found(tmp_path)) == ["rest"]


def test_numbers_become_facts_with_their_interval(looked_run):
    facts = found(looked_run)["occlusion"].facts
    assert [(fact.value, fact.interval) for fact in facts] == [
        ("0.935", "0.9 to 0.96"),
        ("61.0 %", ""),
        ("not measured", ""),
    ]
    assert [key for key, each in found(looked_run).items() if each.many] == ["invariance", "claims"]  # nine; verdicts


def test_an_interval_at_the_end_of_a_caption_is_told_once(tmp_path):
    record = Record(tmp_path)
    for number, words in enumerate(["so far: 0.615 [0.313, 0.847]", "so far (0.615 [0.3, 1e+03])", "0.62 [0.3, 0.8]"]):
        record.add(Number(f"occlusion/{number}", 0.61482, words))
    facts = [(fact.interval, fact.words) for fact in found(tmp_path)["occlusion"].facts]
    assert facts == [("0.313 to 0.847", "so far"), ("0.3 to 1e+03", "so far"), ("", "0.62 [0.3, 0.8]")]


def test_an_end_of_no_interval_is_a_number_of_its_own(tmp_path):
    record = Record(tmp_path)
    record.add(Number("diagnosis/frequencies_low", 0.5, "share of low frequencies"))
    record.add(Number("diagnosis/frequencies_high", 0.2, "share of high frequencies"))
    assert [fact.value for fact in found(tmp_path)["diagnosis"].facts] == ["0.5", "0.2"]


def test_parts_stand_as_the_job_yielded_them_but_verdicts_come_first(looked_run):
    sections_ = found(looked_run)
    assert [len(part.plates) for part in sections_["occlusion"].parts] == [2, 0]
    assert sections_["claims"].parts[0].sheet.judges
    assert sections_["claims"].many  # its one number stands in the table, beside its verdict


def test_pictures_carry_their_size_and_damaged_ones_none(looked_run):
    (looked_run / "pictures" / "occlusion" / "fox.jpg").write_bytes(b"not a picture")
    fox, other = found(looked_run)["occlusion"].parts[0].plates
    assert fox.size is None
    assert other.size == (1400, 340)
    assert other.source == "../pictures/occlusion/%3Cb%3E%2050%25%20%231%3F.jpg"


def test_results_by_epoch_say_their_epoch(tmp_path):
    record = Record(tmp_path)
    for epoch in (1, 2):
        record.add(Picture("occlusion/fox", drawing(8, 8), "the fox", epoch))
        record.add(Table("occlusion/images", [{"a": epoch}], "", epoch))
    parts = found(tmp_path)["occlusion"].parts
    assert [plate.caption for part in parts for plate in part.plates] == ["the fox, epoch 1", "the fox, epoch 2"]
    assert [part.sheet.title for part in parts if part.sheet] == ["Images, epoch 1", "Images, epoch 2"]


def test_the_table_of_layers_is_not_shown_twice(tmp_path):
    record = Record(tmp_path)
    record.add(Table("layers", [{"name": "conv1", "kind": "conv"}], "The layers"))
    assert list(found(tmp_path)) == ["rest"]
    record.summary({"net": {"rows": [{"name": "conv1", "kind": "conv"}]}})
    assert found(tmp_path) == {}


def test_pictures_of_training_have_no_section(finished_run):
    assert [part.sheet.title for part in found(finished_run)["rest"].parts] == ["Per class"]


@pytest.mark.parametrize("job", ["occlude", "train"])
def test_the_page_has_every_number_once(looked_run, job):
    folder = looked_run
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"job": job, "numbers": summary["numbers"] | {"odd/one": 0.271828}}
    (folder / "summary.json").write_text(json.dumps(summary))
    text = write_page(folder).read_text()
    assert text.count("0.935") == 1
    assert "0.9346" not in text
    assert text.count("0.2718") == 1  # no line of index.jsonl tells of it


def test_sections_follow_the_features_on_a_training_page(finished_run):
    record = Record(finished_run)
    record.add(Number("occlusion/hit_rate", 0.5, "share of hits"))
    text = write_page(finished_run).read_text()
    places = [
        text.index(f'<section id="{name}"') for name in ("features", "occlusion", "training", "net", "rest", "run")
    ]
    assert places == sorted(places)


def test_an_empty_table_and_an_empty_section(tmp_path):
    record = Record(tmp_path)
    record.add(Table("occlusion/images", [], "Nothing was scored"))
    concluded(tmp_path, record)
    assert "Nothing was scored (no rows)" in write_page(tmp_path).read_text()
