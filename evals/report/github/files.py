"""What GitHub Actions is told of a run, from the run's folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.disk import replace_file
from evals.errors import ConfigError
from evals.report.before import changed_cases, earlier_answers, same_texts
from evals.report.comparison import Comparison, compare
from evals.report.github.commands import annotations
from evals.report.github.issue import issue_text
from evals.report.github.markdown import job_summary
from evals.report.problems import problems
from evals.report.summary import Summary
from evals.report.summary_file import earlier_runs, read_run, read_summary
from evals.results import RECORDS
from evals.stored import read_records

SUMMARY = "job-summary.md"
ISSUE = "issue.md"


@dataclass(frozen=True)
class Told:
    """The annotations to print, and whether the run has no violation and no error."""

    annotations: Sequence[str]
    conforms: bool


def write_github(run: Path, against: Path | None, variables: Mapping[str, str]) -> Told:
    """Write the job's summary, and the issue's text if the gate failed, into the run's folder.

    The summary also goes to the file that `GITHUB_STEP_SUMMARY` names in `variables`, the
    environment. A run that cannot be compared with `against` is told without, and why.

    Raises:
        ConfigError: `run` holds no finished run, or `against` no run.
    """
    summary = read_summary(run)
    records = list(read_records(run / RECORDS, say=lambda text: None))
    comparison, notes = _compared(against, summary)
    earlier = [before for _, before in earlier_runs(run, summary)]
    same: dict[str, bool] = {}
    if against and comparison:
        cases = changed_cases(comparison)
        same = same_texts(records, earlier_answers(against, cases))
    page = job_summary(summary, records, comparison, notes, earlier, same)
    replace_file(run / SUMMARY, page)
    if step := variables.get("GITHUB_STEP_SUMMARY"):
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(page)
    (run / ISSUE).unlink(missing_ok=True)
    if summary.is_gated and not summary.gate.passed:
        text = issue_text(summary, records, variables, comparison)
        replace_file(run / ISSUE, text)
    passed = summary.is_gated and summary.gate.passed
    place = _project(variables)
    found = list(annotations(problems(records, comparison), passed=passed, project=place))
    return Told(found, _conforms(summary))


def _project(variables: Mapping[str, str]) -> str:
    """The folder of this project, in which the command runs, in the checkout of a GitHub job."""
    here, checkout = Path.cwd(), Path(variables.get("GITHUB_WORKSPACE", Path.cwd())).resolve()
    return here.relative_to(checkout).as_posix() if here.is_relative_to(checkout) else "."


def _compared(against: Path | None, summary: Summary) -> tuple[Comparison | None, tuple[str, ...]]:
    if against is None:
        return None, ()
    before = read_run(against)
    try:
        return compare(before, summary), ()
    except ConfigError as error:
        return None, (f"Not compared with {against.name}: {error}",)


def _conforms(summary: Summary) -> bool:
    profiles = summary.profiles.values()
    sound = all(
        not profile.errors and not profile.violation_count and (profile.scored or profile.known)
        for profile in profiles
    )
    return bool(profiles) and sound and not summary.run.missing and not summary.run.ended
