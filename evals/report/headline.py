"""What a reviewer wants in the first minute: worse or not, whose fault, and what to do about it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evals.report.comparison import Comparison, p_text
from evals.report.problems import Problem, Why, problems
from evals.report.sides import Fault, faults
from evals.report.summary import Baseline, ProfileServed, RunInfo, Summary
from evals.results import Record

_NIGHTS = 5
_NOTES = 4


@dataclass(frozen=True)
class Headline:
    """The first screen, in sentences; none holds a model's text, but for `said` of a fault."""

    worse: str
    """Worse or not, than what, and how surely."""
    tone: str
    """`worse`, `unsure` or `fine`."""
    faults: tuple[Fault, ...]
    """Whose fault, most cases first: of what is newly failing; without that, of all that failed."""
    new: bool
    """Whether `faults` is about what is newly failing alone."""
    nights: str
    """The rate of whole cases in the last runs; empty where there are none to compare with."""
    differs: tuple[str, ...]
    """What else is not as it was: versions, weights, machine."""
    deaths: str
    """How often and how the server died; empty if it did not."""
    slower: tuple[str, ...] = ()
    """Where answers take much longer than they did."""
    unasked: str = ""
    """What to do about questions that were to be asked and were not; empty if there are none."""

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do next, in the order of `faults`; of several it says for which."""
        first = (self.unasked,) * bool(self.unasked)
        if len(self.faults) == 1:
            return (*first, self.faults[0].advice)
        return (*first, *(f"{fault.side.name}: {fault.advice}" for fault in self.faults))


def headline(
    summary: Summary,
    records: Sequence[Record],
    comparison: Comparison | None = None,
    earlier: Sequence[Summary] = (),
    same_texts: Mapping[str, bool] | None = None,
) -> Headline:
    """What is to be said first of a run; `earlier` are the runs before it, oldest first.

    `same_texts` says by a record's key whether the model wrote the same in the run before.
    """
    found = problems(records, comparison)
    new = [problem for problem in found if problem.why == Why.NEW]
    silent = [problem for problem in found if problem.record.outcome == Why.ERROR]
    shown = _newest(new, silent) if comparison else found
    lanes = {lane for profile in summary.profiles.values() for lane in profile.lanes}
    worse, tone = _worse(summary, comparison, len(new), len(silent), len(found))
    return Headline(
        worse=worse,
        tone=tone,
        faults=tuple(faults(shown or found, same_texts or {}, lanes)),
        new=bool(new) and bool(comparison),
        nights=_nights(summary, earlier),
        differs=comparison.notes[:_NOTES] if comparison else (),
        deaths=_deaths(summary),
        slower=comparison.slower if comparison else (),
        unasked=_unasked(summary.run),
    )


def _newest(new: Sequence[Problem], silent: Sequence[Problem]) -> list[Problem]:
    """What newly fails, and what did not answer: a comparison leaves such cases out."""
    return [*new, *(problem for problem in silent if problem not in new)]


def _worse(
    summary: Summary, comparison: Comparison | None, new: int, silent: int, failed: int
) -> tuple[str, str]:
    lost = f"{silent} case{'s' if silent != 1 else ''} got no answer"
    if summary.run.missing:
        lost = f"{len(summary.run.missing)} questions were not answered"
        if shards := summary.run.missing_shards:
            lost += f" ({shards})"
    broken = bool(silent or summary.run.missing or summary.run.ended)
    if comparison is None:
        said = f"Not compared with an earlier run; {failed} cases fail"
        if silent and not summary.run.missing:  # they are among those that fail
            lost = f"{silent} of them got no answer" if silent < failed else "all without an answer"
        return (f"{said}, {lost}" if broken else said, "unsure" if failed or broken else "fine")
    fixed = sum(len(profile.fixed) for profile in comparison.profiles)
    pairs = sum(profile.pairs for profile in comparison.profiles)
    gone = len({case for profile in comparison.profiles for case in profile.removed})
    counts = f"{new} newly failing, {fixed} fixed of {pairs} cases"
    if worst := sorted(comparison.regressions, key=lambda profile: profile.adjusted):
        names = ", ".join(f"{profile.name} ({p_text(profile.adjusted)})" for profile in worst)
        said, tone = f"Worse than {comparison.before}: {counts}; significant in {names}", "worse"
    elif broken:
        said, tone = f"Cannot be told against {comparison.before}: {lost}; {counts}", "worse"
    elif new:
        said, tone = f"Not significantly worse than {comparison.before}: {counts}", "unsure"
    else:
        said, tone = f"No worse than {comparison.before}: {counts}", "unsure" if gone else "fine"
    said = f"{said}; {gone} of its cases were not asked now" if gone else said
    return (f"{said}; {lost}" if broken and lost not in said else said, tone)


def _unasked(run: RunInfo) -> str:
    if shards := run.missing_shards:
        return (
            f"No record came of {shards}: read the logs of these jobs, run them again, and "
            "join all with evals merge. Nothing is known of their cases, good or bad."
        )
    return "Ask what is missing: evals run --resume RUN." * bool(run.missing and not run.merged)


def _nights(summary: Summary, earlier: Sequence[Summary]) -> str:
    """`case rate of default: 0.95, 0.94, now 0.60`: of runs with the same suite and graders."""
    said = []
    mine = summary.fingerprint
    alike = [
        run.profiles
        for run in earlier
        if (run.fingerprint.suite, run.fingerprint.graders) == (mine.suite, mine.graders)
    ]
    for name, profile in summary.profiles.items():
        past = [of[name].rates["case"].value for of in alike if name in of][-_NIGHTS:]
        rates = [f"{value:.3f}" for value in past if value is not None]
        now = profile.rates["case"].value
        if rates:
            said.append(f"{name} {', '.join(rates)}, now {'none' if now is None else f'{now:.3f}'}")
    return "; ".join(said)


def _deaths(summary: Summary) -> str:
    deaths = summary.run.deaths
    if not deaths:
        return ""
    times = "once" if len(deaths) == 1 else f"{len(deaths)} times"
    killers = list(dict.fromkeys(death.killer for death in deaths if death.killer))
    suspects = f"; cases that it died of: {', '.join(killers)}" if killers else ""
    return f"The server {deaths[-1].how}, {times} in all{suspects}"


def served_lines(summary: Summary | Baseline) -> Iterator[str]:
    """What served each profile, and where: the engine that answered, with its version."""
    machine = summary.fingerprint.machine
    where = [machine.system, machine.system_version, machine.arch, machine.chip, machine.device]
    place = ", ".join(str(part) for part in where if part)
    alike: dict[str, list[str]] = {}
    for name in summary.profiles:
        served = summary.fingerprint.profiles.get(name, ProfileServed())
        alike.setdefault(_served(served, summary.fingerprint.versions), []).append(name)
    for said, names in alike.items():
        yield f"{', '.join(names)}: {said}{f'; {place}' if place else ''}"


def _served(served: ProfileServed, versions: Mapping[str, str]) -> str:
    model = served.model or "a model that the server does not name"
    known = served.quantization not in (None, "unknown")
    bits = f" ({served.quantization})" if known else ""
    if served.engine is None:
        return f"{model}{bits} in process, mlx-lm {versions.get('mlx-lm', 'unknown')}"
    return f"{model}{bits} on {served.engine} {served.engine_version or '(version unknown)'}"
