"""Tools under other names: a model has to read the available tools, not to know them by heart."""

import copy
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evals.training.catalogue import CatalogueTool, Schema, Synonyms

RENAMED_SHARE = 0.35
DESCRIBED_SHARE = 0.85
NULLABLE_SHARE = 0.1


@dataclass(frozen=True)
class Disguise:
    """A tool under the names that one row gives it."""

    schema: Schema
    parameters: Mapping[str, str]

    @classmethod
    def drawn(cls, tool: CatalogueTool, synonyms: Synonyms, source: random.Random) -> "Disguise":
        """Its own names, or others in one of four spellings."""

        def other(kind: str, word: str) -> str:
            choices = synonyms[kind].get(word, [])
            return source.choice(choices) if choices and source.random() < 0.5 else word

        if source.random() >= RENAMED_SHARE:
            return cls.plain(tool)
        function = tool.schema["function"]
        style = source.choice(["snake", "snake", "camel", "kebab", "pascal"])
        words = _words(function["name"])
        words[0] = other("verbs", words[0])
        if len(words) == 2 and source.random() < 0.2:
            words.reverse()
        parameters = {
            key: spell(_words(other("parameters", key)), style)
            for key in function["parameters"]["properties"]
        }
        if len(set(parameters.values())) < len(parameters):
            parameters = {key: key for key in parameters}
        described = source.random() < DESCRIBED_SHARE
        disguise = cls.of(tool, spell(words, style), parameters, described=described)
        return disguise.nullable(source) if source.random() < NULLABLE_SHARE else disguise

    @classmethod
    def plain(cls, tool: CatalogueTool) -> "Disguise":
        """Its own names."""
        properties = tool.schema["function"]["parameters"]["properties"]
        return cls(tool.schema, {key: key for key in properties})

    @classmethod
    def of(
        cls, tool: CatalogueTool, name: str, parameters: Mapping[str, str], *, described: bool
    ) -> "Disguise":
        """`name`, and for each of its parameters the name that `parameters` gives."""
        function = copy.deepcopy(tool.schema["function"])
        function["name"] = name
        schema = function["parameters"]
        schema["properties"] = {parameters[k]: v for k, v in schema["properties"].items()}
        if "required" in schema:
            schema["required"] = [parameters[key] for key in schema["required"]]
        if not described:
            function.pop("description", None)
        return cls({"type": "function", "function": function}, parameters)

    def nullable(self, source: random.Random) -> "Disguise":
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
        return Disguise(schema, self.parameters)

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


def spell(words: list[str], style: str) -> str:
    """Words as one name: snake, camel, kebab or pascal; `lower` runs them together."""
    flat = [part for word in words for part in word.split("_")]
    if style == "camel":
        return flat[0] + "".join(word.capitalize() for word in flat[1:])
    if style == "lower":
        return "".join(flat)
    if style == "pascal":
        return "".join(word.capitalize() for word in flat)
    return ("-" if style == "kebab" else "_").join(flat)
