"""What a person would ask of each tool, and what wants words.

`catalogue/*.yaml` holds phrases with slots, value pools for the slots, and questions that want
words: about anything, or near to what an available tool does. The tools' schemas come from
`cases/tools/`, so that the cases and the training speak of the same tools.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from evals.training.slots import SLOT
from evals.yaml_text import Loader

CATALOGUE = Path(__file__).with_name("catalogue")

Schema = dict[str, Any]
Pairs = Sequence[tuple[str, str]]
"""Questions with their replies."""
Synonyms = Mapping[str, Mapping[str, list[str]]]
"""Other words for a `verbs` word or a name in `parameters`."""


@dataclass(frozen=True)
class Wording:
    """One way to ask for one call: the question and the arguments, both with slots."""

    ask: str
    arguments: Mapping[str, Any]

    def listable_slot(self) -> str | None:
        """The slot that alone fills one argument and can stand as a list in the question."""
        slots = SLOT.findall(self.ask)
        texts = (value for value in self.arguments.values() if isinstance(value, str))
        whole = [match[1] for text in texts if (match := SLOT.fullmatch(text))]
        return whole[0] if len(slots) == 1 and whole == slots else None


@dataclass(frozen=True)
class CatalogueTool:
    """A tool of the catalogue with everything that is said about it.

    An area is a file of the catalogue; it has several domains, and its tools share value pools.
    """

    name: str
    area: str
    domain: str
    schema: Schema
    wordings: tuple[Wording, ...]
    missing: Pairs
    result: str | None
    reply: str | None
    pools: Mapping[str, Any]

    @property
    def takes_nothing(self) -> bool:
        """Whether the tool has no parameters at all."""
        return not self.schema["function"]["parameters"]["properties"]


@dataclass(frozen=True)
class Catalogue:
    """All tools and all questions that want words.

    `near_misses` holds those about a domain, where only the words are like a call. A question of
    any other domain fits no tool on offer, unless one of the tools `for_anything` is among them.
    """

    tools: tuple[CatalogueTool, ...]
    answers: Mapping[str, Pairs]
    near_misses: Mapping[str, Pairs]
    no_fit: tuple[str, ...]
    rivals: tuple[frozenset[str], ...]
    for_anything: frozenset[str]
    synonyms: Synonyms


def read_catalogue(schemas: Path, folder: Path = CATALOGUE) -> Catalogue:
    """The catalogue in `folder`, with tool schemas from the YAML files in `schemas`."""
    files = {path.stem: _load(path) for path in sorted(folder.glob("*.yaml"))}
    synonyms, direct = files.pop("synonyms"), files.pop("direct")
    tools = []
    for area, content in files.items():
        declared = _load(schemas / f"{area}.yaml")
        domains = {name: domain for domain, names in content["domains"].items() for name in names}
        tools += [
            _read_tool(name, (area, domains[name]), declared[name], said, content["pools"])
            for name, said in content["tools"].items()
        ]
    near_misses = {
        domain: _pairs(entries)
        for content in files.values()
        for domain, entries in content["near_misses"].items()
    }
    kinds = {"answer": "answers", "refusal": "refusals", "smalltalk": "smalltalk"}
    answers = {kind: _pairs(direct[key]) for kind, key in kinds.items()}
    rivals = [frozenset(group) for content in files.values() for group in content.get("rivals", [])]
    return Catalogue(
        tuple(tools),
        answers,
        near_misses,
        tuple(direct["no_fit"]),
        tuple(rivals),
        frozenset(chain.from_iterable(c.get("for_anything", []) for c in files.values())),
        synonyms,
    )


def _pairs(entries: Sequence[Mapping[str, Any]]) -> Pairs:
    return [(ask, entry["reply"]) for entry in entries for ask in entry["ask"]]


def _read_tool(
    name: str,
    place: tuple[str, str],
    declared: Schema,
    said: Mapping[str, Any],
    pools: Mapping[str, Any],
) -> CatalogueTool:
    wordings = tuple(
        Wording(ask, phrase.get("call") or {})
        for phrase in said["phrases"]
        for ask in phrase["ask"]
    )
    missing = _pairs(said.get("missing") or [])
    schema = {"type": "function", "function": {"name": name, **declared}}
    return CatalogueTool(
        name, *place, schema, wordings, missing, said.get("result"), said.get("reply"), pools
    )


def _load(file: Path) -> Any:
    """As case files are read: a schema must mean the same in training and when it is asked."""
    return yaml.load(file.read_text(encoding="utf-8"), Loader)


def split(catalogue: Catalogue, *, every: int = 8) -> tuple[Catalogue, Catalogue]:
    """The catalogue in two: training, and validation by wordings that training never has."""

    def held(text: str) -> bool:
        return int(hashlib.sha256(text.encode()).hexdigest(), 16) % every == 0

    def part(validation: bool) -> Catalogue:
        def kept(pairs: Pairs) -> Pairs:
            return [pair for pair in pairs if held(pair[0]) == validation]

        tools = []
        for tool in catalogue.tools:
            wordings = tuple(w for w in tool.wordings if held(w.ask) == validation)
            wordings = wordings or tool.wordings[-1:]
            tools.append(replace(tool, wordings=wordings, missing=kept(tool.missing)))
        return replace(
            catalogue,
            tools=tuple(tools),
            answers={kind: kept(pairs) for kind, pairs in catalogue.answers.items()},
            near_misses={domain: kept(pairs) for domain, pairs in catalogue.near_misses.items()},
        )

    return part(False), part(True)
