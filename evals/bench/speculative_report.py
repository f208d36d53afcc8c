"""The report of `evals bench speculative`: a table, what was accepted, and answers that part."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evals.bench.drafting import (
    SPREAD,
    Acceptance,
    Pass,
    Setting,
    first_difference,
    verdict,
)
from evals.bench.suite import markdown
from evals.disk import replace_file

_LISTED = 20


@dataclass(frozen=True)
class Flip:
    """An answer that is not what the same server wrote without a draft, one question at a time.

    `plain` and `other` are the ids at the first place that differs, None behind an answer's end.
    """

    node: str
    setting: str
    repeat: int
    at: int
    plain: int | None
    other: int | None


@dataclass(frozen=True)
class Row:
    """What the repeats of one setting say together."""

    setting: Setting
    passes: int
    answers: int
    errors: int
    hung: tuple[str, ...]
    single: tuple[float, ...]
    """For each repeat, how many times as fast as without a draft, one question at a time."""
    batched: tuple[float, ...]
    """And than the best run of that repeat with several in flight."""
    cpu: tuple[float, ...]
    """Processor seconds without a draft, one at a time, by those of this setting."""
    accepted: Acceptance | None
    flips: tuple[Flip, ...]


def rows(passes: Sequence[Pass]) -> list[Row]:
    """A row for each setting, over the repeats in which it and what it is compared with ended."""
    return [_row(setting, passes) for setting in dict.fromkeys(of.setting for of in passes)]


def _row(setting: Setting, passes: Sequence[Pass]) -> Row:
    mine = [of for of in passes if of.setting == setting]
    pairs = [(of, plain) for of in mine if (plain := _plain(of, passes)) and _ended(of, plain)]
    best = [(of, _best(of, passes)) for of, _ in pairs]
    parts = [answer.accepted for of in mine for answer in of.answers if answer.accepted]
    return Row(
        setting=setting,
        passes=len(mine),
        answers=sum(len(of.answers) for of in mine),
        errors=sum(bool(answer.error) for of in mine for answer in of.answers),
        hung=tuple(of.hung for of in mine if of.hung),
        single=tuple(round(plain.seconds / of.seconds, 3) for of, plain in pairs),
        batched=tuple(round(other.seconds / of.seconds, 3) for of, other in best if other),
        cpu=tuple(round(p.cpu_seconds / of.cpu_seconds, 3) for of, p in pairs if of.cpu_seconds),
        accepted=sum(parts, Acceptance()) if parts else None,
        flips=tuple(flip for of in mine for flip in _flips(of, _plain(of, passes))),
    )


def _plain(of: Pass, passes: Sequence[Pass]) -> Pass | None:
    """The pass of the same repeat without a draft, one question at a time."""
    same = (other for other in passes if other.repeat == of.repeat and other.setting == Setting())
    return next(same, None)


def _best(of: Pass, passes: Sequence[Pass]) -> Pass | None:
    """The fastest pass of the same repeat with several in flight."""
    several = [
        other
        for other in passes
        if other.repeat == of.repeat and other.setting.in_flight > 1 and not _broken(other)
    ]
    return min(several, key=lambda other: other.seconds, default=None)


def _ended(*both: Pass) -> bool:
    return not any(map(_broken, both))


def _broken(of: Pass) -> bool:
    return bool(of.hung) or any(answer.error for answer in of.answers) or not of.seconds


def _flips(of: Pass, plain: Pass | None) -> Iterator[Flip]:
    before = {answer.node: answer for answer in plain.answers} if plain else {}
    for answer in of.answers:
        known = before.get(answer.node)
        if known is None or known.error or answer.error:
            continue
        at = first_difference(known.ids, answer.ids)
        if at is not None:
            ids = [side.ids[at] if at < len(side.ids) else None for side in (known, answer)]
            yield Flip(answer.node, of.setting.name, of.repeat, at, *ids)


def write(passes: Sequence[Pass], folder: Path, models: Sequence[str]) -> None:
    """`speculative.json` with every pass, `speculative.md` with the table."""
    told = rows(passes)
    content = {
        "schema": 1,
        "model": models[0],
        "draft": models[1],
        "rows": [{"name": row.setting.name, **asdict(row)} for row in told],
        "passes": [asdict(of) for of in passes],
    }
    replace_file(folder / "speculative.json", json.dumps(content, indent=1) + "\n")
    replace_file(folder / "speculative.md", table(told, models))


def table(told: Sequence[Row], models: Sequence[str]) -> str:
    """The rows as Markdown, hangs and answers that part below it."""
    head = ["setting", "n", "of one at a time", "", "of the best batch", "", "CPU"]
    head += ["accepted", "tokens a step", "other answers", "hung"]
    lines = [head, ["---", "--:", "---", "---", "---", "---", "---", "--:", "--:", "--:", "--:"]]
    lines += [_cells(row) for row in told]
    note = (
        f"Model {models[0]}, draft {models[1]}. Ratios of wall time, one for each repeat, above 1 "
        "is faster; CPU: of processor seconds, one at a time without a draft by this setting's. A "
        f"result replicates if all repeats lie on one side of 1 and within {SPREAD:g} times of "
        "each other. Accepted: the draft's tokens that the model kept; tokens a step: answer's "
        "tokens by forward passes of the model. Other answers: greedy answers that are not those "
        "of one at a time without a draft, of all that both gave."
    )
    return "\n".join([markdown(lines, note), *_below(told)])


def _cells(row: Row) -> list[str]:
    accepted = row.accepted
    return [
        row.setting.name,
        f"{row.answers}" + (f" ({row.errors} errors)" if row.errors else ""),
        *_compared(row.single, itself=row.setting == Setting()),
        *_compared(row.batched, itself=row.setting.in_flight > 1),
        " ".join(f"{ratio:.2f}" for ratio in row.cpu),
        "" if accepted is None or accepted.rate is None else f"{accepted.rate:.0%}",
        "" if accepted is None or accepted.length is None else f"{accepted.length:.2f}",
        str(len(row.flips)),
        str(len(row.hung)),
    ]


def _compared(ratios: Sequence[float], *, itself: bool) -> tuple[str, str]:
    text = " ".join(f"{ratio:.2f}" for ratio in ratios)
    return text, "" if itself or not ratios else verdict(ratios)


def _below(told: Sequence[Row]) -> Iterator[str]:
    for row in told:
        for how in row.hung:
            yield f"* hung: {row.setting.name}: {how}"
    flips = [flip for row in told for flip in row.flips]
    for flip in flips[:_LISTED]:
        yield (
            f"* other answer: {flip.setting}, repeat {flip.repeat + 1}: {flip.node}: token "
            f"{flip.at} is {_id(flip.other)}, without a draft {_id(flip.plain)}"
        )
    if len(flips) > _LISTED:
        yield f"* {len(flips) - _LISTED} more in speculative.json"
    yield ""


def _id(token: int | None) -> str:
    return "the end" if token is None else str(token)
