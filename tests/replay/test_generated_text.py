"""Generated calls and broken ones through the server's code with the adaptive parser.

No crash, no lost call, nothing invented; a stream adds up to the plain response.
"""

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import Setting, essence, respond

from evals.observation import Observation
from evals.parsers.events import MALFORMED

ADAPTIVE = Setting("adaptive_xml")
TYPES = {"text": "string", "n": "integer", "x": "number", "yes": "boolean", "items": "array"}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": parameters}}
    for name, parameters in {
        "todoread": {"type": "object", "properties": {}},
        "save.v2": {
            "type": "object",
            "properties": {key: {"type": name} for key, name in TYPES.items()},
        },
    }.items()
]
NAMES = {"todoread", "save.v2", MALFORMED}
GOOD = "\n<tool_call>\n<function=todoread>\n</function>\n</tool_call>"

# Without the format's own tags: which of two readings is meant is not told where they nest.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<`"), max_size=40)
JSON = st.recursive(st.integers() | st.booleans() | WORDS, st.lists, max_leaves=4)
VALUES = {
    "text": WORDS,
    "n": st.integers(),
    "x": st.floats(allow_nan=False, allow_infinity=False),
    "yes": st.booleans(),
    "items": st.lists(JSON, max_size=4),
}
CALLS = st.one_of(
    st.just(("todoread", {})),
    st.fixed_dictionaries({}, optional=VALUES).map(lambda values: ("save.v2", values)),
)


def as_xml(name: str, values: dict[str, Any]) -> str:
    inner = "".join(
        f"<parameter={key}>\n{v if isinstance(v, str) else json.dumps(v)}\n</parameter>\n"
        for key, v in values.items()
    )
    return f"<function={name}>\n{inner}</function>"


def as_json(name: str, values: dict[str, Any]) -> str:
    return json.dumps({"name": name, "arguments": values})


FORMS = {
    "canonical": lambda *call: f"<tool_call>\n{as_xml(*call)}\n</tool_call>",
    "json": lambda *call: f"<tool_call>\n{as_json(*call)}\n</tool_call>",
    "fence": lambda *call: f"```json\n{as_json(*call)}\n```",
    "bare": as_xml,
}


def answers(text: str, seed: int, *, cut: bool = False) -> tuple[Observation, Observation]:
    """The plain and the streamed response to a text in random pieces."""
    chance, pieces, place = random.Random(seed), [], 0
    while place < len(text):
        size = chance.randint(1, 12)
        pieces.append(text[place : place + size])
        place += size
    plain, stream = (respond(pieces, TOOLS, ADAPTIVE, stream=s, cut=cut) for s in (False, True))
    return plain, stream


def called(seen: Observation) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in seen.calls]


def check_sane(plain: Observation, stream: Observation, reason: str = "stop") -> None:
    for seen in (plain, stream):
        assert seen.error is None
        assert {call.name for call in seen.calls} <= NAMES
        assert all(isinstance(arguments, dict) for _, arguments in called(seen))
        # Of a cut response the server keeps the limit as the reason, whatever came before.
        expected = "tool_calls" if seen.calls and reason == "stop" else reason
        assert seen.finish_reason == expected
    assert essence(stream) == essence(plain)


@given(
    st.lists(st.tuples(st.sampled_from(sorted(FORMS)), CALLS), min_size=1, max_size=4),
    st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_generated_calls_come_back_exactly_in_every_form(written: Any, seed: int) -> None:
    text = "\n".join(FORMS[form](*call) for form, call in written)
    plain, stream = answers(text, seed)
    check_sane(plain, stream)
    assert called(plain) == [call for _, call in written]
    assert (plain.content or "").strip() == ""


@given(st.sampled_from(sorted(FORMS)), CALLS, st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_a_call_that_breaks_off_anywhere_costs_no_call_after_it(
    form: str, call: Any, part: float, seed: int
) -> None:
    text = FORMS[form](*call)
    plain, stream = answers(text[: int(len(text) * part)] + GOOD, seed)
    check_sane(plain, stream)
    assert called(plain)[-1] == ("todoread", {})
    assert len(called(plain)) <= 2


EDITS = st.lists(
    st.tuples(st.sampled_from(["cut", "twice", "put"]), st.floats(0, 1), st.integers(1, 12)),
    min_size=1,
    max_size=4,
)
TAGS = ["<tool_call>", "</tool_call>", "<function=", "</function>", "<parameter=", "</parameter>",
        "<think>", "</think>", "```json\n", "```", "{", '"', "\\", "<", ">", "\n"]  # fmt: skip


def edited(text: str, edits: Any) -> str:
    for kind, part, size in edits:
        place = int(len(text) * part)
        if kind == "cut":
            text = text[:place] + text[place + size :]
        elif kind == "twice":
            text = text[: place + size] + text[place:]
        else:
            text = text[:place] + TAGS[size % len(TAGS)] + text[place:]
    return text


@given(
    st.lists(st.tuples(st.sampled_from(sorted(FORMS)), CALLS), min_size=1, max_size=3),
    EDITS,
    st.integers(0, 99),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_edited_calls_never_crash_nor_make_a_stream_differ(
    written: Any, edits: Any, seed: int, cut: bool
) -> None:
    text = edited("\n".join(FORMS[form](*call) for form, call in written), edits)
    plain, stream = answers(text, seed, cut=cut)
    check_sane(plain, stream, "length" if cut else "stop")
