import time

import pytest
from builders import judge
from scripted_server import TOOLS, make_case

from evals import patterns
from evals.case import Expect
from evals.observation import Call, Observation

SLOW = r"^(a|a)*$"
TEXT = "a" * 60 + "!"


@pytest.fixture(autouse=True)
def _less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # The engine counts seconds of the processor: on a busy machine they are many more.
    monkeypatch.setattr(patterns, "SECONDS", 0.2)


def calling(arguments: str, name: str = "get_weather") -> Observation:
    return Observation(
        "server", status=200, calls=(Call(name, arguments, "1"),), finish_reason="tool_calls"
    )


def test_a_search_ends_where_it_fits_or_nowhere() -> None:
    assert patterns.search("b+", "abbc") == 3
    assert patterns.search("^b", "ab") is None
    with pytest.raises(patterns.PatternError):
        patterns.check("(")


def test_a_pattern_that_backtracks_for_ever_is_stopped() -> None:
    begin = time.monotonic()
    with (
        pytest.raises(patterns.PatternTimeout, match=r"takes longer than 0\.2 s"),
        patterns.time_limit(),
    ):
        patterns.search(SLOW, TEXT)
    assert time.monotonic() - begin < 8


def test_all_patterns_of_an_answer_share_its_time() -> None:
    begin = time.monotonic()
    with patterns.time_limit():
        for _ in range(10):
            with pytest.raises(patterns.PatternTimeout):
                patterns.search(SLOW, TEXT)
    assert time.monotonic() - begin < 8


def test_a_cases_slow_pattern_is_the_harnesss_error_at_its_line() -> None:
    expect = {"call": {"name": "get_weather", "arguments": {"city": {"$regex": SLOW}}}}
    case = make_case(tools=TOOLS, expect=Expect.model_validate(expect))
    begin = time.monotonic()
    said = judge(case, calling(f'{{"city": "{TEXT}"}}'))
    assert time.monotonic() - begin < 8
    (verdict,) = said.verdicts
    assert (said.status, verdict.kind, verdict.layer) == ("error", "harness_error", "harness")
    assert verdict.reason.startswith(
        f"cases/x.yaml:1: the pattern '{SLOW}' takes longer than 0.2 s"
    )
    assert judge(case, calling('{"city": "aaa"}')).status == "pass"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"city": {"type": "string", "pattern": SLOW}}},
        {"patternProperties": {SLOW: {"type": "string"}}},
        {"patternProperties": {SLOW: {}}, "additionalProperties": False},
    ],
    ids=["pattern", "patternProperties", "additionalProperties"],
)
def test_a_schemas_slow_pattern_too(schema: dict[str, object]) -> None:
    tools = [{"name": "f", "parameters": {"type": "object", **schema}}]
    case = make_case(tools=tools, expect=Expect.model_validate({"call": {"name": "f"}}))
    begin = time.monotonic()
    said = judge(case, calling(f'{{"{TEXT}": "x", "city": "{TEXT}"}}', "f"))
    assert time.monotonic() - begin < 8
    assert [verdict.kind for verdict in said.verdicts] == ["harness_error"]
