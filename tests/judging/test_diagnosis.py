"""Judging: what passes, what excuses a response, scores, and that nothing makes it raise."""

import json
from dataclasses import replace

import builders
import pytest
from builders import answer, judge
from hypothesis import given
from hypothesis import strategies as st

from evals import json_text
from evals.case import Case, Tool
from evals.errors import ConfigError
from evals.formats.registry import NOT_KNOWN
from evals.observation import Call, Event, Observation, Usage
from evals.results import Kind, Layer, Record, Status
from evals.stored import read_records

TOOLS = (
    Tool(name="todoread"),
    Tool(
        name="f",
        parameters={
            "type": "object",
            "properties": {
                "n": {"type": "integer"},
                "text": {"type": "string"},
                "page": {"type": "integer", "default": 1},
            },
        },
    ),
)
CALL = {"call": {"name": "f", "arguments": {"n": 5}}}


def case_of(expect, ask="Do it.", **more) -> Case:
    return builders.case(expect, ask, tools=TOOLS, **more)


def called(arguments='{"n": 5}', raw=None, **changes) -> Observation:
    if raw is None:
        raw = "<tool_call>\n<function=f>\n<parameter=n>\n5\n</parameter>\n</function>\n</tool_call>"
    seen = Observation("server", 200, calls=(Call("f", arguments),), finish_reason="tool_calls")
    return replace(seen, **{"raw_text": raw, **changes})


def said(text, raw=None, **changes) -> Observation:
    seen = Observation("server", 200, content=text, finish_reason="stop")
    return replace(seen, **{"raw_text": text if raw is None else raw, **changes})


def failed(judgement):
    return {(v.check, v.kind, v.layer) for v in judgement.verdicts if not v.passed}


WRAPPED = "<tool_call>\n<function=f>\n<parameter=n>\n{}\n</parameter>\n</function>\n</tool_call>"


@pytest.mark.parametrize(
    ("raw", "said_in_reason"),
    [
        (WRAPPED.format('"5"'), "wrote otherwise"),
        (WRAPPED.format("5").removesuffix("\n</tool_call>"), "mended a malformed call"),
        (WRAPPED.format("5").replace("</parameter>\n", ""), "mended a malformed call"),
        (WRAPPED.format("5").replace("=f>", "=F>"), "wrote otherwise"),
    ],
)
def test_a_right_response_passes_and_says_what_was_mended(raw, said_in_reason):
    found = judge(case_of(CALL), called(raw=raw))
    assert found.status == Status.PASS
    faithful = next(v for v in found.verdicts if v.check == "faithful")
    assert said_in_reason in faithful.reason


def test_a_right_response_in_another_format_is_faithful():
    raw = '<tool_call>\n{"name": "f", "arguments": {"n": 5}}\n</tool_call>'
    assert judge(case_of(CALL), called(raw=raw)).status == Status.PASS
    assert judge(case_of(CALL), called(raw=raw), call_format="hermes-json").status == Status.PASS


def test_a_call_that_did_not_come_is_nobodys_where_the_servers_format_is_not_known():
    raw = '<tool_call>\n{"name": "f", "arguments": {"n": 5}}\n</tool_call>'
    lost = called(raw=raw, calls=())
    found = judge(case_of(CALL), lost, call_format=NOT_KNOWN)
    assert failed(found) == {
        ("call_or_answer", Kind.MISSING_CALL, Layer.UNKNOWN),
        ("finish_reason", Kind.LOST_CALL, Layer.UNKNOWN),
    }
    assert all("hermes-json" in v.reason for v in found.verdicts if not v.passed)
    assert judge(case_of(CALL), called(raw=raw), call_format=NOT_KNOWN).status == Status.PASS
    changed = judge(case_of(CALL), called('{"n": 6}', raw=raw), call_format=NOT_KNOWN)
    assert ("faithful", Kind.CHANGED_ARGUMENTS, Layer.PARSER) in failed(changed)
    unfit = called(raw=raw.replace("5", '"five"'), calls=())
    assert {x for *_, x in failed(judge(case_of(CALL), unfit, call_format=NOT_KNOWN))} == {
        Layer.MODEL
    }


def test_a_filled_in_default_is_no_change():
    assert judge(case_of(CALL), called('{"n": 5, "page": 1}')).status == Status.PASS


