"""The grammar: what it lets through, what it forbids, and that it holds in the real server."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import builders
import llguidance
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.case import Case, ReplayScript, Tool
from evals.config import cache_folder
from evals.engines.mlx_lm import boot
from evals.engines.server import Server
from evals.json_text import to_text
from evals.lanes import server as plain_lane
from evals.lanes import stream as stream_lane
from evals.lanes.tokens import decoder, load_tokenizer
from evals.parsers.constraint import (
    Constraint,
    Count,
    GrammarCounts,
    _constraint,
    _unsupported,
    _vocabulary,
    _Wanted,
    read_counts,
)
from evals.parsers.grammar import Marks, grammar
from evals.replay.build import ARGUMENTS, cached_replay
from evals.report.text import _grammar

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
def tokenizer(replay_model: Path) -> Any:
    return load_tokenizer(replay_model)


@pytest.fixture(scope="module")
def vocabulary(tokenizer: Any) -> Any:
    return _vocabulary(tokenizer)


def _accepts(view: Any, ids: list[int], lark: str | None) -> bool:
    assert lark is not None
    matcher = llguidance.LLMatcher(view, llguidance.LLMatcher.grammar_from_lark(lark))
    assert not matcher.is_error(), matcher.get_error()
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())


def _in_pieces(tokenizer: Any, text: str) -> list[int]:
    """Tokens of the text with no tag in one token."""
    pieces = [text[i : i + 3] for i in range(0, len(text), 3)]
    return [
        token for piece in pieces for token in tokenizer.encode(piece, add_special_tokens=False)
    ]


@pytest.fixture(scope="module")
def accepts(vocabulary: Any, tokenizer: Any) -> Any:
    view, marks = vocabulary

    def check(
        text: str, tools: Any = (NOTHING, WEATHER, FEW), *, pieces: bool = False, **options: Any
    ) -> bool:
        options.setdefault("marks", marks)
        ids = (
            _in_pieces(tokenizer, text)
            if pieces
            else tokenizer.encode(text, add_special_tokens=False)
        )
        return _accepts(view, ids, grammar(tools, **options))

    return check


def test_the_tags_of_the_vocabulary_are_known(vocabulary: Any) -> None:
    assert vocabulary[1].call_open == "<[151657]>"
    assert vocabulary[1].call_close == "<[151658]>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Just words: a < b, <b>bold</b>, {json}, `<function` and </parameter>.",
        "<function" * 20 + "\n```json\n" * 10,  # too much for a lexer of several negations
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


# A tokenizer may have no token of its own for a tag, and a model may not use the one it has.
@pytest.mark.parametrize("options", [{}, {"marks": Marks()}], ids=["special", "plain"])
@pytest.mark.parametrize(
    ("text", "free", "none", "required"),
    [
        (call("todoread"), True, False, True),
        (f"Well. {call('todoread')}\n{call('todoread')} So.", True, False, False),
        (call("todowrite"), False, False, False),
        ("It writes <tool_call> first.", False, False, False),
        ('<tool_call>\n{"name": "todoread", "arguments": {}}\n</tool_call>', False, False, False),
        ("It writes <tool_ call> first.", True, True, False),
    ],
)
def test_tags_count_when_they_are_spelled_in_many_tokens(
    accepts: Any, text: str, free: bool, none: bool, required: bool, options: dict[str, Any]
) -> None:
    assert accepts(text, pieces=True, **options) == free
    assert accepts(text, pieces=True, tool_choice="none", **options) == none
    if options:  # else a forced call begins with the special token
        assert accepts(text, pieces=True, tool_choice="required", **options) == required


@pytest.mark.parametrize(
    ("fence", "fine"),
    [
        ('```json\n{"name": "todoread", "arguments": {}}\n```', False),
        ('```\n[{"arguments": {"x": 1}, "name": "few"}]\n```', False),
        ('```json\n{"name": "Ada"}\n```', True),
        ('```python\n{"name": "todoread"}\n```', True),
        ('{"name": "todoread", "arguments": {}}', True),
    ],
)
def test_a_call_in_a_code_fence_does_not_get_around_the_grammar(
    accepts: Any, fence: str, fine: bool
) -> None:
    assert accepts(f"Like this:\n{fence}") == fine
    assert accepts(f"Like this:\n{fence}", tool_choice="none") == fine


def test_a_thought_in_ordinary_tokens_ends_at_its_tag(accepts: Any) -> None:
    plain = Marks(think_open='"<think>"', think_close='"</think>"')
    options: dict[str, Any] = {"pieces": True, "marks": plain, "tool_choice": "required"}
    assert accepts(f"<think>Hm.</think>{call('todoread')}", **options)
    assert not accepts("<think>Hm.</think>Words.", **options)
    assert accepts(f"Hm.</think>{call('todoread')}", thinking=True, **options)


CHOICE = {"$ref": "#/$defs/choice"}
DEFINITIONS = {"choice": {"type": "string", "enum": ["a", "b"]}}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"anyOf": [CHOICE, {"type": "null"}]}, ["a", "null"], ["c"]),
        ({"allOf": [CHOICE]}, ["a"], ["c"]),
        ({"allOf": [{"type": "string"}, {"enum": ["a", "b"]}]}, ["a"], ["c"]),
        ({"type": "integer", "enum": [1, "a"]}, ["1"], ["a", "2"]),
        ({"const": "a\nb"}, ["a\nb"], ["a"]),
        ({"enum": ["a", 1, None, True]}, ["a", "1", "null", "true"], ["b", "2"]),
        ({"type": "array", "items": CHOICE}, ["[]", '["a"]'], ['["c"]', "a"]),
        ({"type": "array", "items": {"$ref": "#/properties/y"}}, ["[1]"], ['["c"]']),
        ({"type": ["integer", "null"]}, ["3", "null"], ["x"]),
        ({"type": "number", "minimum": 0, "maximum": 1}, ["0.5"], ["2"]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["é\n"], ["é", "abcd"]),
        ({"type": "string", "pattern": "^a|b$"}, ["ax", "xb"], ["xa", "bx"]),
        ({"type": "string", "pattern": "b|c"}, ["abd"], ["ad"]),
        ({"type": "string", "pattern": r"^\/tmp/[^/]+$"}, ["/tmp/x"], ["/tmp/", "x/tmp/x"]),
        ({"type": "string", "pattern": r"^\d+\$"}, ["12$x"], ["12"]),
        ({"type": "string", "pattern": r"^[$|(]\|$"}, ["$|", "(|"], ["$", "a|"]),
        ({"type": ["string", "null"]}, ["", "null", "x"], []),
        ({}, ["", "x"], []),
        (True, ["x"], []),
    ],
)
def test_a_value_keeps_to_its_schema(
    accepts: Any, schema: Any, good: list[str], bad: list[str]
) -> None:
    properties = {"x": schema, "y": {"type": "integer"}}
    tool = Tool(name="do", parameters={"properties": properties, "$defs": DEFINITIONS})
    assert [text for text in good if not accepts(call("do", ("x", text)), (tool,))] == []
    assert [text for text in bad if accepts(call("do", ("x", text)), (tool,))] == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"$ref": "#/$defs/all", "$defs": {"all": {"properties": {"x": {}}, "required": ["x"]}}},
        {"allOf": [{"properties": {"x": {}}}, {"required": ["x"]}]},
    ],
)
def test_parameters_are_found_where_they_stand(accepts: Any, parameters: dict[str, Any]) -> None:
    tool = Tool(name="do", parameters=parameters)
    assert accepts(call("do", ("x", "1")), (tool,))
    assert not accepts(call("do"), (tool,))


def wanted(parameters: Any, choice: Any = None) -> _Wanted:
    function = {"name": "do", "parameters": parameters}
    return _Wanted([{"type": "function", "function": function}], choice, False, Count())


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "propertyNames": {"pattern": "a"}}, "propertyNames"),
        ({"type": "string", "pattern": "(?=a)b"}, "invalid regex"),
    ],
)
def test_what_no_grammar_can_hold_is_held_loosely_and_told(
    vocabulary: Any, schema: Any, problem: str
) -> None:
    asked = wanted({"properties": {"x": schema}})
    assert _constraint(asked, vocabulary, thinking=False) is not None
    assert asked.count.problem is not None
    assert asked.count.problem.startswith("held loosely: ")
    assert problem in asked.count.problem


def test_one_tool_that_is_held_loosely_leaves_the_others_strict(vocabulary: Any) -> None:
    names = {"type": "object", "propertyNames": {"pattern": "a"}}
    tools = [
        {
            "type": "function",
            "function": {"name": name, "parameters": {"properties": {"x": schema}}},
        }
        for name, schema in (("open", names), ("closed", {"type": "string", "pattern": "^a$"}))
    ]
    asked = _Wanted(tools, None, False, Count())
    assert _unsupported(asked, vocabulary) == ["open"]
    assert _constraint(asked, vocabulary, thinking=False) is not None
    assert (asked.count.problem or "").startswith("held loosely: open: ")


def test_parameters_that_depend_on_each_other_are_held_loosely(vocabulary: Any) -> None:
    asked = wanted({"properties": {"x": {}}, "anyOf": [{"properties": {"y": {}}}]})
    assert _constraint(asked, vocabulary, thinking=False) is not None
    assert asked.count.problem == "held loosely: do: the parameters of 'do' depend on each other"


def test_a_choice_that_cannot_be_kept_leaves_the_answer_free(vocabulary: Any) -> None:
    asked = wanted({}, NAMED)
    assert _constraint(asked, vocabulary, thinking=False) is None
    assert asked.count.problem is not None
    assert asked.count.problem.startswith("not constrained: tool_choice names 'todoread'")


WORDS = (
    *("type", "properties", "required", "enum", "const", "anyOf", "oneOf", "allOf", "items"),
    *("$ref", "$defs", "x", "minLength", "maxLength", "pattern"),
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["string", "x", "#/$defs/x"]),
    lambda values: (
        st.lists(values, max_size=2)
        | st.dictionaries(
            st.sampled_from(WORDS),
            values,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(parameters=ODD, schema=ODD)
def test_no_schema_of_a_request_ends_the_generating_thread(
    vocabulary: Any, parameters: Any, schema: Any
) -> None:
    for odd in (parameters, {"properties": {"x": schema}, "required": ["x"]}):
        asked = wanted(odd)
        held = _constraint(asked, vocabulary, thinking=False)
        assert held is not None or asked.count.problem


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


@settings(deadline=None)
@given(
    types=st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=8),
    data=st.data(),
    fault=st.sampled_from(["name", "missing", "invented", "twice", "type"]),
)
def test_every_call_that_breaks_its_schema_is_forbidden(
    accepts: Any, types: list[str], data: st.DataObject, fault: str
) -> None:
    properties = {f"p{i}": {"type": kind} for i, kind in enumerate(types)}
    values = {name: data.draw(VALUES[part["type"]]) for name, part in properties.items()}
    tool = Tool(name="do", parameters={"properties": properties, "required": list(properties)})
    pairs = [(name, v if isinstance(v, str) else to_text(v)) for name, v in values.items()]
    place = data.draw(st.integers(0, len(pairs) - 1))
    name = "do"
    if fault == "name":
        name = data.draw(st.sampled_from(["d", "done", "Do", "do ", "other", ""]))
    elif fault == "missing":
        del pairs[place]
    elif fault == "invented":
        pairs.insert(place, ("q", "1"))
    elif fault == "twice":
        pairs.insert(place, pairs[data.draw(st.integers(0, len(pairs) - 1))])
    elif types[place] == "string":
        return  # any text is one
    else:
        pairs[place] = (pairs[place][0], "three")
    assert not accepts(call(name, *pairs), (tool,))


def test_the_base_models_vocabulary_can_be_masked(base_model: Path) -> None:
    tokenizer = load_tokenizer(base_model)
    view, marks = _vocabulary(tokenizer)
    lark = grammar((NOTHING, WEATHER), marks=marks)
    good = call("get_weather", ("city", "Zürich 🏔"), ("days", "3"))
    for text, fine in ((good, True), (good.replace("get_w", "set_w"), False)):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert _accepts(view, ids, lark) == fine


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
    script = ReplayScript(text=text)
    return builders.case(ask="Go.", tools=tools, tool_choice=choice, replay=script, max_tokens=60)


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
    tokenizer: Any,
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
        seen = plain_lane.ask(server, case, timeout=30, decode=decoder(tokenizer))
    else:
        seen = stream_lane.ask(server, case, timeout=30)
    assert seen.error is None
    assert [item.name for item in seen.calls] == names
    assert all(item.arguments == "{}" for item in seen.calls)
    counts = read_counts(log)
    assert counts.answers == 1
    assert counts.steps > 0
    assert bool(counts.masked) == forced
    assert counts.problems == {}


def test_names_hold_where_a_schema_can_not(server: Server, log: Path) -> None:
    log.write_text("")
    rare = {"type": "array", "uniqueItems": True}
    odd = Tool(name="odd", parameters={"properties": {"x": rare}})
    seen = plain_lane.ask(server, _asked(call("old", ("x", "[1]")), (odd,)), timeout=30)
    assert [item.name for item in seen.calls] == ["odd"]
    counts = read_counts(log)
    assert counts.masked > 0
    assert [reason.startswith("held loosely") for reason in counts.problems] == [True]


def test_a_server_without_a_log_has_masked_nothing(tmp_path: Path) -> None:
    counts = read_counts(tmp_path / "grammar.jsonl")
    assert counts == GrammarCounts(0, 0, 0, {})


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        (GrammarCounts(2, 9, 0, {}), "grammar: MASKED NOTHING in 9 tokens of 2 answers"),
        (GrammarCounts(2, 9, 4, {}), "grammar: 4 of 9 tokens of 2 answers were forced"),
        (
            GrammarCounts(2, 9, 4, {"held loosely: why": 1}),
            "grammar: 1 answers were held loosely: why",
        ),
    ],
)
def test_the_summary_says_what_was_masked(counts: GrammarCounts, line: str) -> None:
    assert line in _grammar(counts)


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_the_processor_forbids_and_counts(vocabulary: Any, kind: str) -> None:
    import mlx.core as mx

    asked = _Wanted(
        [{"type": "function", "function": {"name": "todoread"}}], "required", False, Count()
    )
    processor = _constraint(asked, vocabulary, thinking=False)
    assert isinstance(processor, Constraint)
    logits = mx.zeros((1, 151936)).at[0, 42].add(5.0).astype(getattr(mx, kind))
    masked = processor(mx.array([1, 2, 3]), logits)
    assert masked.dtype == logits.dtype
    assert mx.argmax(masked, axis=-1).item() == 151657
    assert (asked.count.steps, asked.count.masked) == (1, 1)
