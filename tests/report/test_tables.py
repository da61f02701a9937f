from convscope.report.sections import LONG, PROSE, page_table

SENTENCE = "a" * (PROSE + 1)


def forms(made):
    return [head.form for head in made.columns]


def test_numbers_stand_right_and_sentences_may_wrap():
    columns = ["layer", "lowest_value", "because", "empty"]
    made = page_table("", "", columns, [["conv1", "0.25", SENTENCE, ""], ["conv2", "", "short", ""]])
    assert forms(made) == ["", "n", "prose", ""]
    assert [head.text for head in made.columns] == ["layer", "lowest value", "because", "empty"]
    assert [cell.form for cell in made.rows[1]] == ["", "n", "prose", ""]
    assert (made.wordy, made.tall, made.judges) == (True, False, False)


def test_a_column_with_a_word_among_numbers_is_words():
    assert forms(page_table("", "", ["field"], [["7"], ["image"]])) == [""]


def test_verdicts_are_words_with_a_mark():
    given = ["holds", "does not hold", "not enough data", "holds, surely", ""]
    made = page_table("", "", ["verdict", "says"], [[text, "holds"] for text in given])
    assert [(row[0].mark, row[0].text) for row in made.rows] == list(zip("✓✗?", given[:3], strict=True)) + [
        ("", "holds, surely"),
        ("", ""),
    ]
    assert made.judges
    assert not any(row[1].mark for row in made.rows)  # another column's words are words


def test_verdicts_in_other_words_are_plain():
    made = page_table("", "", ["verdict"], [["too many dead maps"]])
    assert made.judges
    assert made.rows[0][0].mark == ""


def test_a_long_table_is_tall():
    assert not page_table("", "", ["a"], [["1"]] * LONG).tall
    assert page_table("", "", ["a"], [["1"]] * (LONG + 1)).tall


def test_damaged_rows_keep_what_is_there():
    made = page_table("", "", ["a", "b"], [["1"], ["2", "3", "4"], []])
    assert [[cell.text for cell in row] for row in made.rows] == [["1"], ["2", "3"], []]
    assert page_table("", "", [], []).rows == []
