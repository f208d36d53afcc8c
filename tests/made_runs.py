"""Runs made of judged answers, without a server."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders

from evals.case import Case, Tool
from evals.config import Config
from evals.observation import Call, Observation, Usage
from evals.report.summary import summarize, write_summary
from evals.results import Record, write_records

TOOLS = (
    Tool(
        name="get_message",
        parameters={"type": "object", "properties": {"id": {"type": "integer"}}},
    ),
    Tool(name="list_messages"),
)
RAW = (
    "<tool_call>\n<function=get_message>\n<parameter=id>\n{}\n"
    "</parameter>\n</function>\n</tool_call>"
)
BIG = 9007199254740993
answer_of = builders.record


def case_of(name: str, ask: str = "Show message 9007199254740993.", expect: Any = None) -> Case:
    expect = expect or {"call": {"name": "get_message", "arguments": {"id": BIG}}}
    place = {"path": "cases/messages.yaml", "line": 3, "category": "messages"}
    return builders.case(expect, ask, id=name, tools=TOOLS, **place)


def called(got: int = BIG, wrote: int = BIG, **changes: Any) -> Observation:
    """A call of get_message that the model wrote with one id and the server sent with another."""
    raw = RAW.format(wrote)
    pieces = tuple(raw.replace(">", ">\0").split("\0"))
    seen = builders.observation(
        calls=(Call("get_message", f'{{"id": {got}}}'),),
        finish_reason="tool_calls",
        usage=Usage(200, 30, 20),
        seconds=0.7,
        raw_text=raw,
        token_ids=tuple(range(500, 500 + len(pieces))),
        token_texts=pieces,
        server_log="127.0.0.1 - - POST /v1/chat/completions",
    )
    return replace(seen, **changes)


def write_run(
    folder: Path,
    records: Sequence[Record],
    started: str = "2026-01-02T03:04:05+00:00",
    profiles: Sequence[str] = ("default",),
    **print_of: Any,
) -> dict[str, Any]:
    """A finished run in `folder`, as a session leaves it, without a report; its summary."""
    folder.mkdir(parents=True)
    fingerprint = {"suite": "s", "graders": "g", "profiles": {}, **print_of}
    run = {"id": folder.name, "started": started, "seconds": 2.0, "whole": True, "tier": "full"}
    asked = {"profiles": list(profiles)}
    summary = summarize(records, Config(), fingerprint, {**run, "asked": asked})
    write_records(records, folder / "records.jsonl")
    write_summary(summary, folder)
    return summary
