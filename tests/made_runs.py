"""Runs made of judged answers, without a server."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders

from evals.case import Case, Tool
from evals.config import Config, Gate
from evals.judging.scoring import RATES, Rate
from evals.observation import Call, Observation, Usage
from evals.report.summarize import summarize
from evals.report.summary import (
    Asked,
    Fingerprint,
    GateOutcome,
    ProfileFigures,
    PromptTokens,
    RepeatFigures,
    RunInfo,
    Summary,
)
from evals.report.summary_file import write_fingerprint, write_summary
from evals.results import Record, Status
from evals.stored import write_records

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
        usage=Usage(200, len(pieces), 20),
        seconds=0.7,
        raw_text=raw,
        token_ids=tuple(range(500, 500 + len(pieces))),
        token_texts=pieces,
        server_log="127.0.0.1 - - POST /v1/chat/completions",
    )
    return replace(seen, **changes)


RUN = RunInfo(id="r", started="2026-01-02T03:04:05+00:00", seconds=2.0, whole=True)
PRINT = Fingerprint(evals="1", suite="s", graders="g")


def figures_of(cases: Mapping[str, Mapping[str, str]], flaky: Sequence[str] = ()) -> ProfileFigures:
    """The figures of a profile of which only the outcomes matter, by case and lane."""
    rates = {name: Rate(None, 0, 0.0, 1.0) for name in RATES}
    repeats = RepeatFigures(
        cases=len(flaky),
        k=2,
        pass_at_k=1.0,
        pass_hat_k=0.0,
        distinct=2.0,
        flaky=tuple(flaky),
        independent=True,
    )
    return ProfileFigures(
        scored=0,
        errors=0,
        rates=rates,
        known=0,
        lanes={},
        categories={},
        violations={},
        misses={},
        prompt_tokens=PromptTokens(total=0, cached=0),
        batching_changed=(),
        repeats=repeats if flaky else None,
        cases={node: {k: Status(v) for k, v in lanes.items()} for node, lanes in cases.items()},
    )


def summary_with(
    profiles: Mapping[str, ProfileFigures], fingerprint: Fingerprint = PRINT
) -> Summary:
    """A whole run of these profiles that passed its gate."""
    gate = GateOutcome(passed=True)
    return Summary(run=RUN, gate=gate, fingerprint=fingerprint, profiles=dict(profiles))


def write_run(
    folder: Path,
    records: Sequence[Record],
    started: str = RUN.started,
    profiles: Sequence[str] = ("default",),
    **print_of: Any,
) -> Summary:
    """A finished run in `folder`, as a session leaves it, without a report; its summary."""
    folder.mkdir(parents=True)
    run = replace(RUN, id=folder.name, started=started, asked=Asked(profiles=tuple(profiles)))
    summary = summarize(records, Config(gates={"default": Gate()}), replace(PRINT, **print_of), run)
    write_records(records, folder / "records.jsonl")
    write_summary(summary, folder)
    write_fingerprint(summary.fingerprint, folder)
    return summary
