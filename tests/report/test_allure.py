"""A record as an Allure test, and the files that become of it; no server and no Node.js."""

import json
import re
from dataclasses import replace

import builders
import pytest
from allure_commons import model2
from allure_commons.logger import AllureFileLogger
from hypothesis import given
from hypothesis import strategies as st
from made_runs import PRINT, RUN

from evals.case import Case, Expect, KnownDefect, Tool
from evals.config import Config, Gate, cache_folder
from evals.lanes.tokens import decoder, load_tokenizer, token_texts
from evals.observation import STREAM, Call, Event, Observation, Usage
from evals.replay.build import cached_replay
from evals.report.allure.files import (
    fill,
    history_id,
    write_at_once,
    write_results,
    write_run_files,
)
from evals.report.allure.result import allure_test, parameters, tokens_table
from evals.report.allure.run import categories, environment, executor, metrics
from evals.report.evidence_view import as_json
from evals.report.summarize import summarize
from evals.report.summary import Machine, ProfileServed
from evals.running.runner import judged

URL = "http://127.0.0.1:1/v1"
SERVED = ProfileServed(model="m", quantization="5 bits, group 64")
CALL_TEXT = "<tool_call>\n<function=look>\n</function>\n</tool_call>"
ANSWER = Expect.model_validate({"answer": {}})
LOOK = Expect.model_validate({"call": {"name": "look"}})
DEFECT = KnownDefect(profiles=("p",), reason="loses calls", link="https://github.com/o/r/issues/12")


def make_record(expect=LOOK, raw=CALL_TEXT, *, lane="server", profile="p", **values):
    """A record as `expect` judges it, of a model that wrote `raw` and a response that says so."""
    case_values = {"id": "x", "path": "cases/a/b.yaml", "line": 3, "category": "a"}
    case_values |= {"messages": ({"role": "user", "content": "Look at it."},), "expect": expect}
    case = Case(**(case_values | {"tools": (Tool(name="look"),)} | values.pop("case", {})))
    called = raw == CALL_TEXT and values.pop("delivered", True)
    observation = Observation(
        lane,
        status=200,
        content=None if raw == CALL_TEXT else raw,
        calls=(Call("look", "{}"),) if called else (),
        finish_reason="tool_calls" if raw == CALL_TEXT else "stop",
        usage=Usage(prompt=5, completion=2),
        seconds=0.25,
        token_ids=(7, 8),
        raw_text=raw,
        started=1000.0,
        token_texts=(raw, ""),
        server_log="POST /v1/chat/completions",
    )
    return builders.record(case, replace(observation, **values), profile=profile)


LOST = {"delivered": False}
RECORDS = {
    "pass": make_record(),
    "violation": make_record(**LOST),
    "miss": make_record(raw="I can not look."),
    "value": make_record(Expect.model_validate({"call": {"name": "look", "arguments": {"at": 1}}})),
    "error": make_record(error="connection refused", status=None),
    "known": make_record(**LOST, case={"known_defects": (DEFECT,)}),
    "known no more": make_record(case={"known_defects": (DEFECT,)}),
}


def summary_of(records, **run):
    return summarize(records, Config(gates={"default": Gate()}), PRINT, replace(RUN, **run))


@pytest.mark.parametrize(
    ("name", "status", "message", "category"),
    [
        ("pass", "passed", "", None),
        ("violation", "failed", "violation: lost_call (parser): ", "Violation: parser"),
        ("miss", "failed", "miss: missing_call (model): ", "Miss: missing_call"),
        ("value", "failed", "miss: wrong_value (model): ", "Miss: wrong_arguments"),
        ("error", "broken", "error: ", "Error: incomplete response"),
        ("known", "skipped", "known defect: lost_call (parser): ", "Known defect"),
        ("known no more", "passed", "known defect no longer seen: ", "Known defect no longer seen"),
    ],
)
def test_the_outcome_tells_its_category_and_no_other(name, status, message, category):
    test = allure_test(RECORDS[name], SERVED, URL)
    assert test.status == status
    assert test.message.startswith(message)
    assert bool(test.message) == bool(message)
    assert test.known == (name == "known")
    matching = [
        entry["name"]
        for entry in categories(summary_of(RECORDS.values()))
        if test.status in entry["matchedStatuses"]
        and re.fullmatch(entry["messageRegex"], test.message)
    ]
    assert matching == ([category] if category else [])
    if category:
        parted = {entry["name"]: entry["groupBy"] for entry in categories(summary_of([]))}
        (label,) = (group["label"] for group in parted.get(category, [{"label": "kind"}]))
        assert label in dict(test.labels), "Allure parts a category by a label that its tests have"


