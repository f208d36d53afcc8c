"""Responses of scripted servers, each with one defect, asked over HTTP and judged in both lanes.

Every defect has a twin without it: the same response before it was spoilt, which passes.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import builders
import pytest
from oracles import Read, openai_stream, pydantic_ai
from scripted_server import Scripted, serve
from spoilt import END, Response, Spoil, answering, decode

from evals.case import Case, Tool
from evals.lanes import server, stream
from evals.lanes.tokens import token_texts
from evals.observation import Observation
from evals.results import Kind, Layer, Prompt, Record, Status

TEXT = {"type": "string"}
TOOLS = (
    Tool(name="todoread"),
    Tool(name="read_file", parameters={"type": "object", "properties": {"path": TEXT}}),
)
READ = ("read_file", '{"path": "README.md"}')
TODO = ("todoread", "{}")


def raw_call(name: str, **values: str) -> str:
    inner = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


RAW = {READ: raw_call("read_file", path="README.md"), TODO: raw_call("todoread")}


def calling(*calls: tuple[str, str]) -> tuple[Case, Response]:
    """A case that expects these calls, and a right response."""
    expect = {"calls": [{"name": n, "arguments": json.loads(a)} for n, a in calls]}
    asked = builders.case(expect, "Do what is to be done.", tools=TOOLS)
    return asked, Response("\n".join(RAW[call] for call in calls), calls)


def one() -> tuple[Case, Response]:
    return calling(READ)


def todo() -> tuple[Case, Response]:
    return calling(TODO)


def two() -> tuple[Case, Response]:
    return calling(READ, TODO)


def words(raw: str = "Nothing is pending.", **seen: Any) -> tuple[Case, Response]:
    asked = builders.case({"answer": {}}, "What is to be done?", tools=TOOLS)
    return asked, Response(raw, **{"content": raw, **seen})


def thoughtful() -> tuple[Case, Response]:
    raw = "<think>\nThe list first.\n</think>\n\nNothing is pending."
    return words(raw, content="Nothing is pending.", reasoning="The list first.")


def named() -> tuple[Case, Response]:
    asked, response = one()
    choice = {"type": "function", "function": {"name": "read_file"}}
    return asked.model_copy(update={"tool_choice": choice}), response


def cut() -> tuple[Case, Response]:
    """The text ran into max_tokens within a call; the twin says so."""
    asked, response = one()
    asked = asked.model_copy(update={"max_tokens": 60})
    response.ids = response.ids[:60]
    response.completion = 60
    response.calls, response.finish = [], "length"
    response.make()
    return asked, response


# --- what is spoilt -------------------------------------------------------------------------------


def entries(**values: Any) -> Spoil:
    """In every entry that begins a call; `...` takes the field away."""

    def spoil(r: Response) -> None:
        for entry in r.entries():
            put(entry, **values)

    return spoil


def put(mapping: dict[str, Any], **values: Any) -> None:
    for name, value in values.items():
        mapping[name] = value
        if value is ...:
            del mapping[name]


def bodies(**values: Any) -> Spoil:
    return lambda r: [put(body, **values) for body in r.bodies()]  # type: ignore[return-value]


def choices(**values: Any) -> Spoil:
    return lambda r: [put(choice, **values) for choice in r.choices()]  # type: ignore[return-value]


def index(change: Callable[[int], Any]) -> Spoil:
    def spoil(r: Response) -> None:
        for fragment in r.fragments():
            put(fragment, index=change(fragment["index"]))

    return spoil


def counts(**values: Any) -> Spoil:
    def spoil(r: Response) -> None:
        for usage in (r.plain["usage"], r.counted["usage"]):
            put(usage, **values)

    return spoil


def whole_calls(r: Response, **more: Any) -> None:
    """Each call in one delta, without an index."""
    r.chunks = [*r.chunks[:1], *(r.chunk({"tool_calls": [{**c, **more}]}) for c in r.calls)]
    r.chunks += [r.last, r.counted]


def name_null(r: Response) -> None:
    for entry in r.entries():
        entry["function"]["name"] = None


def name_again(r: Response) -> None:
    for fragment in r.fragments():
        fragment["function"]["name"] = "read_file"


def finish_early(r: Response) -> None:
    r.chunks.remove(r.last)
    r.chunks.insert(2, r.last)


def finish_before_text(r: Response) -> None:
    r.chunks.remove(r.last)
    r.chunks.insert(1, r.last)


def finish_twice(r: Response) -> None:
    r.chunks.insert(-1, r.chunk({}, "length"))


def finish(reason: str | None) -> Spoil:
    def spoil(r: Response) -> None:
        r.choice["finish_reason"] = r.last["choices"][0]["finish_reason"] = reason

    return spoil


def without_usage(r: Response) -> None:
    r.chunks.remove(r.counted)


def other_usage_in_stream(r: Response) -> None:
    r.counted["usage"] = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}


def cached_left_out(r: Response) -> None:
    counts(prompt_tokens=16, total_tokens=16 + r.completion)(r)
    counts(prompt_tokens_details={"cached_tokens": 84})(r)


def delta_null(r: Response) -> None:
    r.last["choices"][0]["delta"] = None


def reasoning_lost_in_stream(r: Response) -> None:
    r.chunks.pop(1)


def thinks(text: str | None, content: str | None = "Nothing is pending.") -> Spoil:
    def spoil(r: Response) -> None:
        r.reasoning, r.content = text, content
        r.make()

    return spoil


def call_in_reasoning(r: Response) -> None:
    r.calls, r.reasoning, r.finish = [], f"The list.\n{r.raw}", "stop"
    r.make()


def function_call(r: Response) -> None:
    call = r.calls.pop()["function"]
    r.make()
    r.message["function_call"] = call
    r.before_last(r.chunk({"function_call": call}))


def says_calls(r: Response) -> None:
    arguments = '{"path": "READM'
    function = {"name": "read_file", "arguments": arguments}
    r.calls, r.finish = [{"id": "a", "type": "function", "function": function}], "tool_calls"
    r.make()


def says_stop(r: Response) -> None:
    r.finish = "stop"
    r.make()


def no_tokens(r: Response) -> None:
    r.prompt = r.completion = 0
    r.make()


def reversed_calls(r: Response) -> None:
    r.calls.reverse()
    r.make()


def reversed_in_stream(r: Response) -> None:
    r.calls.reverse()
    r.make_chunks()


def half_the_ids(r: Response) -> None:
    r.ids = r.ids[: len(r.ids) // 2]
    r.calls, r.finish, r.content = [], "stop", "I looked."
    r.make()


def error_body(data: bytes) -> Spoil:
    def spoil(r: Response) -> None:
        r.raw_plain = r.raw_stream = data

    return spoil


def error_event(data: dict[str, Any]) -> Spoil:
    def spoil(r: Response) -> None:
        r.before_last(data)
        r.raw_plain = json.dumps(data).encode()

    return spoil


def error_in_choice(r: Response) -> None:
    choices(error={"message": "context is full"})(r)


def chunk_without_choices(r: Response) -> None:
    r.counted.pop("choices")


def no_arguments(r: Response, value: Any = None) -> None:
    for entry in r.message["tool_calls"]:
        put(entry["function"], arguments=value)


def two_choices(r: Response) -> None:
    r.plain["choices"].append({**copy.deepcopy(r.choice), "index": 1})
    r.before_last({**r.chunk({"content": "x"}), "choices": [{"index": 1, "delta": {}}]})


def other_ids(r: Response) -> None:
    for number, fragment in enumerate(r.fragments()):
        put(fragment, id=f"id-{number}")


def role_of_another(r: Response) -> None:
    put(r.message, role="tool")
    put(r.chunks[0]["choices"][0]["delta"], role="tool")


def usage_list(r: Response) -> None:
    r.plain["usage"] = r.counted["usage"] = []


Failed = set[tuple[Kind, Layer]]
CONTRACT = {(Kind.API_CONTRACT, Layer.SERVER)}
FINISH = {(Kind.FINISH_REASON, Layer.SERVER)}
USAGE = {(Kind.USAGE, Layer.SERVER)}
MISMATCH = {(Kind.STREAM_MISMATCH, Layer.SERVER)}
CHANGED = {(Kind.CHANGED_CONTENT, Layer.SERVER)}
CORRUPT = {(Kind.CORRUPT_NAME, Layer.PARSER)}
LOST = {(Kind.LOST_CALL, Layer.PARSER)}
ORDER = {(Kind.ANOTHER_ORDER, Layer.PARSER)}
INVALID = {(Kind.INVALID_ARGUMENTS, Layer.PARSER)}
CUT = {(Kind.TRUNCATED, Layer.MODEL)}
ERROR = {(Kind.SERVER_ERROR, Layer.SERVER)}


@dataclass(frozen=True)
class Defect:
    """A right response and what spoils it; what fails in each lane, and words of a reason."""

    group: str
    name: str
    right: Callable[[], tuple[Case, Response]]
    spoil: Spoil
    plain: Failed
    streamed: Failed
    words: str = ""


DEFECTS = (
    # G1: what identifies a call
    Defect("G1", "id missing", one, entries(id=...), CONTRACT, CONTRACT, '`id` of call "read_file'),
    Defect("G1", "id null", one, entries(id=None), CONTRACT, CONTRACT, "is null"),
    Defect("G1", "id empty", two, entries(id=""), CONTRACT, CONTRACT, 'is ""'),
    Defect("G1", "id blank", two, entries(id=" "), CONTRACT, CONTRACT),
    Defect("G1", "id the same", two, entries(id="a"), CONTRACT, CONTRACT, 'id` "a" stands for 2'),
    Defect("G1", "type missing", one, entries(type=...), CONTRACT, CONTRACT, "not function"),
    Defect("G1", "type null", one, entries(type=None), CONTRACT, CONTRACT),
    Defect("G1", "type another", one, entries(type="custom"), CONTRACT, CONTRACT),
    Defect("G1", "index missing", two, index(lambda i: ...), set(), CONTRACT, "`index` of a call"),
    Defect("G1", "index null", one, index(lambda i: None), set(), CONTRACT),
    Defect("G1", "index missing, whole calls", two, whole_calls, set(), CONTRACT),
    Defect("G1", "index from 1", two, index(lambda i: i + 1), set(), CONTRACT, "`index` 1, not 0"),
    Defect("G1", "index with a gap", two, index(lambda i: 2 * i), set(), CONTRACT, "2, not 1"),
    Defect("G1", "index backwards", two, index(lambda i: 1 - i), set(), CONTRACT),
    Defect(
        "G1", "index always 0", two, index(lambda i: 0), set(), CONTRACT | MISMATCH, "same `index`"
    ),
    Defect("G1", "name again", one, name_again, set(), CONTRACT | MISMATCH, "is sent again"),
    Defect("G1", "call outdated", one, function_call, CONTRACT | LOST, CONTRACT | LOST),
    # G1: the envelope
    Defect("G1", "id of response", one, bodies(id=None), CONTRACT, CONTRACT, "`id` of "),
    Defect("G1", "no id of response", words, bodies(id=...), CONTRACT, CONTRACT),
    Defect("G1", "id a number", words, bodies(id=7), CONTRACT, CONTRACT),
    Defect("G1", "no model", words, bodies(model=...), CONTRACT, CONTRACT, "`model` of "),
    Defect("G1", "no object", words, bodies(object=...), CONTRACT, CONTRACT, "`object` is null"),
    Defect("G1", "object another", words, bodies(object="text"), CONTRACT, CONTRACT),
    Defect("G1", "created a fraction", words, bodies(created=1.5), CONTRACT, CONTRACT, "`created`"),
    Defect("G1", "all null", one, bodies(id=None, created=None, model=None), CONTRACT, CONTRACT),
    Defect("G1", "no index of choice", one, choices(index=...), CONTRACT, CONTRACT, "choice"),
    Defect("G1", "index of choice null", words, choices(index=None), CONTRACT, CONTRACT),
    Defect("G1", "delta null", words, delta_null, set(), CONTRACT, "has no `delta`"),
    Defect("G1", "no choices with usage", words, chunk_without_choices, set(), CONTRACT),
    Defect(
        "G1", "role missing", words, lambda r: put(r.message, role=...), CONTRACT, set(), "`role`"
    ),
    Defect("G1", "arguments null", todo, no_arguments, CONTRACT | INVALID, MISMATCH, "are null"),
    Defect(
        "G1",
        "arguments missing",
        todo,
        lambda r: no_arguments(r, ...),
        CONTRACT | INVALID,
        MISMATCH,
        "are missing",
    ),
    Defect("G1", "two choices", words, two_choices, CONTRACT, CONTRACT, "2 choices"),
    Defect("G1", "id of call changes", one, other_ids, set(), CONTRACT, "changes from"),
    Defect("G1", "role tool", words, role_of_another, CONTRACT, CONTRACT, "a delta"),
    # G5: cut off at max_tokens
    Defect("G5", "cut, says tool_calls", cut, says_calls, CUT | FINISH, CUT | FINISH, "60 of 60"),
    Defect("G5", "cut, says stop", cut, says_stop, CUT | FINISH, CUT | FINISH, "not length"),
    Defect("G5", "cut, usage 0", cut, no_tokens, CUT | USAGE, CUT | USAGE),
    # G6: usage and the prompt; see also tests/replay/test_replay_templates.py
    Defect("G6", "usage 0", one, counts(prompt_tokens=0), USAGE, USAGE, "prompt has 0 tokens"),
    Defect("G6", "usage all 0", one, no_tokens, USAGE, USAGE),
    Defect("G6", "cached part left out", one, cached_left_out, USAGE, USAGE, "not cached"),
    Defect(
        "G6",
        "the rest alone",
        one,
        counts(prompt_tokens=1, total_tokens=108),
        USAGE,
        USAGE,
        "1 tokens for a question of 6 words",
    ),
    Defect("G6", "total is no sum", one, counts(total_tokens=1), USAGE, USAGE, "total_tokens is 1"),
    Defect("G6", "no total", one, counts(total_tokens=...), USAGE, USAGE),
    Defect("G6", "negative", one, counts(prompt_tokens=-1), USAGE, USAGE),
    Defect(
        "G6",
        "more than max_tokens",
        words,
        counts(completion_tokens=999, total_tokens=1099),
        USAGE,
        USAGE,
        "999 tokens of an answer",
    ),
    Defect("G6", "counts as text", one, counts(prompt_tokens="100"), USAGE, USAGE, 'is "100"'),
    Defect("G6", "a count is true", one, counts(completion_tokens=True), USAGE, USAGE, "is true"),
    Defect("G6", "a fraction", one, counts(prompt_tokens=100.0), USAGE, USAGE, "is 100.0"),
    Defect("G6", "no object", one, usage_list, USAGE, USAGE, "not an object"),
    Defect(
        "G6",
        "cached negative",
        one,
        counts(prompt_tokens_details={"cached_tokens": -5}),
        USAGE,
        USAGE,
        "-5 tokens",
    ),
    Defect(
        "G6",
        "an answer of one token",
        words,
        counts(completion_tokens=1, total_tokens=101),
        USAGE,
        USAGE,
        "1 tokens for an answer of 3 words",
    ),
    # G7: what streams say late, otherwise or not at all
    Defect("G7", "usage missing in stream", one, without_usage, set(), USAGE, "asks for usage"),
    Defect("G7", "usage another in stream", one, other_usage_in_stream, set(), USAGE),
    Defect("G7", "finish early", one, finish_early, set(), FINISH, "before the end"),
    Defect("G7", "finish before text", words, finish_before_text, set(), FINISH),
    Defect("G7", "finish twice", one, finish_twice, set(), FINISH | MISMATCH, "two finish reasons"),
    Defect("G7", "finish null", one, finish(None), FINISH, ERROR),
    Defect("G7", "thought lost in stream", thoughtful, reasoning_lost_in_stream, set(), MISMATCH),
    Defect("G7", "thought invented", words, thinks("Let me see."), CHANGED, CHANGED, "reasoning"),
    Defect("G7", "thought another", thoughtful, thinks("First of all."), CHANGED, CHANGED),
    Defect("G7", "answer in thought", words, thinks("Nothing is pending.", None), CHANGED, CHANGED),
    Defect("G7", "half of it", words, thinks("Nothing is", "pending."), CHANGED, CHANGED),
    Defect(
        "G7",
        "answer moved behind the thought",
        thoughtful,
        thinks("The list first.\n\nNothing is pending.", None),
        CHANGED,
        CHANGED,
        "moved into the reasoning",
    ),
    Defect("G7", "thought cut short", thoughtful, thinks("The"), CHANGED, CHANGED, "reasoning"),
    Defect(
        "G7", "answer twice", words, thinks("Nothing is pending."), CHANGED, CHANGED, "reasoning"
    ),
    Defect(
        "G7",
        "answer in the thought, too",
        thoughtful,
        thinks("The list first. Nothing is pending."),
        CHANGED,
        CHANGED,
    ),
    # G8
    Defect("G8", "calls turned round", two, reversed_calls, ORDER, ORDER, "another order"),
    Defect("G8", "turned round in stream", two, reversed_in_stream, set(), MISMATCH, "order"),
    # G9: see test_a_call_that_tool_choice_names_may_end_with_stop
    Defect("G9", "stop with a call", one, finish("stop"), FINISH, FINISH, "is stop, not tool_c"),
    Defect("G9", "length early", named, finish("length"), FINISH, FINISH),
    # G15: errors with status 200
    Defect(
        "G15",
        "error unframed",
        one,
        error_body(b'{"error": {"message": "context is full"}}'),
        ERROR,
        ERROR,
        "context is full",
    ),
    Defect(
        "G15",
        "error object",
        one,
        error_body(b'{"object": "error", "message": "context is full", "code": 400}'),
        ERROR,
        ERROR,
        "context is full",
    ),
    Defect(
        "G15", "HTML", words, error_body(b"<html>\n<b>Bad \x1b[31m</b>"), ERROR, ERROR, "<b>Bad"
    ),
    Defect("G15", "no choices", words, error_body(b'{"choices": []}'), ERROR, ERROR, "choices"),
    Defect(
        "G15", "event", one, error_event({"error": {"message": "is full"}}), ERROR, ERROR, "is full"
    ),
    Defect(
        "G15", "object", one, error_event({"object": "error", "message": "is full"}), ERROR, ERROR
    ),
    Defect("G15", "detail", one, error_event({"detail": "is full"}), ERROR, ERROR, "is full"),
    Defect("G15", "error in choice", words, error_in_choice, ERROR, ERROR, "context is full"),
    Defect("G15", "ends with an error", words, finish("error"), ERROR, ERROR, "reason is error"),
    Defect("G15", "aborted", one, finish("abort"), ERROR, ERROR, "reason is abort"),
    # G16
    Defect("G16", "name null", one, name_null, CONTRACT | CORRUPT, CONTRACT | CORRUPT, "no `name`"),
    # G17 with evidence: the model wrote a call, and the response hides it
    Defect("G17", "call in thought", one, call_in_reasoning, LOST, LOST),
)


# --- asked and judged -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with serve() as server_:
        yield server_


def with_texts(seen: Observation) -> Observation:
    """As a run keeps it: each token with its text."""
    ids = seen.token_ids
    return seen if ids is None else replace(seen, token_texts=token_texts(decode, ids))


def asked(scripted: Scripted, case: Case, response: Response, **known: Any) -> list[Record]:
    """The judged answers of the plain lane and of the stream."""
    scripted.answer = answering(response, scripted.bodies)
    plain = with_texts(server.ask(scripted.server, case, timeout=30, decode=decode))
    streamed = stream.ask(scripted.server, case, timeout=30)
    known = {"prompt": Prompt(opens_thought=False), "rendered_prompt_tokens": 100, **known}
    return [
        builders.record(case, plain, **known),
        builders.record(case, streamed, plain, **known),
    ]


def failed(record: Record) -> Failed:
    return {(v.kind, v.layer) for v in record.verdicts if not v.passed and v.kind and v.layer}


def reasons(record: Record) -> str:
    return "; ".join(verdict.reason for verdict in record.failed)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: f"{d.group}-{d.name}")
def test_a_defect_is_blamed_on_the_server_and_its_twin_passes(
    defect: Defect, scripted: Scripted
) -> None:
    case, response = defect.right()
    for record in asked(scripted, case, response):
        assert failed(record) == (CUT if defect.right is cut else set()), reasons(record)
    case, response = defect.right()
    defect.spoil(response)
    plain, streamed = asked(scripted, case, response)
    assert (failed(plain), failed(streamed)) == (defect.plain, defect.streamed), reasons(streamed)
    assert defect.words in f"{reasons(plain)}; {reasons(streamed)}"
    for record in (plain, streamed):
        assert "\n" not in reasons(record)
        assert all(len(verdict.reason) < 600 for verdict in record.failed)
        assert Record.from_json(record.to_json()) == record


STOCK = (
    # what mlx_lm.server and others send beside the usual, and clients read all the same
    ("role in each delta", one, lambda r: [put(c["delta"], role="assistant") for c in deltas(r)]),
    ("usage chunk is a chat.completion", one, lambda r: put(r.counted, object="chat.completion")),
    ("no content beside calls", one, lambda r: put(r.message, content=...)),
    ("no created", words, bodies(created=None)),
    ("usage null in each chunk", words, lambda r: [put(c, usage=None) for c in r.chunks[:-1]]),
    ("usage beside the finish reason", words, lambda r: usage_in_last(r)),
    (
        "null calls in each delta",
        words,
        lambda r: [put(c["delta"], tool_calls=None) for c in deltas(r)],
    ),
    ("same finish reason twice", one, lambda r: r.chunks.insert(-1, r.chunk({}, "tool_calls"))),
    ("empty finish reasons", one, lambda r: [put(c, finish_reason="") for c in deltas(r)[:-1]]),
    ("whole calls with index", two, lambda r: indexed_calls(r)),
    ("id and type in each fragment", two, lambda r: [put(f, **known(f)) for f in r.fragments()]),
    ("no usage in the plain response", words, lambda r: put(r.plain, usage=...)),
    ("thoughts in the total alone", words, counts(total_tokens=400)),
    ("more behind the end", one, lambda r: setattr(r, "raw_stream", r.stream_bytes() * 2)),
    ("thought left out", thoughtful, thinks(None)),
    ("two names of the thought, one empty", thoughtful, lambda r: empty_reasoning(r)),
)


def deltas(r: Response) -> list[dict[str, Any]]:
    return [choice for chunk in r.chunks for choice in chunk["choices"]]


def empty_reasoning(r: Response) -> None:
    for place in (r.message, r.chunks[1]["choices"][0]["delta"]):
        put(place, reasoning_content=place["reasoning"], reasoning="")


def known(fragment: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"id-{fragment['index']}", "type": "function"}


def usage_in_last(r: Response) -> None:
    r.chunks.remove(r.counted)
    r.last["usage"] = r.usage


def indexed_calls(r: Response) -> None:
    fragments = [{"index": i, **call} for i, call in enumerate(copy.deepcopy(r.calls))]
    r.chunks = [r.chunk({"tool_calls": fragments}), r.last, r.counted]


@pytest.mark.parametrize(("right", "change"), [s[1:] for s in STOCK], ids=[s[0] for s in STOCK])
def test_what_clients_read_is_no_fault(right: Any, change: Any, scripted: Scripted) -> None:
    case, response = right()
    change(response)
    for record in asked(scripted, case, response):
        assert failed(record) == set(), reasons(record)


STRICTER = {
    "G1 id empty": "no result can be given back to a call without an id",
    "G1 id blank": "no result can be given back to a call without an id",
    "G1 id the same": "two results would have one id",
    "G1 arguments null": "the API promises text; pydantic-ai takes it for none",
    "G1 arguments missing": "the API promises text; pydantic-ai takes it for none",
    "G1 two choices": "one was asked for, and each library takes another one",
    "G1 id of call changes": "which id a result has to name is not said",
    "G1 role tool": "neither library looks at it; what it sends back is no turn of an assistant",
    "G6 counts as text": "neither library counts; who pays by it does",
    "G6 a count is true": "neither library counts; who pays by it does",
    "G6 a fraction": "neither library counts; who pays by it does",
    "G6 no object": "neither library counts; who pays by it does",
    "G6 cached negative": "neither library counts; who pays by it does",
    "G7 thought cut short": "neither oracle is asked for thoughts",
    "G7 answer twice": "neither oracle is asked for thoughts",
    "G7 answer in the thought, too": "neither oracle is asked for thoughts",
    "G6 total is no sum": "neither library adds up; who pays by it does",
    "G7 finish before text": "who stops reading at a finish reason loses the text",
    "G7 thought lost in stream": "neither oracle is asked for thoughts",
    "G7 thought invented": "neither oracle is asked for thoughts",
    "G7 thought another": "neither oracle is asked for thoughts",
    "G15 error in choice": "neither library looks for an error there, and the answer is not whole",
}
"""Faults here of what the clients read as they read the twin, and why they are faults."""


def called(name: str, arguments: str) -> tuple[str, Any]:
    return name, json.loads(arguments)


def readings(url: str) -> dict[str, Read]:
    """What the clients make of what the server now answers: `plain` or `stream`."""
    names = [tool.name for tool in TOOLS]
    return {
        "openai stream": openai_stream(url, names),
        "pydantic-ai stream": pydantic_ai(url, names, stream=True),
        "pydantic-ai plain": pydantic_ai(url, names, stream=False),
    }


@pytest.fixture(scope="module")
def of_twins(scripted: Scripted) -> dict[Any, dict[str, Read]]:
    """What the clients make of each response before it is spoilt."""
    found = {}
    for right in {defect.right for defect in DEFECTS}:
        _, response = right()
        scripted.answer = answering(response, scripted.bodies)
        found[right] = readings(scripted.server.url)
        wanted = [called(c["function"]["name"], c["function"]["arguments"]) for c in response.calls]
        for read in found[right].values() if right is not cut else ():  # both refuse such an end
            assert read.problem is None
            assert [called(*call) for call in read.calls] == wanted
            assert read.text == (response.content or "")
    return found


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: f"{d.group}-{d.name}")
def test_what_the_clients_read_otherwise_is_a_fault_here(
    defect: Defect, scripted: Scripted, of_twins: Any
) -> None:
    _, response = defect.right()
    defect.spoil(response)
    scripted.answer = answering(response, scripted.bodies)
    seen = readings(scripted.server.url)
    other = {name for name, read in seen.items() if read != of_twins[defect.right][name]}
    fails = {
        lane for lane, found in (("plain", defect.plain), ("stream", defect.streamed)) if found
    }
    assert {name.rpartition(" ")[2] for name in other} <= fails, seen
    if not other:
        assert f"{defect.group} {defect.name}" in STRICTER


@pytest.mark.parametrize(("right", "change"), [s[1:] for s in STOCK], ids=[s[0] for s in STOCK])
def test_what_is_no_fault_here_the_clients_read(
    right: Any, change: Any, scripted: Scripted
) -> None:
    _, response = right()
    wanted = [(call["function"]["name"], call["function"]["arguments"]) for call in response.calls]
    change(response)
    scripted.answer = answering(response, scripted.bodies)
    for name, read in readings(scripted.server.url).items():
        assert read.problem is None, name
        assert [called(*call) for call in read.calls] == [called(*call) for call in wanted], name
        assert read.text == (response.content or ""), name


# --- without evidence, and other special cases ----------------------------------------------------


@pytest.mark.parametrize(
    ("right", "spoil", "found"),
    [
        (one, name_null, (Kind.CORRUPT_NAME, Layer.SERVER)),
        (one, call_in_reasoning, (Kind.LOST_CALL, Layer.UNKNOWN)),
        (one, function_call, (Kind.LOST_CALL, Layer.SERVER)),
        (cut, says_calls, (Kind.TRUNCATED, Layer.MODEL)),
    ],
)
def test_without_evidence(right: Any, spoil: Spoil, found: Any, scripted: Scripted) -> None:
    case, response = right()
    spoil(response)
    put(response.choice, logprobs=None)
    for record in asked(scripted, case, response):
        assert found in failed(record)
        assert record.outcome == "violation"


@pytest.mark.parametrize("reason", ["stop", "tool_calls"])
def test_a_call_that_tool_choice_names_may_end_with_stop(reason: str, scripted: Scripted) -> None:
    case, response = named()
    finish(reason)(response)
    for record in asked(scripted, case, response):
        assert record.status == Status.PASS
    case = case.model_copy(update={"tool_choice": "required"})
    for record in asked(scripted, case, response):
        assert failed(record) == (set() if reason == "tool_calls" else FINISH)


def test_ids_that_are_not_as_many_as_the_tokens_are_no_evidence(scripted: Scripted) -> None:
    case, response = one()
    half_the_ids(response)
    for record in asked(scripted, case, response):
        assert failed(record) == {(Kind.MISSING_CALL, Layer.UNKNOWN)}
        assert "token ids" in reasons(record)


def test_a_natural_end_at_max_tokens_is_no_cut(scripted: Scripted) -> None:
    case, response = one()
    case = case.model_copy(update={"max_tokens": len(response.ids)})
    assert response.ids[-1] == END
    for record in asked(scripted, case, response):
        assert record.status == Status.PASS


def test_a_prompt_that_opens_a_thought(scripted: Scripted) -> None:
    """All of a thought without an end is reasoning: no answer was moved."""
    case, response = words()
    thinks("Nothing is pending.", None)(response)
    for opens in (True, None):
        plain, _ = asked(scripted, case, response, prompt=Prompt(opens_thought=opens))
        assert "faithful" not in [verdict.check for verdict in plain.failed]


def test_calls_in_another_order_than_the_case_wants(scripted: Scripted) -> None:
    case, _ = calling(TODO, READ)
    expect = case.expect.model_copy(update={"order": "given"})
    _, response = calling(READ, TODO)
    for record in asked(scripted, case.model_copy(update={"expect": expect}), response):
        assert failed(record) == {(Kind.ANOTHER_ORDER, Layer.MODEL)}
