"""The one-file report as text: its data, its figures, and which run it is compared with."""

import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from made_runs import BIG, PRINT, RUN, answer_of, called, case_of, write_run
from rich.console import Console
from typer.testing import CliRunner

from evals.cli import app
from evals.config import Config, Gate
from evals.errors import ConfigError
from evals.observation import STREAM, Observation
from evals.report.github.markdown import job_summary
from evals.report.html.figures import figures
from evals.report.html.files import report_run
from evals.report.summarize import summarize
from evals.report.summary_file import baseline, baseline_text, read_summary
from evals.report.text import print_summary
from evals.running.rejudge import rejudge_run
from evals.stored import read_records


def data_of(path):
    """The JSON in a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text())
    return json.loads(found[1])


def test_the_page_holds_every_record_and_its_evidence(report, two_runs):
    records = {record.key: record for record in read_records(two_runs / "after/records.jsonl")}
    shown = {entry["id"]: entry for entry in data_of(report)["records"]}
    assert shown.keys() == records.keys()
    key = "cases/messages.yaml::digit-1[default-server]"
    entry, record = shown[key], records[key]
    assert entry["written"]["text"] == record.observation.raw_text
    assert entry["written"]["ids"] == list(record.observation.token_ids)
    assert json.loads(entry["request"]) == record.request
    assert entry["log"] == record.observation.server_log
    shown_checks = [c if isinstance(c, str) else c["check"] for c in entry["checks"]]
    assert shown_checks == [verdict.check for verdict in record.verdicts]
    told = [check for check in entry["checks"] if not isinstance(check, str)]
    assert {c["check"] for c in told} == {v.check for v in record.verdicts if v.reason}
    differences = [check["differences"] for check in told]
    assert ["$.id", str(BIG), str(BIG - 1), "wrong"] in [d for group in differences for d in group]


def test_a_stream_shows_what_the_plain_request_saw(report):
    stream = next(entry for entry in data_of(report)["records"] if entry["lane"] == "stream")
    assert stream["written"]["plain"] is True
    assert stream["transcript"].startswith("+0.300 s  data: ")


def test_the_matrix_says_the_same_as_the_rate(two_runs):
    summary = read_summary(two_runs / "after")
    records = list(read_records(two_runs / "after/records.jsonl"))
    matrix = figures(summary, records, [], None)["profiles"][0]["matrix"]
    counts = {
        (expected, column): count
        for expected, cells in matrix["rows"]
        for column, (count, _, _) in zip(matrix["columns"], cells, strict=True)
    }
    assert counts == {
        ("call", "call"): 8,
        ("call", "answer"): 0,
        ("call", "error"): 1,
        ("answer", "call"): 0,
        ("answer", "answer"): 1,
        ("answer", "error"): 0,
    }
    right = counts["call", "call"] + counts["answer", "answer"]
    assert right == sum(bool(record.scores and record.scores.discrimination) for record in records)


def test_a_lost_call_is_no_answer_in_the_matrix(tmp_path):
    lost = called(calls=())
    summary = write_run(tmp_path / "run", [record := answer_of(case_of("lost"), lost)])
    profile = figures(summary, [record], [], None)["profiles"][0]
    assert profile["matrix"]["columns"] == ["call", "answer", "lost call"]
    assert profile["matrix"]["rows"][0][1][2][0] == 1


def test_what_broke_is_counted_once_by_what_explains_it_worst_first(two_runs):
    summary = read_summary(two_runs / "after")
    records = list(read_records(two_runs / "after/records.jsonl"))
    broke = figures(summary, records, [], None)["broke"]
    assert [(row["outcome"], row["layer"], row["answers"], row["cases"]) for row in broke] == [
        ("error", "server", 1, 1),
        ("violation", "parser", 7, 6),
        ("miss", "model", 1, 1),
    ]
    assert sum(row["answers"] for row in broke) == sum(r.status != "pass" for r in records)


class Elements(HTMLParser):
    """Collects the elements of a page, as a parser that runs nothing sees them."""

    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_profiles_stand_side_by_side_as_they_were_asked(tmp_path):
    lost = [answer_of(case_of(f"case-{i}"), called(BIG - 1)) for i in range(8)]
    records = lost + [
        replace(answer_of(case_of(f"case-{i}"), called()), profile="a-parser") for i in range(8)
    ]
    summary = write_run(tmp_path / "run", records, profiles=("default", "a-parser"))
    assert list(summary.profiles) == ["default", "a-parser"]
    page = report_run(tmp_path / "run").read_text()
    text = "8 fixed, 0 broken of 8, p = 0.0078"
    assert text in page
    console = Console(width=140, record=True, file=io.StringIO())
    print_summary(summary, records, console)
    (row,) = [line for line in console.export_text().splitlines() if text in line]
    assert row.split()[:7] == ["a-parser", "1.000", "1.000", "1.000", "1.000", "0", "0"]
    assert text in job_summary(summary, records)


def test_a_page_has_two_scripts_a_policy_and_nothing_from_elsewhere(report):
    elements = Elements()
    elements.feed(report.read_text())
    tags = [tag for tag, _ in elements.tags]
    assert tags.count("script") == 2
    assert not {"img", "iframe", "object", "embed", "base"} & set(tags)
    for tag, attributes in elements.tags:
        address = attributes.get("src") or (tag != "a" and attributes.get("href")) or ""
        assert not address or address == "data:,", (tag, attributes)
    policy = next(a["content"] for _, a in elements.tags if "http-equiv" in a)
    assert "default-src 'none'; script-src 'sha256-" in policy


def test_only_web_addresses_become_links(tmp_path):
    case = case_of("linked").model_copy(update={"link": "javascript:alert(1)"})
    write_run(tmp_path / "run", [answer_of(case, called()), answer_of(case_of("x"), called())])
    with pytest.raises(ConfigError, match="link"):
        report_run(tmp_path / "run")


# --- the run it is compared with ----------------------------------------------------------------


def page_of_three(tmp_path, middle, **options):
    """The text of run `c`, beside an older `a` and a `b` in between; a and c have one suite."""
    good, bad = [[answer_of(case_of("x"), called(got))] for got in (BIG, 1)]
    write_run(tmp_path / "a", good, "2026-01-01T00:00:00+00:00")
    write_run(tmp_path / "b", good, "2026-01-02T00:00:00+00:00", **middle)
    write_run(tmp_path / "c", bad, "2026-01-03T00:00:00+00:00")
    return report_run(tmp_path / "c", **options).read_text()


def test_the_newest_earlier_run_of_the_same_suite_is_compared_with(tmp_path):
    assert "against b<" in page_of_three(tmp_path, {})


def test_a_run_of_another_suite_is_passed_over_and_hollow_in_the_trend(tmp_path):
    text = page_of_three(tmp_path, {"suite": "other"})
    assert "against a<" in text
    drawn = (tmp_path / "c/pictures/trend-default.svg").read_text()
    assert drawn.count("s3 hollow") == 1


def test_a_run_of_another_suite_is_compared_only_when_asked_for(tmp_path):
    with pytest.raises(ConfigError, match="suite"):
        page_of_three(tmp_path, {"suite": "other"}, against=tmp_path / "b")
    report_run(tmp_path / "c", against=tmp_path / "b", unlike=True)
    assert "against b<" in (tmp_path / "c/report.html").read_text()


@pytest.mark.parametrize(
    "broken",
    [
        "",
        '{"schema": 1, "profiles": {}, "run": 7}',
        '{"schema": 1, "profiles": {}, "run": {"started": "yesterday", "whole": true}}',
        '{"schema": 1, "profiles": {"default": {"rates": {}}}, "fingerprint": {},'
        ' "run": {"id": "x", "started": "2026-01-02T12:00:00+00:00", "whole": true}}',
    ],
)
def test_a_broken_neighbour_is_passed_over(tmp_path, broken):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/summary.json").write_text(broken)
    assert "against b<" in page_of_three(tmp_path, {})


def test_the_command_writes_an_old_run_again_against_a_baseline_file(two_runs, tmp_path):
    file, output = tmp_path / "baseline.json", tmp_path / "out.html"
    file.write_text(baseline_text(baseline(read_summary(two_runs / "before"))))
    command = ["report", str(two_runs / "after"), "--compare", str(file), "-o", str(output)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    data = data_of(output)
    assert sum(entry["change"] == "newly failing" for entry in data["records"]) == 7
    assert data["before"] == {}


def test_the_command_says_where_there_is_no_run(tmp_path):
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 1
    assert str(tmp_path / "summary.json") in str(done.output) + str(done.exception)


def test_an_answer_without_evidence_is_shown_all_the_same(tmp_path):
    seen = Observation("server", 200, content="Hi", finish_reason="stop")
    write_run(tmp_path / "run", [answer_of(case_of("bare"), seen)])
    assert data_of(report_run(tmp_path / "run"))["records"][0]["written"] is None


def test_judging_again_writes_the_page_again(two_runs, tmp_path):
    folder = tmp_path / "after"
    shutil.copytree(two_runs / "after", folder, ignore=shutil.ignore_patterns("report.html"))
    rejudge_run(folder, tmp_path)
    assert "gate: FAILED" in (folder / "report.html").read_text()


def test_a_failed_case_has_one_line_in_the_terminal_and_violations_come_first():
    miss = answer_of(case_of("miss"), called(1, wrote=1))
    lost = answer_of(case_of("lost"), called(BIG - 1))
    records = [miss, replace(miss, traits=STREAM), replace(miss, profile="other"), lost]
    console = Console(width=200, record=True, file=io.StringIO())
    print_summary(
        summarize(records, Config(gates={"default": Gate()}), PRINT, RUN), records, console
    )
    lines = [line for line in console.export_text().splitlines() if line.startswith("fail ")]
    assert [line.partition(": ")[0] for line in lines] == [
        "fail cases/messages.yaml::lost[default-server]",
        "fail cases/messages.yaml::miss[default-server,stream; other-server]",
    ]
