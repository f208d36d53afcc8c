"""GitHub Actions: annotations at the lines of case files, and a log that obeys no model.

A runner takes every line of a step's log that starts with `::name …::` for a command, spaces before
it ignored, and `##[name]` even inside a line. What a model wrote must not become one.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from evals.escaping import escape_controls
from evals.report.problems import Problem, Why

SHOWN = 10
"""GitHub shows this many errors of a step."""
_LONGEST = 1000


def annotations(
    found: Sequence[Problem], *, passed: bool = False, project: str = "."
) -> Iterator[str]:
    """Workflow commands for what is newly failing, violations and errors; the first ten.

    Of a run that `passed` its gate they are warnings: nothing is to be mended before it counts.
    `project` is the project's folder in its repository, from whose top GitHub counts.
    """
    told = [problem for problem in found if problem.why != Why.MISS]
    for problem in told[:SHOWN]:
        yield _annotation(problem, "warning" if passed else "error", project)
    if len(told) > SHOWN:
        yield f"::notice title=tool calling::{len(told) - SHOWN} more are in the job's summary"


def _annotation(problem: Problem, level: str, project: str) -> str:
    record = problem.record
    verdict = problem.verdict
    what = f"{verdict.kind} ({verdict.layer})" if verdict else "no answer"
    place = {
        "file": (PurePosixPath(project) / record.case.path).as_posix(),
        "line": str(record.case.line),
        "title": f"{problem.why}: {what}",
    }
    said = ",".join(f"{name}={escape_property(value)}" for name, value in place.items())
    return f"::{level} {said}::{escape_data(f'{record.key}: {problem.reason}')}"


def escape_data(text: str) -> str:
    """`text` as the message of a workflow command: one line, whatever it holds."""
    visible = escape_controls(text)[:_LONGEST]
    return visible.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """`text` as the value of a workflow command's property."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


@contextlib.contextmanager
def commands_stopped(
    variables: Mapping[str, str], write: Callable[[str], object] = print
) -> Iterator[None]:
    """On GitHub Actions, let nothing that is printed inside be a command; nothing elsewhere.

    The word that ends it is drawn again each time, so no text can have it.
    """
    if variables.get("GITHUB_ACTIONS") != "true":
        yield
        return
    word = secrets.token_hex(16)
    write(f"::stop-commands::{word}")
    try:
        yield
    finally:
        # On a line of its own: what was printed inside may have been cut off in the middle of one.
        write(f"\n::{word}::")
