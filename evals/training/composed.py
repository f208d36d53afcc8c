"""Tools composed of parts, each row's under names of its own, and what a person asks of them.

A row draws how its tools are spelled, how much they are described and what their parameters are
called, so that the same request goes to differently named tools and only the list tells which.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.training.disguise import spell
from evals.training.parts import Action, Attribute, Parts, plural, with_article
from evals.training.slots import Values

STYLES = ("snake", "snake", "snake", "camel", "camel", "kebab", "pascal", "dot", "lower")
_GROUPS = ("details", "options", "data", "request", "fields")
_GREETINGS = ("Hi, ", "Hello! ", "Hey, ", "Good morning. ", "Quick one: ", "Next: ", "OK, ")
_THANKS = (" Thanks!", " Thank you.", " Cheers.", " That's all.", " It's important.")


@dataclass(frozen=True)
class Spelling:
    """How one row spells its tools."""

    style: str
    prefixed: bool
    opaque: bool
    noun_first: bool
    described: float
    explained: float
    loud_choices: bool

    @classmethod
    def drawn(cls, source: random.Random) -> "Spelling":
        """A spelling; names that say nothing come with descriptions."""
        opaque = source.random() < 0.06
        described = 1.0 if opaque else source.choice([1.0, 1.0, 0.9, 0.8, 0.0])
        return cls(
            source.choice(STYLES),
            source.random() < 0.12,
            opaque,
            source.random() < 0.2,
            described,
            source.choice([0.0, 0.0, 0.3, 0.6]),
            source.random() < 0.15,
        )


@dataclass(frozen=True)
class Parameter:
    """A parameter of one row's tool; `identity` says how the thing that is meant is told."""

    attribute: Attribute | None
    name: str
    schema: Mapping[str, Any]
    required: bool
    spelled: Mapping[str, str]
    identity: str = ""

    @property
    def label(self) -> str:
        """What a person would call it."""
        return self.attribute.label if self.attribute else self.identity


