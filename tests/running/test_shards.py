"""Shards and their merge: dealt out, run as real processes on a real server, and joined."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from builders import write_project
from hypothesis import given
from hypothesis import strategies as st
from made_runs import figures_of, summary_with
from typer.testing import CliRunner

from evals.cli import app
from evals.config import Config, cache_folder
from evals.engines.mlx_lm import boot
from evals.errors import ConfigError
from evals.replay.build import ARGUMENTS, cached_replay
from evals.report.summary import GateOutcome, PromptTokens
from evals.report.summary_file import baseline, baseline_text, read_summary, write_summary
from evals.running.finish import gate_on_regression
from evals.running.merge import merge_runs
from evals.running.shard import Shard, deal, parse_shard
from evals.stored import read_records, write_records

CALL = "<tool_call>\\n<function={}>\\n</function>\\n</tool_call>"
CONFIGURATION = """\
[tool.pytest.ini_options]
[tool.evals.targets.replay]
model = "replay"
[tool.evals.profiles.one]
target = "replay"
[tool.evals.profiles.two]
target = "replay"
[tool.evals.gates.default]
case = 0.8
on = "value"
"""
PROFILES = ("--profiles", "one,two")
CASES = 7


def case_file(names, write="look", repeat=""):
    script = f'{{text: "{CALL.format(write)}"}}'
    entries = [
        f"  - id: {name}\n    ask: Look at {name}.\n    replay: {script}\n"
        f"    expect: {{call: {{name: look}}}}\n"
        for name in names
    ]
    return "defaults: {tools: [look, listen]}\ncases:\n" + "".join(entries) + repeat


def make_project(folder):
    files = {
        "cases/tools/t.yaml": "look: {}\nlisten: {}\n",
        "cases/a.yaml": case_file(["a1", "a2", "a3", "a4"]),
        "cases/b.yaml": case_file(["b1", "b2"]),
        "cases/wrong.yaml": case_file(["w1"], write="listen"),
        "pyproject.toml": CONFIGURATION,
    }
    return write_project(folder, files)


def evals(project, *arguments, module=("evals",), terminal=False, **environment):
    """Run `evals …` in `project`, if asked in a real terminal; exit code and output."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GITHUB_"))}
    kept = {k: v for k, v in kept.items() if k not in ("CI", "NO_COLOR", "FORCE_COLOR")}
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", *module, *map(str, arguments)],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        env={**kept, "TERM": "xterm-256color", **environment},
    ) as process:
        os.close(theirs)
        output = b"".join(_read(ours))
        os.close(ours)
    return process.returncode, output.decode()


def _read(file):
    # Linux says with an error that a terminal's other side is closed.
    with contextlib.suppress(OSError):
        while piece := os.read(file, 65536):
            yield piece


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "server.log"
    model, cache = cached_replay(cache_folder()), cache_folder()
    with boot(model, log=log, cache=cache, arguments=ARGUMENTS) as server:
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def whole(project, server):
    """The run of everything, and what it said, with -v and in CI."""
    junit = project / "junit.xml"
    options = ("--run-dir", "reports/whole", "--junitxml", junit, "-v")
    github = {"SERVER_URL": "https://github.com", "REPOSITORY": "me/mine", "RUN_ID": "1"}
    variables = {f"GITHUB_{key}": value for key, value in github.items()}
    variables |= {"GITHUB_ACTIONS": "true", "GITHUB_RUN_NUMBER": "1", "CI": "1"}
    code, output = evals(project, "run", *PROFILES, "--attach", server.url, *options, **variables)
    assert code == 0, output
    return project / "reports" / "whole", output


TERMINALS = (
    {},
    {"terminal": True, "NO_COLOR": "1"},
    {"terminal": True, "CI": "true"},
)


@pytest.fixture(scope="module")
def said(project, server):
    """What three shards of the same say: to a file, to a terminal, and to the terminal of a CI."""
    outputs = []
    for i, where in enumerate(TERMINALS, start=1):
        options = ("--shard", f"{i}/3", "--run-dir", f"reports/s{i}")
        code, output = evals(project, "run", *PROFILES, "--attach", server.url, *options, **where)
        assert code in (0, 1), output
        assert f"not judged (shard {i}/3" in output
        outputs.append(output)
    return outputs


