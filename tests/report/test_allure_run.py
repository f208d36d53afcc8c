"""Allure results of real runs with a planted parser defect, and the report that Node.js makes."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from builders import write_project

from evals.case import KnownDefect
from evals.config import cache_folder
from evals.engines.mlx_lm import boot
from evals.errors import ConfigError, EvalsError
from evals.replay.build import ARGUMENTS, cached_replay
from evals.report.allure import html
from evals.report.allure.files import write_results, write_run_files
from evals.report.allure.html import HISTORY, install, make_html
from evals.report.summary_file import read_summary, write_summary
from evals.running.rejudge import rejudge_run
from evals.running.runner import judged
from evals.stored import read_records

CASES = """\
defaults:
  profiles: [replay]
  tools:
    - name: grep
      parameters: {type: object, properties: {pattern: {type: string}}, required: [pattern]}
cases:
  - id: "null-text"
    ask: Search for the word null.
    critical: true
    replay:
      text: |-
        <tool_call>
        <function=grep>
        <parameter=pattern>
        null
        </parameter>
        </function>
        </tool_call>
    expect: {call: {name: grep, arguments: {pattern: "null"}}}
  - id: no-call
    ask: Search for tea.
    tags: [hot-drinks]
    replay: {text: "</script><img src=x onerror=alert(1)>"}
    expect: {call: {name: grep, arguments: {pattern: tea}}}
  - id: hello
    ask: Say hello.
    replay: {text: "Hello!"}
    expect: {answer: {}}
"""
CONFIGURATION = """\
[tool.pytest.ini_options]
[tool.evals.targets.replay]
model = "replay"
[tool.evals.profiles.replay]
target = "replay"
[tool.evals.gates.replay]
case = 0.9
"""
KEYS = {
    f"cases/a.yaml::{case} {lane}"
    for case in ("null-text", "no-call", "hello")
    for lane in ("server", "stream")
}


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """Runs pytest on the cases against one replay server; returns the run's folder and output."""
    files = {"cases/a.yaml": CASES, "pyproject.toml": CONFIGURATION}
    project = write_project(tmp_path_factory.mktemp("planted"), files)
    log = tmp_path_factory.mktemp("log") / "server.log"

    def run(name, *arguments):
        folder = project / "reports" / name
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "cases"]
        command += ["--profiles=replay", f"--attach={server.url}", f"--run-dir={folder}"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=300,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        )
        return folder, done.stdout + done.stderr

    replay = cached_replay(cache_folder())
    with boot(replay, log=log, cache=cache_folder(), arguments=ARGUMENTS) as server:
        yield run


@pytest.fixture(scope="module")
def played(play):
    folder, output = play("serial")
    assert "4 failed, 2 passed" in output
    return folder


def results_of(folder):
    """Allure's results by case and lane."""
    results = {}
    for path in (folder / "allure-results").glob("*-result.json"):
        result = json.loads(path.read_text())
        lane = next(p["value"] for p in result["parameters"] if p["name"] == "lane")
        assert results.setdefault(f"{result['fullName']} {lane}", result) is result, "a retry"
    return results


def attachments_of(result, folder):
    """Contents of a result's attachments by name."""
    return {
        attachment["name"]: (folder / "allure-results" / attachment["source"]).read_text()
        for step in result["steps"]
        for attachment in step.get("attachments", ())
    }


def comparable(results):
    """What must not depend on who wrote the results."""
    return {
        key: [
            *(result.get(name) for name in ("name", "status", "historyId", "testCaseId")),
            result.get("statusDetails", {}).get("message"),
            sorted(f"{x['name']}={x['value']}" for x in result["labels"] if x["name"] in _OURS),
            [step["name"] for step in result["steps"]],
        ]
        for key, result in results.items()
    }


_OURS = {"epic", "feature", "story", "severity", "parentSuite", "suite", "subSuite", "tag"} | {
    "layer",
    "kind",
}


