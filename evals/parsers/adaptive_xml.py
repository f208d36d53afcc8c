"""A tool parser for Qwen3-Coder XML that also reads what models make of it, and never guesses.

It reads `<tool_call>` with functions or JSON in it, functions without a wrapper, and JSON in a code
fence; `>` and closing tags may be missing, names may be in quotes. A name is only ever a declared
one, no argument is added, and values get the types of the tool's schema. Whatever begins as a call
and cannot be read comes back as it was written, as a `MalformedCall`; all else is `Content`.

As a module it is a parser of `mlx_lm.tool_parsers`, too: `tool_call_start`, `tool_call_end` and
`parse_tool_call`. Used like that it gets all text behind the first `<tool_call>`, and text among
the calls is lost; `evals.parsers.launcher` puts it into the server without that loss.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evals.case import Tool
from evals.parsers.events import (
    Content,
    MalformedCall,
    ParserEvent,
    ToolCall,
    as_calls,
    merged,
)
from evals.parsers.json_calls import read_fence, read_json
from evals.parsers.source import BrokenCall, Incomplete, Source
from evals.parsers.xml_calls import (
    CALL_CLOSE,
    CALL_OPEN,
    FUNCTION_OPEN,
    declared_head,
    read_function,
)

_MARKERS = (CALL_OPEN, CALL_CLOSE, FUNCTION_OPEN, "```", "<think>", "</think>")
_MARKER = re.compile("|".join(map(re.escape, _MARKERS)))
_ALWAYS = 4096
"""Held text of up to this many characters is read again at every feed."""


def declared_tools(tools: Iterable[Any] | None) -> tuple[Tool, ...]:
    """The tools of a request's body; entries that are not a function with a name are left out."""
    functions = [tool.get("function") for tool in tools or () if isinstance(tool, Mapping)]
    found = []
    for function in functions:
        if not isinstance(function, Mapping):
            continue
        name, parameters = function.get("name"), function.get("parameters")
        if isinstance(name, str) and name:
            found.append(
                Tool(name=name, parameters=parameters if isinstance(parameters, dict) else {})
            )
    return tuple(found)


class AdaptiveXmlParser:
    """Reads model text piece by piece; the pieces' borders change nothing but the borders of text.

    `tools` are the available tools. `thinking`: the text begins within a thought, as it does where
    the prompt ends in `<think>`. A call in a thought counts only if the thought is never closed.

    The work is linear in the text: held text of more than 4096 characters is read again only when
    it has grown by an eighth, so a long call may come out that much later, or at `finish`.
    """

    def __init__(self, tools: Sequence[Tool], *, thinking: bool = False) -> None:
        self._tools = tuple(tools)
        self._thinking = thinking
        self._wrapper_open = False
        self._behind_call = False
        self._held = ""
        self._new: list[str] = []
        self._new_length = 0

    @property
    def pending(self) -> bool:
        """Whether text is held back until what follows it is known."""
        return bool(self._held or self._new)

    def feed(self, text: str) -> list[ParserEvent]:
        """What can be told now that `text` has come."""
        self._new.append(text)
        self._new_length += len(text)
        if len(self._held) > _ALWAYS and self._new_length * 8 < len(self._held):
            return []
        return self._read(Source(self._take()))

    def finish(self, *, cut: bool = False) -> list[ParserEvent]:
        """The rest, now that the text is over. `cut`: a limit ended it, not the model."""
        source = Source(self._take(), final=True, cut=cut)
        return self._read(source)

    def _take(self) -> str:
        text = "".join([self._held, *self._new])
        self._held, self._new, self._new_length = "", [], 0
        return text

    def _read(self, source: Source) -> list[ParserEvent]:
        text, position = source.text, 0
        events: list[ParserEvent] = []
        while position < len(text):
            marker = _MARKER.search(text, position)
            start = marker.start() if marker else len(text) - _unsure(source, position)
            if start > position:
                events.append(Content(text[position:start]))
                self._behind_call &= not text[position:start].strip()
            position = start
            if marker is None:
                break
            try:
                found, position = self._marker(source, start, marker.group())
            except Incomplete:
                break
            events += found
            if found:
                self._behind_call = not isinstance(found[-1], Content)
        self._held = text[position:]
        return merged(events)

    def _marker(self, source: Source, start: int, marker: str) -> tuple[Sequence[ParserEvent], int]:
        """What the marker at `start` begins, and where it ends."""
        if marker in ("<think>", "</think>"):
            self._thinking = marker == "<think>"
        elif marker == CALL_CLOSE and (self._wrapper_open or self._behind_call):
            self._wrapper_open = False
            return [], start + len(CALL_CLOSE)
        elif self._tools and marker != CALL_CLOSE and self._counts(source, start, marker):
            read = {CALL_OPEN: self._wrapped, FUNCTION_OPEN: self._bare, "```": self._fence}[marker]
            if (result := read(source, start)) is not None:
                return result
        return [Content(marker)], start + len(marker)

    def _counts(self, source: Source, start: int, marker: str) -> bool:
        """Whether a call may begin here: not in a thought that is closed later."""
        if not self._thinking:
            return True
        if marker != CALL_OPEN or source.text.find("</think>", start) >= 0:
            return False
        if not source.final:
            raise Incomplete
        return True

    def _wrapped(self, source: Source, start: int) -> tuple[Sequence[ParserEvent], int] | None:
        inside = source.skip_space(start + len(CALL_OPEN))
        while source.has(CALL_OPEN, inside):  # the opening tag once more
            start, inside = inside, source.skip_space(inside + len(CALL_OPEN))
        if inside == len(source.text):
            cut = MalformedCall(source.text[start:], "<tool_call> is empty", cut=True)
            return [cut], inside
        if not (source.has("<function", inside) or source.text.startswith(("{", "["), inside)):
            return None
        try:
            calls, end, self._wrapper_open = _read_wrapped(source, start, self._tools)
        except BrokenCall as broken:
            return self._salvaged(source, start, broken)
        return calls, end

    def _bare(self, source: Source, start: int) -> tuple[Sequence[ParserEvent], int] | None:
        if not declared_head(source, start, self._tools):
            return None
        try:
            call, end = read_function(source, start, self._tools, wrapped=False)
            close = source.skip_space(end)
            return [call], close + len(CALL_CLOSE) if source.has(CALL_CLOSE, close) else end
        except BrokenCall as broken:
            # A tag in an answer is text; a call that the text ends in is none.
            return self._salvaged(source, start, broken) if broken.cut else None

    def _fence(self, source: Source, start: int) -> tuple[Sequence[ParserEvent], int] | None:
        return read_fence(source, start, self._tools)

    def _salvaged(
        self, source: Source, start: int, broken: BrokenCall
    ) -> tuple[Sequence[ParserEvent], int]:
        """What is left of a broken call: itself, and the calls that it seemed to swallow.

        Each part up to the next `<tool_call>` is read for itself, once: so it stays linear.
        """
        end = _broken_end(source, broken.at)
        bounds = [start]
        while (place := source.text.find(CALL_OPEN, bounds[-1] + 1, end)) >= 0:
            bounds.append(place)
        if len(bounds) == 1:
            cut = broken.cut and source.final
            return [MalformedCall(source.text[start:end], broken.reason, cut)], end
        events: list[ParserEvent] = []
        for begin, stop in zip(bounds, [*bounds[1:], end], strict=True):
            last = source.cut and stop == len(source.text)
            part = Source(source.text[begin:stop], final=True, cut=last)
            events += _salvaged_part(part, self._tools)
        return events, end


