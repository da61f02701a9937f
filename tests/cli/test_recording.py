"""The link to the page at the end of a job: where there is something to see."""

import pytest

from convscope.cli.recording import finish_with_summary
from convscope.errors import UserError
from convscope.runs.record import Number, Record


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
