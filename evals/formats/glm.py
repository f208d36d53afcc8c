"""GLM: a name, then keys and values in tags of their own; values are typed by the tool's schema."""

import re
from collections.abc import Sequence

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section, skip_space
from evals.formats.reading import typed_call

OPEN, CLOSE = "<tool_call>", "</tool_call>"

_NAME = re.compile(r"([\w.-]+)\s*(?=<arg_key>|</tool_call>)")
_KEY = re.compile(r"<arg_key>([^<>]+)</arg_key>\s*<arg_value>")
_VALUE_CLOSE = "</arg_value>"


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    name = _NAME.match(body, skip_space(body, start + len(OPEN)))
    if name is None:
        return None
    # Without arguments any word in the tags looks like a call: it is one if a tool is named so.
    if not body.startswith("<arg_key>", name.end()) and name[1] not in {t.name for t in tools}:
        return None
    values: dict[str, str] = {}
    position = name.end()
    while not body.startswith(CLOSE, position):
        key = _KEY.match(body, position)
        if key is None:
            raise Broken.within(body, position, f"neither <arg_key> nor {CLOSE} follows", CLOSE)
        close = _closing(body, key.end())
        if close is None:
            raise Broken.within(body, position, f"the value of {key[1]} is not closed", CLOSE)
        if key[1] in values:
            raise Broken.within(body, position, f"{key[1]} is given twice", CLOSE)
        values[key[1]] = body[key.end() : close]
        position = skip_space(body, close + len(_VALUE_CLOSE))
    return Section([typed_call(name[1], values, GLM.name, tools)], position + len(CLOSE))


def _closing(body: str, position: int) -> int | None:
    """The first `</arg_value>` from `position` on that the format's next tag follows."""
    close = body.find(_VALUE_CLOSE, position)
    while close >= 0:
        after = skip_space(body, close + len(_VALUE_CLOSE))
        if body.startswith((CLOSE, "<arg_key>"), after):
            return close
        close = body.find(_VALUE_CLOSE, close + 1)
    return None


GLM = CallFormat(
    "glm",
    doc="`<tool_call>f<arg_key>x</arg_key><arg_value>1</arg_value></tool_call>`",
    openings=(Opening(OPEN, _read, close=CLOSE),),
    markup=(OPEN, CLOSE, "<arg_key>", "<arg_value>"),
    template="glm",
    parsers=("glm47",),
)
