"""Two runs, or the profiles of one, side by side: which cases changed, and whether by chance.

A case passes in a profile if it passes in every lane; the lanes of one case are not independent.
Exact McNemar on the cases that both runs have, Holm over the profiles. A case is the same where its
content is, whatever its name. Runs of different graders, or of different suites where their cases
cannot be told apart, are refused unless that is asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.errors import ConfigError
from evals.judging.scoring import holm, mcnemar, smallest_regression
from evals.report.alignment import Alignment, align
from evals.report.latency_change import latency_lines, much_slower
from evals.report.summary import (
    Baseline,
    BaselineFigures,
    Fingerprint,
    ProfileFigures,
    ProfileServed,
    Summary,
)
from evals.results import Status

LEVEL = 0.05
Figures = ProfileFigures | BaselineFigures
"""A profile of either side of a comparison."""


@dataclass(frozen=True)
class ProfileChange:
    """What changed in one profile from run A to run B; cases by id."""

    name: str
    pairs: int
    newly_failing: tuple[str, ...]
    fixed: tuple[str, ...]
    new: tuple[str, ...]
    removed: tuple[str, ...]
    unscored: tuple[str, ...]
    flaky: tuple[str, ...]
    p_value: float
    adjusted: float
    least: int | None
    """The fewest one-way flips that tell from chance, were this profile the only one to change."""

    @property
    def is_regression(self) -> bool:
        """More cases broke than were fixed, and that is not chance at the 5% level."""
        return len(self.newly_failing) > len(self.fixed) and self.adjusted < LEVEL


@dataclass(frozen=True)
class Comparison:
    """Run A against run B; `notes` say what else differs between them."""

    before: str
    after: str
    profiles: tuple[ProfileChange, ...]
    notes: tuple[str, ...]
    latency: tuple[str, ...] = ()
    """Latency before and after, in lines."""
    slower: tuple[str, ...] = ()
    """Where answers take much longer than they did; no verdict, as machines are shared."""

    @property
    def regressions(self) -> tuple[ProfileChange, ...]:
        """The profiles that became significantly worse."""
        return tuple(profile for profile in self.profiles if profile.is_regression)


def compare(
    before: Summary | Baseline, after: Summary | Baseline, *, unlike: bool = False
) -> Comparison:
    """Compare two summaries or baselines.

    Raises:
        ConfigError: their suites or graders differ and `unlike` does not allow it, or they have no
            profile in common.
    """
    alignment = align(before.fingerprint, after.fingerprint)
    differing = [] if alignment else ["suite"]
    if before.fingerprint.graders != after.fingerprint.graders:
        differing.append(_graders(before.fingerprint, after.fingerprint))
    if differing and not unlike:
        raise ConfigError(
            f"the runs differ in {' and '.join(differing)}, so their figures do not mean the same; "
            "run one of them again, or compare them all the same: evals compare --allow-mismatch"
        )
    names = [name for name in after.profiles if name in before.profiles]
    if not names:
        raise ConfigError("the runs have no profile in common; nothing can be compared")
    same = alignment or Alignment({})
    profiles = _changes(
        {n: (same.before(before.profiles[n]), same.after(after.profiles[n])) for n in names}
    )
    options = list(_options(before, after))
    if not any(profile.pairs for profile in profiles):
        raise ConfigError(
            "; ".join(["no case was scored in both runs; nothing can be compared", *options])
        )
    notes = [
        *(f"different {what}" for what in differing),
        *options,
        *(f"renamed: {old} → {new}" for new, old in same.renamed.items()),
        *(f"changed, not compared: {case}" for case in sorted(same.changed)),
        *_notes(before.fingerprint, after.fingerprint, names),
    ]
    spent = [(name, before.profiles[name].latency, after.profiles[name].latency) for name in names]
    return Comparison(
        before.run.id,
        after.run.id,
        profiles,
        tuple(notes),
        tuple(line for one in spent for line in latency_lines(*one)),
        tuple(line for one in spent for line in much_slower(*one)),
    )


def _graders(a: Fingerprint, b: Fingerprint) -> str:
    """`graders`, and which of them differ where both runs tell."""
    x, y = a.grader_parts, b.grader_parts
    parts = [name for name in sorted(x.keys() | y.keys()) if x.get(name) != y.get(name)]
    return f"graders ({', '.join(parts)})" if x and y and parts else "graders"


def _options(before: Summary | Baseline, after: Summary | Baseline) -> Iterator[str]:
    """The options that the runs were given and that differ, where both tell them."""
    x, y = before.run.asked, after.run.asked
    if x is not None and y is not None:
        given = {"profiles"}  # compared by name
        a, b = ({k: v for k, v in asdict(one).items() if k not in given} for one in (x, y))
        yield from (f"option {note}" for note in _differences(a, b))


def compare_profiles(summary: Summary) -> tuple[str, tuple[ProfileChange, ...]]:
    """The first profile of a run, and how each other one differs from it on the cases of both.

    Profiles that share no scored case with the first are left out.
    """
    first, *others = summary.profiles
    sides = {name: (summary.profiles[first], summary.profiles[name]) for name in others}
    return first, _changes({name: pair for name, pair in sides.items() if _pairs(*pair)})


def _pairs(before: Figures, after: Figures) -> int:
    x, y = _outcomes(before), _outcomes(after)
    return sum(x[case] is not None and y[case] is not None for case in x.keys() & y.keys())


def _changes(sides: Mapping[str, tuple[Figures, Figures]]) -> tuple[ProfileChange, ...]:
    """What changed from the first to the second of each pair of profiles."""
    flips = [(_outcomes(x), _outcomes(y)) for x, y in sides.values()]
    p_values = [
        mcnemar(len(_flips(x, y, Status.FAIL)), len(_flips(x, y, Status.PASS))) for x, y in flips
    ]
    return tuple(
        _change(name, x, y, p, adjusted, level=LEVEL / len(sides))
        for (name, (x, y)), p, adjusted in zip(sides.items(), p_values, holm(p_values), strict=True)
    )


def _outcomes(profile: Figures) -> dict[str, Status | None]:
    """Each case's outcome over its lanes; None for an error, a known defect or a flaky case."""
    flaky = _flaky(profile)
    return {
        case: None if case in flaky else _over_lanes(set(lanes.values()))
        for case, lanes in profile.cases.items()
    }