def test_misses_of_a_run_that_passes_are_named_as_within_the_gate():
    passed = summary_of([RECORDS["miss"], *[RECORDS["pass"]] * 3])
    assert passed.gate.passed
    names = [category["name"] for category in categories(passed)]
    assert "Miss within the gate: missing_call" in names
    assert "Violation: parser" in names


def test_a_violation_is_told_in_full_where_a_reader_looks_first():
    test = allure_test(RECORDS["violation"], SERVED, URL)
    assert ("layer", "parser") in test.labels
    for part in ("the model wrote", "<function=look>", "the server lane gave", "layer: parser"):
        assert part in test.trace
    assert allure_test(RECORDS["pass"], SERVED, URL).trace == ""


def test_a_stream_tells_what_the_plain_answer_saw():
    plain = RECORDS["pass"].observation
    stream = replace(
        plain,
        lane="stream",
        token_ids=None,
        raw_text=None,
        calls=(),
        events=(Event(0.125, "{}"), Event(0.25, "[DONE]")),
    )
    record = judged(replace(RECORDS["pass"], traits=STREAM, observation=stream, plain=plain))
    test = allure_test(record, SERVED, URL)
    steps = {step.name: step for step in test.steps}
    assert list(steps) == [
        "request",
        "model wrote (seen in the plain request)",
        "response",
        "checks",
    ]
    files = {a.name: a.content for a in steps["response"].attachments}
    assert files["SSE transcript"] == "+0.125 s  data: {}\n\n+0.250 s  data: [DONE]"
    assert CALL_TEXT.splitlines()[1] in test.trace


def test_a_passed_test_has_no_files():
    test = allure_test(RECORDS["pass"], SERVED, URL)
    assert [step.name for step in test.steps] == ["checks"]
    assert not any(step.attachments for step in test.steps)


@pytest.mark.parametrize(
    ("status", "response"), [("pass", "call: look({})"), ("miss", "content: I can not look.")]
)
def test_a_test_tells_at_once_what_came(status, response):
    record = RECORDS[status]
    test = allure_test(record, SERVED, URL)
    wrote, came = re.findall(
        r"^(?:The model wrote|Response):\n\n```\n(.*?)\n```$", test.description, re.M | re.S
    )
    assert wrote == record.model_text
    assert response in came


def test_a_passed_test_tells_the_beginning_of_a_long_text_in_a_fence_of_its_own():
    content = "```\n</script>\n" + "long " * 1000
    seen = replace(RECORDS["pass"].observation, raw_text=None, calls=(), content=content)
    record = replace(RECORDS["pass"], observation=seen)
    told = allure_test(record, SERVED, URL).description
    assert "The model wrote" not in told
    assert "````\nfinish_reason: " in told
    assert len(told) < 2_600


