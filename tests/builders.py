"""Cases, answers, records and projects for tests: each gives only what it is about."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from evals.case import Case, Expect, ReplayScript
from evals.judging import diagnosis
from evals.lanes.lane import lane_named
from evals.observation import Observation, Traits
from evals.request import build_request
from evals.results import Answer, Judgement, Record

PROJECT: Mapping[str, str] = {
    "cases/tools/t.yaml": "look: {}\n",
    "conftest.py": 'pytest_plugins = ["evals.plugin"]\n',
    "pyproject.toml": "[tool.pytest.ini_options]\n",
}

ENTRY = () if entry_points(group="pytest11", name="evals") else ("-p", "evals.entry")
"""Options of pytest that load the entry point where this package is not installed as it is now."""


def case(expect: Any = None, ask: str = "Please do.", **values: Any) -> Case:
    """A case that expects an answer without a call; `expect` may be what YAML would have."""
    values.setdefault("messages", [{"role": "user", "content": ask}])
    wanted = expect or {"answer": {}}
    values["expect"] = wanted if isinstance(wanted, Expect) else Expect.model_validate(wanted)
    return Case(**{"id": "c", "path": "cases/c.yaml", "line": 1, "category": "c", **values})


def played(script: ReplayScript | None = None, **changes: Any) -> Case:
    """A case with the tool `todoread` whose answer a replay model plays."""
    values: dict[str, Any] = {
        **{"id": "played", "path": "cases/played.yaml", "line": 1, "category": "played"},
        "messages": [{"role": "user", "content": "Check my tasks."}],
        "tools": [{"name": "todoread"}],
        "expect": {"answer": {}},
        "replay": script.model_dump() if script else None,
        "max_tokens": 1000,
    }
    return Case.model_validate({**values, **changes})


def observation(lane: str = "server", **values: Any) -> Observation:
    """A response with status 200 that ended by itself; it has neither text nor calls."""
    return replace(Observation(lane, 200, finish_reason="stop"), **values)


def answer(
    case: Case, seen: Observation, *, traits: Traits | None = None, **changes: Any
) -> Answer:
    """The answer that `seen` is, in the lane that it names."""
    traits = traits or lane_named(seen.lane).traits
    values = {"profile": "default", "request": build_request(case, stream=traits.streamed)}
    return Answer(case=case, traits=traits, observation=seen, **{**values, **changes})


def judge(case: Case, seen: Observation, **changes: Any) -> Judgement:
    """What is said of it."""
    return diagnosis.judge(answer(case, seen, **changes))


def reasons(found: Judgement) -> list[list[Any]]:
    """All that is said of an answer: check, reason, kind, layer and differences."""
    return [
        [v.check, v.reason, v.kind, v.layer, [list(asdict(d).values()) for d in v.differences]]
        for v in found.verdicts
        if v.reason
    ]


def record(
    case: Case, seen: Observation, plain: Observation | None = None, **changes: Any
) -> Record:
    """It and what is said of it; `plain` is the evidence of a stream."""
    asked = answer(case, seen, plain=plain, **changes)
    return Record.of(asked, diagnosis.judge(asked))


def write_project(folder: Path, files: Mapping[str, str]) -> Path:
    """A project of one's own in `folder`: `files` by path, and what `PROJECT` has beside them."""
    for name, text in {**PROJECT, **files}.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return folder
