"""What a run leaves is one list: another report is one more value in it."""

import pytest
from made_runs import answer_of, called, case_of, write_run

from evals.report import writers
from evals.report.writers import WRITERS, FinishedRun, Writer, write_all
from evals.running.rejudge import rejudge_run

RECORDS = [answer_of(case_of(f"c{i}"), called()) for i in range(3)]


@pytest.fixture
def another(monkeypatch):
    """A report that counts answers, added to the list."""

    def write(run, folder):
        (folder / "count.txt").write_text(f"{len(run.records)} of {run.summary.run.id}")

    added = Writer("count.txt", "how many answers", write)
    monkeypatch.setattr(writers, "WRITERS", (*WRITERS, added))


def test_every_report_is_left_under_its_name(tmp_path):
    summary = write_run(tmp_path / "run", RECORDS)
    write_all(FinishedRun(summary, RECORDS), tmp_path / "run")
    for writer in WRITERS:
        assert (tmp_path / "run" / writer.name).exists(), writer.name


def test_a_report_is_added_by_one_value_and_comes_from_judging_again_too(tmp_path, another):
    write_run(tmp_path / "run", RECORDS)
    rejudge_run(tmp_path / "run", tmp_path)
    assert (tmp_path / "run" / "count.txt").read_text() == "3 of run"


def test_results_that_pytest_wrote_are_kept_and_get_the_runs_files(tmp_path):
    summary = write_run(tmp_path / "run", RECORDS)
    live = tmp_path / "elsewhere"
    live.mkdir()
    (live / "mine-result.json").write_text("{}")
    write_all(FinishedRun(summary, RECORDS, results=live), tmp_path / "run")
    assert (live / "mine-result.json").read_text() == "{}"
    assert (live / "categories.json").exists()
    assert not (tmp_path / "run" / "allure-results").exists()


def test_without_allures_plugin_nothing_is_made_in_its_place(tmp_path):
    summary = write_run(tmp_path / "run", RECORDS)
    write_all(FinishedRun(summary, RECORDS, results=tmp_path / "none"), tmp_path / "run")
    assert not (tmp_path / "none").exists()
