import json

import pytest

from convscope.report.page import write_page
from convscope.report.sections import MAX_ROWS, PROSE_LENGTH, page_table, sections
from convscope.runs.reading import read_run
from convscope.runs.record import Conclusion, Number, Picture, Record, Table
from report.analyses import concluded, drawing

PAPER = ["rules", "receptive", "invariance", "diagnosis", "occlusion", "correspondence", "neighbors", "claims", "rest"]


def sections_of(folder):
    return {section.idea.key: section for section in sections(read_run(folder))}


def test_sections_stand_in_the_order_of_the_paper_and_the_rest_comes_last(looked_run):
    assert list(sections_of(looked_run)) == PAPER


def test_every_result_has_one_place(looked_run):
    by_idea = sections_of(looked_run)
    parts = [part for section in by_idea.values() for part in section.parts]
    captions = [picture.caption for part in parts for picture in part.pictures]
    expected = [entry.caption for entry in read_run(looked_run).entries if entry.kind == "picture"]
    assert sorted(captions) == sorted(expected)
    assert len([part for part in parts if part.table]) == 3


def test_names_without_a_known_idea_fall_to_more(looked_run):
    more = sections_of(looked_run)["rest"]
    assert [fact.words for fact in more.facts] == ["a number of another program"]
    assert [len(part.pictures) for part in more.parts] == [1, 0]
    assert more.parts[1].table.title == "Unheard, table"


def test_a_name_that_only_begins_like_an_idea_is_none_of_it(tmp_path):
    Record(tmp_path).add(Number("occlusions/x", 1.0))
    assert list(sections_of(tmp_path)) == ["rest"]


def test_what_came_out_stands_first_wherever_the_job_wrote_it(tmp_path):
    record = Record(tmp_path)
    record.add(Number("occlusion/x", 0.5, "a number"))
    record.add(Conclusion("occlusion", "The net <looks> at the object."))
    record.add(Conclusion("occlusion", "The net <looks> beside it."))  # written again, in place of the first
    record.add(Conclusion("occlusion/fox", "Foxes too."))
    assert sections_of(tmp_path)["occlusion"].conclusions == ["The net <looks> beside it.", "Foxes too."]
    page = write_page(tmp_path).read_text()
    section = page[page.index('id="occlusion"') :]
    first = section[section.index("<p") :]
    assert first.startswith('<p class="conclusion">The net &lt;looks&gt; beside it.</p>')


def test_numbers_become_facts_with_their_interval(looked_run):
    facts = sections_of(looked_run)["occlusion"].facts
    assert [(fact.value, fact.interval) for fact in facts] == [
        ("0.935", "0.900 to 0.960"),
        ("61.0 %", ""),
        ("not measured", ""),
    ]
    assert [key for key, section in sections_of(looked_run).items() if section.folded] == [
        "invariance",
        "claims",
    ]  # nine; verdicts


def test_an_interval_at_the_end_of_a_caption_is_told_once(tmp_path):
    record = Record(tmp_path)
    for number, words in enumerate(["so far: 0.615 [0.313, 0.847]", "so far (0.615 [0.3, 1e+03])", "0.62 [0.3, 0.8]"]):
        record.add(Number(f"occlusion/{number}", 0.61482, words))
    facts = [(fact.interval, fact.words) for fact in sections_of(tmp_path)["occlusion"].facts]
    assert facts == [("0.313 to 0.847", "so far"), ("0.3 to 1e+03", "so far"), ("", "0.62 [0.3, 0.8]")]


def test_an_end_of_no_interval_is_a_number_of_its_own(tmp_path):
    record = Record(tmp_path)
    record.add(Number("diagnosis/frequencies_low", 0.5, "share of low frequencies"))
    record.add(Number("diagnosis/frequencies_high", 0.2, "share of high frequencies"))
    assert [fact.value for fact in sections_of(tmp_path)["diagnosis"].facts] == ["0.5", "0.2"]


def test_parts_stand_as_the_job_yielded_them_but_verdicts_come_first(looked_run):
    by_idea = sections_of(looked_run)
    assert [len(part.pictures) for part in by_idea["occlusion"].parts] == [2, 0]
    assert by_idea["claims"].parts[0].table.has_verdicts
    assert by_idea["claims"].folded  # its one number stands in the table, beside its verdict


