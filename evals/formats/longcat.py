"""LongCat: keys and values in tags of their own as GLM has them, or a JSON object."""

from collections.abc import Sequence

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section, skip_space
from evals.formats.glm import PairTags
from evals.formats.json_object import call_problem, json_at
from evals.formats.reading import json_call

_TAGS = PairTags("longcat", "longcat_tool_call", key="longcat_arg_key", value="longcat_arg_value")


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section:
    inside = skip_space(body, start + len(_TAGS.open))
    if body.startswith("{", inside):
        return _read_object(body, inside, tools)
    section = _TAGS.read(body, start, tools)
    if section is None:
        reason = f"{_TAGS.open} is not followed by a name with arguments or a JSON object"
        raise Broken.within(body, inside, reason, _TAGS.close)
    return section


def _read_object(body: str, inside: int, tools: Sequence[Tool]) -> Section:
    value, end = json_at(body, inside, _TAGS.close)
    close = skip_space(body, end)
    if not body.startswith(_TAGS.close, close):
        reason = f"the JSON object is not followed by {_TAGS.close}"
        raise Broken.within(body, inside, reason, _TAGS.close)
    if problem := call_problem(value):
        raise Broken(problem, close + len(_TAGS.close))
    call = json_call(value["name"], value["arguments"], _TAGS.format, tools)
    return Section([call], close + len(_TAGS.close))


LONGCAT = CallFormat(
    _TAGS.format,
    doc="`<longcat_tool_call>f<longcat_arg_key>x</longcat_arg_key>"
    "<longcat_arg_value>1</longcat_arg_value></longcat_tool_call>`",
    openings=(Opening(_TAGS.open, _read),),
    markup=_TAGS.markup,
    parsers=("longcat",),
)
