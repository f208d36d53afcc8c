"""Chat rows from one format of tool calls to another, and back; see `evals.training.turns`.

A row is `{"messages": [...]}` or `{"text": "<|im_start|>…"}` (ChatML), with or without `tools`.
What a tool returned is a message of role `tool`, as a server gets it, so that the chat template
writes `<tool_response>`; in rows of ChatML it is that; beside JSON fences it is a user message that
begins with `Tool result: `.

The way back is exact. A row in canonical spelling is written again to the same bytes; any other row
carries its source line along under `converted_from`, which is used only while it still belongs to
the row: who edits a converted row gets the edited row back.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evals.case import Tool
from evals.formats.json_fence import JSON_FENCE
from evals.json_text import parse_strict
from evals.training.turns import (
    OPENAI,
    Message,
    Turn,
    Unconvertible,
    read_turn,
    write_turn,
)

Row = dict[str, Any]

APART_KEY = "apart"
"""The key of a row whose questions stand apart: each is asked with the tools alone before it."""
SOURCE_KEY = "converted_from"
RESULT = "Tool result:"

_RESPONSE_OPEN, _RESPONSE_CLOSE = "<tool_response>\n", "\n</tool_response>"
_CHATML = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class _Read:
    """A message, read: an assistant's turn, what tools returned, or neither."""

    message: Message
    turn: Turn | None = None
    results: tuple[str, ...] = ()


@dataclass(frozen=True)
class Converted:
    """One row, converted. `turns` and `call_turns` count assistant turns, and those with calls."""

    row: Row
    line: str
    turns: int
    call_turns: int

    @property
    def keeps_source(self) -> bool:
        """Whether it carries its source line, because that is not in canonical spelling."""
        return SOURCE_KEY in self.row


def convert_line(line: str, to: str) -> Converted:
    """The row in `line`, a JSON text, with all its calls in format `to`.

    A row that is so already keeps its bytes. JSON is spelled as in `line`.

    Raises:
        Unconvertible: it is no chat row, something in it begins a call and is none, or `to` cannot
            hold a call or a text in its place. The message says which.

    """
    try:
        row = parse_strict(line)
    except ValueError as error:
        raise Unconvertible(f"not JSON: {error}") from None
    turns = _turns(row)
    counts = len(turns), sum(bool(turn.calls) for turn in turns)
    return Converted(*_converted(line, row, _formats(turns), to), *counts)


def convert_row(row: Row, to: str) -> Row:
    """`row` with all its calls, and what tools returned, in format `to`; nothing is noted in it.

    Raises:
        Unconvertible: as `convert_line`.

    """
    tools = _tools(row)
    messages = [
        message for read in _read_row(row, tools) for message in _write_message(read, to, tools)
    ]
    if "messages" in row:
        return {**row, "messages": messages}
    return {**row, "text": _chatml(messages, ended=row["text"].endswith("\n"))}


def learned_rows(row: Row) -> list[Row]:
    """A row for each assistant turn, which ends with it: for trainers that learn the last only.

    A row without an assistant turn stays as it is. The note of the source is left out: it would
    not lead back.
    """
    kept = _bare(row)
    messages = _messages(row)
    ends = [i + 1 for i, message in enumerate(messages) if message["role"] == "assistant"]
    if "messages" in row:
        return [{**kept, "messages": messages[:end]} for end in ends] or [kept]
    return [{**kept, "text": _chatml(messages[:end])} for end in ends] or [kept]


def spell(row: Row, like: str) -> str:
    """`row` as one line of JSON, in the spelling of the line `like` where that is a usual one."""
    given = parse_strict(like)
    for ascii_only in (False, True):
        for compact in (False, True):
            if _dump(given, ascii_only, compact) == like:
                return _dump(row, ascii_only, compact)
    return _dump(row, ascii_only=False, compact=False)


def _dump(row: Row, ascii_only: bool, compact: bool) -> str:
    separators = (",", ":") if compact else None
    text = json.dumps(row, ensure_ascii=ascii_only, separators=separators)
    # Half of a surrogate pair has no UTF-8; JSON has an escape for it.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _converted(line: str, row: Row, formats: frozenset[str], to: str) -> tuple[Row, str]:
    """`row`, whose calls are in `formats`, in `to`; with a note of `line` where one is needed."""
    source = row.get(SOURCE_KEY)
    origin = _origin(source, _bare(row), formats) if isinstance(source, str) else None
    if isinstance(source, str) and origin and _formats(_turns(origin)) == {to}:
        return origin, source
    new, text = _rewritten(line, row, formats, to)
    if text == line or formats <= {to} or _leads_back(text, new, formats, to, line):
        return new, text
    noted = {**new, SOURCE_KEY: line}
    return noted, spell(noted, line)


def _rewritten(line: str, row: Row, formats: frozenset[str], to: str) -> tuple[Row, str]:
    """`row` in `to`, by rewriting it; a note of its source stays while it belongs to the row."""
    source = row.get(SOURCE_KEY)
    origin = _origin(source, _bare(row), formats) if isinstance(source, str) else None
    base = _bare(row) if origin else row
    new = convert_row(base, to)
    if _meaning(new) != _meaning(base):
        raise Unconvertible(f"as {to} it would be read back differently")
    if new == base:
        return row, line
    if origin and convert_row(origin, to) == new:
        new = {**new, SOURCE_KEY: source}
    return new, spell(new, line)


def _bare(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != SOURCE_KEY}


