"""The link to the page at the end of a job: where there is something to see."""

import json

import pytest

from convscope.cli.recording import finish_with_summary, record_results
from convscope.errors import UserError
from convscope.runs.index import OUTCOME
from convscope.runs.record import Conclusion, Number, Record, Table


@pytest.mark.parametrize("results", [[], [Number("a", 1.0)]])
def test_a_job_that_fails_links_to_its_page_only_where_it_has_results(results, tmp_path, capsys):
    record = Record(tmp_path / "run")
    with pytest.raises(UserError), finish_with_summary(record, {"job": "ablate"}):  # noqa: PT012
        for result in results:
            record.add(result)
        raise UserError("ablate.layers: no layer conv9")
    assert ("look at" in capsys.readouterr().out) == bool(results)
    assert "no layer conv9" in (tmp_path / "run/report/index.html").read_text()  # the page is there all the same


def test_a_job_that_ends_well_links_to_its_page(tmp_path, capsys):
    with finish_with_summary(Record(tmp_path / "run"), {"job": "ablate"}):
        pass
    assert f"look at {tmp_path / 'run/report/index.html'}" in capsys.readouterr().out


@pytest.mark.parametrize("sentences", [1, 2, 0])
def test_a_caution_follows_the_first_sentence_and_comes_once(sentences, tmp_path, capsys):
    results = [Conclusion("occlusion", f"Sentence {number}.") for number in range(sentences)]
    results.append(Table("occlusion/images", [{"image": "fox"}], "Images"))
    facts = {"job": "occlude", "name": "x", "seconds": {}}
    record_results(iter(results), {"job": "occlude", "words": []}, tmp_path / "run", facts, (), lambda: ["a weak net"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    caution = lines.index("warning: a weak net")
    assert lines.count("warning: a weak net") == 1
    if sentences:
        assert lines[0].startswith("page: file://")
        assert lines.index("Sentence 0.") == 1 and caution == 2 and caution < lines.index("Images")
    else:
        assert caution > lines.index("Images")
    assert json.loads((tmp_path / "run/summary.json").read_text())["warnings"] == ["a weak net"]


def test_the_outcome_of_a_whole_run_is_the_first_line_of_its_page(tmp_path):
    record = Record(tmp_path / "run")
    with finish_with_summary(record, {"job": "visualize"}):
        record.add(Conclusion(OUTCOME, "Each of the <3> maps is alive."))
    page = (tmp_path / "run/report/index.html").read_text()
    main = page[page.index("<main>") :]
    assert main.index("Each of the &lt;3&gt; maps is alive.") < main.index("<h2>")
    assert page.count("maps is alive") == 1 and 'class="stories"' not in page