def _over_lanes(statuses: set[Status]) -> Status | None:
    if statuses - {Status.PASS, Status.FAIL}:
        return None
    return Status.FAIL if Status.FAIL in statuses else Status.PASS


def _flaky(profile: Figures) -> set[str]:
    return {name.rpartition("[")[0] for name in (profile.repeats.flaky if profile.repeats else ())}


def _flips(
    before: Mapping[str, Status | None], after: Mapping[str, Status | None], start: Status
) -> list[str]:
    end = Status.PASS if start == Status.FAIL else Status.FAIL
    both = before.keys() & after.keys()
    return sorted(case for case in both if before[case] == start and after[case] == end)


def _change(
    name: str,
    before: Figures,
    after: Figures,
    p: float,
    adjusted: float,
    *,
    level: float,
) -> ProfileChange:
    x, y = _outcomes(before), _outcomes(after)
    flaky = _flaky(before) | _flaky(after)
    unscored = {case for case in x.keys() & y.keys() if None in (x[case], y[case])}
    pairs = _pairs(before, after)
    return ProfileChange(
        name=name,
        pairs=pairs,
        newly_failing=tuple(_flips(x, y, Status.PASS)),
        fixed=tuple(_flips(x, y, Status.FAIL)),
        new=tuple(sorted(y.keys() - x.keys())),
        removed=tuple(sorted(x.keys() - y.keys())),
        unscored=tuple(sorted(unscored - flaky)),
        flaky=tuple(sorted(flaky)),
        p_value=p,
        adjusted=adjusted,
        least=smallest_regression(pairs, level=level),
    )


def _notes(a: Fingerprint, b: Fingerprint, names: Sequence[str]) -> Iterator[str]:
    yield from _differences(a.versions, b.versions)
    yield from _differences(asdict(a.machine), asdict(b.machine))
    for name in names:
        x, y = (side.profiles.get(name, ProfileServed()) for side in (a, b))
        yield from (f"{name}: {note}" for note in _differences(asdict(x), asdict(y)))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    for part in sorted(a.keys() | b.keys()):
        if a.get(part) != b.get(part):
            yield f"{part}: {a.get(part)} → {b.get(part)}"


def p_text(p: float) -> str:
    """`p = 0.2500`, or `p < 0.0001`: no p-value is zero."""
    return f"p = {p:.4f}" if p >= 0.0001 else "p < 0.0001"


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """The comparison as text, worst news first."""
    yield f"{comparison.before} → {comparison.after}"
    for profile in comparison.profiles:
        verdict = "REGRESSION" if profile.is_regression else "no significant regression"
        yield (
            f"profile {profile.name}: {verdict}: {len(profile.newly_failing)} newly failing, "
            f"{len(profile.fixed)} fixed of {profile.pairs} cases; exact McNemar "
            f"{p_text(profile.p_value)}, with Holm {p_text(profile.adjusted)}"
        )
        yield (
            f"  the smallest one-way change that it can tell from chance: {profile.least} cases"
            if profile.least
            else "  too few cases in common to tell any change from chance"
        )
        for title in ("newly_failing", "fixed", "flaky", "new", "removed", "unscored"):
            for case in getattr(profile, title):
                yield f"  {title.replace('_', ' ')}: {case}"
    yield from comparison.latency
    for note in comparison.notes:
        yield f"note: {note}"
