"""The grammar: what it lets through, what it forbids, and that it holds in the real server."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llguidance
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.case import Case, Expect, ReplayScript, Tool
from evals.config import cache_folder
from evals.json_text import to_text
from evals.lanes import server as plain_lane
from evals.lanes import stream as stream_lane
from evals.lanes.tokens import decoder, load_tokenizer
from evals.parsers.constraint import Constraint, Count, _vocabulary, read_counts
from evals.parsers.grammar import grammar
from evals.replay.build import ARGUMENTS, cached_replay
from evals.servers.mlx_lm import boot
from evals.servers.server import Server

NOTHING = Tool(name="todoread", parameters={"type": "object", "properties": {}})
WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["c", "f"]},
            "days": {"type": "integer", "minimum": 1},
            "tags": {"type": "array", "items": {"type": "string"}},
            "exact": {"type": ["boolean", "null"]},
            "at": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
            "code": {"type": "string", "pattern": "^[A-Z]{2,3}$"},
        },
        "required": ["city"],
        "$defs": {
            "place": {
                "type": "object",
                "properties": {"lat": {"type": "number"}},
                "required": ["lat"],
                "additionalProperties": False,
            }
        },
    },
)
FEW = Tool(
    name="few",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "required": ["a"],
    },
)


def call(name: str, *pairs: tuple[str, str], wrapped: bool = True) -> str:
    parts = [f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in pairs]
    function = f"<function={name}>\n{''.join(parts)}</function>"
    return f"<tool_call>\n{function}\n</tool_call>" if wrapped else function


CITY = ("city", "Paris")
NAMED = {"type": "function", "function": {"name": "todoread"}}


@pytest.fixture(scope="module")
def replay_model() -> Path:
    return cached_replay(cache_folder())


@pytest.fixture(scope="module")
def vocabulary(replay_model: Path) -> Any:
    return _vocabulary(load_tokenizer(replay_model))


@pytest.fixture(scope="module")
def accepts(vocabulary: Any, replay_model: Path) -> Any:
    tokenizer = load_tokenizer(replay_model)
    view, marks = vocabulary

    def check(text: str, tools: Any = (NOTHING, WEATHER, FEW), **options: Any) -> bool:
        lark = grammar(tools, options.pop("tool_choice", None), marks, **options)
        matcher = llguidance.LLMatcher(view, llguidance.LLMatcher.grammar_from_lark(lark))
        assert not matcher.is_error(), matcher.get_error()
        ids = tokenizer.encode(text, add_special_tokens=False)
        return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()

    return check


def test_the_tags_of_the_vocabulary_are_known(vocabulary: Any) -> None:
    assert vocabulary[1].call_open == "<[151657]>"
    assert vocabulary[1].call_close == "<[151658]>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Just words: a < b, <b>bold</b>, {json}, `<function` and </parameter>.",
        call("todoread"),
        f"Let me look.\n{call('todoread')}",
        f"{call('todoread')}\n{call('get_weather', CITY)}",
        f"Sure. {call('todoread', wrapped=False)} Done.",
        call("get_weather", CITY),
        call("get_weather", ("city", "Paris\n</param\n<function=x>\n")),
        call("few", ("b", "x"), ("a", "1")),
        call("get_weather", CITY, ("unit", "f"), ("days", "3"), ("tags", '["a", "b"]')),
        call("get_weather", CITY, ("exact", "null"), ("at", '{"lat": 1.5}'), ("code", "ABC")),
        call("get_weather", CITY, ("at", "null")),
        call("get_weather", ("city", "")),
    ],
)
def test_good_answers_are_let_through(accepts: Any, text: str) -> None:
    assert accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        call("todowrite"),
        call("todoread</function"),
        call("todoread", ("x", "1")),
        call("get_weather"),
        call("get_weather", CITY, CITY),
        call("get_weather", CITY, ("unit", "k")),
        call("get_weather", CITY, ("days", "0")),
        call("get_weather", CITY, ("days", "1.5")),
        call("get_weather", CITY, ("days", "three")),
        call("get_weather", CITY, ("tags", "a, b")),
        call("get_weather", CITY, ("exact", "True")),
        call("get_weather", CITY, ("at", '{"lat": "1.5"}')),
        call("get_weather", CITY, ("at", '{"lat": 1, "lon": 2}')),
        call("get_weather", CITY, ("code", "abc")),
        call("get_weather", CITY, ("colour", "red")),
        call("few", ("b", "x")),
        "<tool_call>\n<function=todoread>\n</function>",
        "<tool_call>\nNo call at all\n</tool_call>",
        '<tool_call>\n{"name": "todoread", "arguments": {}}\n</tool_call>',
        "Bare: <function=todowrite>\n</function>",
    ],
)
def test_bad_calls_are_forbidden(accepts: Any, text: str) -> None:
    assert not accepts(text)


@pytest.mark.parametrize(
    ("choice", "words", "other", "this", "two"),
    [
        (None, True, True, True, True),
        ("auto", True, True, True, True),
        ("none", True, False, False, False),
        ("required", False, True, True, True),
        (NAMED, False, False, True, False),
    ],
)
def test_tool_choice(
    accepts: Any, choice: Any, words: bool, other: bool, this: bool, two: bool
) -> None:
    assert accepts("Hello!", tool_choice=choice) == words
    assert accepts(call("get_weather", CITY), tool_choice=choice) == other
    assert accepts(call("todoread"), tool_choice=choice) == this
    assert accepts(f"{call('todoread')}\n{call('todoread')}", tool_choice=choice) == two


def test_one_call_where_parallel_calls_are_not_wanted(accepts: Any) -> None:
    assert accepts(call("todoread"), one_call=True)
    assert accepts("Words.", one_call=True)
    assert not accepts(f"{call('todoread')}\n{call('todoread')}", one_call=True)


def test_a_thought_is_free_and_must_be_marked_as_one(accepts: Any) -> None:
    thought = "I could <function=x> it."
    required: dict[str, Any] = {"tool_choice": "required"}
    assert accepts(f"<think>{thought}</think>{call('todoread')}", **required)
    assert not accepts(f"{thought}</think>{call('todoread')}", **required)
    assert accepts(f"{thought}</think>{call('todoread')}", thinking=True, **required)
    assert not accepts(thought, thinking=True)


def test_without_tools_nothing_is_constrained() -> None:
    assert grammar(()) is None


def test_a_choice_of_an_undeclared_tool_is_refused() -> None:
    with pytest.raises(ValueError, match="'todoread', which is not among the tools"):
        grammar([WEATHER], NAMED)


# llguidance wants DEL escaped in JSON, which JSON itself does not.
TEXT = st.text(max_size=8).filter(lambda text: "\x7f" not in text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=6,
)
VALUES: dict[str, Any] = {
    "string": st.text(st.characters(codec="utf-8"), max_size=30).filter(
        lambda text: "</parameter>" not in text
    ),
    "integer": st.integers(),
    "number": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "boolean": st.booleans(),
    "array": st.lists(JSON, max_size=3),
    "object": st.dictionaries(TEXT, JSON, max_size=3),
}


@given(data=st.data(), types=st.lists(st.sampled_from(sorted(VALUES)), max_size=8))
def test_every_call_that_satisfies_its_schema_is_let_through(
    accepts: Any, data: st.DataObject, types: list[str]
) -> None:
    properties = {f"p{i}": {"type": kind} for i, kind in enumerate(types)}
    given_names = [name for name in properties if data.draw(st.booleans())]
    tool = Tool(
        name="do",
        parameters={"type": "object", "properties": properties, "required": given_names[:2]},
    )
    pairs = []
    for name in given_names:
        value = data.draw(VALUES[properties[name]["type"]])
        pairs.append((name, value if isinstance(value, str) else to_text(value)))
    if len(properties) <= 6:
        pairs = data.draw(st.permutations(pairs))
    assert accepts(call("do", *pairs), (tool,))


# --- in the server ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grammar") / "grammar.jsonl"


@pytest.fixture(scope="module")
def server(replay_model: Path, log: Path) -> Iterator[Server]:
    launcher = ("-m", "evals.parsers.launcher", "--parser", "adaptive_xml", "--grammar", str(log))
    with boot(
        replay_model,
        log=log.with_name("server.log"),
        cache=cache_folder(),
        arguments=ARGUMENTS,
        launcher=(sys.executable, *launcher, "--"),
    ) as running:
        yield running


def _asked(text: str, tools: Any, choice: Any = "auto") -> Case:
    return Case(
        id="constrained",
        path="cases/constrained.yaml",
        line=1,
        category="grammar",
        tools=tools,
        tool_choice=choice,
        messages=({"role": "user", "content": "Go."},),
        expect=Expect.model_validate({"answer": {}}),
        replay=ReplayScript(text=text),
        max_tokens=60,
    )


@pytest.mark.parametrize("lane", ["server", "stream"])
@pytest.mark.parametrize(
    ("text", "choice", "names", "forced"),
    [
        (call("todoread"), "auto", ["todoread"], False),
        ("No call is needed here.", "auto", [], False),
        (call("todowrite"), "auto", ["todoread"], True),
        (call("todoread", ("x", "1")), "auto", ["todoread"], True),
        ("No call is needed here.", "required", ["todoread"], True),
        ("No call is needed here.", NAMED, ["todoread"], True),
        (call("todoread"), "none", [], True),
    ],
)
def test_what_the_model_wants_and_what_it_may(
    server: Server,
    replay_model: Path,
    log: Path,
    lane: str,
    text: str,
    choice: Any,
    names: list[str],
    forced: bool,
) -> None:
    log.write_text("")
    case = _asked(text, (NOTHING,), choice)
    if lane == "server":
        seen = plain_lane.ask(
            server, case, timeout=30, decode=decoder(load_tokenizer(replay_model))
        )
    else:
        seen = stream_lane.ask(server, case, timeout=30)
    assert seen.error is None
    assert [item.name for item in seen.calls] == names
    assert all(item.arguments == "{}" for item in seen.calls)
    counts = read_counts(log)
    assert counts is not None
    assert counts["answers"] == 1
    assert counts["steps"] > 0
    assert bool(counts["masked"]) == forced
    assert counts["problems"] == {}


def test_a_schema_that_no_grammar_can_hold_is_told_and_not_hidden(
    server: Server, log: Path
) -> None:
    log.write_text("")
    odd = Tool(
        name="odd",
        parameters={
            "type": "object",
            "properties": {"x": {"type": "array", "items": {"not": {"type": "string"}}}},
        },
    )
    seen = plain_lane.ask(server, _asked(call("odd", ("x", "[1]")), (odd,)), timeout=30)
    assert [(item.name, json.loads(item.arguments)) for item in seen.calls] == [("odd", {"x": [1]})]
    counts = read_counts(log)
    assert counts is not None
    assert list(counts["problems"].values()) == [1]


def test_without_a_log_there_are_no_counts(tmp_path: Path) -> None:
    assert read_counts(tmp_path / "grammar.jsonl") is None


def test_the_processor_forbids_and_counts(vocabulary: Any) -> None:
    import mlx.core as mx

    view, marks = vocabulary
    lark = grammar((NOTHING,), "required", marks)
    matcher = llguidance.LLMatcher(view, llguidance.LLMatcher.grammar_from_lark(lark))
    count = Count()
    processor = Constraint(matcher, count)
    logits = mx.zeros((1, 151936)).at[0, 42].add(5.0)
    masked = processor(mx.array([1, 2, 3]), logits)
    assert mx.argmax(masked, axis=-1).item() == 151657
    assert (count.steps, count.masked) == (1, 1)
