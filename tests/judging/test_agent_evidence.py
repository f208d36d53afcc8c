"""Lane `agent`: model, parser, server and client are told apart by the recorded response."""

from dataclasses import replace

import builders
import pytest
from builders import judge
from scripted_server import call, completion

from evals.case import Case, Tool
from evals.lanes.server import read_response
from evals.observation import Call, Observation, Usage
from evals.results import Judgement, Kind, Layer, Status

TOOLS = (
    Tool(name="todoread"),
    Tool(name="f", parameters={"type": "object", "properties": {"n": {"type": "integer"}}}),
)
WRITTEN = "<tool_call>\n<function={}>\n<parameter=n>\n{}\n</parameter>\n</function>\n</tool_call>"
CASE = builders.case({"call": {"name": "f", "arguments": {"n": 5}}}, tools=TOOLS)
ANSWER = builders.case({"answer": {}}, tools=TOOLS)
RIGHT = WRITTEN.format("f", 5)


def _sent(*calls: Call, raw: str | None = RIGHT, **more: object) -> Observation:
    """The response that the library got."""
    values = {"calls": calls, "finish_reason": "tool_calls" if calls else "stop", "raw_text": raw}
    return builders.observation(**{**values, **more})


def _judged(received: Observation, *calls: Call, case: Case = CASE, **more: object) -> Judgement:
    """What is said where these calls reached the tools."""
    seen = Observation("agent", 200, calls=calls, received=received, **more)  # type: ignore[arg-type]
    return judge(case, seen)


F5 = Call("f", '{"n": 5}', "a")


def test_what_came_through_unchanged_passes_in_its_own_spelling() -> None:
    assert _judged(_sent(F5), Call("f", '{"n":5}')).status == Status.PASS
    said = _sent(raw="Hello.", content="Hello.")
    assert _judged(said, case=ANSWER, content="Hello.").status == Status.PASS


@pytest.mark.parametrize(
    ("received", "delivered", "kind", "layer", "refused"),
    [
        # The client: the response is right, and the tools got something else.
        (_sent(F5), (), Kind.LOST_CALL, Layer.CLIENT, None),
        (_sent(F5), (), Kind.LOST_CALL, Layer.CLIENT, "Exceeded maximum retries"),
        (_sent(F5), (Call("f", '{"n": "5"}'),), Kind.CHANGED_ARGUMENTS, Layer.CLIENT, None),
        (_sent(F5), (F5, F5), Kind.INVENTED_CALL, Layer.CLIENT, None),
        # The model: unknown tools and wrong values, whether or not the library refused them.
        (
            _sent(Call("api.f", '{"n": 5}'), raw=WRITTEN.format("api.f", 5)),
            (),
            Kind.WRONG_TOOL,
            Layer.MODEL,
            "Unknown tool name: 'api.f'",
        ),
        (
            _sent(Call("f", '{"n": 6}'), raw=WRITTEN.format("f", 6)),
            (Call("f", '{"n": 6}'),),
            Kind.WRONG_VALUE,
            Layer.MODEL,
            None,
        ),
        (
            _sent(raw=RIGHT[:30], finish_reason="length", usage=Usage(9, 256)),
            (),
            Kind.TRUNCATED,
            Layer.MODEL,
            "token limit",
        ),
        # The parser: what the model wrote is right, and the response is not.
        (
            _sent(Call("f", '{"n": 6}')),
            (Call("f", '{"n": 6}'),),
            Kind.CHANGED_ARGUMENTS,
            Layer.PARSER,
            None,
        ),
        (_sent(content=""), (), Kind.LOST_CALL, Layer.PARSER, "empty response"),
        (_sent(Call("f", '{"n": ')), (), Kind.INVALID_ARGUMENTS, Layer.PARSER, "Invalid JSON"),
        (_sent(Call("f</function", "{}")), (), Kind.CORRUPT_NAME, Layer.PARSER, "Unknown tool"),
        # The server.
        (_sent(F5, finish_reason="stop"), (F5,), Kind.FINISH_REASON, Layer.SERVER, None),
    ],
)
def test_each_layer_is_named_by_the_recorded_response(
    received: Observation,
    delivered: tuple[Call, ...],
    kind: Kind,
    layer: Layer,
    refused: str | None,
) -> None:
    found = _judged(received, *delivered, refused=refused)
    assert found.cause is not None
    assert (found.cause.kind, found.cause.layer) == (kind, layer)
    assert (Layer.CLIENT in {verdict.layer for verdict in found.failed}) == (layer == Layer.CLIENT)
    if refused:
        assert refused in found.cause.reason
    if layer != Layer.CLIENT:  # as in lane server
        plain = judge(CASE, received)
        assert plain.cause is not None
        assert (plain.cause.kind, plain.cause.layer) == (kind, layer)
        assert plain.scores == found.scores