@pytest.fixture(scope="module")
def shards(project, said):
    return [project / "reports" / f"s{i}" for i in (1, 2, 3)]


@given(st.lists(st.text(max_size=3)), st.integers(1, 9))
def test_dealt_cases_are_in_one_share_each_and_shares_are_equal(names, count):
    shares = [deal(names, Shard(i, count)) for i in range(1, count + 1)]
    assert sorted(name for share in shares for name in share) == sorted(set(names))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_neighbours_such_as_cases_of_one_toolset_go_to_different_shards():
    names = [f"{tools}-{i}" for tools in "abc" for i in range(8)]
    for i in (1, 2, 3, 4):
        assert Counter(name[0] for name in deal(names, Shard(i, 4))) == Counter(a=2, b=2, c=2)


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "١/٣"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConfigError, match="such as 2/4"):
        parse_shard(text)


def collected(project, *arguments):
    _, output = evals(
        project,
        "cases",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        *arguments,
        module=("pytest",),
    )
    return sorted(line for line in output.splitlines() if "::" in line)


def test_a_choice_does_not_move_a_case_to_another_shard(project, shards):
    chosen = collected(project, *PROFILES, "--shard", "2/3", "-k", "two")
    asked = [record.key for record in read_records(shards[1] / "records.jsonl")]
    assert chosen == sorted(key for key in asked if "[two-" in key)


def timeless(summary):
    """A summary's profiles without what depends on the server's past, and on the clock."""
    return {
        name: replace(profile, prompt_tokens=PromptTokens(total=0, cached=0), latency={})
        for name, profile in summary.profiles.items()
    }


def test_merged_shards_are_the_run_of_the_whole(project, whole, shards, monkeypatch):
    monkeypatch.chdir(project)
    result = CliRunner().invoke(app, ["merge", *map(str, shards), "-o", "reports/merged"])
    assert result.exit_code == 0, result.output
    ours, theirs = read_summary(project / "reports" / "merged"), read_summary(whole[0])
    assert timeless(ours) == timeless(theirs)
    assert ours.fingerprint == theirs.fingerprint
    assert ours.gate == theirs.gate == GateOutcome(passed=True)
    assert ours.run.whole is True
    for name in ("report.html", "fingerprint.json", "allure-results/executor.json"):
        assert (project / "reports" / "merged" / name).is_file()
    keys = [[r.key for r in read_records(x / "records.jsonl")] for x in (whole[0], *shards)]
    assert sorted(key for part in keys[1:] for key in part) == sorted(keys[0])
    assert [len(part) for part in keys[1:]] == [12, 8, 8]
    results = (project / "reports" / "merged" / "allure-results").glob("*-result.json")
    assert len(list(results)) == len(keys[0])


def test_a_shard_that_is_not_there_is_missed_by_name_and_fails_the_gate(
    project, shards, monkeypatch, tmp_path
):
    monkeypatch.chdir(project)
    output = str(tmp_path / "two")
    result = CliRunner().invoke(app, ["merge", str(shards[0]), str(shards[2]), "-o", output])
    assert result.exit_code == 1
    absent = [record.key for record in read_records(shards[1] / "records.jsonl")]
    assert sorted(re.findall(r"^missing: (.*)$", result.output, re.M)) == sorted(absent)
    assert f"{len(absent)} question(s) have no answer: {sorted(absent)[0]}, " in result.output
    assert "without a record: shard 2/3" in result.output
    page = Path(output, "report.html").read_text(encoding="utf-8")
    assert f"{len(absent)} questions were not answered (shard 2/3)" in page
    assert "No record came of shard 2/3: read the logs of these jobs, run them again" in page