def test_a_run_leaves_one_result_for_each_case_and_lane(played):
    results = results_of(played)
    assert set(results) == KEYS
    violation = results["cases/a.yaml::null-text server"]
    assert violation["name"] == "Search for the word null."
    assert violation["status"] == "failed"
    assert violation["statusDetails"]["message"].startswith("violation: changed_arguments (parser)")
    labels = {(label["name"], label["value"]) for label in violation["labels"]}
    assert {("severity", "critical"), ("layer", "parser"), ("tag", "critical")} <= labels
    miss = results["cases/a.yaml::no-call stream"]
    assert miss["statusDetails"]["message"].startswith("miss: missing_call (model)")
    tags = [label["value"] for label in miss["labels"] if label["name"] == "tag"]
    assert sorted(tags) == ["full", "hot-drinks"]
    assert results["cases/a.yaml::hello server"]["status"] == "passed"


def test_a_result_has_the_evidence_of_just_that_request(played):
    files = attachments_of(results_of(played)["cases/a.yaml::null-text server"], played)
    assert "<parameter=pattern>\nnull\n" in files["raw model text"]
    assert '"<tool_call>"' in files["tokens"]
    assert json.loads(files["response"])["calls"][0]["arguments"] == '{"pattern": null}'
    assert files["curl"].startswith("curl -s http://127.0.0.1:")
    stream = attachments_of(results_of(played)["cases/a.yaml::null-text stream"], played)
    assert stream["SSE transcript"].endswith("data: [DONE]")
    assert "raw model text" in stream


def test_a_result_takes_the_time_of_its_answer(played):
    records = {r.key: r for r in read_records(played / "records.jsonl")}
    result = results_of(played)["cases/a.yaml::hello server"]
    observation = records["cases/a.yaml::hello[replay-server]"].observation
    assert result["start"] == round(observation.started * 1000)
    assert result["stop"] - result["start"] == pytest.approx(observation.seconds * 1000, abs=1)


def test_the_run_has_its_own_files(played):
    results = played / "allure-results"
    names = [entry["name"] for entry in json.loads((results / "categories.json").read_text())]
    assert "Violation: parser" in names
    assert "Miss: missing_call" in names
    assert "gate = FAILED" in (results / "environment.properties").read_text()
    assert json.loads((results / "executor.json").read_text())["reportName"].endswith("serial")
    assert "violation(s), at most 0" in (results / "run-summary-attachment.txt").read_text()
    attached = json.loads((results / "run-globals.json").read_text())["attachments"]
    assert [entry["name"] for entry in attached] == [
        "summary",
        "rates-replay",
        "latency-replay",
        "waterfall-replay",
    ]
    for entry in attached[1:]:
        assert ElementTree.parse(results / entry["source"]).getroot().tag.endswith("}svg")


def test_xdist_leaves_the_same_and_a_resumed_run_has_no_retries(play, played):
    folder = played.with_name("resumed")
    shutil.copytree(played, folder)
    first = (folder / "records.jsonl").read_text().partition("\n")[0]
    (folder / "records.jsonl").write_text(f"{first}\n")
    folder, output = play("resumed", "-n2", f"--resume={folder}")
    assert "4 failed, 2 passed" in output
    assert comparable(results_of(folder)) == comparable(results_of(played))
    assert (folder / "allure-results" / "categories.json").exists()