@pytest.mark.parametrize(
    ("finish", "usage", "kind"),
    [
        ("tool_calls", [1, 2], Kind.USAGE),
        ("tool_calls", {"prompt_tokens": 1.5}, Kind.USAGE),
        ("done", {}, Kind.FINISH_REASON),
    ],
)
def test_a_response_that_no_strict_client_reads_is_the_servers(
    finish: str, usage: object, kind: Kind
) -> None:
    counts = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    if isinstance(usage, dict):
        usage = {**counts, **usage}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call("f", F5.arguments, id="a")],
    }
    received = read_response(completion(message, finish, usage=usage), 0.1)
    found = _judged(received, refused="Invalid response")
    assert [(v.kind, v.layer) for v in found.failed] == [(kind, Layer.SERVER)]
    well = read_response(completion(message, "tool_calls"), 0.1)
    assert _judged(well, refused="Invalid response").blame == Layer.CLIENT


def test_text_that_the_library_changed_is_the_clients() -> None:
    said = _sent(raw="Hello.", content="Hello.")
    found = _judged(said, case=ANSWER, content="Bye.")
    assert [(v.check, v.kind, v.layer) for v in found.failed] == [
        ("client", Kind.CHANGED_CONTENT, Layer.CLIENT)
    ]


def test_without_the_models_text_the_response_still_clears_the_client() -> None:
    found = _judged(_sent(Call("f", '{"n": 6}'), raw=None), Call("f", '{"n": 6}'))
    assert found.blame == Layer.UNKNOWN
    assert _judged(_sent(F5, raw=None)).blame == Layer.CLIENT


def test_the_prompt_is_held_against_the_one_that_the_library_asked_for() -> None:
    received = _sent(F5, usage=Usage(40, 9))
    seen = Observation("agent", 200, calls=(F5,), received=received)
    assert judge(CASE, seen, rendered_prompt_tokens=40).status == Status.PASS
    drifted = judge(CASE, seen, rendered_prompt_tokens=41)
    assert (drifted.blame, drifted.scores and drifted.scores.case) == (Layer.TEMPLATE, True)


def test_tool_choice_is_asked_of_the_response_not_of_the_tools() -> None:
    case = CASE.model_copy(update={"tool_choice": "required"})
    assert _judged(_sent(F5), case=case).blame == Layer.CLIENT
    ignored = _judged(_sent(raw="No.", content="No."), case=case, content="No.")
    assert ignored.cause is not None
    assert ignored.cause.kind == Kind.TOOL_CHOICE_IGNORED


@pytest.mark.parametrize("lane", ["agent", "server", "stream"])
def test_what_this_suite_could_not_ask_is_its_own_error(lane: str) -> None:
    seen = Observation(lane, error="the agent lane has no role 'developer'", unasked=True)
    found = judge(CASE, seen)
    assert (found.status, found.blame) == (Status.ERROR, Layer.HARNESS)
    assert found.cause is not None
    assert found.cause.kind == Kind.HARNESS_ERROR
    assert judge(CASE, replace(seen, unasked=False)).blame == Layer.SERVER