def test_both_the_model_and_the_parser_are_named_where_both_are_wrong():
    found = judge(case_of(CALL), called('{"n": "6"}', raw=WRAPPED.format(6)))
    assert failed(found) == {
        ("arguments", Kind.WRONG_VALUE, Layer.MODEL),
        ("faithful", Kind.CHANGED_ARGUMENTS, Layer.PARSER),
        ("schema", Kind.CHANGED_ARGUMENTS, Layer.PARSER),
    }


def test_wrong_arguments_show_each_place():
    found = judge(case_of(CALL), called('{"n": 6, "text": "x"}', raw_text=None))
    verdict = next(v for v in found.verdicts if v.check == "arguments")
    assert [(d.path, d.expected, d.got, d.how) for d in verdict.differences] == [
        ("$.n", "5", "6", "wrong"),
        ("$.text", "(absent)", '"x"', "extra"),
    ]


def test_the_names_of_several_calls_are_compared_whatever_their_order():
    calls = [{"name": "f", "arguments": {"n": 5}}, {"name": "todoread"}]
    made = (Call("todoread", "{}"), Call("f", '{"n": 5}'))
    for got in (made, made[::-1]):
        seen = called(raw_text=None, calls=got)
        assert judge(case_of({"calls": calls}), seen).status == Status.PASS
    given = {"calls": calls, "order": "given"}
    assert judge(case_of(given), called(raw_text=None, calls=made[::-1])).status == Status.PASS
    found = judge(case_of(given), called(raw_text=None, calls=made))
    assert ("tool_name", Kind.ANOTHER_ORDER, Layer.UNKNOWN) in failed(found)


def test_the_nearest_alternative_is_judged():
    calls = [[{"name": "todoread"}], [{"name": "f", "arguments": {"n": 5}}]]
    assert judge(case_of({"any_of": calls}), called()).status == Status.PASS
    found = judge(case_of({"any_of": calls}), called('{"n": 7}', raw=WRAPPED.format(7)))
    assert failed(found) == {("arguments", Kind.WRONG_VALUE, Layer.MODEL)}


@pytest.mark.parametrize(
    ("observation", "scores"),
    [
        (called(), (True, True, True, True)),
        (called('{"n": 6}', raw=WRAPPED.format(6)), (True, True, False, False)),
        (called(raw_text=None, calls=(Call("todoread", "{}"),)), (True, False, False, False)),
        (said("No."), (False, False, False, False)),
        (called(calls=()), (False, False, False, False)),
    ],
)
def test_scores_of_an_expected_call(observation, scores):
    found = judge(case_of(CALL), observation).scores
    assert (found.discrimination, found.tool_name, found.arguments, found.case) == scores


@pytest.mark.parametrize(
    ("observation", "scores"),
    [
        (said("Yes, five."), (True, None, None, True)),
        (said("Six."), (True, None, None, False)),
        (called(), (False, None, None, False)),
        (said("five", finish_reason="tool_calls"), (False, None, None, False)),
        (said("five", raw=WRAPPED.format(5)), (False, None, None, False)),
        (said("<tool_call> five", raw_text=None), (False, None, None, False)),
    ],
)
def test_scores_of_an_expected_answer(observation, scores):
    found = judge(case_of({"answer": {"contains": ["FIVE"]}}), observation).scores
    assert (found.discrimination, found.tool_name, found.arguments, found.case) == scores


def test_one_of_several_words_is_enough():
    case = case_of({"answer": {"contains": ["is"], "any_of": ["Six", "6"]}})
    assert judge(case, said("It is six.")).status == Status.PASS
    assert judge(case, said("6 it is.")).status == Status.PASS
    assert judge(case, said("It is five.")).status == Status.FAIL
    assert judge(case, said("Six.")).status == Status.FAIL


def test_not_contains():
    case = case_of({"answer": {"not_contains": ["five"]}})
    assert judge(case, said("Six.")).status == Status.PASS
    assert judge(case, said("Five.")).status == Status.FAIL


def test_markup_that_the_question_quotes_is_no_leak():
    text = "<tool_call> opens a call."
    asked = case_of({"answer": {}}, ask="What does <tool_call> mean?")
    assert judge(asked, said(text)).status == Status.PASS
    assert judge(case_of({"answer": {}}), said(text)).status == Status.FAIL


def test_reasoning_apart_from_the_answer_is_faithful():
    seen = said("Five.", raw="<think>\nHm.\n</think>\n\nFive.", reasoning="\nHm.\n")
    assert judge(case_of({"answer": {}}), seen).status == Status.PASS
    prefilled = said("Five.", raw="Hm.\nFive.", reasoning="Hm.\n")
    assert judge(case_of({"answer": {}}), prefilled).status == Status.PASS