def test_records_alone_make_the_same(played, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(played, folder)
    rejudge_run(folder, played.parents[1])
    assert comparable(results_of(folder)) == comparable(results_of(played))


def test_without_allures_plugin_the_run_is_the_same(play):
    folder, output = play("without", "-p", "no:allure_pytest")
    assert "4 failed, 2 passed" in output
    assert "Traceback" not in output
    assert (folder / "summary.json").exists()
    assert not (folder / "allure-results").exists()


# --- the report ----------------------------------------------------------------------------------

needs_node = pytest.mark.skipif(not shutil.which("npm"), reason="Node.js is not installed")


@pytest.fixture
def finished(played, tmp_path):
    """A copy of the run that may be changed, alone in its folder."""
    return Path(shutil.copytree(played, tmp_path / "reports" / "r1"))


def widgets(page):
    """The data in a report of one file, by name."""
    found = re.findall(r'd\("([^"]+)","([^"]*)"\)', page.read_text(encoding="utf-8"))
    return {name: base64.b64decode(data) for name, data in found}


def history(finished):
    lines = (finished.parent / HISTORY).read_text().splitlines()
    return [json.loads(line) for line in lines]


@needs_node
def test_the_report_is_one_file_with_gate_categories_and_rates(finished):
    page = make_html(finished, cache_folder(), print)
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]*)', page.read_text())
    assert {address.partition(":")[0] for address in loaded} == {"data"}
    data = widgets(page)
    gate = json.loads(data["widgets/quality-gate.json"])["default"]
    assert [row["success"] for row in gate] == [False] * len(gate)
    assert [row["message"] for row in gate] == [*read_summary(finished).gate.reasons]
    roots = json.loads(data["widgets/categories.json"])["nodes"].values()
    counts = {n["name"]: n["statistic"]["total"] for n in roots if n["type"] == "category"}
    assert counts == {"Violation: parser": 2, "Miss: missing_call": 2}
    keys = {metric["key"] for metric in json.loads(data["widgets/metrics.json"])["current"]}
    assert "replay: case" in keys


@needs_node
def test_a_planted_defect_is_two_clicks_away(finished):
    data = widgets(make_html(finished, cache_folder(), print))
    tests = [json.loads(v) for k, v in data.items() if k.startswith("data/test-results/")]
    (found,) = [
        test
        for test in tests
        if test["fullName"].endswith("null-text")
        and {"name": "subSuite", "value": "stream"} in test["labels"]
    ]
    assert found["id"] in json.loads(data["widgets/nav.json"]), "in the tree of the first screen"
    for text in ("<parameter=pattern>", '"pattern": null', "parser"):
        assert text in found["error"]["trace"]


@needs_node
def test_the_page_begins_at_its_top_and_moves_when_somebody_does(finished, chromium):
    address = make_html(finished, cache_folder(), print).as_uri()
    page = chromium.new_page(viewport={"width": 390, "height": 500})
    moved = "() => document.querySelector('[data-tree-scroll-container]').scrollTop"
    page.goto(address)
    page.get_by_test_id("tree-leaf").first.wait_for()
    page.wait_for_timeout(500)  # by then Allure has moved to its first test
    assert page.evaluate(moved) == 0
    page.keyboard.press("ArrowDown")
    page.wait_for_function(f"({moved})() > 0")
    page.close()


def test_the_same_case_in_another_lane_and_the_difference_are_in_the_page(finished):
    data = widgets(make_html(finished, cache_folder(), print))
    tests = [json.loads(v) for k, v in data.items() if k.startswith("data/test-results/")]
    null_text = [test for test in tests if test["fullName"].endswith("null-text")]
    places = {test["environment"] for test in null_text}
    assert places == {"replay, server", "replay, stream"}
    assert len({test["testCase"]["id"] for test in null_text}) == 1
    for test in null_text:
        assert test["error"]["expected"] == 'grep({"pattern": "null"})'
        assert test["error"]["actual"] == 'grep({"pattern": null})'


@needs_node
def test_known_defects_are_parted_by_their_issue_and_kinds_by_layer(finished):
    link = "https://github.com/o/r/issues/12"
    defect = KnownDefect(profiles=("replay",), reason="null becomes JSON's", link=link)
    records = [
        judged(
            replace(record, case=record.case.model_copy(update={"known_defects": (defect,)}))
            if record.case.id == "null-text"
            else record
        )
        for record in read_records(finished / "records.jsonl")
    ]
    summary = read_summary(finished)
    write_results(records, summary, finished / "allure-results")
    write_run_files(summary, records, finished / "allure-results")
    for multi_file in (False, True):
        page = make_html(finished, cache_folder(), print, multi_file=multi_file)
        data = page.parent if multi_file else widgets(page)
        nodes = value_of(data, "widgets/categories.json")["nodes"].values()
        groups = {n["name"]: n["statistic"]["total"] for n in nodes if n["type"] == "group"}
        assert groups == {"known defect: o/r#12: null becomes JSON's": 2, "kind: missing_call": 2}
        charts = value_of(data, "widgets/charts.json")
        places = [charts["general"], *charts["byEnv"].values()]
        for chart in (of["blame"] for of in places if of["blame"]["data"]):
            shares = {
                (row["id"], cell["x"]): cell["y"] for row in chart["data"] for cell in row["data"]
            }
            found = {place: share for place, share in shares.items() if share}
            assert found == {("parser", "changed arguments"): 0.5, ("model", "missing call"): 0.5}
    tests = [json.loads(path.read_text()) for path in page.parent.glob("data/test-results/*.json")]
    linked = [test for test in tests if test["fullName"].endswith("null-text")]
    assert [test["status"] for test in linked] == ["skipped"] * 2
    assert linked[0]["links"] == [{"name": "o/r#12", "url": link, "type": "issue"}]