def test_a_test_has_all_that_a_reader_needs():
    test = allure_test(RECORDS["known"], SERVED, URL)
    assert test.name == "Look at it."
    assert "look({})" in test.description
    assert "cases/a/b.yaml:3" in test.description
    assert [(p.name, p.value, p.excluded) for p in test.parameters] == [
        ("profile", "p", False),
        ("lane", "server", False),
        ("model", "m", True),
        ("quantisation", "5 bits, group 64", True),
    ]
    unknown = allure_test(RECORDS["known"], replace(SERVED, model=None, quantization=None), URL)
    assert [parameter.name for parameter in unknown.parameters] == ["profile", "lane"]
    assert test.links == (("o/r#12", "https://github.com/o/r/issues/12"),)
    assert ("known defect", "o/r#12: loses calls") in test.labels
    assert {("epic", "cases"), ("feature", "a"), ("story", "x"), ("severity", "normal")} <= set(
        test.labels
    )
    assert (test.start, test.stop) == (1_000_000, 1_000_250)
    names = [a.name for step in test.steps for a in step.attachments]
    assert names == ["request", "curl", "raw model text", "tokens", "response", "server log"]
    curl = next(a.content for step in test.steps for a in step.attachments if a.name == "curl")
    assert f"{URL}/chat/completions" in curl


def identity(record, served=SERVED):
    return history_id(record.case.node, parameters(record, served))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"case": {"messages": ({"role": "user", "content": "Please look!"},)}}, True),
        ({"case": {"expect": ANSWER}}, True),
        ({"case": {"line": 99, "tags": ("t",), "critical": True}}, True),
        ({"raw": "No."}, True),
        ({"lane": "direct"}, False),
        ({"profile": "q"}, False),
        ({"case": {"id": "y"}}, False),
    ],
)
def test_history_survives_edits_of_a_case(change, same):
    before = identity(RECORDS["pass"])
    after = identity(make_record(**change))
    assert (before == after) == same


def test_history_is_each_repeats_own_and_survives_another_quantisation():
    record = RECORDS["pass"]
    before = identity(record)
    again = replace(record, repeat=1)
    assert identity(again) != before
    assert allure_test(again, SERVED, URL).name == "Look at it. (repeat 2)"
    assert identity(record, ProfileServed(quantization="4 bits")) == before


def test_the_tokens_of_a_text_show_their_borders():
    table = tokens_table([151657, 198, 5], ["<tool_call>", "\n", 'a "b"\x1b'])
    assert table.splitlines() == [
        "place       id  text",
        '    0   151657  "<tool_call>"',
        '    1      198  "\\n"',
        r'    2        5  "a \"b\"\u001b"',
    ]
    assert tokens_table([1], None).splitlines()[1] == "    0        1"


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(cached_replay(cache_folder()))


@pytest.fixture(scope="module")
def decode(tokenizer):
    return decoder(tokenizer)


