"""Job summary, annotations and issue text; whatever a model writes, it is only shown."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import BIG, PRINT, RAW, RUN, answer_of, called, case_of, write_run
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from evals.cli import app
from evals.config import Config, Gate
from evals.observation import STREAM, Observation
from evals.report.comparison import compare
from evals.report.github.commands import annotations, commands_stopped, escape_data, escape_property
from evals.report.github.files import write_github
from evals.report.github.issue import issue_text
from evals.report.github.markdown import block, code, job_summary, plain
from evals.report.problems import Why, counts_by_layer, problems
from evals.report.summarize import summarize
from evals.report.summary import ProfileServed
from evals.results import Status

MARKDOWN = MarkdownIt("commonmark").enable("table")
COMMANDS = ("error", "warning", "set-env", "add-path", "add-mask", "stop-commands", "set-output")
HOSTILE = (
    "::error file=x::boo",
    "   ::add-mask::secret",
    "a ##[set-env name=X]1",
    "a\n::error::b\r::error::c%0A::error::d\u2028::error::e",
    "``` \n# heading\n```` \n<img src=x onerror=alert(1)>",
    "`<script>` | [a](http://evil.test) ![b](http://evil.test) @someone #1 </details>",
    "\x1b[31m red \x07 \u202e reversed \ud800 half",
    "",
    "`",
    "\\| \\` |",
)
FOLDED = ("<details><summary>the first of them, whole</summary>\n", "</details>\n")
GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "me/mine",
    "GITHUB_SHA": "abc123",
    "GITHUB_RUN_ID": "77",
}


def said(text, name="silent"):
    """An answer in place of a call: a miss, with the model's words in its story."""
    words = Observation(
        "server", 200, content=text, finish_reason="stop", raw_text=text, token_ids=(1,)
    )
    return answer_of(case_of(name), words)


def changed(name="changed"):
    """A call whose number the server changed: a violation."""
    return answer_of(case_of(name), called(got=BIG - 1))


def broken(name="broken", error="the connection was closed"):
    return answer_of(case_of(name), Observation("server", None, error=error))


def summary_of(records, whole=True, **run):
    print_of = replace(PRINT, versions={"mlx-lm": "1"})
    return summarize(
        records, Config(gates={"default": Gate()}), print_of, replace(RUN, whole=whole, **run)
    )


def tokens(page):
    """All of a page's tokens, those inside of lines as well."""
    return [t for token in MARKDOWN.parse(page) for t in (token, *(token.children or ()))]


def parsers_commands(line):
    """What the runner would take for a command in a line of a log; see its ActionCommand.cs."""
    begun = re.match(r"\s*::([^\s:]+)(?: .*?)?::", line)
    inside = re.search(r"##\[([^\s\]]+)", line)
    found = [m[1] for m in (begun, inside) if m]
    return [name for name in found if name in COMMANDS]


@pytest.fixture
def night():
    """Before: all right. After: one lost its number, one is silent, one has no answer."""
    before = summary_of([answer_of(case_of(n), called()) for n in ("changed", "silent", "broken")])
    records = [said("Well…"), changed(), broken(), said("Hm.", "never")]
    after = summary_of(records)
    return records, after, compare(before, after)


def test_annotations_of_a_run_that_passed_its_gate_are_warnings(night):
    records, _, comparison = night
    found = problems(records, comparison)
    assert {line.split()[0] for line in annotations(found)} == {"::error"}
    assert {line.split()[0] for line in annotations(found, passed=True)} == {"::warning"}


def test_the_job_summary_names_the_engine_that_answered_and_lists_misses_without_a_comparison():
    records = [said("Well…")]
    served = ProfileServed(model="m.gguf", engine="llama_cpp", engine_version="b1")
    summary = summary_of(records)
    print_of = replace(summary.fingerprint, profiles={"default": served})
    page = job_summary(replace(summary, fingerprint=print_of), records)
    assert "default: m.gguf on llama\\_cpp b1" in page
    assert "mlx-lm" not in page
    assert "### Miss (1)" in page
    assert "next: The response is what the model wrote" in page


def test_problems_are_worst_first_and_one_for_each_case_and_profile(night):
    records, _, comparison = night
    found = problems([*records, replace(records[1], traits=STREAM)], comparison)
    assert [(p.why, p.record.case.id, p.lanes) for p in found] == [
        (Why.NEW, "changed", ("server", "stream")),
        (Why.NEW, "silent", ("server",)),
        (Why.ERROR, "broken", ("server",)),
        (Why.MISS, "never", ("server",)),
    ]
    assert [p.why for p in problems(records)] == [Why.VIOLATION, Why.ERROR, Why.MISS, Why.MISS]


def test_what_broke_is_counted_by_layer(night):
    assert list(counts_by_layer(night[0])) == [
        ("default", "model", "missing_call", 2),
        ("default", "parser", "changed_arguments", 1),
        ("default", "server", "server_error", 1),
    ]