def value_of(data, name):
    """One of a report's values, out of the page of one file or the folder of many."""
    return json.loads(data[name] if isinstance(data, dict) else (data / name).read_text())


@needs_node
def test_the_history_has_each_whole_run_once(finished):
    make_html(finished, cache_folder(), print)
    make_html(finished, cache_folder(), print)
    assert [point["name"] for point in history(finished)] == ["toolcall-evals serial"]
    for name, whole in (("r2", True), ("r3", False)):
        folder = Path(shutil.copytree(finished, finished.with_name(name)))
        summary = read_summary(folder)
        write_summary(replace(summary, run=replace(summary.run, id=name, whole=whole)), folder)
        page = make_html(folder, cache_folder(), print)
    points = history(finished)
    assert [point["name"] for point in points] == ["toolcall-evals serial", "toolcall-evals r2"]
    assert set(points[0]["testResults"]) == set(points[1]["testResults"])
    assert (
        points[0]["metrics"]["replay: case"]
        == read_summary(finished).profiles["replay"].rates["case"].value
    )
    trend = json.loads(widgets(page)["widgets/metrics.json"])["history"]
    assert len(trend) == 2


def names_of(data, under):
    """Names of a report's values in one of its folders."""
    if isinstance(data, dict):
        return {name.rpartition("/")[2] for name in data if name.startswith(f"{under}/")}
    return {path.name for path in (data / under).iterdir()}


@needs_node
@pytest.mark.parametrize("multi_file", [False, True])
def test_a_page_without_room_for_all_lists_failures_and_has_the_figures_of_all(
    finished, monkeypatch, multi_file
):
    make_html(finished, cache_folder(), print)  # an earlier run, with all
    run = Path(shutil.copytree(finished, finished.with_name("r2")))
    summary = read_summary(run)
    write_summary(replace(summary, run=replace(summary.run, id="r2")), run)
    results = {path: path.stat().st_mtime_ns for path in (run / "allure-results").iterdir()}
    monkeypatch.setattr(html, "MOST_LISTED", 3)
    told = []
    page = make_html(run, cache_folder(), told.append, multi_file=multi_file)
    data = page.parent if multi_file else widgets(page)

    tests = [
        value_of(data, f"data/test-results/{name}") for name in names_of(data, "data/test-results")
    ]
    assert [test["status"] for test in tests] == ["failed"] * 3
    assert {test["fullName"].partition("::")[2] for test in tests} == {"null-text", "no-call"}
    assert all(len(test["history"]) == 1 for test in tests)
    linked = {step["link"]["id"] for test in tests for step in test["attachments"]}
    pictures = {file["id"] for file in value_of(data, "widgets/globals.json")["attachments"]}
    assert linked
    there = {name.partition(".")[0] for name in names_of(data, "data/attachments")}
    assert there == linked | pictures
    assert len(names_of(data, "data/test-env-groups")) == 2
    (earlier,) = names_of(data, "data/history")
    point = value_of(data, f"data/history/{earlier}")
    assert set(point["testResults"]) == {test["historyId"] for test in tests}

    counts = value_of(data, "widgets/statistic.json")
    assert (counts["total"], counts["failed"], counts["passed"]) == (6, 4, 2)
    places = value_of(data, "widgets/environments.json")
    totals = [value_of(data, f"widgets/{of['id']}/statistic.json")["total"] for of in places]
    assert sorted(totals) == [0, 3, 3]
    charts = value_of(data, "widgets/charts.json")["general"]
    assert "of 4 that did not pass" in charts["blame"]["title"]
    types = {chart["type"]: chart for chart in charts.values()}
    assert "successRateDistribution" not in types
    assert len(types["statusDynamics"]["data"]) == 2, "the earlier run and this one"
    gate = value_of(data, "widgets/quality-gate.json")["default"]
    assert [row["message"] for row in gate] == [*summary.gate.reasons]
    (rate,) = [
        metric
        for metric in value_of(data, "widgets/metrics.json")["current"]
        if metric["key"] == "replay: case"
    ]
    assert rate["value"] == summary.profiles["replay"].rates["case"].value

    assert "toolcall-evals r2: 3 of 6 answers listed" in page.read_text(encoding="utf-8")
    row = value_of(data, "widgets/allure_environment.json")[0]
    assert row["name"] == "listed"
    assert row["values"][0].startswith("3 of 6 answers are listed, some of each kind of failure")
    assert told[-1] == f"allure: {row['values'][0]}"
    assert {path: path.stat().st_mtime_ns for path in (run / "allure-results").iterdir()} == results