def test_a_shard_that_was_killed_is_left_out_and_the_others_are_reported(
    project, shards, monkeypatch, tmp_path
):
    monkeypatch.chdir(project)
    killed = tmp_path / "shard-2"
    killed.mkdir()
    (killed / "records.jsonl").write_bytes((shards[1] / "records.jsonl").read_bytes())
    folders = [str(shards[0]), str(killed), str(shards[2])]
    result = CliRunner().invoke(app, ["merge", *folders, "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert f"left out: {killed}: its run asked nothing, or was ended" in result.output
    assert "without a record: shard 2/3" in result.output
    assert (tmp_path / "out" / "report.html").is_file()
    result = CliRunner().invoke(app, ["merge", str(killed), "-o", str(tmp_path / "none")])
    assert (result.exit_code, "there is nothing to merge" in result.output) == (1, True)


def test_a_shard_without_a_case_hides_no_others(project, shards, tmp_path):
    empty = tmp_path / "shard-4"
    (empty / "allure-results").mkdir(parents=True)
    merged = merge_runs([*shards, empty], tmp_path / "out", project)
    assert (merged.unfinished, merged.missing) == ([empty], [])
    assert merged.summary.run.whole is True


@pytest.fixture
def copies(shards, tmp_path):
    """The shards' summaries, to be changed; gives a function that changes one."""

    def change(number, **changes):
        folders = []
        for i, shard in enumerate(shards):
            folder = tmp_path / shard.name
            folder.mkdir()
            (folder / "records.jsonl").write_bytes((shard / "records.jsonl").read_bytes())
            summary = asdict(read_summary(shard))
            if i == number:
                for path, value in changes.items():
                    *way, last = path.split("__")
                    place = summary
                    for step in way:
                        place = place[step]
                    place[last] = value
            (folder / "summary.json").write_text(json.dumps(summary))
            folders.append(folder)
        return folders

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("run__shard__suite", "other", "suite: "),
        ("run__shard__part", "2/4", "number of shards: 3 in "),
        ("run__asked__lanes", ["server"], "lanes: "),
        ("fingerprint__graders", "other", "graders: "),
        ("fingerprint__versions", {}, "versions: "),
        ("fingerprint__profiles__two__weights", "other", "weights of profile two: "),
        ("fingerprint__profiles__one__parser", "other", "parser of profile one: "),
        ("run__shard", None, "not a shard's run"),
    ],
)
def test_shards_of_different_runs_are_refused(project, copies, tmp_path, path, value, message):
    folders = copies(1, **{path: value})
    with pytest.raises(ConfigError, match=re.escape(message)):
        merge_runs(folders, tmp_path / "out", project)
    assert not (tmp_path / "out").exists()


def test_a_shard_that_did_not_come_to_its_end_fails_the_gate(project, copies, tmp_path):
    merged = merge_runs(copies(1, run__ended="interrupted"), tmp_path / "out", project)
    assert (merged.missing, merged.summary.run.whole) == ([], False)
    told = "the run did not come to its end: s2 (2/3): interrupted"
    assert merged.summary.gate == GateOutcome(passed=False, reasons=(told,))


def test_other_machines_are_told(project, copies, tmp_path):
    folders = copies(1, fingerprint__machine__cores=96)
    merged = merge_runs(folders, tmp_path / "out", project)
    assert merged.summary.fingerprint.machine.cores.endswith(" and 96")


def test_a_shard_given_twice_is_refused(project, shards, tmp_path):
    with pytest.raises(ConfigError, match="give each shard once"):
        merge_runs([*shards, shards[0]], tmp_path / "out", project)


def test_a_folder_in_use_is_left_alone(project, shards):
    with pytest.raises(ConfigError, match="is not empty"):
        merge_runs(shards, shards[0], project)


def test_shards_of_a_suite_that_has_changed_since_are_not_the_whole(shards, tmp_path):
    later = make_project(tmp_path / "later")
    (later / "cases" / "b.yaml").write_text(case_file(["b1", "b2"]).replace("Look at", "See"))
    merged = merge_runs(shards, tmp_path / "out", later)
    assert merged.missing == []
    assert merged.summary.run.whole is False
    assert merged.summary.gate.passed is False