DEFECT = {"profiles": ["default"], "link": "https://example.org/1", "reason": "n is lost"}


def test_a_known_defect_that_fails_is_known():
    case = case_of(CALL, known_defects=[DEFECT])
    assert judge(case, called("{}")).status == Status.KNOWN
    assert judge(case, called("{}"), profile="other").status == Status.FAIL


def test_a_known_defect_that_passes_says_so_loudly():
    found = judge(case_of(CALL, known_defects=[DEFECT]), called())
    assert found.status == Status.PASS
    assert "NO LONGER FAILS" in found.verdicts[-1].reason


def test_no_answer_is_known_only_where_the_defect_says_so():
    closed = Observation("server", error="the server closed the connection without a response")
    silent = {**DEFECT, "no_answer": True}
    found = judge(case_of(CALL, known_defects=[silent]), closed)
    assert (found.status, found.scores.case) == (Status.KNOWN, None)
    assert judge(case_of(CALL, known_defects=[DEFECT]), closed).status == Status.ERROR
    assert judge(case_of(CALL, known_defects=[silent]), closed, profile="other").scores is None


@pytest.mark.parametrize("raw", ["[f(n=5)]", '```json\n{"name": "f", "arguments": {"n": 5}}\n```'])
def test_the_direct_lane_counts_a_call_in_any_format(raw):
    found = judge(case_of(CALL), Observation("direct", raw_text=raw))
    assert failed(found) == {("format", Kind.FORMAT_MISMATCH, Layer.MODEL)}
    assert (found.scores.discrimination, found.scores.arguments) == (True, True)


@pytest.mark.parametrize(
    "text", ["5 <parameter=n>", '{"name": "f", "arguments": {"n": 5}}</x> [/INST]']
)
def test_markup_in_an_answer_of_the_model_alone_fails_as_it_does_behind_a_server(text):
    case = case_of({"answer": {"contains": ["5"]}})
    wanted = ("markup", Kind.LEAKED_MARKUP, Layer.MODEL)
    assert failed(judge(case, Observation("direct", raw_text=text))) == {wanted}
    assert wanted in failed(judge(case, said(text)))


def test_the_direct_lane_without_text_is_the_harness():
    found = judge(case_of(CALL), Observation("direct"))
    assert found.status == Status.ERROR
    assert failed(found) == {("response", Kind.HARNESS_ERROR, Layer.HARNESS)}


def test_tool_choice_is_not_held_against_lanes_without_it():
    case = case_of({"answer": {}}, tool_choice="none")
    for lane in ("direct", "agent"):
        found = judge(case, called(lane=lane, finish_reason=None, status=None))
        assert found.status == Status.PASS
        assert found.scores.case is None


def test_an_agreeing_stream_has_the_plain_ones_evidence():
    plain = called("{}")
    stream = replace(plain, lane="stream", raw_text=None)
    found = judge(case_of(CALL), stream, plain=plain)
    assert {layer for _, _, layer in failed(found)} == {Layer.PARSER}
    assert {layer for _, _, layer in failed(judge(case_of(CALL), stream))} == {Layer.UNKNOWN}


def test_a_differing_stream_is_the_servers_unless_the_plain_one_is_as_wrong():
    stream = called("{}", lane="stream", raw_text=None)
    found = judge(case_of(CALL), stream, plain=called())
    assert failed(found) == {
        ("arguments", Kind.STREAM_MISMATCH, Layer.SERVER),
        ("stream", Kind.STREAM_MISMATCH, Layer.SERVER),
    }
    found = judge(case_of(CALL), stream, plain=called('{"n": 6}', raw=WRAPPED.format(6)))
    assert ("arguments", Kind.WRONG_VALUE, Layer.MODEL) in failed(found)


def test_a_call_that_the_stream_alone_lost_is_the_servers():
    stream = called(calls=(), content="x", lane="stream", raw_text=None)
    found = judge(case_of(CALL), stream, plain=called())
    assert {layer for _, _, layer in failed(found)} == {Layer.SERVER}
    assert found.scores.discrimination is False
    both = judge(case_of(CALL), stream, plain=called(calls=()))
    assert ("call_or_answer", Kind.LOST_CALL, Layer.PARSER) in failed(both)


