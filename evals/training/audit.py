"""What must hold of training data before anyone trains on it.

A model that has seen the questions of the suite proves nothing; one whose tools, kinds of answer
or formats are uneven learns the unevenness. Rows are `{"messages": [...], "tools": [...]}`.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz, process

from evals.case import Tool
from evals.errors import ConfigError
from evals.formats.qwen_xml import QWEN_XML
from evals.json_text import parse_strict
from evals.observation import Call
from evals.training.encode import Encoded
from evals.training.rows import Row
from evals.training.turns import OPENAI, Turn, Unconvertible, read_turn

CALL_SHARE = (0.60, 0.80)
EMPTY_SHARE = 0.15
RARE = 0.2
"""A tool with less than this part of the calls of the others is too rare."""
RUN = 8
NEAR = 90.0
"""Words in a row, and per cent of edit similarity, from which a question counts as leaked."""
OVERLAP = 0.05
PROMPTS = 200
SERVER_FORMATS = frozenset({QWEN_XML.name, OPENAI})


@dataclass(frozen=True)
class Problem:
    """Something wrong with the data: which check, and where."""

    check: str
    text: str


@dataclass(frozen=True)
class Audit:
    """The outcome: facts to print, and problems; without problems the data may be trained on."""

    facts: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Answer:
    """An assistant's turn in row `number`, counted from 1, with the tools that were available."""

    number: int
    turn: Turn
    tools: Sequence[Tool]


def audit(
    rows: Sequence[Row],
    validation: Sequence[Row],
    cases: Sequence[tuple[str, str]],
    learned: Callable[[Row], Encoded],
    served: Callable[[dict[str, Any]], list[int]],
) -> Audit:
    """Audit training `rows` against `validation` rows and `cases`, pairs of name and question.

    `learned(row)` is what the training gets, `served(request)` the server's prompt as token ids.
    """
    unread: list[Problem] = []
    answers = list(_answers(rows, unread))
    problems = chain(
        unread,
        _leaks(rows, cases),
        _uneven(rows, answers),
        _formats(answers),
        _overlap(rows, validation),
        _prompts(rows, learned, served),
    )
    return Audit(tuple(_facts(rows, validation, answers)), tuple(problems))


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file: `{"messages": [...]}`, with `tools` where some are available.

    Raises:
        ConfigError: the file is missing, or a line is not such a row.
    """
    if not path.is_file():
        raise ConfigError(f"audit: there is no file {path}")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = parse_strict(line)
            roles = [message["role"] for message in row["messages"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"audit: {path}:{number} is no row with messages ({error}); "
                "`evals model convert` reads other shapes"
            ) from None
        if not {"user", "assistant"} <= set(roles):
            raise ConfigError(f"audit: {path}:{number} has no question, or no answer to learn")
        rows.append(row)
    if not rows:
        raise ConfigError(f"audit: {path} is empty; it should hold a JSON row on each line")
    return rows


def _answers(rows: Sequence[Row], unread: list[Problem]) -> Iterator[_Answer]:
    for number, row in enumerate(rows, start=1):
        tools = [Tool(**entry["function"]) for entry in row.get("tools", ())]
        for message in row["messages"]:
            if message["role"] == "assistant":
                try:
                    yield _Answer(number, read_turn(message, tools), tools)
                except Unconvertible as error:
                    unread.append(Problem("format", f"row {number}: {error}"))


def _questions(rows: Sequence[Row]) -> list[str]:
    """What users ask in `rows`, each text once."""
    asked = (m["content"] for row in rows for m in row["messages"] if m["role"] == "user")
    return list(dict.fromkeys(asked))


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _normal(text).split()
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def _leaks(rows: Sequence[Row], cases: Sequence[tuple[str, str]]) -> Iterator[Problem]:
    """Questions of cases that are in the data: the same, a run of 8 words, or nearly the same."""
    asked = _questions(rows)
    normal = [_normal(text) for text in asked]
    runs = {run: text for text in asked for run in _runs(text)}
    for name, question in cases:
        shared = next((runs[run] for run in _runs(question) if run in runs), None)
        near = process.extractOne(
            _normal(question), normal, scorer=fuzz.ratio, processor=None, score_cutoff=NEAR
        )
        if shared is not None:
            yield Problem("leakage", f"{name} shares {RUN} words in a row with {shared!r}")
        elif near:
            found, score, index = near
            how = "is in the data" if found == _normal(question) else f"is {score:.0f} % like"
            yield Problem("leakage", f"{name} {how}: {asked[index]!r}")


def _uneven(rows: Sequence[Row], answers: Sequence[_Answer]) -> Iterator[Problem]:
    calling = [answer for answer in answers if answer.turn.calls]
    calls = [call for answer in calling for call in answer.turn.calls]
    share = len(calling) / max(1, len(answers))
    low, high = CALL_SHARE
    if not low <= share <= high:
        yield Problem(
            "balance", f"{share:.0%} of the answers call; allowed {low:.0%} to {high:.0%}"
        )
    empty = sum(map(_takes_nothing, calls)) / max(1, len(calls))
    if empty < EMPTY_SHARE:
        yield Problem(
            "balance", f"{empty:.0%} of the calls have no argument; at least {EMPTY_SHARE:.0%}"
        )
    counts = _tool_counts(answers)
    mean = sum(counts.values()) / max(1, len(counts))
    for name, count in sorted(counts.items()):
        if count < mean * RARE:
            yield Problem("balance", f"{name!r} is called {count} times, others {mean:.0f} times")
    yield from _uneven_systems(rows)


def _uneven_systems(rows: Sequence[Row]) -> Iterator[Problem]:
    """A system message of one row alone is a slip, not one of several kinds."""
    counts = Counter(map(_system, rows))
    for system, count in sorted(counts.items()):
        if count == 1 < len(rows):
            yield Problem("balance", f"one row alone has the system message {system!r}")


def _system(row: Row) -> str:
    first = row["messages"][0]
    return str(first["content"]) if first["role"] == "system" else ""


def _takes_nothing(call: Call) -> bool:
    return not json.loads(call.arguments or "null")


def _tool_counts(answers: Sequence[_Answer]) -> Counter[str]:
    """Calls per tool, by its description where it has one: rows may rename a tool."""
    counts: Counter[str] = Counter()
    for answer in answers:
        descriptions = {tool.name: tool.description for tool in answer.tools}
        for call in answer.turn.calls:
            if description := descriptions.get(str(call.name), str(call.name)):
                counts[description] += 1
    return counts


def _formats(answers: Sequence[_Answer]) -> Iterator[Problem]:
    """Calls must come in one format, which the template makes the server's: XML or `tool_calls`."""
    found: dict[str, int] = {}
    for answer in answers:
        for format_ in answer.turn.formats:
            found.setdefault(format_, answer.number)
    if len(found) > 1:
        first = ", ".join(f"{name} (first in row {row})" for name, row in found.items())
        yield Problem("format", f"calls are written in {len(found)} formats: {first}")
    for name in found.keys() - SERVER_FORMATS:
        yield Problem("format", f"calls in {name}: mlx_lm's xml parser will not see them")


