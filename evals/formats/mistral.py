"""Mistral: `[TOOL_CALLS]` with a JSON list of calls, or with a name and its arguments."""

import re
from collections.abc import Sequence

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section, skip_space
from evals.formats.json_object import call_problem, json_at
from evals.formats.reading import json_call

OPEN = "[TOOL_CALLS]"

_NAME = re.compile(r"\s*([\w.-]+)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?=\{)")


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section:
    inside = skip_space(body, start + len(OPEN))
    if body.startswith("[", inside):
        values, end = json_at(body, inside, "")
    elif name := _NAME.match(body, inside):
        arguments, end = json_at(body, name.end(), "")
        values = [{"name": name.group(1), "arguments": arguments}]
    else:
        raise Broken(f"neither a list of calls nor a name follows {OPEN}", len(body), cut=True)
    for value in values:
        if problem := call_problem(value):
            raise Broken(problem, end)
    return Section([json_call(v["name"], v["arguments"], MISTRAL.name, tools) for v in values], end)


MISTRAL = CallFormat(
    "mistral",
    doc='`[TOOL_CALLS][{"name": …, "arguments": {…}}]`, or `[TOOL_CALLS]f[ARGS]{…}`',
    openings=(Opening(OPEN, _read),),
    markup=(OPEN,),
    template="mistral",
    parsers=("mistral",),
)
