"""Tools composed of parts, each row's under names of its own.

A row draws how its tools are spelled, how much they are described and what their parameters are
called, so that the same request goes to differently named tools and only the list tells which.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.training.parts import Action, Attribute, Parts, plural
from evals.training.spelling import (
    Spelling,
    choice_name,
    draw_nouns,
    parameter_name,
    tool_name,
)

_GROUPS = ("details", "options", "data", "request", "fields")


@dataclass(frozen=True)
class Parameter:
    """A parameter of one row's tool; `identity` says how the thing that is meant is told.

    `spelled` has what the schema calls each of a choice, `fields` are those of an object.
    """

    attribute: Attribute | None
    name: str
    schema: Mapping[str, Any]
    required: bool
    spelled: Mapping[str, str | int] = field(default_factory=dict)
    fields: "tuple[Parameter, ...]" = ()
    identity: str = ""

    @property
    def label(self) -> str:
        """What a person would call it."""
        return self.attribute.label if self.attribute else self.identity

    @property
    def missable(self) -> bool:
        """Whether a request that does not say it can only be asked back about."""
        return self.required and not (self.attribute and self.attribute.flag)


@dataclass(frozen=True)
class ComposedTool:
    """An action as one row's tool; with `group`, what it takes but the thing is in an object."""

    action: Action
    schema: dict[str, Any]
    parameters: tuple[Parameter, ...]
    group: str

    @property
    def name(self) -> str:
        """What the row calls it."""
        return str(self.schema["function"]["name"])

    def call(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The call in OpenAI's form."""
        function = {"name": self.name, "arguments": json.dumps(arguments, ensure_ascii=False)}
        return {"type": "function", "function": function}


class Composer:
    """Draws tools from `parts`."""

    def __init__(self, parts: Parts, source: random.Random):
        self.parts = parts
        self.random = source

    def tool(self, action: Action, spelling: Spelling) -> ComposedTool:
        """`action` as a tool in this spelling."""
        parameters = self._parameters(action, spelling)
        group = ""
        rest = [p for p in parameters if not p.identity]
        if len(rest) > 1 and self._chance(0.1):
            group = self.random.choice(_GROUPS)
        function: dict[str, Any] = {"name": tool_name(action, spelling, self.random)}
        if self._chance(spelling.described):
            function["description"] = self._describe(action)
        function["parameters"] = _declared(parameters, group)
        return ComposedTool(
            action, {"type": "function", "function": function}, tuple(parameters), group
        )

    def _parameters(self, action: Action, spelling: Spelling) -> list[Parameter]:
        """What the tool takes, in a drawn order, with the thing itself first where one is meant."""
        parameters: list[Parameter] = []
        taken: set[str] = set()
        for attribute, required in self._wanted(action):
            if attribute is None:
                parameter = self._identity(action, spelling)
            else:
                parameter = self._parameter(attribute, spelling, taken, required=required)
            taken.add(parameter.name)
            parameters.append(parameter)
        if self._chance(0.15):
            self.random.shuffle(parameters)
        return parameters

    def _wanted(self, action: Action) -> Iterator[tuple[Attribute | None, bool]]:
        """The attributes that a call takes and whether each is required; None is the thing."""
        takes = action.verb.takes
        if takes == "none":
            return
        if takes == "many":
            yield from self._filters(action)
            return
        if takes == "new":
            yield from self._chosen(action, [1, 2, 3, 3, 4], required=0.6)
            return
        for written in takes:
            if written == "one":
                yield None, True
            elif written == "own":
                yield from self._chosen(action, [1, 1, 2, 3], required=0.3)
            else:
                yield self.parts.attribute(written), not written.endswith("?")

    def _chosen(
        self, action: Action, sizes: Sequence[int], *, required: float
    ) -> Iterator[tuple[Attribute, bool]]:
        """Some of what the thing has, and what any of its sort may have; the first is required."""
        has = list(action.thing.has)
        chosen = self.random.sample(has, min(len(has), self.random.choice(sizes)))
        extras = self.parts.extras[action.thing.sort]
        chosen += self.random.sample(extras, self.random.choice([0, 0, 1, 1, 2]))
        if self._chance(0.3):
            self.random.shuffle(chosen)
        for i, attribute in enumerate(chosen):
            yield attribute, i == 0 or self._chance(required)

    def _filters(self, action: Action) -> Iterator[tuple[Attribute, bool]]:
        general = [self.parts.attributes[key] for key in ("limit", "since")]
        extras = self.parts.extras[action.thing.sort]
        pool = [*(a for a in (*action.thing.has, *extras) if a.choice), *general]
        for attribute in self.random.sample(pool, self.random.choice([0, 0, 0, 1, 1, 2])):
            yield attribute, False

    def _identity(self, action: Action, spelling: Spelling) -> Parameter:
        kind = self.random.choice(
            ["code", "code", "number", "number", "number", "name", "place", "codes", "numbers"]
        )
        noun = action.thing.nouns[0]
        names = {
            "code": [f"{noun} id", "id", f"{noun} code", "reference", f"{noun} ref", "code", noun],
            "number": [f"{noun} id", f"{noun} number", "number", noun, noun, f"{noun} no", "nr"],
            "name": ["name", f"{noun} name", noun, "title", "which"],
            "place": ["location", "place", "where", f"{noun} location", "position"],
            "codes": [f"{plural(noun)}", "ids", f"{noun} ids", "references"],
            "numbers": [f"{plural(noun)}", "numbers", f"{noun} numbers", "which"],
        }[kind]
        types: dict[str, dict[str, Any]] = {
            "number": {"type": "integer"},
            "codes": {"type": "array", "items": {"type": "string"}},
            "numbers": {"type": "array", "items": {"type": "integer"}},
        }
        schema = dict(types.get(kind, {"type": "string"}))
        if self._chance(spelling.explained):
            schema["description"] = self.random.choice(
                [f"Which {noun}", f"The {noun}", f"{kind.capitalize()} of the {noun}"]
            )
        name = parameter_name(self.random.choice(names).split(), spelling)
        return Parameter(None, name, schema, required=True, identity=kind)

    def _parameter(
        self, attribute: Attribute, spelling: Spelling, taken: set[str], *, required: bool
    ) -> Parameter:
        names = [parameter_name(name.split("_"), spelling) for name in attribute.names]
        name = next(
            (n for n in self.random.sample(names, len(names)) if n not in taken),
            f"{names[0]}{len(taken)}",
        )
        schema, spelled, fields = self._schema(attribute, spelling)
        if attribute.several:
            schema = {"type": "array", "items": schema}
        if self._chance(spelling.explained) or spelling.opaque:
            schema["description"] = self.random.choice(attribute.about)
        if not required:
            schema = self._optional(schema)
        return Parameter(attribute, name, schema, required, spelled, fields)

    def _schema(
        self, attribute: Attribute, spelling: Spelling
    ) -> tuple[dict[str, Any], dict[str, str | int], tuple[Parameter, ...]]:
        """The schema of one value, how it spells what is said of a choice, an object's fields."""
        if attribute.flag:
            return {"type": "boolean"}, {}, ()
        if attribute.choice:
            spelled = {
                said: attribute.codes.get(said) or choice_name(said, spelling)
                for said in attribute.choice
            }
            kind = "integer" if isinstance(spelled[attribute.choice[0]], int) else "string"
            return {"type": kind, "enum": list(spelled.values())}, spelled, ()
        if attribute.fields:
            fields: list[Parameter] = []
            for part in attribute.fields:
                required = not fields or bool(attribute.several) or self._chance(0.7)
                taken = {p.name for p in fields}
                fields.append(self._parameter(part, spelling, taken, required=required))
            return _object(fields), {}, tuple(fields)
        schema: dict[str, Any] = {"type": _type(self.parts, attribute.pool)}
        if schema["type"] != "string" and self._chance(0.15):
            schema["minimum"] = 0
        return schema, {}, ()

    def _optional(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "enum" in schema:
            return schema
        drawn = self.random.random()
        if drawn < 0.06:
            return {"anyOf": [schema, {"type": "null"}]}
        if drawn < 0.12:
            return {**schema, "type": [schema["type"], "null"]}
        if drawn < 0.5 and schema["type"] in ("integer", "boolean"):
            default: Any = False if schema["type"] == "boolean" else self.random.choice([1, 10, 20])
            return {**schema, "default": default}
        return schema

    def _describe(self, action: Action) -> str:
        text = self.random.choice(action.verb.describes).format(**draw_nouns(action, self.random))
        if self._chance(0.15):
            text = f"{text.rstrip('.')} ({action.thing.domain})."
        return text

    def _chance(self, share: float) -> bool:
        return self.random.random() < share


def _declared(parameters: Sequence[Parameter], group: str) -> dict[str, Any]:
    """The JSON schema of the parameters, those of a group in an object of their own."""
    if not group:
        return _object(parameters)
    outer = [p for p in parameters if p.identity]
    inner = [p for p in parameters if not p.identity]
    schema = _object(outer)
    schema["properties"][group] = _object(inner)
    if "required" in schema["properties"][group]:
        schema["required"] = [*schema.get("required", ()), group]
    return schema


def _object(parameters: Sequence[Parameter]) -> dict[str, Any]:
    required = [p.name for p in parameters if p.required]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {p.name: dict(p.schema) for p in parameters},
    }
    return {**schema, "required": required} if required else schema


def _type(parts: Parts, pool: str) -> str:
    """The JSON type of a pool's values."""
    rule = parts.pools[pool]
    if isinstance(rule, list):
        first = rule[0]
        value = first["value"] if isinstance(first, dict) else first
        return "integer" if isinstance(value, int) else "string"
    if "any" in rule:
        types = [_type(parts, one) for one in rule["any"]]
        return "number" if "number" in types else types[0]
    return "integer" if "integer" in rule else "number" if "number" in rule else "string"