def _overlap(rows: Sequence[Row], validation: Sequence[Row]) -> Iterator[Problem]:
    held = {_normal(question) for question in _questions(validation)}
    both = sorted(held & {_normal(question) for question in _questions(rows)})
    if len(both) > len(held) * OVERLAP:
        yield Problem("overlap", f"{len(both)} of {len(held)} validation questions: {both[0]!r}")


def _prompts(
    rows: Sequence[Row],
    learned: Callable[[Row], Encoded],
    served: Callable[[dict[str, Any]], list[int]],
) -> Iterator[Problem]:
    """What is trained before an answer must be, token for token, what a server would render."""
    for i in range(0, len(rows), max(1, len(rows) // PROMPTS)):
        messages = rows[i]["messages"]
        first = next(j for j, message in enumerate(messages) if message["role"] == "assistant")
        request = {"messages": messages[:first], "tools": rows[i].get("tools")}
        prompt = served({key: value for key, value in request.items() if value})
        encoded = learned(rows[i])
        if encoded.ids[: len(prompt)] != prompt or encoded.positions[0] != len(prompt) - 1:
            yield Problem("prompt", f"row {i + 1}: the server would render another prompt")


def _facts(
    rows: Sequence[Row], validation: Sequence[Row], answers: Sequence[_Answer]
) -> Iterator[str]:
    turns = [answer.turn for answer in answers if answer.turn.calls]
    calls = [call for turn in turns for call in turn.calls]
    yield f"{len(rows)} rows, {len(answers)} answers, {len(_questions(rows))} different questions"
    yield f"validation: {len(validation)} rows, {len(_questions(validation))} different questions"
    counts = sorted(_tool_counts(answers).values())
    if not counts:
        return
    several = sum(len(turn.calls) > 1 for turn in turns)
    offered = Counter(len(row.get("tools", ())) for row in rows)
    yield f"{len(turns) / len(answers):.1%} of the answers call, {len(calls)} calls in all"
    yield f"{sum(map(_takes_nothing, calls)) / len(calls):.1%} of the calls have no argument"
    yield f"{several / len(turns):.1%} of the calling answers call more than once"
    yield f"{len(counts)} tools, each called {counts[0]} to {counts[-1]} times"
    yield "rows by available tools: " + ", ".join(f"{n}: {c}" for n, c in sorted(offered.items()))
