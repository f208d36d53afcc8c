"""Records: what is written is read again, also what schema 1 wrote, and none is half judged."""

import json
from dataclasses import replace
from pathlib import Path

import builders
import pytest
from made_runs import answer_of, called, case_of

from evals.case import Tool
from evals.errors import ConfigError
from evals.observation import AGENT, DIRECT, SERVER, STREAM
from evals.request import build_request, request_text
from evals.results import Judgement, Kind, Layer, Record, Scores, Status, Verdict
from evals.running.runner import is_answer_to, judged
from evals.stored import read_records

OLD = Path(__file__).with_name("records-of-schema-1.jsonl")
LOST = answer_of(case_of("lost"), called(12))
RIGHT = answer_of(case_of("right"), called())


def blamed(record: Record) -> set[tuple[Kind | None, Layer | None]]:
    return {(found.kind, found.layer) for found in record.verdicts if not found.passed}


def test_records_of_schema_1_are_read_with_their_lanes_traits_and_judged_alike() -> None:
    records = list(read_records(OLD))
    agent = replace(AGENT, has_token_ids=False, needs_plain=True)  # it had no evidence of its own
    assert [record.traits for record in records] == [SERVER, SERVER, STREAM, agent, DIRECT]
    assert [judged(record).status for record in records] == [record.status for record in records]
    # What the stream alone lost was a call that nobody explained, too: it is the server's.
    told = [blamed(record) - {(Kind.LOST_CALL, Layer.UNKNOWN)} for record in records]
    assert [blamed(judged(record)) for record in records] == told
    assert not any(record.in_order for record in records)
    assert [Record.from_json(record.to_json()) for record in records] == records


def test_a_record_carries_its_conclusions() -> None:
    assert (RIGHT.outcome, RIGHT.cause, RIGHT.blame, RIGHT.why) == ("pass", None, None, "")
    assert LOST.cause is not None
    assert (LOST.outcome, LOST.blame) == ("violation", Layer.PARSER)
    assert LOST.why == f"changed_arguments (parser): {LOST.cause.reason}"
    assert LOST.model_text == called().raw_text
    stream = replace(called(), lane="stream", raw_text=None)
    assert answer_of(case_of("s"), stream, called()).model_text == called().raw_text
    assert answer_of(case_of("s"), stream).model_text is None


@pytest.mark.parametrize(
    ("verdicts", "scores", "status"),
    [
        ((), None, Status.ERROR),
        ((Verdict("response", True),), None, Status.PASS),
        ((Verdict("response", False),), Scores(None, None, None, None), Status.ERROR),
    ],
)
def test_there_is_no_judgement_in_an_invalid_state(
    verdicts: tuple[Verdict, ...], scores: Scores | None, status: Status, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"verdicts|status"):
        Judgement(verdicts=verdicts, scores=scores, status=status)
    line = json.loads(RIGHT.to_json())
    line |= {"verdicts": [{"check": v.check, "passed": v.passed} for v in verdicts]}
    line |= {"scores": scores and vars(scores), "status": status}
    path = tmp_path / "records.jsonl"
    path.write_text(f"{json.dumps(line)}\n{RIGHT.to_json()}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"records.jsonl:1: not a record"):
        list(read_records(path))


def test_a_line_of_another_schema_is_refused() -> None:
    line = json.dumps({**json.loads(RIGHT.to_json()), "schema": 4})
    with pytest.raises(ValueError, match="not a record of schema 3, 2 or 1"):
        Record.from_json(line)


def test_records_of_schema_2_are_read_and_their_sorted_requests_are_said_to_be() -> None:
    line = json.loads(RIGHT.to_json())
    del line["in_order"]
    for name in ("unasked", "request", "received"):
        del line["observation"][name]
    line["traits"]["own_prompt"] = False
    old = Record.from_json(json.dumps({**line, "schema": 2}, sort_keys=True))
    assert old == replace(RIGHT, in_order=False)
    assert is_answer_to(old, RIGHT.case)
    assert not Record.from_json(old.to_json()).in_order


def test_a_record_keeps_every_key_where_it_was() -> None:
    parameters = {"type": "object", "properties": {"z": {"type": "string"}, "a": {}}}
    case = builders.case(tools=(Tool(name="f", parameters=parameters),))
    record = builders.record(case, builders.observation(content="Yes."))
    again = Record.from_json(record.to_json())
    assert again == record
    assert request_text(again.request) == request_text(build_request(case))
    assert '"z":{"type":"string"},"a":{}' in request_text(again.request)
    assert is_answer_to(again, case)
    other = {"type": "object", "properties": {"a": {}, "z": {"type": "string"}}}
    assert not is_answer_to(
        again, case.model_copy(update={"tools": (Tool(name="f", parameters=other),)})
    )
