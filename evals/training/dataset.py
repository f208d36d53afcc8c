"""The training questions: generated from the catalogue, seeded, the same on every machine.

`catalogue/*.yaml` holds what a person would ask of each tool (phrases with slots), value pools for
the slots, and questions that want words. The tools' schemas come from `cases/tools/`, so that the
cases and the training speak of the same tools; case prompts themselves never enter the data.

A row is one conversation: `{"messages": [...], "tools": [...]}` with calls in OpenAI's form. Up to
four unrelated exchanges share one set of tools, because the tools are most of a prompt's tokens.
"""

import copy
import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from evals.training.rows import Row

CATALOGUE = Path(__file__).with_name("catalogue")
SYSTEM = "You are a helpful assistant."

# Shares of the exchanges. Calls make 70 %; the rest is answered in words.
KINDS = {
    "call": 0.55,
    "parallel": 0.12,
    "followed": 0.06,
    "answer": 0.10,
    "smalltalk": 0.02,
    "refusal": 0.03,
    "no_fit": 0.07,
    "ask_back": 0.05,
}
ZERO_PARAMETER_SHARE = 0.22
RENAMED_SHARE = 0.35
NULLABLE_SHARE = 0.1

_SLOT = re.compile(r"\{([a-z0-9_]+(?:#\d)?)\}")

Schema = dict[str, Any]


@dataclass(frozen=True)
class Wording:
    """One way to ask for one call: the question and the arguments, both with slots."""

    ask: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Tool:
    """A tool of the catalogue with everything that is said about it.

    An area is a file of the catalogue; it has several domains, and its tools share value pools.
    """

    name: str
    area: str
    domain: str
    schema: Schema
    wordings: tuple[Wording, ...]
    missing: tuple[tuple[str, str], ...]
    result: str | None
    reply: str | None
    pools: Mapping[str, Any]

    @property
    def takes_nothing(self) -> bool:
        """Whether the tool has no parameters at all."""
        return not self.schema["function"]["parameters"]["properties"]


@dataclass(frozen=True)
class Catalogue:
    """All tools and all questions that want words."""

    tools: tuple[Tool, ...]
    answers: Mapping[str, list[tuple[str, str]]]
    no_fit: tuple[str, ...]
    rivals: tuple[frozenset[str], ...]
    synonyms: Mapping[str, Mapping[str, list[str]]]


@dataclass
class _Values:
    """Slot values of one exchange: drawn once, then the same wherever the slot stands."""

    pools: Mapping[str, Any]
    random: random.Random
    drawn: dict[str, tuple[str, Any]] = field(default_factory=dict)
    listed: str | None = None

    def fill(self, template: Any) -> Any:
        """`template` with slots replaced; a value that is exactly one slot keeps its type."""
        if isinstance(template, dict):
            return {key: self.fill(value) for key, value in template.items()}
        if isinstance(template, list):
            return [self.fill(value) for value in template]
        if not isinstance(template, str):
            return template
        whole = _SLOT.fullmatch(template)
        if whole:
            return copy.deepcopy(self._slot(whole[1])[1])
        return _SLOT.sub(lambda match: _text(self._slot(match[1])[1]), template)

    def variants(self, slot: str, count: int) -> "list[_Values]":
        """`count` copies that differ in the value of `slot` alone, where its pool has so many."""
        if not isinstance(self.drawn[slot][1], str | int | float):
            return [self]
        copies: dict[str, _Values] = {}
        for _ in range(20):
            if len(copies) < count:
                drawn = self._draw(slot.partition("#")[0])
                copies[drawn[0]] = replace(self, drawn={**self.drawn, slot: drawn}, listed=slot)
        return list(copies.values())

    def say(self, template: str) -> str:
        """`template` with slots replaced by what a person would say for them."""
        return _SLOT.sub(lambda match: self._slot(match[1])[0], template)

    def _slot(self, name: str) -> tuple[str, Any]:
        if name not in self.drawn:
            self.drawn[name] = self._draw(name.partition("#")[0])
        return self.drawn[name]

    def _draw(self, pool: str) -> tuple[str, Any]:
        entry = self.pools[pool]
        if isinstance(entry, list):
            choice = self.random.choice(entry)
            if isinstance(choice, dict) and "say" in choice:
                return _text(choice["say"]), choice["value"]
            return _text(choice), choice
        return self._draw_rule(entry)

    def _draw_rule(self, rule: Mapping[str, Any]) -> tuple[str, Any]:
        if "integer" in rule:
            number = self.random.randint(*rule["integer"])
            return str(number), number
        if "number" in rule:
            low, high, decimals = rule["number"]
            number = round(self.random.uniform(low, high), decimals)
            return str(number), number
        if "list" in rule:
            return self._draw_list(rule["list"], self.random.randint(*rule["of"]))
        text = _SLOT.sub(lambda m: self._draw(m[1].partition("#")[0])[0], rule["compose"])
        return text, text

    def _draw_list(self, pool: str, length: int) -> tuple[str, Any]:
        parts: dict[str, Any] = {}
        for _ in range(20):  # a small pool may not hold that many different values
            if len(parts) < length:
                parts.update([self._draw(pool)])
        said = list(parts)
        joined = " and ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else said[0]
        return joined, list(parts.values())