PIECES = st.sampled_from(
    [
        *[
            "<tool_call>",
            "</tool_call>",
            "<function=f>",
            "</function>",
            "<parameter=n>",
            "</parameter>",
            "5",
            "\n",
        ],
        "```json\n",
        "```",
        '{"name": "f", "arguments": {"n": 5}}',
        "[f(n=5)]",
        "[TOOL_CALLS]",
        "<think>",
        "</think>",
        "\ud800",
    ]
)
TEXT = st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join)
SEEN = st.builds(
    Observation,
    lane=st.sampled_from(["server", "stream", "agent", "direct"]),
    status=st.sampled_from([200, 200, None]),
    content=st.none() | TEXT,
    calls=st.lists(
        st.builds(
            Call,
            st.sampled_from(["f", "todoread", "f</name", ""]),
            st.sampled_from(['{"n": 5}', "{}", "[]", '"{}"', "", "NaN", '{"n": 5, "n": 6}', "["])
            | st.text(),
        ),
        max_size=3,
    ).map(tuple),
    finish_reason=st.sampled_from(["stop", "tool_calls", "length", None]),
    usage=st.none() | st.just(Usage(10, 5)),
    raw_text=st.none() | TEXT,
)
CASES = st.builds(
    case_of,
    st.sampled_from(
        [
            CALL,
            {"answer": {"contains": ["5"]}},
            {"calls": [{"name": "f", "arguments": {"n": {"$optional": 5}}}, {"name": "todoread"}]},
        ]
    ),
    tool_choice=st.sampled_from(
        ["auto", "auto", "none", "required", {"type": "function", "function": {"name": "f"}}]
    ),
)


@given(CASES, SEEN, st.none() | SEEN)
def test_judging_never_raises_and_never_contradicts_itself(case, seen, plain):
    plain = plain and replace(plain, lane="server", status=200)
    found = judge(case, seen, plain=plain, rendered_prompt_tokens=10)
    checks = [verdict.check for verdict in found.verdicts]
    assert len(set(checks)) == len(checks)
    assert all(
        bool(v.kind and v.layer and v.reason) != v.passed for v in found.verdicts if not v.passed
    )
    assert (found.status == Status.ERROR) == (found.scores is None)
    assert (found.status == Status.PASS) == all(v.passed for v in found.verdicts)
    if seen.finish_reason == "tool_calls" and not seen.calls and seen.lane in ("server", "stream"):
        assert found.status != Status.PASS
    if found.scores and found.scores.case:
        assert found.scores.discrimination
        assert found.scores.arguments in (True, None)
    record = Record.of(answer(case, seen, plain=plain, rendered_prompt_tokens=10), found)
    line = record.to_json()
    assert Record.from_json(line) == record
    assert Record.from_json(line).to_json() == line
    again = judge(case, seen, plain=plain, rendered_prompt_tokens=10)
    assert again == found


def test_records_with_unicode_line_ends_are_read_whole(tmp_path):
    seen = said("a\u2028b\x85c\x0bd \ud800", events=(Event(0.1, "{}"),), token_ids=(1, 2))
    case = case_of({"answer": {}})
    found = judge(case, seen)
    record = Record.of(answer(case, seen, request={"a": [1]}), found)
    path = tmp_path / "records.jsonl"
    path.write_text((record.to_json() + "\n") * 2, encoding="utf-8", newline="\n")
    assert list(read_records(path)) == [record, record]
    path.write_text(record.to_json() + "\n" + record.to_json()[:50], encoding="utf-8")
    assert list(read_records(path)) == [record]
    path.write_text(json.dumps({"schema": 9}) + "\n" + record.to_json(), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"records\.jsonl:1: not a record"):
        list(read_records(path))


@pytest.mark.parametrize(("delivered", "right"), [(5, True), ("5", True), (6, False)])
def test_a_value_that_may_be_text_or_number_is_faithful_as_either(delivered, right):
    tool = Tool(
        name="f",
        parameters={"type": "object", "properties": {"n": {"type": ["string", "integer"]}}},
    )
    expect = {"call": {"name": "f", "arguments": {"n": {"$ignore": True}}}}
    case = case_of(expect).model_copy(update={"tools": (tool,)})
    found = judge(case, called(json.dumps({"n": delivered})))
    assert (found.status == Status.PASS) == right
    assert failed(found) <= {("faithful", Kind.CHANGED_ARGUMENTS, Layer.PARSER)}