def test_pictures_carry_their_size_and_damaged_ones_none(looked_run):
    (looked_run / "pictures" / "occlusion" / "fox.jpg").write_bytes(b"not a picture")
    fox, angle_bracket = sections_of(looked_run)["occlusion"].parts[0].pictures
    assert fox.size is None
    assert angle_bracket.size == (1400, 340)
    assert angle_bracket.source == "../pictures/occlusion/%3Cb%3E%2050%25%20%231%3F.jpg"


def test_results_by_epoch_say_their_epoch(tmp_path):
    record = Record(tmp_path)
    for epoch in (1, 2):
        record.add(Picture("occlusion/fox", drawing(8, 8), "the fox", epoch))
        record.add(Table("occlusion/images", [{"a": epoch}], "", epoch))
    parts = sections_of(tmp_path)["occlusion"].parts
    assert [picture.caption for part in parts for picture in part.pictures] == ["the fox, epoch 1", "the fox, epoch 2"]
    assert [part.table.title for part in parts if part.table] == ["Images, epoch 1", "Images, epoch 2"]


def test_the_table_of_layers_is_not_shown_twice(tmp_path):
    record = Record(tmp_path)
    record.add(Table("layers", [{"name": "conv1", "kind": "conv"}], "The layers"))
    assert list(sections_of(tmp_path)) == ["rest"]
    record.summary({"net": {"rows": [{"name": "conv1", "kind": "conv"}]}})
    assert sections_of(tmp_path) == {}


def test_pictures_of_training_have_no_section(finished_run):
    assert [part.table.title for part in sections_of(finished_run)["rest"].parts] == ["Per class"]


@pytest.mark.parametrize("job", ["occlude", "train"])
def test_the_page_has_every_number_once(looked_run, job):
    folder = looked_run
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"job": job, "numbers": summary["numbers"] | {"odd/one": 0.271828}}
    (folder / "summary.json").write_text(json.dumps(summary))
    text = write_page(folder).read_text()
    assert text.count("0.935") == 1
    assert "0.9346" not in text
    assert text.count("0.2718") == 1  # of the summary alone, not of index.jsonl


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


SENTENCE = "a" * (PROSE_LENGTH + 1)


def forms(table):
    return [column.form for column in table.columns]


def test_numbers_stand_right_and_sentences_may_wrap():
    columns = ["layer", "lowest_value", "because", "empty"]
    table = page_table("", "", columns, [["conv1", "0.25", SENTENCE, ""], ["conv2", "", "short", ""]])
    assert forms(table) == ["", "n", "prose", ""]
    assert [column.text for column in table.columns] == ["layer", "lowest value", "because", "empty"]
    assert [cell.form for cell in table.rows[1]] == ["", "n", "prose", ""]
    assert (table.wordy, table.tall, table.has_verdicts) == (True, False, False)


def test_a_column_with_a_word_among_numbers_is_words():
    assert forms(page_table("", "", ["field"], [["7"], ["image"]])) == [""]


def test_verdicts_are_words_with_a_mark():
    words = ["holds", "does not hold", "not enough data", "holds, surely", ""]
    table = page_table("", "", ["verdict", "says"], [[text, "holds"] for text in words])
    assert [(row[0].mark, row[0].text) for row in table.rows] == list(zip("✓✗?", words[:3], strict=True)) + [
        ("", "holds, surely"),
        ("", ""),
    ]
    assert table.has_verdicts
    assert not any(row[1].mark for row in table.rows)  # another column's words are words


def test_verdicts_in_other_words_are_plain():
    table = page_table("", "", ["verdict"], [["too many dead maps"]])
    assert table.has_verdicts
    assert table.rows[0][0].mark == ""


def test_a_long_table_is_tall():
    assert not page_table("", "", ["a"], [["1"]] * MAX_ROWS).tall
    assert page_table("", "", ["a"], [["1"]] * (MAX_ROWS + 1)).tall


def test_damaged_rows_keep_what_is_there():
    table = page_table("", "", ["a", "b"], [["1"], ["2", "3", "4"], []])
    assert [[cell.text for cell in row] for row in table.rows] == [["1"], ["2", "3"], []]
    assert page_table("", "", [], []).rows == []
