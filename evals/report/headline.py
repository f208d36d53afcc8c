"""What a reviewer wants in the first minute: worse or not, whose fault, and what to do about it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evals.report.comparison import Comparison, p_text
from evals.report.problems import Problem, Why, problems
from evals.report.summary import Baseline, ProfileServed, Summary
from evals.results import Layer, Record

_NIGHTS = 5
_KINDS = 3
_NOTES = 4


@dataclass(frozen=True)
class Side:
    """Where the fault of a failed case lies, as a reviewer parts them, and what to do then."""

    name: str
    holds: Callable[[Problem], bool]
    advice: str
    cleared: bool = False
    """Whether the very text with which the case passed before takes the fault from here."""


def _blamed(*layers: Layer) -> Callable[[Problem], bool]:
    return lambda problem: problem.record.blame in layers


SIDES = (
    Side(
        "no answer: the server, or the way to it",
        lambda problem: problem.record.outcome == Why.ERROR,
        "Read server.log at the first error. These cases say nothing of the model: ask them again "
        "(evals run --resume RUN) when the server stays up.",
    ),
    Side(
        "downstream of the model",
        lambda problem: (
            problem.record.outcome == Why.VIOLATION
            and not _blamed(Layer.MODEL, Layer.UNKNOWN)(problem)
        ),
        "The model wrote it right and the response lost or changed it: hold the model's text "
        "against the response in the first case, and look at what changed in engine, parser and "
        "template, not in the weights.",
    ),
    Side(
        "the model itself",
        _blamed(Layer.MODEL),
        "The response is what the model wrote: look at weights, training data, quantisation and "
        "prompt; the parser and the server are not to blame.",
        cleared=True,
    ),
    Side(
        "unknown: no evidence of what the model wrote",
        lambda problem: True,
        "Ask again with a server that returns token ids or the raw text, or in lane direct.",
        cleared=True,
    ),
)
"""The first that holds is a problem's side."""
_BEHIND = (
    "The model wrote the very same when the case passed, so the change is behind it, whatever the "
    "layer says of the text: look at what changed in engine, parser and template, not in the "
    "weights."
)


@dataclass(frozen=True)
class Fault:
    """Failed cases of one side."""

    side: Side
    cases: int
    what: str
    """Layer and kinds, the most frequent first."""
    first: Record
    """The case to begin with."""
    told: int = 0
    """Of how many of the cases it is known what the model wrote now and when the case passed."""
    same: int = 0
    """In how many of those it is the very same text."""

    @property
    def advice(self) -> str:
        """What to do next."""
        same = self.side.cleared and self.same == self.cases
        return _BEHIND if same else self.side.advice

    @property
    def texts(self) -> str:
        """`the model wrote the same as before in 3 of 4`; empty where that is not known."""
        return f"the model wrote the same as before in {self.same} of {self.told}" * bool(self.told)


@dataclass(frozen=True)
class Headline:
    """The first screen, in sentences; none holds a model's text."""

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

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do next, in the order of `faults`; of several it says for which."""
        if len(self.faults) == 1:
            return (self.faults[0].advice,)
        return tuple(f"{fault.side.name}: {fault.advice}" for fault in self.faults)


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
    worse, tone = _worse(summary, comparison, len(new), len(silent), len(found))
    return Headline(
        worse=worse,
        tone=tone,
        faults=tuple(_faults(shown or found, same_texts or {})),
        new=bool(new) and bool(comparison),
        nights=_nights(summary, earlier),
        differs=comparison.notes[:_NOTES] if comparison else (),
        deaths=_deaths(summary),
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
    broken = bool(silent or summary.run.missing or summary.run.ended)
    if comparison is None:
        said = f"Not compared with an earlier run; {failed} cases fail"
        return (f"{said}, {lost}" if broken else said, "unsure" if failed or broken else "fine")
    fixed = sum(len(profile.fixed) for profile in comparison.profiles)
    pairs = sum(profile.pairs for profile in comparison.profiles)
    counts = f"{new} newly failing, {fixed} fixed of {pairs} cases"
    if worst := sorted(comparison.regressions, key=lambda profile: profile.adjusted):
        names = ", ".join(f"{profile.name} ({p_text(profile.adjusted)})" for profile in worst)
        said, tone = f"Worse than {comparison.before}: {counts}; significant in {names}", "worse"
    elif broken:
        said, tone = f"Cannot be told against {comparison.before}: {lost}; {counts}", "worse"
    elif new:
        said, tone = f"Not significantly worse than {comparison.before}: {counts}", "unsure"
    else:
        said, tone = f"No worse than {comparison.before}: {counts}", "fine"
    return (f"{said}; {lost}" if broken and lost not in said else said, tone)


def _faults(found: Iterable[Problem], same_texts: Mapping[str, bool]) -> Iterator[Fault]:
    sides: dict[Side, list[Problem]] = {}
    for problem in found:
        side = next(side for side in SIDES if side.holds(problem))
        sides.setdefault(side, []).append(problem)
    for side, mine in sorted(sides.items(), key=lambda item: -len(item[1])):
        kinds = Counter(_what(problem) for problem in mine).most_common(_KINDS)
        what = ", ".join(f"{kind} {count}" for kind, count in kinds)
        texts = [same_texts[p.record.key] for p in mine if p.record.key in same_texts]
        yield Fault(side, len(mine), what, mine[0].record, len(texts), sum(texts))


def _what(problem: Problem) -> str:
    verdict = problem.verdict
    if verdict is None:
        return "no response"
    return f"{problem.record.blame}: {str(verdict.kind).replace('_', ' ')}"


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
    bits = f" ({served.quantization})" if served.quantization else ""
    if served.engine is None:
        return f"{model}{bits} in process, mlx-lm {versions.get('mlx-lm', 'unknown')}"
    return f"{model}{bits} on {served.engine} {served.engine_version or '(version unknown)'}"
