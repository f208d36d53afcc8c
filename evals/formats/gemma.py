"""Gemma 4: `<|tool_call>call:f{x:1,y:<|"|>text<|"|>}<tool_call|>`, objects with bare keys."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section, skip_space
from evals.formats.reading import json_call
from evals.json_text import parse_strict, parse_strict_at

_NAME = re.compile(r"\s*call:([\w.-]+)(?=\{)")
_KEY = re.compile(r'\s*(?:"(?P<quoted>[^"\\]+)"|(?P<bare>[^\s:{}\[\],<"][^:{}\[\],<"]*?))\s*:')
_LITERAL = re.compile(r"\s*([^\s,}\]<]+)\s*")


@dataclass(frozen=True)
class BareKeyTags:
    """The tags around a call whose keys are bare, and the mark on both sides of a text."""

    format: str
    open: str
    close: str
    text: str

    def read(self, body: str, start: int, tools: Sequence[Tool]) -> Section:
        """The call whose opening tag stands at `start`."""
        name = _NAME.match(body, start + len(self.open))
        if name is None:
            raise Broken.within(body, start, f"no call: follows {self.open}", self.close)
        try:
            value, end = self._value(body, name.end())
        except (ValueError, RecursionError) as error:
            raise Broken.within(body, start, str(error), self.close) from None
        end = skip_space(body, end)
        if not body.startswith(self.close, end):
            reason = f"the call is not followed by {self.close}"
            raise Broken.within(body, start, reason, self.close)
        return Section([json_call(name[1], value, self.format, tools)], end + len(self.close))

    def _value(self, body: str, position: int) -> tuple[Any, int]:
        """A value: text in its marks or in quotes, an object with bare keys, a list, a literal."""
        position = skip_space(body, position)
        if body.startswith(self.text, position):
            start = position + len(self.text)
            close = body.find(self.text, start)
            if close < 0:
                raise ValueError(f"a text is not closed by {self.text}")
            return body[start:close], close + len(self.text)
        if body.startswith("{", position):
            pairs, end = self._items(body, position + 1, "}")
            return dict(pairs), end
        if body.startswith("[", position):
            pairs, end = self._items(body, position + 1, "]")
            return [value for _, value in pairs], end
        if body.startswith('"', position):
            return parse_strict_at(body, position)
        literal = _LITERAL.match(body, position)
        if literal is None:
            raise ValueError("a value is missing")
        return parse_strict(literal[1]), literal.end()

    def _items(self, body: str, position: int, closer: str) -> tuple[list[tuple[str, Any]], int]:
        """Pairs of an object up to `}`, or items of a list up to `]`, which have no keys."""
        pairs: list[tuple[str, Any]] = []
        position = skip_space(body, position)
        while not body.startswith(closer, position):
            key = _KEY.match(body, position) if closer == "}" else None
            if closer == "}" and key is None:
                raise ValueError("a key is missing")
            name = (key["quoted"] or key["bare"]) if key else ""
            if key and name in (other for other, _ in pairs):
                raise ValueError(f"{name} is given twice")
            value, position = self._value(body, key.end() if key else position)
            pairs.append((name, value))
            position = skip_space(body, position)
            if body.startswith(",", position):
                position = skip_space(body, position + 1)
            elif not body.startswith(closer, position):
                raise ValueError(f"neither a comma nor {closer} follows a value")
        return pairs, position + 1


_TAGS = BareKeyTags("gemma", "<|tool_call>", "<tool_call|>", text='<|"|>')

GEMMA = CallFormat(
    _TAGS.format,
    doc='`<|tool_call>call:f{x:1,y:<|"|>text<|"|>}<tool_call|>`',
    openings=(Opening(_TAGS.open, _TAGS.read),),
    markup=(_TAGS.open, _TAGS.close),
    template="gemma",
    parsers=("gemma4",),
)
