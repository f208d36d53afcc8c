"""Calls as elements whose names are attributes: `<invoke name="f">`, `<parameter name="x">`.

Several families write them, each with tags of its own, and one or more calls in a section. Values
are not escaped, so a value may hold the format's own tags. Structure decides: a closing tag counts
only where the next tag of the format follows it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from evals.case import Tool
from evals.formats.call_format import Broken, Section, skip_space, swallowed
from evals.formats.reading import ReadCall, typed_call

_CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)\]\]>\s*", re.DOTALL)


@dataclass(frozen=True)
class InvokeTags:
    """The names of a family's elements. Without `section` each call stands alone."""

    format: str
    invoke: str
    parameter: str
    section: str = ""
    cdata: bool = False
    """Whether a value may stand in a CDATA block, which is no part of it."""

    @property
    def open(self) -> str:
        """How a call begins, as far as it is always the same."""
        return f"<{self.section}>" if self.section else f"<{self.invoke} name="

    @property
    def close(self) -> str:
        """The tag that ends all calls of a section, or the one call."""
        return f"</{self.section}>" if self.section else self.invoke_close

    @property
    def invoke_close(self) -> str:
        """The tag that ends a call."""
        return f"</{self.invoke}>"

    @property
    def parameter_close(self) -> str:
        """The tag that ends a value."""
        return f"</{self.parameter}>"

    @cached_property
    def head(self) -> re.Pattern[str]:
        """The opening tag of a call."""
        return re.compile(rf'<{re.escape(self.invoke)} name="(?P<name>[^"<>\s]+)">')

    @cached_property
    def parameter_head(self) -> re.Pattern[str]:
        """The opening tag of a value; some families say with it whether the value is text."""
        return re.compile(
            rf'<{re.escape(self.parameter)} name="(?P<key>[^"<>]+)"(?: string="(?:true|false)")?>'
        )

    @property
    def markup(self) -> tuple[str, ...]:
        """The tags that have no place in an answer."""
        section = (self.open, self.close) if self.section else ()
        return (*section, f"<{self.invoke} name=")

    def read(self, body: str, start: int, tools: Sequence[Tool]) -> Section | None:
        """The calls that begin at `start`: of a section all, else the one."""
        inside = skip_space(body, start + len(self.open)) if self.section else start
        if self.head.match(body, inside) is None:
            if not self.section:
                return None
            raise Broken.within(body, inside, f"no <{self.invoke} name=…> follows", self.close)
        calls: list[ReadCall] = []
        ambiguous: list[str] = []
        position = inside
        while head := self.head.match(body, position):
            values, position = self._values(body, head.end())
            calls.append(typed_call(head["name"], values, self.format, tools))
            ambiguous += swallowed(values.items(), self.head, self.invoke_close)
            if not self.section:
                return Section(calls, position, ambiguous)
            position = skip_space(body, position)
        if not body.startswith(self.close, position):
            reason = f"neither <{self.invoke} name=…> nor {self.close} follows"
            raise Broken.within(body, position, reason, self.close)
        return Section(calls, position + len(self.close), ambiguous)

    def _values(self, body: str, position: int) -> tuple[Mapping[str, str], int]:
        """The values of a call, and where its closing tag ends."""
        values: dict[str, str] = {}
        while True:
            position = skip_space(body, position)
            if body.startswith(self.invoke_close, position):
                return values, position + len(self.invoke_close)
            head = self.parameter_head.match(body, position)
            if head is None:
                reason = f"neither <{self.parameter} name=…> nor {self.invoke_close} follows"
                raise Broken.within(body, position, reason, self.close)
            close = self._closing(body, head.end())
            if close is None:
                reason = f"the value of {head['key']} is not closed"
                raise Broken.within(body, position, reason, self.close)
            value = self._value(body[head.end() : close])
            if values.setdefault(head["key"], value) != value:
                raise Broken.within(body, position, f"{head['key']} is given twice", self.close)
            position = close + len(self.parameter_close)

    def _closing(self, body: str, position: int) -> int | None:
        """The first tag that closes a value from `position` on and that the next tag follows."""
        close = body.find(self.parameter_close, position)
        while close >= 0:
            after = skip_space(body, close + len(self.parameter_close))
            if self.parameter_head.match(body, after) or self._ends(body, after):
                return close
            close = body.find(self.parameter_close, close + 1)
        return None

    def _ends(self, body: str, position: int) -> bool:
        """Whether a call ends at `position`, and what may follow it does."""
        if not body.startswith(self.invoke_close, position):
            return False
        beyond = skip_space(body, position + len(self.invoke_close))
        if not self.section or beyond == len(body):
            return True
        return body.startswith((self.close, f"<{self.invoke} name="), beyond)

    def _value(self, text: str) -> str:
        block = _CDATA.fullmatch(text) if self.cdata else None
        return block[1] if block else text