@needs_node
def test_a_case_that_was_not_listed_is_in_the_history(finished, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(html, "MOST_LISTED", 1)
        make_html(finished, cache_folder(), print)
    (point,) = history(finished)
    assert point["name"] == "toolcall-evals serial"
    assert len(point["testResults"]) == 6
    assert sorted(of["status"] for of in point["testResults"].values()) == (
        ["failed"] * 4 + ["passed"] * 2
    )
    run = Path(shutil.copytree(finished, finished.with_name("r2")))
    summary = read_summary(run)
    write_summary(replace(summary, run=replace(summary.run, id="r2")), run)
    data = widgets(make_html(run, cache_folder(), print))
    assert "new" not in json.loads(data["widgets/statistic.json"])


@needs_node
def test_allures_own_command_reads_every_file(finished):
    cli = install(cache_folder(), print) / "node_modules" / "allure" / "cli.js"
    command = ["node", str(cli), "generate", str(finished / "allure-results"), "-o", "out"]
    done = subprocess.run(command, cwd=finished, capture_output=True, text=True, check=True)
    assert "error" not in (done.stdout + done.stderr).lower()
    summary = json.loads(next(finished.glob("out/**/summary.json")).read_text())
    assert summary["stats"] == {"total": 6, "failed": 4, "passed": 2}


@needs_node
def test_six_hundred_results_take_less_than_a_minute(finished):
    install(cache_folder(), print)
    records = list(read_records(finished / "records.jsonl"))
    many = [
        replace(record, case=record.case.model_copy(update={"id": f"{record.case.id}-{number}"}))
        for number in range(100)
        for record in records
    ]
    summary = read_summary(finished)
    start = time.monotonic()
    write_results(many, summary, finished / "allure-results")
    write_run_files(summary, many, finished / "allure-results")
    data = widgets(make_html(finished, cache_folder(), print))
    assert time.monotonic() - start < 60
    assert len([name for name in data if name.startswith("data/test-results/")]) == 600


@needs_node
def test_results_are_made_where_a_run_left_none(finished):
    shutil.rmtree(finished / "allure-results")
    assert make_html(finished, cache_folder(), print).exists()
    assert set(results_of(finished)) == KEYS


@pytest.mark.parametrize(
    ("version", "message"), [(None, "and there is none"), ("v18.20.1", "this is v18.20.1")]
)
def test_without_node_it_says_what_to_install_and_what_works(
    finished, tmp_path, monkeypatch, version, message
):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("node", "npm") if version else ():
        (tools / tool).write_text(f"#!/bin/sh\necho {version}\n")
        (tools / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(EvalsError, match=r"Node\.js 20 or newer") as raised:
        make_html(finished, cache_folder(), print)
    assert message in str(raised.value)
    assert "npx allure@3 awesome" in str(raised.value)
    assert str(finished / "allure-results") in str(raised.value)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no summary of a run"):
        make_html(tmp_path, cache_folder(), print)
