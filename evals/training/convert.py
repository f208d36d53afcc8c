"""Files of chat rows (JSONL) from one format of tool calls to another, with a full account.

Every line is converted, or has no calls and stays as it is, or is rejected with the reason and kept
unchanged in a file of its own. None is lost.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evals.errors import ConfigError
from evals.training.rows import Converted, Row, convert_line, learned_rows, spell

RowShape = Literal["as-is", "per-turn"]


@dataclass(frozen=True)
class Validation:
    """A part of the rows for a file of its own: about `share` of them, drawn by `seed`."""

    path: Path
    share: float = 0.1
    seed: int = 7


@dataclass(frozen=True)
class Rejected:
    """A line that was not converted, and why; `number` counts from 1."""

    number: int
    reason: str
    data: bytes


@dataclass(frozen=True)
class Written:
    """A file of converted rows; `call_turns` of the `turns` of its assistant have calls."""

    path: Path
    rows: int
    turns: int
    call_turns: int


@dataclass(frozen=True)
class Report:
    """What became of a file: total = converted + without_calls + rejected.

    `keep_source` of the converted rows carry their source line for the way back.
    """

    source: Path
    total: int
    converted: int
    without_calls: int
    keep_source: int
    rejected: tuple[Rejected, ...]
    rejected_path: Path
    written: tuple[Written, ...]


def convert_file(
    source: Path,
    target: Path,
    to: str,
    *,
    shape: RowShape = "as-is",
    validation: Validation | None = None,
) -> Report:
    """Write the rows of `source` to `target`, in order, with their calls in format `to`.

    Lines that cannot be converted go unchanged to `<target>.rejected.jsonl`. Shape `per-turn`
    writes a row for each assistant turn, for trainers that learn the last message only; it does not
    lead back. Rows with the same first question come to the same side of a split.

    Raises:
        ConfigError: a path or the share is wrong, or `source` is empty.

    """
    rejected_path = target.parent / f"{target.stem}.rejected.jsonl"
    _check(source, [target, rejected_path, *([validation.path] if validation else [])])
    if validation and not 0 < validation.share < 1:
        raise ConfigError(f"convert: --share {validation.share} is not between 0 and 1")
    data = source.read_bytes()
    end = "\n" if data.endswith(b"\n") else ""
    lines = data.removesuffix(b"\n").split(b"\n")
    rows, rejected = _convert(lines, to)
    held = _held_out(rows, validation) if validation else set()
    parts = [(target, [row for i, row in enumerate(rows) if i not in held])]
    if validation:
        parts.append((validation.path, [row for i, row in enumerate(rows) if i in held]))
    written = tuple(_write(path, part, shape, end) for path, part in parts)
    rejected_path.unlink(missing_ok=True)  # what an earlier run rejected
    if rejected:
        rejected_path.write_bytes(b"".join(item.data + b"\n" for item in rejected))
    converted = [row for row in rows if row.call_turns]
    keep_source = sum(row.keeps_source for row in converted) if shape == "as-is" else 0
    return Report(
        source=source,
        total=len(lines),
        converted=len(converted),
        without_calls=len(rows) - len(converted),
        keep_source=keep_source,
        rejected=tuple(rejected),
        rejected_path=rejected_path,
        written=written,
    )


def report_lines(report: Report) -> list[str]:
    """The report for a terminal: counts, files, and each rejected line with its reason."""
    lines = [
        f"{report.source}: {report.total} rows = {report.converted} converted + "
        f"{report.without_calls} without calls + {len(report.rejected)} rejected"
    ]
    if report.keep_source:
        lines.append(f"{report.keep_source} rows carry their source line for the way back")
    for part in report.written:
        share = f", {part.call_turns / part.turns:.1%}" if part.turns else ""
        lines.append(
            f"{part.path}: {part.rows} rows; {part.call_turns} of {part.turns} assistant turns "
            f"have calls{share}"
        )
    if report.rejected:
        lines.append(f"{report.rejected_path}: {len(report.rejected)} rows, unchanged, because:")
    return lines + [f"{report.source}:{item.number}: {item.reason}" for item in report.rejected]


def _check(source: Path, outputs: Sequence[Path]) -> None:
    if not source.is_file():
        raise ConfigError(f"convert: there is no file {source}")
    if not source.stat().st_size:
        raise ConfigError(f"convert: {source} is empty; it should hold a JSON row on each line")
    for path in outputs:
        if not path.parent.is_dir():
            raise ConfigError(f"convert: there is no folder {path.parent}; make it first")
        if path.is_dir():
            raise ConfigError(f"convert: {path} is a folder; name a file in it")
    taken = {source.resolve()}
    for path in outputs:
        if path.resolve() in taken:
            raise ConfigError(f"convert: {path} would be overwritten; name another target for it")
        taken.add(path.resolve())


def _convert(lines: Sequence[bytes], to: str) -> tuple[list[Converted], list[Rejected]]:
    rows, rejected = [], []
    for number, data in enumerate(lines, start=1):
        try:
            rows.append(convert_line(data.decode(), to))
        except ValueError as error:  # Unconvertible, or bytes that are no UTF-8
            rejected.append(Rejected(number, str(error), data))
    return rows, rejected


def _held_out(rows: Sequence[Converted], validation: Validation) -> set[int]:
    """The indices of validation rows: whole groups of the same question, up to the share."""
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(_question(row.row), []).append(index)
    keys = list(groups)
    random.Random(validation.seed).shuffle(keys)
    wanted = round(validation.share * len(rows))
    held: set[int] = set()
    for key in keys:
        if len(held) + len(groups[key]) <= wanted:
            held.update(groups[key])
    return held


def _question(row: Row) -> str:
    """The row up to its first answer."""
    first: Any = learned_rows(row)[0]
    if "messages" in first:
        return str([m.get("content") for m in first["messages"] if m["role"] == "user"])
    text: str = first["text"]
    return text.partition("<|im_start|>assistant")[0]


def _write(path: Path, rows: Sequence[Converted], shape: RowShape, end: str) -> Written:
    lines = [row.line for row in rows]
    if shape == "per-turn":
        lines = [spell(part, row.line) for row in rows for part in learned_rows(row.row)]
    path.write_bytes(("\n".join(lines) + end).encode() if lines else b"")
    return Written(
        path=path,
        rows=len(lines),
        turns=sum(row.turns for row in rows),
        call_turns=sum(row.call_turns for row in rows),
    )