_Asked = tuple[Wording, _Values]
_PAIRS = ["{} and {}", "{} and {}", "{} and also {}", "{} as well as {}", "both {} and {}"]
# What stands between two questions, and whether the second then begins with a small letter.
_JOINERS = [
    (" ", False),
    ("\n", False),
    (" Also: ", False),
    (" Then: ", False),
    (" Plus: ", False),
    (" And ", True),
    (" After that, ", True),
    (", and ", True),
    (", then ", True),
    ("; ", True),
    (", and also ", True),
]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_catalogue(schemas: Path, folder: Path = CATALOGUE) -> Catalogue:
    """The catalogue in `folder`, with tool schemas from the YAML files in `schemas`."""
    files = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))}
    synonyms, direct = files.pop("synonyms"), files.pop("direct")
    tools = []
    for area, content in files.items():
        declared = yaml.safe_load((schemas / f"{area}.yaml").read_text())
        domains = {name: domain for domain, names in content["domains"].items() for name in names}
        tools += [
            _read_tool(name, (area, domains[name]), declared[name], said, content["pools"])
            for name, said in content["tools"].items()
        ]
    kinds = {"answer": "answers", "refusal": "refusals", "smalltalk": "smalltalk"}
    answers = {
        kind: [(ask, pair["reply"]) for pair in direct[key] for ask in pair["ask"]]
        for kind, key in kinds.items()
    }
    rivals = [frozenset(group) for content in files.values() for group in content.get("rivals", [])]
    return Catalogue(tuple(tools), answers, tuple(direct["no_fit"]), tuple(rivals), synonyms)


def _read_tool(
    name: str,
    place: tuple[str, str],
    declared: Schema,
    said: Mapping[str, Any],
    pools: Mapping[str, Any],
) -> Tool:
    wordings = tuple(
        Wording(ask, phrase.get("call") or {})
        for phrase in said["phrases"]
        for ask in phrase["ask"]
    )
    missing = tuple(
        (ask, entry["reply"]) for entry in said.get("missing") or [] for ask in entry["ask"]
    )
    schema = {"type": "function", "function": {"name": name, **declared}}
    return Tool(
        name, *place, schema, wordings, missing, said.get("result"), said.get("reply"), pools
    )