def test_the_job_summary_has_what_is_newly_failing_before_the_rates(night):
    records, summary, comparison = night
    page = job_summary(summary, records, comparison)
    assert page.startswith("## Tool calling: gate FAILED\n")
    headings = ("### Newly failing (2)", "### Error (1)", "### Miss (1)", "### Rates")
    places = [page.index(heading) for heading in headings]
    assert places == sorted(places)
    for case in ("changed", "silent", "broken", "never"):
        lines = [x for x in page.splitlines() if x.startswith(f"- `cases/messages.yaml::{case}`")]
        assert len(lines) == 1, "each failed case has one line"
    shown = tokens(page)
    cells = [t.content for t in shown if t.type == "inline" and t.content]
    assert "tool name" in cells
    assert {"parser", "changed\\_arguments"} <= set(cells)
    codes = [t.content for t in shown if t.type == "code_inline"]
    assert any(c.startswith("changed_arguments (parser): $.id: expected 9007") for c in codes)


def test_the_first_case_is_there_whole_and_folded(night):
    records, summary, comparison = night
    shown = MARKDOWN.parse(job_summary(summary, records, comparison))
    kinds = [t.type for t in shown if t.type in ("html_block", "fence")]
    assert kinds == ["html_block", "fence", "html_block"]
    story = next(t.content for t in shown if t.type == "fence")
    for words in (
        "the model wrote",
        str(BIG),
        "the server lane gave",
        str(BIG - 1),
        "layer: parse",
    ):
        assert words in story
    good = [answer_of(case_of("good"), called())]
    assert "<details>" not in job_summary(summary_of(good), good)


def test_the_job_summary_names_all_that_differs_from_the_baseline():
    def run(version, *names):
        records = [answer_of(case_of(name), called()) for name in names]
        served = ProfileServed(model="m", engine="mlx_lm", engine_version=version)
        summary = summary_of(records)
        changed = {"profiles": {"default": served}, "versions": {"mlx-lm": version}}
        return records, replace(summary, fingerprint=replace(summary.fingerprint, **changed))

    (_, before), (records, after) = run("0.31.3", "old", "same"), run("0.32.2", "same", "young")
    page = job_summary(after, records, compare(before, after))
    found = page.partition("### What else is not as in r\n")[2].partition("### Rates")[0]
    assert "- `mlx-lm: 0.31.3 → 0.32.2`" in found
    assert "- `default: engine_version: 0.31.3 → 0.32.2`" in found
    assert "- new, default (1): `cases/messages.yaml::young`" in found
    assert "- removed, default (1): `cases/messages.yaml::old`" in found
    assert "- served: default: m on mlx\\_lm 0.32.2" in page
    assert "What else" not in job_summary(after, records, compare(after, after))


def test_each_line_says_since_when_the_case_fails(tmp_path):
    good = [answer_of(case_of(n), called()) for n in ("changed", "silent")]
    for day, silent in ((1, said("Well…")), (2, said("Well…"))):
        write_run(tmp_path / f"n{day}", [good[0], silent], f"2026-01-0{day}T03:00:00+00:00")
    write_run(tmp_path / "n3", [changed(), said("Well…")], "2026-01-03T03:00:00+00:00")
    write_github(tmp_path / "n3", tmp_path / "n2", {})
    page = (tmp_path / "n3" / "job-summary.md").read_text(encoding="utf-8")
    new, old = (line for line in page.splitlines() if line.startswith("- `cases/"))
    assert "::changed`" in new
    assert new.endswith("; passed in the last 2 runs")
    assert old.endswith("; failing in all 3 runs")
    assert "- whole cases right, earlier runs first: default 0.500, 0.500, now 0.000" in page


UNCLOSED = RAW.format(BIG).removesuffix("\n</tool_call>")


def night_of(tmp_path, now):
    """The job summary of a night against a baseline that `evals accept --answers` kept.

    In it a parser read a call that the model did not close.
    """
    good = [answer_of(case_of(f"c-{n}"), called(raw_text=UNCLOSED)) for n in range(6)]
    assert {record.status for record in good} == {Status.PASS}
    write_run(tmp_path / "before", good)
    write_run(tmp_path / "after", now)
    kept = tmp_path / "kept" / "baseline.json"
    kept.parent.mkdir()
    command = ["accept", str(tmp_path / "before"), "--to", str(kept), "--answers"]
    assert CliRunner().invoke(app, command).exit_code == 0
    write_github(tmp_path / "after", kept, {})
    return (tmp_path / "after" / "job-summary.md").read_text(encoding="utf-8")


