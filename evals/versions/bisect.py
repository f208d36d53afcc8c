"""Which version of which package something else came of a text with, by binary search."""

import datetime
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from packaging.version import InvalidVersion, Version

from evals.errors import ConfigError
from evals.escaping import escape_controls
from evals.report.conformance import Cell
from evals.versions.index import Release
from evals.versions.search import Change, Known, came_back, changes, next_version
from evals.versions.step import Step

Ask = Callable[[Mapping[str, str], datetime.date | None], Step]


@dataclass(frozen=True)
class Axis:
    """A package and its releases to search, oldest first: the first and the last are the ends."""

    package: str
    releases: Sequence[Release]


@dataclass(frozen=True)
class Walk:
    """What was seen along one axis; `held` is the version of the other package meanwhile."""

    axis: Axis
    held: Mapping[str, str]
    steps: Mapping[int, Step]

    @property
    def known(self) -> Known:
        """As the search takes it."""
        return {i: step.outcomes for i, step in self.steps.items()}

    @property
    def changes(self) -> list[Change]:
        """Every change that was seen."""
        return changes(self.known)


@dataclass(frozen=True)
class Blame:
    """Of two packages, which makes the difference to a text."""

    text: str
    package: str


BOTH = "both together"
EITHER = "either alone"
NEITHER = "neither alone, nor the same together"


def axis_of(package: str, found: Sequence[Release], good: str, bad: str | None) -> Axis:
    """The releases from `good` to `bad`, or to the newest, which `good` may be.

    Raises:
        ConfigError: one of them is no release, or the second is not the newer one.
    """
    ends = [_place(package, found, good), _place(package, found, bad or found[-1].version)]
    if ends[0] >= ends[1] and not (bad is None and ends[0] == ends[1]):
        raise ConfigError(
            f"--good {good} is not older than --bad {bad or found[-1].version}; the search goes "
            "from the older to the newer, and tells what was mended, too"
        )
    return Axis(package, found[ends[0] : ends[1] + 1])


def _place(package: str, found: Sequence[Release], version: str) -> int:
    try:
        wanted = Version(version)
    except InvalidVersion as error:
        raise ConfigError(f"{version!r} is no version of {package}") from error
    for place, release in enumerate(found):
        if Version(release.version) == wanted:
            return place
    near = ", ".join(release.version for release in found[-12:])
    raise ConfigError(f"the package index has no {package} {version} for this Python; last: {near}")


def walk(axis: Axis, ask: Ask, held: Mapping[str, str] | None = None) -> Walk:
    """Ask as many versions along the axis as it takes to find each change between its ends."""
    held, steps = held or {}, dict[int, Step]()
    size = len(axis.releases)
    while (
        place := next_version(size, {i: step.outcomes for i, step in steps.items()})
    ) is not None:
        release = axis.releases[place]
        steps[place] = ask({axis.package: release.version, **held}, release.day)
    return Walk(axis, held, steps)


def blame(axes: tuple[Axis, Axis], ask: Ask) -> tuple[list[Blame], list[Walk]]:
    """Which of two packages changes what, and the search along the axis of each that does.

    Raises:
        ConfigError: one of the four corners cannot be asked.
    """
    corners = {}
    for ends in itertools.product((0, -1), repeat=2):
        picked = [axis.releases[end] for axis, end in zip(axes, ends, strict=True)]
        days = [release.day for release in picked if release.day]
        pins = {axis.package: r.version for axis, r in zip(axes, picked, strict=True)}
        step = ask(pins, max(days, default=None))
        if step.ended:
            raise ConfigError(f"{step.name} cannot be asked: {step.ended}; choose other ends")
        corners[ends] = step.outcomes or {}
    old, new = corners[0, 0], corners[-1, -1]
    blames = [
        Blame(text, _blamed(axes, *(corner.get(text) for corner in corners.values())))
        for text in old
        if old[text] != new.get(text)
    ]
    walks = []
    for axis, other in (axes, axes[::-1]):
        to_old = {other.package: other.releases[0].version}
        to_new = {other.package: other.releases[-1].version}
        names = {found.package for found in blames}
        if axis.package in names or EITHER in names:
            walks.append(walk(axis, ask, to_old))
        elif names & {BOTH, NEITHER}:
            walks.append(walk(axis, ask, to_new))
    return blames, walks


