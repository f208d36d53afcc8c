"""What engines make of the same texts: a column for each version of each engine, kept as data.

A replayed text is right or wrong on an engine by the cases' own expectations, known defects or
not. What an engine's grammar made the model write instead is told apart, where its ids show it.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from evals.errors import ConfigError
from evals.observation import Observation
from evals.report.summarize import group
from evals.report.summary import Summary
from evals.results import Record

Outcome = Literal["right", "changed", "wrong", "no answer"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_LONGEST = 240
_BESIDE = ("prompt", "contract", "usage")
"""Checks of what stands around an answer, and not of what became of the text."""


@dataclass(frozen=True)
class Cell:
    """What became of one text; `came` is what came instead of what is right, in one line."""

    outcome: Outcome
    came: str = ""


@dataclass(frozen=True)
class Column:
    """One version of one engine: a cell for each text that it was asked, by the case's node.

    `ended` says why there is none: it did not start.
    """

    engine: str
    version: str
    evidence: str
    cells: Mapping[str, Cell]
    ended: str = ""

    @property
    def file(self) -> str:
        """The name of the file that keeps it."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.engine}-{self.version}") + ".json"

    def count(self, outcome: Outcome) -> int:
        """How many texts came out like this."""
        return sum(cell.outcome == outcome for cell in self.cells.values())

    def to_json(self) -> str:
        """The file's text; the same column always gives the same bytes."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The column that `to_json` wrote."""
        data = json.loads(text)
        return cls(**{**data, "cells": {node: Cell(**c) for node, c in data["cells"].items()}})


def columns_of(summary: Summary, records: Iterable[Record]) -> list[Column]:
    """A column for each engine that a run asked, from its records of replayed texts."""
    served = summary.fingerprint.profiles
    asked = [record for record in records if record.case.replay and record.profile in served]
    columns = []
    for engine, mine in group(asked, lambda r: served[r.profile].engine or "?").items():
        texts = group(mine, lambda record: record.case.node)
        about = served[mine[0].profile]
        columns.append(
            Column(
                engine,
                about.engine_version or "unknown version",
                about.evidence or "none",
                {node: cell_of(lanes) for node, lanes in sorted(texts.items())},
            )
        )
    return columns


def cell_of(lanes: Sequence[Record]) -> Cell:
    """What became of a text, from its records in all lanes."""
    wrong = [record for record in lanes if any(v.check not in _BESIDE for v in record.failed)]
    changed = any(v.check == "script" and v.reason for record in lanes for v in record.verdicts)
    if not wrong:
        return Cell("changed" if changed else "right")
    told = {record.lane: _came(record.observation) for record in wrong}
    same = len(wrong) == len(lanes) and len({*told.values()}) == 1
    came = next(iter(told.values())) if same else "; ".join(f"{k}: {v}" for k, v in told.items())
    if all(record.observation.error for record in lanes):
        return Cell("no answer", came)
    return Cell("changed" if changed else "wrong", came)


def _came(seen: Observation) -> str:
    if seen.error:
        # Ports and byte counts differ from run to run.
        return re.sub(r"\d{4,}", "…", " ".join(seen.error.split()))[:_LONGEST]
    calls = ", ".join(f"{call.name}({call.arguments})" for call in seen.calls)
    parts = [calls, json.dumps(seen.content, ensure_ascii=False) if seen.content else ""]
    said = " and ".join(part for part in parts if part) or "nothing"
    return f"{said} ({seen.finish_reason})"[:_LONGEST]


def keep(columns: Iterable[Column], folder: Path) -> None:
    """Write each column into its file, in place of one of the same engine and version."""
    folder.mkdir(parents=True, exist_ok=True)
    for column in columns:
        path = folder / column.file
        if path.exists():  # a run of some profiles leaves the others' texts as they were
            before = Column.from_json(path.read_text(encoding="utf-8"))
            column = Column(
                column.engine,
                column.version,
                column.evidence,
                {**before.cells, **column.cells},
            )
        path.write_text(column.to_json(), encoding="utf-8")


def kept(folder: Path) -> list[Column]:
    """All columns in the folder, by engine and version.

    Raises:
        ConfigError: a file is none.
    """
    found = []
    for path in folder.glob("*.json"):
        try:
            found.append(Column.from_json(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{path}: no column of conformance: {error!r}") from error
    return sorted(found, key=lambda column: (column.engine, _numbers(column.version)))


def _numbers(version: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in version.split(".")]


def came_and_went(older: Column, newer: Column) -> list[tuple[str, Cell, Cell]]:
    """The texts that both have and of which something else became, in order."""
    both = [node for node in older.cells if node in newer.cells]
    pairs = [(node, older.cells[node], newer.cells[node]) for node in both]
    return [(node, before, after) for node, before, after in pairs if before != after]