def test_the_same_text_as_before_clears_the_model_whatever_the_layer_says(tmp_path):
    """A newer parser that drops what an older one read: what the model wrote is the same."""
    unread = {"calls": (), "content": UNCLOSED, "finish_reason": "stop", "raw_text": UNCLOSED}
    page = night_of(tmp_path, [answer_of(case_of(f"c-{n}"), called(**unread)) for n in range(6)])
    assert "**the model itself**: 6 newly failing cases (model: malformed call 6)" in page
    assert "; the model wrote the same as before in 6 of 6; begin with" in page
    assert "next: The model wrote the very same when the case passed" in page


def test_another_text_than_before_leaves_the_fault_where_it_is(tmp_path):
    page = night_of(tmp_path, [said("Well…", f"c-{n}") for n in range(6)])
    assert "the model wrote the same as before in 0 of 6; begin with" in page
    assert "next: The response is what the model wrote" in page


def test_a_run_with_incomplete_responses_is_no_baseline(tmp_path):
    write_run(tmp_path / "run", [changed("c-0"), answer_of(case_of("c-1"), called(error="cut"))])
    kept = tmp_path / "baseline.json"
    told = CliRunner().invoke(app, ["accept", str(tmp_path / "run"), "--to", str(kept)])
    assert (told.exit_code, kept.exists()) == (1, False)
    assert "has 1 incomplete response(s), with which no later run can be compared" in told.output


def test_a_baseline_without_answers_tells_of_no_text(tmp_path):
    night_of(tmp_path, [changed("c-0")])
    kept = tmp_path / "kept" / "baseline.json"
    assert CliRunner().invoke(app, ["accept", str(tmp_path / "before"), "--to", str(kept)]).output
    assert not (tmp_path / "kept" / "baseline.records.jsonl").exists(), "of an earlier baseline"
    write_github(tmp_path / "after", kept, {})
    assert "wrote the same" not in (tmp_path / "after" / "job-summary.md").read_text()


def test_annotations_of_a_project_in_a_folder_name_files_from_the_repositorys_top(
    tmp_path, monkeypatch
):
    project = tmp_path / "services/agent"
    write_run(project / "run", [changed("c-0")])
    monkeypatch.chdir(project)
    for variables, file in (
        ({"GITHUB_WORKSPACE": str(tmp_path)}, "services/agent/cases/messages.yaml"),
        ({"GITHUB_WORKSPACE": str(tmp_path / "elsewhere")}, "cases/messages.yaml"),
        ({}, "cases/messages.yaml"),
    ):
        [said] = write_github(project / "run", None, variables).annotations
        assert f"file={file}," in said


@pytest.mark.parametrize(
    ("run", "headline"),
    [
        ({"whole": True}, "gate FAILED"),
        ({"whole": False}, "a part of the suite, without a gate"),
        ({"whole": False, "merged": ["s1"]}, "gate FAILED"),
    ],
)
def test_a_chosen_part_is_not_said_to_fail_its_gate_but_missing_shards_are(run, headline):
    records = [changed()]
    assert job_summary(summary_of(records, **run), records).startswith(
        f"## Tool calling: {headline}"
    )


@given(st.text() | st.sampled_from(HOSTILE))
def test_text_in_code_is_only_code(text):
    (paragraph, line, end) = MARKDOWN.parse(f"- see {code(text)}: and so on")[2:5]
    assert [t.type for t in line.children] == ["text", "code_inline", "text"]
    assert (paragraph.type, end.type) == ("paragraph_open", "paragraph_close")
    shown = MARKDOWN.parse(f"before\n\n{block(text)}\n\nafter")
    kinds = [t.type for t in shown if t.level == 0 and not t.type.endswith("close")]
    assert kinds == ["paragraph_open", "fence", "paragraph_open"]


@given(st.text() | st.sampled_from(HOSTILE))
def test_plain_text_makes_no_markup_and_stays_in_its_cell(text):
    line = MARKDOWN.parse(f"- {plain(f'x{text}')}")[3]
    assert {t.type for t in line.children} <= {"text", "text_special"}
    table = MARKDOWN.parse(f"| a | b |\n|---|---|\n| x{plain(text)} | y |")
    assert [t.content for t in table if t.type == "inline"][3] == "y"


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_model_writes_is_more_than_shown(text):
    records = [said(f"no {text}"), broken(error=f"closed: {text}")]
    summary = summary_of(records)
    for page in (job_summary(summary, records), issue_text(summary, records, GITHUB)):
        page.encode("utf-8")
        shown = tokens(page)
        kinds = {t.type for t in shown}
        assert not kinds & {"html_inline", "link_open", "image", "code_block"}
        assert {t.content for t in shown if t.type == "html_block"} <= set(FOLDED)
        assert "\x1b" not in page
        headings = [t.content for i, t in enumerate(shown) if shown[i - 1].type == "heading_open"]
        assert not any("heading" in heading for heading in headings)
        prose = " ".join(t.content for t in shown if t.type == "text")
        assert "@someone" not in prose