def _blamed(
    axes: tuple[Axis, Axis], old: object, second: object, first: object, new: object
) -> str:
    """By what comes with the second, the first, or both of the packages in their new versions."""
    if first == new and second == old:
        return axes[0].package
    if second == new and first == old:
        return axes[1].package
    if first == new and second == new:
        return EITHER
    return BOTH if first == old and second == old else NEITHER


def issue_text(axes: Sequence[Axis], lines: Sequence[str]) -> str:
    """What a search found, as the text of an issue: a title in the first line, and the lines."""
    names = ", ".join(
        f"{a.package} {a.releases[0].version} to {a.releases[-1].version}" for a in axes
    )
    # A text of the model's can have a fence of its own.
    told = "\n".join(f"    {line}" for line in escape_controls("\n".join(lines)).splitlines())
    return f"# Tool calling: what changed from {names}\n\n{told}\n"


def report(found: Walk, show: Callable[[Step, str], str]) -> Iterator[str]:
    """What a search found, line by line; `show` is the command that shows a text in a step."""
    axis, steps = found.axis, found.steps
    version = partial(_version, axis)
    by_change: dict[tuple[int, int], list[Change]] = {}
    for change in found.changes:
        by_change.setdefault((change.before, change.after), []).append(change)
    for (before, after), mine in sorted(by_change.items()):
        skipped = mine[0].between
        since = f" (or {', '.join(map(version, skipped))}, not asked)" if skipped else ""
        yield f"{axis.package} {version(after)}{since}, not yet {version(before)}:"
        for text, old, new in ((c.text, *_cells(steps, c)) for c in mine):
            layer = (steps[after].layers or {}).get(text) or (steps[before].layers or {}).get(text)
            yield f"  {_verb(old, new)} {text}" + (f" (layer {layer})" if layer else "")
            yield f"    was {_told(old)}"
            yield f"    is  {_told(new)}"
            yield f"    {show(steps[after], text)}"
        if steps[before].beside != steps[after].beside:
            yield (
                f"  beside another environment: {steps[before].beside or 'this one'}, then "
                f"{steps[after].beside or 'this one'}; --package twice tells which is to blame"
            )
    if not by_change:
        yield f"{axis.package}: nothing differs between the ends, as far as they could be asked"
    for text in sorted({change.text for change in found.changes}):
        if came_back(text, found.known):
            yield f"not monotone: {text} came and went; each change that was seen is listed"
    yield from _coverage(found)


def _coverage(found: Walk) -> Iterator[str]:
    axis, steps = found.axis, found.steps
    for place, step in sorted(steps.items()):
        if step.ended:
            yield f"skipped: {axis.package} {_version(axis, place)}: {step.ended}"
    left = [i for i in range(len(axis.releases)) if i not in steps]
    yield f"asked {len(steps)} of {len(axis.releases)} releases"
    if left:
        names = ", ".join(_version(axis, place) for place in left)
        yield (
            f"not asked: {names}; what came and went among them is not seen here: "
            f"evals matrix --package {axis.package} asks every one"
        )


def _version(axis: Axis, place: int) -> str:
    return axis.releases[place].version


def _cells(steps: Mapping[int, Step], change: Change) -> tuple[Cell, Cell]:
    return steps[change.before].cells[change.text], steps[change.after].cells[change.text]


def _verb(old: Cell, new: Cell) -> str:
    if new.outcome == "right":
        return "mended"
    return "broke" if old.outcome == "right" else "wrong otherwise"


def _told(cell: Cell) -> str:
    return f"{cell.outcome}: {cell.came}" if cell.came else cell.outcome
