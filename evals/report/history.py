"""What each release of a package makes of the same texts, kept as data: since when, until when.

A file for each package, `docs/versions/PACKAGE.json`; `evals matrix` writes it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

from evals.errors import ConfigError
from evals.report.conformance import Cell

RIGHT = "right"
SCHEMA = 1


@dataclass(frozen=True)
class Release:
    """One version: a cell for each text, or `ended`, why it could not be asked.

    `day` is when it came, `beside` what of the pipeline is beside it in another version than usual;
    `layers` says of a text who is to blame for what is wrong.
    """

    version: str
    cells: Mapping[str, Cell]
    ended: str = ""
    day: str = ""
    beside: str = ""
    layers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Span:
    """A row of releases, as asked, in which the same wrong response came of a text.

    `since` is the first of them and `until` the last; `open_start` says that it is the first
    release that was asked, so that it may be older, `open_end` that it is the newest one.
    """

    came: str
    outcome: str
    since: str
    until: str
    open_start: bool
    open_end: bool

    @property
    def specifier(self) -> str:
        """The versions as PEP 440 says them; open where nothing older or newer was asked."""
        start = "" if self.open_start else f">={self.since}"
        end = "" if self.open_end else f"<={self.until}"
        return ",".join(part for part in (start, end) if part)


@dataclass(frozen=True)
class Since:
    """The first version of an unbroken row; `is_oldest`: no older one was asked."""

    version: str
    is_oldest: bool

    def __str__(self) -> str:
        return f"{self.version} or before" if self.is_oldest else self.version


@dataclass(frozen=True)
class Matrix:
    """The releases of a package that were asked, oldest first, on the day `asked`."""

    package: str
    asked: str
    command: str
    releases: Sequence[Release]

    @property
    def texts(self) -> list[str]:
        """Every text that any release was asked."""
        return sorted({text for release in self.releases for text in release.cells})

    @property
    def usable(self) -> list[Release]:
        """The releases that could be asked."""
        return [release for release in self.releases if not release.ended]

    def row(self, text: str) -> list[str]:
        """A word for each release: right, wrong, wrong otherwise, no answer, changed, not bootable.

        *Wrong otherwise*: wrong, and not as the first time.
        """
        first: str | None = None
        words = []
        for release in self.releases:
            cell = release.cells.get(text)
            if cell is None:
                words.append("not bootable" if release.ended else "–")
                continue
            first = cell.came if cell.outcome == "wrong" and first is None else first
            other = cell.outcome == "wrong" and cell.came != first
            words.append("wrong otherwise" if other else cell.outcome)
        return words

    def spans(self, text: str) -> list[Span]:
        """The rows of releases in which something wrong came of the text, oldest first."""
        seen = [(r, r.cells[text]) for r in self.usable if text in r.cells]
        found, place = [], 0
        for cell, run in groupby(seen, key=lambda pair: pair[1]):
            mine = [release.version for release, _ in run]
            start, place = place, place + len(mine)
            if cell.outcome != RIGHT:
                ends = (start == 0, place == len(seen))
                found.append(Span(cell.came, cell.outcome, mine[0], mine[-1], *ends))
        return found

    def wrong_since(self, text: str, version: str) -> Since | None:
        """Since when the text has come out wrong, one way or another, up to `version`.

        None where this version was not asked it, or nothing wrong came of it.
        """
        seen = [r for r in self.usable if text in r.cells]
        places = [i for i, r in enumerate(seen) if r.version == version]
        if not places or seen[places[0]].cells[text].outcome == RIGHT:
            return None
        first = places[0]
        while first > 0 and seen[first - 1].cells[text].outcome != RIGHT:
            first -= 1
        return Since(seen[first].version, first == 0)

    def changing(self) -> list[str]:
        """The texts of which not every release makes the same."""
        cells = {text: [r.cells.get(text) for r in self.usable] for text in self.texts}
        return [text for text, row in cells.items() if any(cell != row[0] for cell in row)]

    def to_json(self) -> str:
        """The file's text; the same matrix always gives the same bytes."""
        data = {"schema": SCHEMA, **asdict(self)}
        return json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The matrix in a file that `to_json` wrote.

        Raises:
            ConfigError: it is none, or of another schema.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("schema") != SCHEMA:
                raise ConfigError(f"{path}: its schema is not {SCHEMA}; `evals matrix` writes it")
            releases = [
                Release(**{**r, "cells": {text: Cell(**c) for text, c in r["cells"].items()}})
                for r in data.pop("releases")
            ]
            return cls(**data, releases=releases)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{path}: no matrix of versions: {error!r}") from error


def history_of(folder: Path, package: str | None) -> Matrix | None:
    """The kept matrix of a package's releases; None where there is none."""
    path = folder / f"{package}.json"
    return Matrix.read(path) if package and path.exists() else None
