"""Two runs, or the profiles of one, side by side: which cases changed, and whether by chance.

A case passes in a profile if it passes in every lane; the lanes of one case are not independent.
Exact McNemar on the cases that both runs have, Holm over the profiles. Runs of different suites or
graders are refused unless that is asked for.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.errors import ConfigError
from evals.judging.scoring import holm, mcnemar, smallest_regression

LEVEL = 0.05
_MUST_AGREE = ("suite", "graders")
BASELINE_SCHEMA = 1


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

    @property
    def regressions(self) -> tuple[ProfileChange, ...]:
        """The profiles that became significantly worse."""
        return tuple(profile for profile in self.profiles if profile.is_regression)


def read_run(place: Path) -> dict[str, Any]:
    """The summary in a run's folder, or a baseline file.

    Raises:
        ConfigError: there is none, or it is of another schema.
    """
    path = place / "summary.json" if place.is_dir() else place
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no summary of a run: {error}") from error
    if (
        not isinstance(content, dict)
        or content.get("schema") != BASELINE_SCHEMA
        or not all(isinstance(content.get(key), dict) for key in ("run", "profiles", "fingerprint"))
    ):
        raise ConfigError(f"{path}: not a summary or baseline of schema {BASELINE_SCHEMA}")
    return content


def baseline(summary: Mapping[str, Any]) -> str:
    """The text of a baseline file: what later runs are compared with, small enough for git."""
    content = {
        "schema": BASELINE_SCHEMA,
        "run": {"id": summary["run"]["id"]},
        "fingerprint": summary["fingerprint"],
        "profiles": {
            name: {key: profile[key] for key in ("rates", "cases", "repeats")}
            for name, profile in summary["profiles"].items()
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], *, unlike: bool = False
) -> Comparison:
    """Compare two summaries or baselines.

    Raises:
        ConfigError: their suites or graders differ and `unlike` does not allow it, or they have no
            profile in common.
    """
    a, b = before["fingerprint"], after["fingerprint"]
    differing = [key for key in _MUST_AGREE if a.get(key) != b.get(key)]
    if differing and not unlike:
        raise ConfigError(
            f"the runs differ in {' and '.join(differing)}, so their figures do not mean the same; "
            "run one of them again, or compare them all the same: evals compare --allow-mismatch"
        )
    names = [name for name in after["profiles"] if name in before["profiles"]]
    if not names:
        raise ConfigError("the runs have no profile in common; nothing can be compared")
    profiles = _changes({n: (before["profiles"][n], after["profiles"][n]) for n in names})
    if not any(profile.pairs for profile in profiles):
        raise ConfigError("no case was scored in both runs; nothing can be compared")
    notes = [*(f"different {key}" for key in differing), *_notes(a, b, names)]
    return Comparison(before["run"]["id"], after["run"]["id"], profiles, tuple(notes))


def compare_profiles(summary: Mapping[str, Any]) -> tuple[str, tuple[ProfileChange, ...]]:
    """The first profile of a run, and how each other one differs from it on the cases of both.

    Profiles that share no scored case with the first are left out.
    """
    first, *others = summary["profiles"]
    sides = {name: (summary["profiles"][first], summary["profiles"][name]) for name in others}
    return first, _changes({name: pair for name, pair in sides.items() if _pairs(*pair)})


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    x, y = _outcomes(before), _outcomes(after)
    return sum(x[case] is not None and y[case] is not None for case in x.keys() & y.keys())


def _changes(
    sides: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> tuple[ProfileChange, ...]:
    """What changed from the first to the second of each pair of profiles."""
    flips = [(_outcomes(x), _outcomes(y)) for x, y in sides.values()]
    p_values = [mcnemar(len(_flips(x, y, "fail")), len(_flips(x, y, "pass"))) for x, y in flips]
    return tuple(
        _change(name, x, y, p, adjusted, level=LEVEL / len(sides))
        for (name, (x, y)), p, adjusted in zip(sides.items(), p_values, holm(p_values), strict=True)
    )


def _outcomes(profile: Mapping[str, Any]) -> dict[str, str | None]:
    """Each case's outcome over its lanes; None for an error, a known defect or a flaky case."""
    flaky = _flaky(profile)
    return {
        case: None
        if case in flaky or set(lanes.values()) - {"pass", "fail"}
        else min(lanes.values())
        for case, lanes in profile["cases"].items()
    }


def _flaky(profile: Mapping[str, Any]) -> set[str]:
    named = (profile.get("repeats") or {}).get("flaky", ())
    return {name.rpartition("[")[0] for name in named}


def _flips(
    before: Mapping[str, str | None], after: Mapping[str, str | None], start: str
) -> list[str]:
    end = "pass" if start == "fail" else "fail"
    both = before.keys() & after.keys()
    return sorted(case for case in both if before[case] == start and after[case] == end)


def _change(
    name: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
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
        newly_failing=tuple(_flips(x, y, "pass")),
        fixed=tuple(_flips(x, y, "fail")),
        new=tuple(sorted(y.keys() - x.keys())),
        removed=tuple(sorted(x.keys() - y.keys())),
        unscored=tuple(sorted(unscored - flaky)),
        flaky=tuple(sorted(flaky)),
        p_value=p,
        adjusted=adjusted,
        least=smallest_regression(pairs, level=level),
    )


def _notes(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for key in ("versions", "machine"):
        for part in sorted(a.get(key, {}).keys() | b.get(key, {}).keys()):
            x, y = a.get(key, {}).get(part), b.get(key, {}).get(part)
            if x != y:
                yield f"{part}: {x} → {y}"
    for name in names:
        x, y = a["profiles"].get(name, {}), b["profiles"].get(name, {})
        for part in sorted(x.keys() | y.keys()):
            if x.get(part) != y.get(part):
                yield f"{name}: {part}: {x.get(part)} → {y.get(part)}"


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
    for note in comparison.notes:
        yield f"note: {note}"
