"""The text of an issue about a run whose gate failed: title, environment, cases, how to repeat."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from urllib.parse import quote

from evals.report.comparison import Comparison
from evals.report.evidence_view import NO_SERVER
from evals.report.github.markdown import block, code, plain, problem_line
from evals.report.problems import Problem, Why, problems
from evals.report.summary import Summary
from evals.report.text import what_happened
from evals.request import as_curl
from evals.results import Record

_SHOWN = 10
_LONGEST = 60_000
"""GitHub takes a body of 65,536 characters."""
_LONGEST_STORY = 3000


def issue_text(
    summary: Summary,
    records: Sequence[Record],
    variables: Mapping[str, str],
    comparison: Comparison | None = None,
) -> str:
    """A title in the first line, as a heading, and the body; ten cases with their stories.

    `variables` is the environment, from which GitHub's links are taken where it runs there.
    """
    found = problems(records, comparison)
    lines = [f"# {_title(summary, found)}", "", "The gate failed:", ""]
    lines += [f"- {plain(reason)}" for reason in summary.gate.reasons]
    lines += ["", "## Environment", "", *_environment(summary, variables)]
    lines += ["", "## Cases", ""]
    shown = 0
    for problem in found[:_SHOWN]:
        case = [*_case(problem, variables), ""]
        if sum(map(len, [*lines, *case])) > _LONGEST:
            continue
        lines += case
        shown += 1
    if len(found) > shown:
        lines += [f"{len(found) - shown} more failed cases are in the run's records.", ""]
    return "\n".join(lines)


def _title(summary: Summary, found: Sequence[Problem]) -> str:
    counts = {why: sum(problem.why == why for problem in found) for why in Why}
    words = (
        (counts[Why.NEW], "newly failing"),
        (counts[Why.VIOLATION], "violations"),
        (counts[Why.ERROR], "errors"),
    )
    said = ", ".join(f"{count} {word}" for count, word in words if count)
    day = summary.run.started[:10]
    names = ", ".join(summary.profiles)
    return f"Tool calling: gate failed on {day}: {names}" + (f": {said}" if said else "")


def _environment(summary: Summary, variables: Mapping[str, str]) -> Iterator[str]:
    if page := _repository(variables):
        yield f"- run: {page}/actions/runs/{quote(variables['GITHUB_RUN_ID'])}"
    print_of = summary.fingerprint
    yield f"- run id: {plain(summary.run.id)}"
    for name in ("evals", "suite", "graders"):
        yield f"- {name}: {plain(str(getattr(print_of, name)))}"
    for name, parts in (("versions", print_of.versions), ("machine", asdict(print_of.machine))):
        yield f"- {name}: " + plain(_listed(parts))
    for name, profile in print_of.profiles.items():
        yield f"- profile {plain(name)}: {plain(_listed(asdict(profile)))}"


def _listed(parts: Mapping[str, object]) -> str:
    known = {name.replace("_", " "): v for name, v in parts.items() if v not in (None, ())}
    return ", ".join(f"{name} {value}" for name, value in known.items())


def _case(problem: Problem, variables: Mapping[str, str]) -> Iterator[str]:
    record = problem.record
    yield f"### {problem.why.capitalize()}: {code(record.key)}"
    yield ""
    yield problem_line(problem)
    if link := _link(record, variables):
        yield f"\n{link}"
    yield ""
    yield block(what_happened(record), longest=_LONGEST_STORY)
    yield ""
    yield block(as_curl(record.request, NO_SERVER), "sh")


def _repository(variables: Mapping[str, str]) -> str | None:
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA", "GITHUB_RUN_ID")
    if not all(variables.get(name) for name in names):
        return None
    return f"{variables['GITHUB_SERVER_URL']}/{quote(variables['GITHUB_REPOSITORY'])}"


def _link(record: Record, variables: Mapping[str, str]) -> str | None:
    page = _repository(variables)
    if page is None:
        return None
    place = f"{quote(record.case.path)}#L{record.case.line}"
    return f"{page}/blob/{quote(variables['GITHUB_SHA'])}/{place}"