def _origin(source: str, bare: Row, formats: frozenset[str]) -> Row | None:
    """The row in the line `source`, if `bare` is still what it converts to."""
    try:
        row: Row = parse_strict(source)
        same = any(convert_row(row, format_) == bare for format_ in formats)
    except ValueError:
        return None
    return row if same else None


def _leads_back(text: str, new: Row, formats: frozenset[str], to: str, line: str) -> bool:
    """Whether the way back from `text` gives the bytes of `line` without a note of them."""
    if len(formats) != 1:
        return False
    (origin,) = formats
    try:
        return _rewritten(text, new, frozenset({to}), origin)[1] == line
    except Unconvertible:
        return False


def _turns(row: Row) -> list[Turn]:
    return [read.turn for read in _read_row(row, _tools(row)) if read.turn]


def _formats(turns: Sequence[Turn]) -> frozenset[str]:
    return frozenset[str]().union(*(turn.formats for turn in turns))


def _meaning(row: Row) -> list[Any]:
    """What the messages of a row say, whatever the format of calls: roles, texts, calls."""
    said: list[Any] = []
    for read in _read_row(row, _tools(row)):
        if read.turn:
            said.append(("assistant", read.turn.text.strip(), read.turn.calls))
        elif read.results:
            said += [("tool", result) for result in read.results]
        else:
            said.append(read.message)
    return said


def _read_row(row: Row, tools: Sequence[Tool]) -> Iterator[_Read]:
    called = False
    for message in _messages(row):
        if message["role"] == "assistant":
            turn = read_turn(message, tools)
            called = bool(turn.calls)
            yield _Read(message, turn)
        elif results := _results(message, called):
            yield _Read(message, results=results)
        else:
            called = False
            yield _Read(message)


def _results(message: Message, called: bool) -> tuple[str, ...]:
    """What tools returned, if the message says so; as a user message only after a call."""
    text = message.get("content")
    if message["role"] == "tool":
        if not isinstance(text, str):
            raise Unconvertible("the content of a tool message is not a text")
        return (text,)
    if message["role"] != "user" or not called or not isinstance(text, str):
        return ()
    if text.startswith(RESULT):
        return (text.removeprefix(RESULT).removeprefix(" "),)
    if text.startswith(_RESPONSE_OPEN) and text.endswith(_RESPONSE_CLOSE):
        inner = text[len(_RESPONSE_OPEN) : -len(_RESPONSE_CLOSE)]
        return tuple(inner.split(f"{_RESPONSE_CLOSE}\n{_RESPONSE_OPEN}"))
    return ()


def _write_message(read: _Read, to: str, tools: Sequence[Tool]) -> list[dict[str, Any]]:
    if read.turn:
        return [write_turn(read.message, read.turn, to, tools)]
    if not read.results:
        return [dict(read.message)]
    if to == JSON_FENCE.name:
        return [{"role": "user", "content": f"{RESULT} {result}"} for result in read.results]
    if to == OPENAI and read.message["role"] == "tool":
        return [dict(read.message)]
    return [{"role": "tool", "content": result} for result in read.results]


def _messages(row: Any) -> list[Message]:
    """The messages of a row of either kind."""
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        messages: list[Message] = row["messages"]
        for index, message in enumerate(messages):
            if not isinstance(message, dict) or not isinstance(message.get("role"), str):
                raise Unconvertible(f'messages[{index}] is not an object with a "role"')
        return messages
    if isinstance(row, dict) and isinstance(row.get("text"), str):
        return _read_chatml(row["text"])
    raise Unconvertible('not a chat row: it has neither a list "messages" nor a "text"')


def _read_chatml(text: str) -> list[Message]:
    turns = list(_CHATML.finditer(text))
    if not turns or "".join(turn.group() for turn in turns) != text:
        raise Unconvertible('"text" is not ChatML: <|im_start|>role, a line end, text, <|im_end|>')
    return [{"role": turn.group(1), "content": turn.group(2)} for turn in turns]


def _chatml(messages: Sequence[Message], *, ended: bool = True) -> str:
    """ChatML of the messages; tool messages in a row share one turn, as templates write them."""
    turns: list[str] = []
    for before, message in zip([None, *messages], messages, strict=False):
        if message.get("tool_calls"):
            raise Unconvertible('a row with "text" has no place for tool_calls; use "messages"')
        role, content = message["role"], message["content"]
        if role == "tool":
            role, content = "user", f"{_RESPONSE_OPEN}{content}{_RESPONSE_CLOSE}"
            if before and before["role"] == "tool":
                turns[-1] += f"\n{content}"
                continue
        turns.append(f"<|im_start|>{role}\n{content}")
    text = "".join(f"{turn}<|im_end|>\n" for turn in turns)
    return text if ended else text.removesuffix("\n")


def _tools(row: Any) -> list[Tool]:
    """The tools that a row declares."""
    declared = row.get("tools") if isinstance(row, dict) else None
    if not isinstance(declared or [], list):
        raise Unconvertible('"tools" is not a list')
    return [_tool(index, value) for index, value in enumerate(declared or [])]


def _tool(index: int, value: Any) -> Tool:
    function = value.get("function", value) if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    parameters = function.get("parameters") or {} if isinstance(function, dict) else None
    if not isinstance(name, str) or not name or not isinstance(parameters, dict):
        raise Unconvertible(f"tools[{index}] is not a function with a name and a schema")
    return Tool(name=name, parameters=parameters)