@dataclass(frozen=True)
class Asked:
    """A request for one call: the text, the arguments, and what it left out though required."""

    text: str
    arguments: dict[str, Any]
    missing: tuple[Parameter, ...] = ()


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
    """Draws tools and requests from `parts`."""

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
        function: dict[str, Any] = {"name": self._name(action, spelling)}
        if self._chance(spelling.described):
            function["description"] = self._describe(action)
        function["parameters"] = _declared(parameters, group)
        return ComposedTool(
            action, {"type": "function", "function": function}, tuple(parameters), group
        )

    def ask(self, tool: ComposedTool, *, without: Parameter | None = None) -> Asked:
        """A request for one call of `tool`, in which the required `without` is not said."""
        values = Values(self.parts.pools, self.random)
        given = [p for p in tool.parameters if p is not without and self._is_given(p)]
        if tool.action.verb.takes == ("one", "own") and all(p.identity for p in given):
            given = [p for p in tool.parameters if p is not without]
        noun = self._noun(tool.action)
        said: list[tuple[str, str]] = []
        arguments: dict[str, Any] = {}
        meant = f"the {noun}"
        for parameter in given:
            if parameter.identity:
                meant, value = self._identify(noun, parameter, values)
            else:
                text, value = self._value(parameter, values)
                said.append((parameter.label, text))
            self._put(arguments, tool, parameter, value)
        text = self._sentence(tool.action, noun, meant, said)
        return Asked(text, arguments, (without,) if without else ())

    def nouns(self, action: Action) -> dict[str, str]:
        """What stands for {noun}, {a}, {all} and {one} in texts about `action`."""
        noun = self._noun(action)
        return {
            "noun": noun,
            "a": with_article(noun),
            "all": plural(noun),
            "one": f"the {noun}",
        }

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
        takes, has = action.verb.takes, list(action.thing.has)
        if takes == "none":
            return
        if takes == "many":
            yield from self._filters(has)
            return
        if takes == "new":
            chosen = self.random.sample(has, min(len(has), self.random.choice([1, 2, 2, 3, 4])))
            for i, attribute in enumerate(chosen):
                yield attribute, i == 0 or self._chance(0.6)
            return
        for written in takes:
            if written == "one":
                yield None, True
            elif written == "own":
                chosen = self.random.sample(has, min(len(has), self.random.choice([1, 1, 2, 3])))
                for i, attribute in enumerate(chosen):
                    yield attribute, i == 0 or self._chance(0.3)
            else:
                yield self.parts.attribute(written), not written.endswith("?")

    def _filters(self, has: list[Attribute]) -> Iterator[tuple[Attribute, bool]]:
        general = [self.parts.attributes[key] for key in ("limit", "since")]
        choices = [attribute for attribute in has if attribute.choice]
        pool = [*choices, *general]
        for attribute in self.random.sample(pool, self.random.choice([0, 0, 0, 1, 1, 2])):
            yield attribute, False

    def _identity(self, action: Action, spelling: Spelling) -> Parameter:
        kind = self.random.choice(["code", "code", "number", "number", "name", "place", "codes"])
        noun = action.thing.nouns[0]
        names = {
            "code": [f"{noun} id", "id", f"{noun} code", "reference", f"{noun} ref", "code", noun],
            "number": [f"{noun} id", f"{noun} number", "number", "id", f"{noun} no", "nr"],
            "name": ["name", f"{noun} name", noun, "title", "which"],
            "place": ["location", "place", "where", f"{noun} location", "position"],
            "codes": [f"{plural(noun)}", "ids", f"{noun} ids", "references"],
        }[kind]
        types: dict[str, dict[str, Any]] = {
            "number": {"type": "integer"},
            "codes": {"type": "array", "items": {"type": "string"}},
        }
        schema = dict(types.get(kind, {"type": "string"}))
        if self._chance(spelling.explained):
            schema["description"] = self.random.choice(
                [f"Which {noun}", f"The {noun}", f"{kind.capitalize()} of the {noun}"]
            )
        name = spell(self.random.choice(names).split(), _plain(spelling.style))
        return Parameter(None, name, schema, required=True, spelled={}, identity=kind)

    def _parameter(
        self, attribute: Attribute, spelling: Spelling, taken: set[str], *, required: bool
    ) -> Parameter:
        names = [spell(name.split("_"), _plain(spelling.style)) for name in attribute.names]
        name = next(
            (n for n in self.random.sample(names, len(names)) if n not in taken),
            f"{names[0]}{len(taken)}",
        )
        schema, spelled = self._schema(attribute, spelling)
        if self._chance(spelling.explained) or spelling.opaque:
            schema["description"] = self.random.choice(attribute.about)
        if not required:
            schema = self._optional(schema)
        return Parameter(attribute, name, schema, required, spelled)

    def _schema(
        self, attribute: Attribute, spelling: Spelling
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The schema of a value, and how it spells what is said, for a choice."""
        if attribute.flag:
            return {"type": "boolean"}, {}
        if attribute.choice:
            loud = spelling.loud_choices
            spelled = {word: word.upper() if loud else word for word in attribute.choice}
            return {"type": "string", "enum": list(spelled.values())}, spelled
        if attribute.each:
            return {"type": "array", "items": {"type": "string"}}, {}
        return {"type": _type(self.parts, attribute.pool)}, {}

    def _optional(self, schema: dict[str, Any]) -> dict[str, Any]:
        drawn = self.random.random()
        if drawn < 0.06 and "enum" not in schema:
            return {"anyOf": [schema, {"type": "null"}]}
        if drawn < 0.12 and "enum" not in schema:
            return {**schema, "type": [schema["type"], "null"]}
        if drawn < 0.5 and schema["type"] in ("integer", "boolean"):
            default: Any = False if schema["type"] == "boolean" else self.random.choice([1, 10, 20])
            return {**schema, "default": default}
        return schema

    def _name(self, action: Action, spelling: Spelling) -> str:
        if spelling.opaque:
            stem = self.random.choice(["tool", "fn", "action", "op", "api"])
            return f"{stem}_{self.random.randint(1, 99)}"
        verb = self.random.choice(action.verb.names).split("_")
        noun = self._noun(action, usual=0.8)
        if action.verb.takes in ("none", "many") and self._chance(0.7):
            noun = plural(noun)
        words = [part for word in noun.split() for part in word.split("-")]
        if len(words) > 2 or (len(words) > 1 and self._chance(0.3)):
            words = words[-1:] if self._chance(0.5) else words
        ordered = [*words, *verb] if spelling.noun_first else [*verb, *words]
        if spelling.prefixed:
            area = action.thing.domain.split()[0]
            mark = self.random.choice([".", "__", "_"])
            return f"{area}{mark}{spell(_letters(ordered), _plain(spelling.style))}"
        if spelling.style == "dot":
            return f"{spell(_letters(words), 'snake')}.{spell(verb, 'snake')}"
        return spell(_letters(ordered), spelling.style)

    def _describe(self, action: Action) -> str:
        text = self.random.choice(action.verb.describes).format(**self.nouns(action))
        if self._chance(0.15):
            text = f"{text.rstrip('.')} ({action.thing.domain})."
        return text

    def _noun(self, action: Action, usual: float = 0.6) -> str:
        first, *others = action.thing.nouns
        return first if not others or self._chance(usual) else self.random.choice(others)

    def _is_given(self, parameter: Parameter) -> bool:
        return parameter.required or self._chance(0.5)

    def _identify(self, noun: str, parameter: Parameter, values: Values) -> tuple[str, Any]:
        """How a person names one thing, and the argument for it."""
        kind = parameter.identity
        if kind == "codes":
            length = self.random.choice([1, 2, 2, 3])
            said, codes = values.draw_list("code", length)
            if len(codes) == 1:
                return f"{noun} {said}", codes
            return f"{plural(noun)} {said}", codes
        pool = {"code": "code", "number": "id", "name": "title", "place": "place"}[kind]
        said, value = values.draw(pool)
        forms = {
            "code": ["{n} {v}", "the {n} {v}", "{n} number {v}", "the {n} with the code {v}"],
            "number": ["{n} {v}", "{n} number {v}", "{n} no. {v}", "the {n} with number {v}"],
            "name": ['the {n} "{v}"', "the {n} called {v}", "{v}, the {n}", "the {n} {v}"],
            "place": ["the {n} in {v}", "the {n} at {v}"],
        }[kind]
        return self.random.choice(forms).format(n=noun, v=said), value

    def _value(self, parameter: Parameter, values: Values) -> tuple[str, Any]:
        """What is said of a parameter, and its argument."""
        attribute = parameter.attribute
        assert attribute
        if attribute.flag:
            wanted = self._chance(0.65)
            return self.random.choice(_FLAGS[wanted]).format(attribute.label), wanted
        if attribute.choice:
            word = self.random.choice(attribute.choice)
            said, value = word, parameter.spelled[word]
        elif attribute.each:
            said, value = values.draw_list(attribute.each, self.random.randint(*attribute.of))
        else:
            said, value = values.draw(attribute.pool)
            if isinstance(value, float) and value.is_integer():  # nobody says 29.0
                said, value = str(int(value)), int(value)
        form = self.random.choice(attribute.say)
        if self._chance(0.1):
            form = f"{parameter.name.replace('_', ' ').lower()} {{}}"
        return form.replace("{}", said), value

    def _put(
        self, arguments: dict[str, Any], tool: ComposedTool, parameter: Parameter, value: Any
    ) -> None:
        if tool.group and not parameter.identity:
            arguments.setdefault(tool.group, {})[parameter.name] = value
        else:
            arguments[parameter.name] = value

    def _sentence(
        self, action: Action, noun: str, meant: str, said: Sequence[tuple[str, str]]
    ) -> str:
        names = {"noun": noun, "a": with_article(noun), "all": plural(noun), "one": meant}
        template = self.random.choice(action.verb.asks)
        spoken = [text for _, text in said]
        self.random.shuffle(spoken)
        joined = self.random.choice([", ", ", ", " ", " and "]).join(spoken)
        more = f"{self.random.choice([' ', ' ', ' ', ', '])}{joined}" if joined else ""
        if more and "*" not in template:
            template += "*"
        plain = template[0] != "{"
        if spoken and plain and self._chance(0.12):
            return self._led(template, names, spoken)
        if more and self._chance(0.15):
            text = template.replace("*", "").format(**names)
            text = f"{text} {joined[0].upper()}{joined[1:]}."
        else:
            text = template.replace("*", "{more}").format(**names, more=more)
        text = text[0].upper() + text[1:]
        return self._mannered(text, plain=plain)

    def _led(self, template: str, names: Mapping[str, str], spoken: Sequence[str]) -> str:
        """The request with the first of what is said in front of it."""
        first, *others = spoken
        more = " " + ", ".join(others) if others else ""
        if "*" not in template:
            template += "*"
        text = template.replace("*", "{more}").format(**names, more=more)
        return f"{first[0].upper()}{first[1:]}{self.random.choice([', ', ': '])}{_lowered(text)}"

    def _mannered(self, text: str, *, plain: bool) -> str:
        """`text` as some people write: with a greeting, thanks, or without capital and point."""
        drawn = self.random.random()
        if drawn < 0.07:
            greeting = self.random.choice(_GREETINGS)
            return greeting + (_lowered(text) if plain and greeting.endswith(", ") else text)
        if drawn < 0.12:
            return text + self.random.choice(_THANKS)
        if drawn < 0.2 and plain:
            return _lowered(text).rstrip(".")
        return text

    def _chance(self, share: float) -> bool:
        return self.random.random() < share


_FLAGS = {
    True: ("which is {}", "and it is {}", "{}: yes", "mark it as {}"),
    False: ("which is not {}", "and it is not {}", "{}: no"),
}


def _lowered(text: str) -> str:
    """`text` with a small first letter, unless it begins with "I"."""
    return text if text[:2] in ("I ", "I'") else text[0].lower() + text[1:]


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


def _plain(style: str) -> str:
    return style if style in ("camel", "kebab") else "snake"


def _letters(words: Sequence[str]) -> list[str]:
    """Words without what no name of a function may have."""
    kept = ["".join(c for c in word.lower() if c.isalnum() and c.isascii()) for word in words]
    return [word for word in kept if word]