@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
def test_the_texts_of_tokens_add_up_to_the_text(tokenizer, decode, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    texts = token_texts(decode, [*ids, tokenizer.eos_token_id])
    assert len(texts) == len(ids) + 1
    assert "".join(texts) == decode([*ids, tokenizer.eos_token_id])


def test_a_character_of_several_tokens_is_the_last_ones(tokenizer, decode):
    ids = tokenizer.encode("a𓀀b", add_special_tokens=False)
    texts = token_texts(decode, ids)
    assert len(ids) > 3
    assert [text for text in texts if text] == ["a", "𓀀", "b"]


# --- text of a model is hostile ------------------------------------------------------------------

HOSTILE = {
    "html": "</script><img src=x onerror=alert(1)><!--",
    "ansi": "\x1b[2J\x1b]0;title\x07\x9b31m red",
    "path": "../../../etc/passwd\x00.html",
    "markdown": "````\n# title\n[x](javascript:alert(1))",
    "bidi and line ends": "a\u202eb\u2028c\u0085d\r\ne",
    "half a surrogate pair": "\ud800 and \udfff",
    "placeholders": "{0} %s ${x} {{y}}",
    "5 MB": "x" * 5_000_000,
}


def files_of(record, folder):
    """The result, without what is new in each or text of the model; and the attachments' names."""
    write_results([record], summary_of([record]), folder)
    write_run_files(summary_of([record]), [record], folder)
    content = {path.name: path.read_bytes().decode("utf-8") for path in folder.iterdir()}
    (name,) = [name for name in content if name.endswith("-result.json")]
    result = json.loads(content[name])
    for step in result["steps"]:
        for attachment in step.get("attachments", ()):
            attachment["source"] = attachment["source"].partition("-attachment")[2]
    for key in ("uuid", "statusDetails"):
        del result[key]
    result["description"] = re.sub(r"(?ms)^(`{3,})\n.*?\n\1$", "", result["description"])
    result["steps"][-1]["steps"] = [step["name"] for step in result["steps"][-1]["steps"]]
    return result, content


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_changes_nothing_but_itself(name, tmp_path):
    benign, files = files_of(make_record(raw="I can not look."), tmp_path / "benign")
    hostile, hostile_files = files_of(make_record(raw=HOSTILE[name]), tmp_path / "hostile")
    assert hostile == benign
    assert len(hostile_files) == len(files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benign", "hostile"]
    for file, content in hostile_files.items():
        assert all(c in "\n\t" or c.isprintable() for c in content), file
        if file.endswith(".json"):
            json.loads(content)
    texts = [content for content in hostile_files.values() if len(content) >= len(HOSTILE[name])]
    assert texts, "the text itself is there, whole"


def test_hostile_text_in_a_question_stays_text_of_the_description():
    expect = Expect.model_validate({"call": {"name": "look", "arguments": {"a": "```\n<b>````"}}})
    test = allure_test(make_record(expect=expect), SERVED, URL)
    opening, text = test.description.split("\n\n")[1].split("\n", 1)
    assert opening == "`````"
    assert text.endswith("\n`````")


def test_results_are_what_allure_itself_writes_however_they_are_written(tmp_path):
    record = make_record(raw="Zürich \u2028 “it” <b>\x1b[1m")
    test = allure_test(record, SERVED, URL)
    result = model2.TestResult(uuid="one")
    fill(result, test, lambda body, name: None)
    folders = tmp_path / "slow", tmp_path / "quick"
    slow, quick = map(AllureFileLogger, folders)
    write_at_once([quick, object()])
    for writer in (slow, quick):
        writer.report_result(result)
        writer.report_attached_data(body="ü", file_name="one.txt")
    texts = [
        [next(folder.glob(name)).read_bytes() for name in ("*-result.json", "one.txt")]
        for folder in folders
    ]
    assert texts[0] == texts[1]
    assert type(quick)._report_item is not type(slow)._report_item


@given(
    st.recursive(
        st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_json_for_readers_is_the_same_json(value):
    assert json.loads(as_json(value)) == value
    assert all(c == "\n" or c.isprintable() for c in as_json(value))


# --- the run -------------------------------------------------------------------------------------


def test_the_environment_is_one_line_each_whatever_a_models_name_is():
    summary = summary_of([RECORDS["pass"]])
    served = {"p": ProfileServed(model="a\nb = c\\ü")}
    print_of = replace(
        PRINT,
        versions={"mlx": "1"},
        machine=Machine(cores=4),
        profiles=served,
        cases={"a.yaml::x": "digest"},
        grader_parts={"judging": "digest"},
    )
    lines = environment(replace(summary, fingerprint=print_of)).splitlines()
    assert lines[:3] == [
        "gate = passed",
        "run = r",
        r"p.model = a\u000ab\ \=\ c\\\u00fc",
    ]
    assert "versions.mlx = 1" in lines
    assert "machine.cores = 4" in lines
    assert "p.weights = unknown" in lines
    assert not [line for line in lines if "digest" in line]


def test_the_executor_names_the_job():
    summary = summary_of([RECORDS["pass"]])
    assert executor(summary, {})["type"] == "local"
    job = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "5",
        "GITHUB_RUN_NUMBER": "17",
    }
    values = executor(summary, job)
    assert values["buildUrl"] == "https://github.com/o/r/actions/runs/5"
    assert values["buildOrder"] == 17


def test_metrics_are_the_rates_that_were_measured():
    summary = summary_of(RECORDS.values())
    values = {m["key"]: m["value"] for m in metrics(summary, 1, 2)}
    assert values["p: violations"] == 1
    assert values["p: errors"] == 1
    assert values["p: tool_name"] == summary.profiles["p"].rates["tool_name"].value
    assert all(isinstance(value, int | float) for value in values.values())
