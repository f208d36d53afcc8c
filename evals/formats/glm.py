"""GLM: a name, then keys and values in tags of their own; values are typed by the tool's schema."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section, skip_space, swallowed
from evals.formats.reading import typed_call


@dataclass(frozen=True)
class PairTags:
    """The names of the elements with which a family writes a call, a key and a value."""

    format: str
    call: str
    key: str
    value: str

    @property
    def open(self) -> str:
        """The tag with which a call begins."""
        return f"<{self.call}>"

    @property
    def close(self) -> str:
        """The tag with which a call ends."""
        return f"</{self.call}>"

    @property
    def markup(self) -> tuple[str, ...]:
        """The tags that have no place in an answer."""
        return (self.open, self.close, f"<{self.key}>", f"<{self.value}>")

    @cached_property
    def _name(self) -> re.Pattern[str]:
        return re.compile(rf"([\w.-]+)\s*(?=<{self.key}>|</{self.call}>)")

    @cached_property
    def _pair(self) -> re.Pattern[str]:
        return re.compile(rf"<{self.key}>([^<>]+)</{self.key}>\s*<{self.value}>")

    @cached_property
    def _begun(self) -> re.Pattern[str]:
        return re.compile(rf"{self.open}\s*[\w.-]+\s*<{self.key}>")

    def read(self, body: str, start: int, tools: Sequence[Tool]) -> Section | None:
        """The call whose opening tag stands at `start`; None if no name follows it."""
        name = self._name.match(body, skip_space(body, start + len(self.open)))
        if name is None:
            return None
        # Without arguments any word in the tags looks like a call: it is one if a tool is named so.
        paired = body.startswith(f"<{self.key}>", name.end())
        if not paired and name[1] not in {t.name for t in tools}:
            return None
        values: dict[str, str] = {}
        position = name.end()
        while not body.startswith(self.close, position):
            key = self._pair.match(body, position)
            if key is None:
                reason = f"neither <{self.key}> nor {self.close} follows"
                raise Broken.within(body, position, reason, self.close)
            close = self._closing(body, key.end())
            if close is None:
                reason = f"the value of {key[1]} is not closed"
                raise Broken.within(body, position, reason, self.close)
            value = body[key.end() : close]
            if values.setdefault(key[1], value) != value:
                raise Broken.within(body, position, f"{key[1]} is given twice", self.close)
            position = skip_space(body, close + len(f"</{self.value}>"))
        call = typed_call(name[1], values, self.format, tools)
        ambiguous = swallowed(values.items(), self._begun, self.close)
        return Section([call], position + len(self.close), ambiguous)

    def _closing(self, body: str, position: int) -> int | None:
        """The first tag that closes a value from `position` on and that the next tag follows."""
        closer = f"</{self.value}>"
        close = body.find(closer, position)
        while close >= 0:
            after = skip_space(body, close + len(closer))
            if body.startswith((self.close, f"<{self.key}>"), after):
                return close
            close = body.find(closer, close + 1)
        return None


_TAGS = PairTags("glm", "tool_call", key="arg_key", value="arg_value")

GLM = CallFormat(
    _TAGS.format,
    doc="`<tool_call>f<arg_key>x</arg_key><arg_value>1</arg_value></tool_call>`",
    openings=(Opening(_TAGS.open, _TAGS.read, close=_TAGS.close),),
    markup=_TAGS.markup,
    template="glm",
    parsers=("glm47", "laguna"),
)
