"""Cases, observations, records and projects for tests: each gives only what it is about."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.case import Case, Expect
from evals.observation import Observation
from evals.request import build_request
from evals.results import Record, Status
from evals.running.run import judged

PROJECT: Mapping[str, str] = {
    "cases/tools/t.yaml": "look: {}\n",
    "conftest.py": 'pytest_plugins = ["evals.plugin"]\n',
    "pyproject.toml": "[tool.pytest.ini_options]\n",
}


def case(expect: Any = None, ask: str = "Please do.", **values: Any) -> Case:
    """A case that expects an answer without a call; `expect` may be what YAML would have."""
    values.setdefault("messages", [{"role": "user", "content": ask}])
    wanted = expect or {"answer": {}}
    values["expect"] = wanted if isinstance(wanted, Expect) else Expect.model_validate(wanted)
    return Case(**{"id": "c", "path": "cases/c.yaml", "line": 1, "category": "c", **values})


def observation(lane: str = "server", **values: Any) -> Observation:
    """A response with status 200 that ended by itself; it has neither text nor calls."""
    return replace(Observation(lane, 200, finish_reason="stop"), **values)


def record(
    of: Case,
    seen: Observation,
    plain: Observation | None = None,
    *,
    profile: str = "default",
    repeat: int = 0,
) -> Record:
    """The judged record of an observation; `plain` is the evidence of a stream."""
    request = build_request(of, stream=seen.lane == "stream")
    unjudged = Record(of, profile, seen.lane, repeat, request, seen, (), None, Status.ERROR, plain)
    return judged(unjudged)


def write_project(folder: Path, files: Mapping[str, str]) -> Path:
    """A project of one's own in `folder`: `files` by path, and what `PROJECT` has beside them."""
    for name, text in {**PROJECT, **files}.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return folder
