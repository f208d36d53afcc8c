"""What a strict reader finds in raw model text: calls, text, and markup that is not a call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals import schema as schemas
from evals.case import Tool
from evals.json_text import parse_strict, to_text
from evals.observation import Call

# The official template itself writes these values of earlier calls as Python does.
_PYTHON = {"True": "true", "False": "false", "None": "null"}


@dataclass(frozen=True)
class ReadCall:
    """A call as the model wrote it, its arguments as JSON text typed by the tool's schema.

    `unfit` names arguments whose value is not of a type that the schema allows: they are kept as
    they were written. `either` has those whose text means one of two values, with the other one:
    their schema allows both text and what the text looks like, or says nothing.
    """

    call: Call
    format: str
    """The name of its `CallFormat`."""
    unfit: tuple[str, ...] = ()
    either: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Malformed:
    """Markup that begins a call and does not keep to its format. `cut`: the text ended in it."""

    text: str
    reason: str
    cut: bool = False


@dataclass(frozen=True)
class Reading:
    """Raw model text, read. `text` is what stands outside calls and reasoning.

    `ambiguous` says why the text can be read in more than one way; `read` is then a guess.
    """

    read: tuple[ReadCall, ...] = ()
    text: str = ""
    reasoning: str | None = None
    malformed: tuple[Malformed, ...] = ()
    ambiguous: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    """Tags with which calls begin, and that the text or the reasoning merely names."""

    @property
    def calls(self) -> tuple[Call, ...]:
        """The well-formed calls, in order."""
        return tuple(item.call for item in self.read)

    @property
    def format(self) -> str | None:
        """The format of the first call; None without calls."""
        return self.read[0].format if self.read else None

    @property
    def attempted(self) -> bool:
        """Whether the model began a call, well-formed or not."""
        return bool(self.read or self.malformed)


def typed_call(
    name: str, values: Mapping[str, str], format_: str, tools: Sequence[Tool]
) -> ReadCall:
    """A call in tags, whose values are text: each becomes JSON as the tool's schema says.

    Where the schema allows text only, or says nothing, a value is text. Otherwise it is what it is
    as JSON, if the schema allows that type; else it is text.
    """
    parameters = _parameters(name, tools)
    parts, unfit = list[str](), list[str]()
    either: dict[str, Any] = {}
    for key, text in values.items():
        types = schemas.allowed_types(schemas.child(parameters, key, parameters), parameters)
        json_text = _as_json(text, types)
        parts.append(f"{to_text(key)}: {to_text(text) if json_text is None else json_text}")
        if json_text is None and types is not None and "string" not in types:
            unfit.append(key)
        if json_text is not None and "string" in (types or ()):
            either[key] = text
        elif json_text is None and _looks_typed(text, types):
            either[key] = parse_strict(_PYTHON.get(text.strip(), text))
    call = Call(name, "{" + ", ".join(parts) + "}")
    return ReadCall(call, format_, tuple(unfit), either)


def _looks_typed(text: str, types: frozenset[str] | None) -> bool:
    """Whether a text may as well be the value that it looks like: parsers differ in these.

    It is what Python writes for a null that the schema allows, or JSON where the schema says
    nothing.
    """
    if types is not None:
        return "string" in types and "null" in types and text.strip() == "None"
    try:
        return not isinstance(parse_strict(_PYTHON.get(text.strip(), text)), str)
    except ValueError:
        return False


def json_call(
    name: str, arguments: Mapping[str, Any], format_: str, tools: Sequence[Tool]
) -> ReadCall:
    """A call whose arguments are typed already."""
    parameters = _parameters(name, tools)
    unfit = [
        key
        for key, value in arguments.items()
        if not schemas.fits(
            value, schemas.allowed_types(schemas.child(parameters, key, parameters), parameters)
        )
    ]
    return ReadCall(Call(name, to_text(arguments)), format_, tuple(unfit))


def _parameters(name: str, tools: Sequence[Tool]) -> Mapping[str, Any]:
    return next((tool.parameters for tool in tools if tool.name == name), {})


def _as_json(text: str, types: frozenset[str] | None) -> str | None:
    """`text` if it is JSON of one of the types other than string; None if it is to be text."""
    if types is None or types == {"string"}:
        return None
    if "string" not in types:
        text = _PYTHON.get(text.strip(), text)
    try:
        value = parse_strict(text)
    except ValueError:
        return None
    fitting = not isinstance(value, str) and schemas.fits(value, types)
    return text.strip() if fitting else None