def _unsure(source: Source, position: int) -> int:
    """How many characters at the end of the text may be the beginning of a marker."""
    if source.final:
        return 0
    tail = source.text[max(position, len(source.text) - len(CALL_CLOSE)) :]
    for length in range(len(tail), 0, -1):
        if any(marker.startswith(tail[-length:]) for marker in _MARKERS):
            return length
    return 0


def _read_wrapped(
    source: Source, start: int, tools: Sequence[Tool]
) -> tuple[list[ToolCall | MalformedCall], int, bool]:
    """The calls in the wrapper at `start`, where they end, and whether its closing tag is due."""
    calls: list[ToolCall | MalformedCall] = []
    end = start + len(CALL_OPEN)
    while True:
        position = source.skip_space(end)
        if source.has(CALL_CLOSE, position):
            return calls, position + len(CALL_CLOSE), False
        if source.has(FUNCTION_OPEN, position):
            call, end = read_function(source, position, tools, wrapped=True)
            calls.append(call)
        elif source.text.startswith(("{", "["), position):
            found, end = read_json(source, position, tools)
            calls += found
        elif not calls:
            raise BrokenCall("<tool_call> is not followed by <function=…> or JSON", position)
        elif source.has(CALL_OPEN, position) or position == len(source.text):
            return calls, position, False
        else:
            return calls, end, True


def _broken_end(source: Source, position: int) -> int:
    """Where a call that goes wrong at `position` ends: at its closing tag, or before the next."""
    close = source.text.find(CALL_CLOSE, position)
    following = source.text.find(CALL_OPEN, position)
    if following >= 0 and not 0 <= close < following:
        return following
    if close >= 0:
        return close + len(CALL_CLOSE)
    if not source.final:
        raise Incomplete
    return len(source.text)


def _salvaged_part(part: Source, tools: Sequence[Tool]) -> list[ParserEvent]:
    """A text that begins with a call and holds no other: the call and what follows it."""
    try:
        if part.text.startswith(CALL_OPEN):
            calls, end, _ = _read_wrapped(part, 0, tools)
            return merged([*calls, *_rest(part.text[end:])])
        call, end = read_function(part, 0, tools, wrapped=False)
        return merged([call, *_rest(part.text[end:])])
    except BrokenCall as broken:
        close = part.text.find(CALL_CLOSE)
        end = close + len(CALL_CLOSE) if close >= 0 else len(part.text)
        malformed = MalformedCall(part.text[:end], broken.reason, broken.cut and part.cut)
        return merged([malformed, *_rest(part.text[end:])])


def _rest(text: str) -> list[ParserEvent]:
    return [Content(text)] if text else []


def parse(text: str, tools: Sequence[Tool], *, thinking: bool = False) -> list[ParserEvent]:
    """A whole text at once."""
    parser = AdaptiveXmlParser(tools, thinking=thinking)
    return merged([*parser.feed(text), *parser.finish()])


tool_call_start = CALL_OPEN
tool_call_end = ""


def parse_tool_call(text: str, tools: list[Any] | None = None) -> list[dict[str, Any]]:
    """The calls in `text`, which begins behind `<tool_call>`: the interface of `mlx_lm`.

    Text without any call comes back as one `malformed_tool_call`. Never raises.
    """
    calls = as_calls(parse(CALL_OPEN + text, declared_tools(tools)))
    return calls or as_calls([MalformedCall(CALL_OPEN + text, "no call")])