@pytest.mark.parametrize("text", HOSTILE)
def test_a_model_can_write_no_workflow_command(text):
    for record in (said(f"no\n{text}"), broken(error=f"{text}!"), broken(error=f"closed\n{text}")):
        for line in "\n".join(annotations(problems([record]))).splitlines():
            assert parsers_commands(line)[0] == "error"
            assert line.startswith("::error file=cases/messages.yaml,line=3,title=error%3A ")
    data = escape_data(text)
    assert len(data.splitlines()) <= 1
    assert not set(escape_property(text)) & set(":,\r\n")


def test_annotations_stand_at_the_line_of_the_case_and_leave_misses_out(night):
    records, _, comparison = night
    found = list(annotations(problems(records, comparison)))
    assert len(found) == 3
    assert found[0].startswith(
        "::error file=cases/messages.yaml,line=3,title=newly failing%3A changed_arguments (parser)"
        "::cases/messages.yaml::changed[default-server]: changed_arguments (parser): $.id: "
    )


def test_more_than_ten_annotations_are_counted():
    found = list(annotations(problems([changed(f"c-{i}") for i in range(14)])))
    assert len(found) == 11
    assert "4 more" in found[-1]


def test_an_issue_has_environment_cases_curl_and_links(night):
    records, summary, comparison = night
    text = issue_text(summary, records, GITHUB, comparison)
    title, *_ = text.splitlines()
    assert title == "# Tool calling: gate failed on 2026-01-02: default: 2 newly failing, 1 errors"
    assert "https://github.com/me/mine/actions/runs/77" in text
    assert "https://github.com/me/mine/blob/abc123/cases/messages.yaml#L3" in text
    fences = [t for t in MARKDOWN.parse(text) if t.type == "fence"]
    assert [t.info for t in fences] == ["text", "sh"] * 4
    assert "the model wrote" in fences[0].content
    assert fences[1].content.startswith("curl -s http://127.0.0.1:PORT/v1/chat/completions")
    assert "https://" not in issue_text(summary, records, {}, comparison)


def test_an_issue_is_never_longer_than_github_takes():
    records = [said(f"{i} " + "x" * 30_000, f"c-{i}") for i in range(30)]
    long = [replace(r, request={**r.request, "more": "y" * 9000}) for r in records]
    text = issue_text(summary_of(long), long, GITHUB)
    assert len(text) < 65_000
    assert "more failed cases" in text


def _print_and_fail(write):
    with commands_stopped({"GITHUB_ACTIONS": "true"}, write):
        write("::error::of a model")
        raise ZeroDivisionError


def test_on_github_commands_are_stopped_with_a_new_word_each_time():
    lines = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            _print_and_fail(lines.append)
    word, other = lines[0].rpartition(":")[2], lines[3].rpartition(":")[2]
    assert lines == [
        f"::stop-commands::{word}",
        "::error::of a model",
        f"\n::{word}::",
        f"::stop-commands::{other}",
        "::error::of a model",
        f"\n::{other}::",
    ]
    assert word != other
    assert len(word) == 32


def test_elsewhere_nothing_is_said():
    lines = []
    with commands_stopped({}, lines.append):
        pass
    assert lines == []


@pytest.mark.parametrize(
    ("records", "code"), [([changed()], 1), ([broken()], 1), ([said("Well…")], 0)]
)
def test_the_command_writes_all_and_fails_on_conformance_alone(
    tmp_path, monkeypatch, records, code
):
    write_run(tmp_path / "before", [answer_of(case_of("changed"), called())])
    write_run(tmp_path / "after", records)
    step = tmp_path / "step.md"
    step.write_text("earlier\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    arguments = ["export", "github", str(tmp_path / "after")]
    arguments += ["--compare", str(tmp_path / "before")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert result.output.count("::error ") == code
    page = (tmp_path / "after" / "job-summary.md").read_text()
    assert step.read_text() == "earlier\n" + page
    assert (tmp_path / "after" / "issue.md").exists() is bool(code)
    assert CliRunner().invoke(app, [*arguments, "--conformance"]).exit_code == code


def test_a_run_that_cannot_be_compared_says_so_and_a_passed_gate_makes_no_issue(tmp_path):
    good = [answer_of(case_of("good"), called())]
    write_run(tmp_path / "before", good, suite="other")
    write_run(tmp_path / "after", good)
    (tmp_path / "after" / "issue.md").write_text("of an earlier look")
    arguments = ["export", "github", str(tmp_path / "after")]
    arguments += ["--compare", str(tmp_path / "before")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    page = (tmp_path / "after" / "job-summary.md").read_text()
    assert "gate passed" in page
    assert "the runs differ in suite" in page
    assert not (tmp_path / "after" / "issue.md").exists()