def split(catalogue: Catalogue, *, every: int = 8) -> tuple[Catalogue, Catalogue]:
    """The catalogue in two: training, and validation by wordings that training never has."""

    def held(text: str) -> bool:
        return int(hashlib.sha256(text.encode()).hexdigest(), 16) % every == 0

    def part(validation: bool) -> Catalogue:
        tools = []
        for tool in catalogue.tools:
            wordings = tuple(w for w in tool.wordings if held(w.ask) == validation)
            missing = tuple(pair for pair in tool.missing if held(pair[0]) == validation)
            tools.append(replace(tool, wordings=wordings or tool.wordings[-1:], missing=missing))
        answers = {
            kind: [pair for pair in pairs if held(pair[0]) == validation]
            for kind, pairs in catalogue.answers.items()
        }
        return replace(catalogue, tools=tuple(tools), answers=answers)

    return part(False), part(True)


def generate(catalogue: Catalogue, *, exchanges: int, seed: int) -> list[Row]:
    """Rows with at least `exchanges` question-and-answer exchanges in all."""
    generator = _Generator(catalogue, random.Random(seed))
    rows: list[Row] = []
    done = 0
    while done < exchanges:
        row, count = generator.row()
        rows.append(row)
        done += count
    return rows


class _Generator:
    def __init__(self, catalogue: Catalogue, source: random.Random):
        self.catalogue = catalogue
        self.random = source

    def row(self) -> tuple[Row, int]:
        """One conversation and its number of exchanges.

        The first two decide which tools are on offer; later ones ask for any of these.
        """
        kinds = self.random.choices(
            list(KINDS), list(KINDS.values()), k=self.random.choice([1, 1, 2, 3, 4, 5, 6])
        )
        wanted = [self._wanted(kind, self.catalogue.tools) for kind in kinds[:2]]
        offered = self._offered([tool for tools in wanted for tool in tools])
        wanted += [self._wanted(kind, offered) for kind in kinds[2:]]
        names = {tool.name: self._disguise(tool) for tool in offered}
        messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
        for kind, tools in zip(kinds, wanted, strict=True):
            messages += self._exchange(kind, tools, offered, names)
        schemas = [names[tool.name].schema for tool in offered]
        self.random.shuffle(schemas)
        row: Row = {"messages": messages}
        if schemas:
            row["tools"] = schemas
        return row, len(kinds)

    def _wanted(self, kind: str, tools: Sequence[Tool]) -> list[Tool]:
        """What an exchange of this kind asks for, of `tools`; nothing where none of them fits."""
        if kind == "call":
            empty = self._chance(ZERO_PARAMETER_SHARE)
            fitting = [t for t in tools if t.takes_nothing == empty] or list(tools)
        elif kind == "parallel":
            return self._wanted_together(tools)
        elif kind == "followed":
            fitting = [t for t in tools if t.result and t.reply]
        elif kind == "ask_back":
            fitting = [t for t in tools if t.missing]
        else:
            fitting = []
        return [self.random.choice(fitting)] if fitting else []

    def _wanted_together(self, tools: Sequence[Tool]) -> list[Tool]:
        """Two different tools, or one with arguments that is called two or three times."""
        if not tools:
            return []
        first = self.random.choice(tools)
        others = [t for t in tools if t is not first and not self._rival(t, {first.name: first})]
        if others and (first.takes_nothing or self._chance(0.5)):
            return [first, self.random.choice(others)]
        return [first] * (1 if first.takes_nothing else self.random.choice([2, 2, 3]))

    def _offered(self, wanted: list[Tool]) -> list[Tool]:
        offered = {tool.name: tool for tool in wanted}
        if not wanted and self._chance(0.1):
            return []
        size = max(len(offered), self.random.choice([1, 2, 2, 3, 3, 4, 4, 5, 8]))
        domains = {tool.domain for tool in wanted}
        near = [tool for tool in self.catalogue.tools if tool.domain in domains]
        while len(offered) < size:
            pool = near if near and self._chance(0.6) else self.catalogue.tools
            tool = self.random.choice(pool)
            if not self._rival(tool, offered):
                offered[tool.name] = tool
        return list(offered.values())

    def _rival(self, tool: Tool, offered: Mapping[str, Tool]) -> bool:
        return any(tool.name in group and group & offered.keys() for group in self.catalogue.rivals)

    def _exchange(
        self, kind: str, tools: list[Tool], offered: list[Tool], names: Mapping[str, "_Disguise"]
    ) -> list[dict[str, Any]]:
        if kind in self.catalogue.answers or (kind != "no_fit" and not tools):
            ask, reply = self.random.choice(
                self.catalogue.answers.get(kind) or self.catalogue.answers["answer"]
            )
            return _turns(ask, reply)
        if kind == "no_fit":
            return self._no_fit(offered)
        if kind == "ask_back":
            ask, reply = self.random.choice(tools[0].missing)
            return _turns(ask, reply)
        return self._calls(kind, tools, names)

    def _calls(
        self, kind: str, tools: list[Tool], names: Mapping[str, "_Disguise"]
    ) -> list[dict[str, Any]]:
        asked = self._asked(tools)
        calls = [
            names[tool.name].call(values.fill(dict(wording.arguments)))
            for tool, (wording, values) in zip(tools, asked, strict=False)  # a small pool: fewer
        ]
        turns: list[dict[str, Any]] = [
            {"role": "user", "content": self._question(asked)},
            {"role": "assistant", "content": "", "tool_calls": calls},
        ]
        if kind == "followed":
            tool, (_, values) = tools[0], asked[0]
            assert tool.result
            assert tool.reply
            result = _SLOT.sub(lambda m: _text(values.fill("{" + m[1] + "}")), tool.result)
            turns.append({"role": "tool", "content": result})
            turns.append({"role": "assistant", "content": values.say(tool.reply)})
        return turns

    def _asked(self, tools: list[Tool]) -> list[_Asked]:
        """What is asked of each tool: a wording and its values.

        Of one tool it is often one wording with a list: "the prices of MSFT and AMD".
        """
        one = tools[0]
        if len(tools) > 1 and all(tool is one for tool in tools) and self._chance(0.6):
            listable = [(w, slot) for w in one.wordings if (slot := _listable_slot(w))]
            if listable:
                wording, slot = self.random.choice(listable)
                first = _Values(one.pools, self.random)
                first.say(wording.ask)
                return [(wording, v) for v in first.variants(slot, len(tools))]
        return [
            (self.random.choice(tool.wordings), _Values(tool.pools, self.random)) for tool in tools
        ]

    def _question(self, asked: list[_Asked]) -> str:
        wording, first = asked[0]
        if len(asked) > 1 and first.listed:
            said = [values.say("{" + first.listed + "}") for _, values in asked]
            pair = self.random.choice(_PAIRS) if len(said) == 2 else "{} and {}"
            listed = pair.format(", ".join(said[:-1]), said[-1])
            return first.say(wording.ask.replace("{" + first.listed + "}", listed))
        return self._join([(w.ask, values.say(w.ask)) for w, values in asked])

    def _join(self, asks: list[tuple[str, str]]) -> str:
        """Questions as one; `asks` are pairs of template and text."""
        text = asks[0][1]
        for template, ask in asks[1:]:
            joiner, lowers = self.random.choice(_JOINERS)
            if joiner[0] in ",;":
                text = text.rstrip(" .?!")
            elif joiner != "\n" and text[-1] not in ".?!":
                text += "."
            if lowers and _starts_plainly(template):
                ask = ask[0].lower() + ask[1:]
            text += joiner + ask
        return text

    def _no_fit(self, offered: list[Tool]) -> list[dict[str, Any]]:
        areas = {tool.area for tool in offered}
        others = [tool for tool in self.catalogue.tools if tool.area not in areas]
        if not others:
            ask, reply = self.random.choice(self.catalogue.answers["answer"])
            return _turns(ask, reply)
        tool = self.random.choice(others)
        ask = _Values(tool.pools, self.random).say(self.random.choice(tool.wordings).ask)
        return _turns(ask, self.random.choice(self.catalogue.no_fit))

    def _disguise(self, tool: Tool) -> "_Disguise":
        if not self._chance(RENAMED_SHARE):
            return _Disguise.plain(tool)
        function = tool.schema["function"]
        style = self.random.choice(["snake", "snake", "camel", "kebab", "pascal"])
        words = _words(function["name"])
        words[0] = self._synonym("verbs", words[0], 0.5)
        if len(words) == 2 and self._chance(0.2):
            words.reverse()
        parameters = {
            key: _spell(_words(self._synonym("parameters", key, 0.5)), style)
            for key in function["parameters"]["properties"]
        }
        if len(set(parameters.values())) < len(parameters):
            parameters = {key: key for key in parameters}
        described = self._chance(0.85)
        disguise = _Disguise.of(tool, _spell(words, style), parameters, described=described)
        return disguise.nullable(self.random) if self._chance(NULLABLE_SHARE) else disguise

    def _synonym(self, kind: str, word: str, chance: float) -> str:
        choices = self.catalogue.synonyms[kind].get(word, [])
        return self.random.choice(choices) if choices and self._chance(chance) else word

    def _chance(self, share: float) -> bool:
        return self.random.random() < share