def test_words_that_name_the_end_of_thought_are_not_changed():
    words = "The tag </think> ends the thinking."
    case = case_of({"answer": {}}, ask="What does </think> do?")
    assert judge(case, said(words)).status == Status.PASS
    streamed = replace(said(words), lane="stream", raw_text=None)
    assert judge(case, streamed, plain=said(words)).status == Status.PASS
    assert judge(case, said(words.replace("The ", ""), raw=words)).status == Status.FAIL


def test_a_price_is_a_multiple_of_a_cent():
    price = {"type": "number", "multipleOf": 0.01}
    tool = Tool(name="pay", parameters={"type": "object", "properties": {"p": price}})
    case = case_of({"call": {"name": "pay", "arguments": {"p": {"$ignore": True}}}})
    case = case.model_copy(update={"tools": (tool,)})
    for value, status in (("19.99", Status.PASS), ("0.07", Status.PASS), ("0.005", Status.FAIL)):
        call = Call("pay", f'{{"p": {value}}}')
        raw = WRAPPED.format(value).replace("=f>", "=pay>").replace("=n>", "=p>")
        assert judge(case, called(raw=raw, calls=(call,))).status == status


def test_length_is_the_models_only_where_max_tokens_were_used():
    case = case_of(CALL, max_tokens=64)
    whole = called(finish_reason="length", usage=Usage(9, 6))
    assert failed(judge(case, whole)) == {("finish_reason", Kind.FINISH_REASON, Layer.SERVER)}
    for used in (63, 64):
        cut = replace(said("I am", finish_reason="length"), usage=Usage(9, used))
        assert ("finish_reason", Kind.TRUNCATED, Layer.MODEL) in failed(judge(case, cut))


def test_without_raw_text_a_call_too_few_is_no_lost_call():
    two = {"calls": [CALL["call"], {"name": "todoread"}]}
    found = judge(case_of(two), replace(called(), raw_text=None))
    assert ("tool_name", Kind.MISSING_CALL, Layer.UNKNOWN) in failed(found)
    assert not any(verdict.is_violation for verdict in found.verdicts)
    assert found.scores.tool_name is False


def test_above_temperature_zero_another_answer_is_no_fault_of_anybody():
    plain = replace(said("No."), lane="server")
    answer = replace(called(raw=None), lane="stream", raw_text=None)
    assert judge(case_of(CALL, temperature=0.7), answer, plain=plain).status == Status.PASS
    assert judge(case_of(CALL), answer, plain=plain).status == Status.FAIL


def test_a_plain_answer_that_did_not_come_leaves_nothing_to_judge_with():
    plain = Observation("server", 400, error="HTTP 400: logprobs is not supported")
    found = judge(case_of(CALL), replace(called(), lane="stream", raw_text=None), plain=plain)
    assert found.status == Status.ERROR
    assert "logprobs is not supported" in found.cause.reason


def test_an_ambiguous_call_that_no_reading_makes_sound_is_lost_by_the_model():
    raw = (
        "<tool_call>\n<function=f>\n<parameter=n>\n\n<parameter=n>\n<parameter=text>\n\n"
        "</parameter>\n</function>\n</tool_call>"
    )
    seen = said("", raw=raw, finish_reason="tool_calls")
    found = judge(case_of(CALL), seen)
    assert ("finish_reason", Kind.WRONG_VALUE, Layer.MODEL) in failed(found)
    assert not any(verdict.is_violation for verdict in found.verdicts)
    assert found.scores.case is False


def test_no_check_changes_what_is_read_once_for_all(monkeypatch):
    """It is kept for the next answer, which would be judged by what was made of it."""
    kept = []

    def read_and_note(read, text):
        value = read(text)
        kept.append((value, read(text)))
        return value

    monkeypatch.setattr(json_text, "_kept", read_and_note)
    body = json.dumps({"choices": [{"message": {"content": None}}], "usage": {"prompt_tokens": 1}})
    values = ("5", '"5"', "5.0", "true", "[5]", '{"n": 5}', "five")
    # Of `more` the schema says nothing: it may be text, or what it looks like.
    wrapped = WRAPPED.replace("</function>", "<parameter=more>\n{}\n</parameter>\n</function>")
    for written in values:
        for came in (5, "5", '"5"', 5.0, True, [5], {"n": 5}):
            arguments = json.dumps({"n": came, "more": came})
            seen = called(arguments, wrapped.format(written, written), body=body, events=())
            judge(case_of(CALL), seen)
            judge(case_of({"some_call": True}, parallel_tool_calls=False), seen)
    assert len(kept) > 100
    assert all(value == fresh for value, fresh in kept)
