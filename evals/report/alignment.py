"""Which cases of two runs are the same, whatever they are called: told by their digests.

A renamed case is compared under its new name; one whose content changed is listed, and so is one
that only one run has. Runs that do not tell the digests of their cases need the same suite.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from evals.report.summary import BaselineFigures, Fingerprint, ProfileFigures

Figures = ProfileFigures | BaselineFigures


@dataclass(frozen=True)
class Alignment:
    """How the cases of one run are those of another: old names by new ones, and what changed."""

    renamed: Mapping[str, str]
    changed: frozenset[str] = frozenset()
    """Cases of one name in both runs, and not of one content."""

    def before(self, figures: Figures) -> Figures:
        """The figures of the earlier run under the names of the later, without what changed."""
        new = {old: name for name, old in self.renamed.items()}
        cases = {
            new.get(case, case): lanes
            for case, lanes in figures.cases.items()
            if case in new or case not in self.changed
        }
        return _with(figures, cases, new)

    def after(self, figures: Figures) -> Figures:
        """The figures of the later run without what changed."""
        kept = {c: lanes for c, lanes in figures.cases.items() if c not in self.changed}
        kept |= {c: figures.cases[c] for c in self.renamed if c in figures.cases}
        return _with(figures, kept, {})


def _with(figures: Figures, cases: Mapping[str, object], new: Mapping[str, str]) -> Figures:
    repeats = figures.repeats
    if repeats and new:
        flaky = []
        for key in repeats.flaky:
            case, bracket, rest = key.rpartition("[")
            flaky.append(f"{new.get(case, case)}{bracket}{rest}")
        repeats = replace(repeats, flaky=tuple(flaky))
    return replace(figures, cases=cases, repeats=repeats)  # type: ignore[arg-type]


def align(before: Fingerprint, after: Fingerprint) -> Alignment | None:
    """How their cases go together; None where a run does not tell, and their suites differ."""
    if not before.cases or not after.cases:
        return Alignment({}) if before.suite == after.suite else None
    old, new = before.cases, after.cases
    changed = {name for name in old.keys() & new.keys() if old[name] != new[name]}
    free: dict[str, list[str]] = {}
    for name in sorted(old.keys() - new.keys() | changed):
        free.setdefault(old[name], []).append(name)
    renamed = {}
    for name in sorted(new.keys() - old.keys() | changed):
        if same := free.get(new[name]):
            renamed[name] = same.pop(0)
    return Alignment(renamed, frozenset(changed - renamed.keys()))