@dataclass(frozen=True)
class _Disguise:
    """A tool under the names that one row gives it."""

    schema: Schema
    parameters: Mapping[str, str]

    @classmethod
    def plain(cls, tool: Tool) -> "_Disguise":
        properties = tool.schema["function"]["parameters"]["properties"]
        return cls(tool.schema, {key: key for key in properties})

    @classmethod
    def of(
        cls, tool: Tool, name: str, parameters: Mapping[str, str], *, described: bool
    ) -> "_Disguise":
        function = copy.deepcopy(tool.schema["function"])
        function["name"] = name
        schema = function["parameters"]
        schema["properties"] = {parameters[k]: v for k, v in schema["properties"].items()}
        if "required" in schema:
            schema["required"] = [parameters[key] for key in schema["required"]]
        if not described:
            function.pop("description", None)
        return cls({"type": "function", "function": function}, parameters)

    def nullable(self, source: random.Random) -> "_Disguise":
        """With null allowed for its optional parameters, in one of JSON Schema's two spellings."""
        schema = copy.deepcopy(self.schema)
        declared = schema["function"]["parameters"]
        spelling = source.choice(["anyOf", "type"])
        for key, value in declared["properties"].items():
            if key in declared.get("required", ()) or "enum" in value or "type" not in value:
                continue
            if spelling == "type":
                value["type"] = [value["type"], "null"]
            else:
                declared["properties"][key] = {"anyOf": [value, {"type": "null"}]}
        return _Disguise(schema, self.parameters)

    def call(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The call in OpenAI's form, with arguments in the schema's order."""
        ordered = {new: arguments[old] for old, new in self.parameters.items() if old in arguments}
        return {
            "type": "function",
            "function": {
                "name": self.schema["function"]["name"],
                "arguments": json.dumps(ordered, ensure_ascii=False),
            },
        }


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)]


def _spell(words: list[str], style: str) -> str:
    flat = [part for word in words for part in word.split("_")]
    if style == "camel":
        return flat[0] + "".join(word.capitalize() for word in flat[1:])
    if style == "pascal":
        return "".join(word.capitalize() for word in flat)
    return ("-" if style == "kebab" else "_").join(flat)


def _turns(ask: str, reply: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": reply}]


def _starts_plainly(template: str) -> bool:
    """Whether the first letter is a capital only because it starts the sentence."""
    first = template.split(" ", 1)[0]
    return first[0].isupper() and first[1:].islower() and first[1:2] != "'"


def _listable_slot(wording: Wording) -> str | None:
    """The slot of `wording` that alone fills one argument and can stand as a list in the text."""
    slots = _SLOT.findall(wording.ask)
    whole = [
        m[1] for v in wording.arguments.values() if isinstance(v, str) and (m := _SLOT.fullmatch(v))
    ]
    return whole[0] if len(slots) == 1 and whole == slots else None


def digest(rows: list[Row]) -> str:
    """sha256 of the rows' canonical JSON; recorded beside every adapter trained on them."""
    lines = "\n".join(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()