def test_an_answer_in_one_lane_to_a_case_that_has_changed_since_is_not_of_the_whole(
    project, copies, tmp_path
):
    folders = copies(1)
    first, *others = read_records(folders[1] / "records.jsonl")
    asked = first.case.model_copy(update={"max_tokens": 100})
    write_records([replace(first, case=asked), *others], folders[1] / "records.jsonl")
    merged = merge_runs(folders, tmp_path / "out", project)
    assert merged.missing == []
    assert merged.summary.run.whole is False
    assert merged.summary.gate.passed is False


def test_a_merged_run_is_compared_with_the_baseline(project, whole, shards, tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(baseline_text(baseline(read_summary(whole[0]))))
    merged = merge_runs(shards, tmp_path / "same", project, path)
    assert merged.summary.gate.passed is True
    assert any("0 newly failing" in line for line in merged.summary.comparison)


@pytest.mark.parametrize(("broken", "passed"), [(5, True), (6, False)])
def test_a_regression_fails_the_gate(tmp_path, broken, passed):
    def run(fail):
        outcomes = ["fail"] * fail + ["pass"] * (20 - fail)
        cases = {f"c::{i}": {"server": outcome} for i, outcome in enumerate(outcomes)}
        return summary_with({"p": figures_of(cases)})

    write_summary(run(0), tmp_path)
    after, compared = gate_on_regression(run(broken), tmp_path, Config())
    assert compared == tmp_path
    assert after.gate.passed is passed


def test_a_shard_with_xdist_asks_what_it_asks_without(project, server, shards):
    options = ("--shard", "1/3", "--run-dir", "reports/x1", "-n", "2", "--profiles", "one")
    code, output = evals(project, "run", "--attach", server.url, *options)
    assert code in (0, 1), output
    ours = read_summary(project / "reports" / "x1")
    theirs = read_summary(shards[0])
    assert ours.profiles["one"].cases == theirs.profiles["one"].cases
    assert ours.run.shard.suite == theirs.run.shard.suite
    assert re.search(r"\[ +6/6\] \d failed, about 0.0 min left", output)


def test_junit_has_a_testcase_for_each_case_lane_and_profile(project, whole):
    root = ElementTree.parse(project / "junit.xml").getroot()
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    assert len(cases) == CASES * 2 * 2
    failed = [name for (_, name), case in cases.items() if case.find("failure") is not None]
    lanes = [f"w1[{profile}-{lane}]" for profile in ("one", "two") for lane in ("server", "stream")]
    assert sorted(failed) == lanes
    assert not list(root.iter("error"))
    story = cases["cases.wrong.yaml", "w1[one-server]"].find("failure").text
    assert "the model wrote" in story
    assert "Traceback" not in story


def test_v_shows_the_raw_text_of_failures_without_colour_or_traceback(whole):
    _, output = whole
    assert "the model wrote\n    <tool_call>\n    <function=listen>" in output
    assert "cases/a.yaml::a1[one-server] PASSED" in output
    assert "\x1b[" not in output
    assert "Traceback" not in output


def test_progress_is_rewritten_on_a_terminal_alone_and_colour_is_never_forced(said):
    file, terminal, ci = said
    assert re.search(r"\r\[ +8/8\] \d failed, about 0.0 min left", terminal)
    assert re.search(r"\n\[ +12/12\] \d failed, about 0.0 min left", file)
    assert re.search(r"\n\[ +8/8\] \d failed, about 0.0 min left", ci)
    assert not re.search(r"\r\[ +\d+/", file + ci)
    colour = r"\x1b\[[0-9;]*[349][0-7]m"
    assert [bool(re.search(colour, text)) for text in said] == [False, False, True]
    assert "\x1b" not in file
    assert not re.search(r"^[.Fxs]+$", file, re.M)


def test_on_github_no_line_of_a_run_is_a_command(whole):
    _, output = whole
    lines = output.splitlines()
    word = re.fullmatch("::stop-commands::([0-9a-f]{32})", lines[0])[1]
    assert lines.index(f"::{word}::") > lines.index("run: " + str(whole[0]))
    assert output.count(word) == 2
