"""Parts that tools and requests are composed of: things, what they have, what can be done.

`parts/*.yaml` are written by hand; a tool is a verb on a thing ("cancel" and "visit"), so sixty
domains of three things are a thousand tools, each of which a row may spell in hundreds of ways. The
validation has things of its own, in `held_things.yaml`, and wordings that training never has.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from evals.errors import ConfigError
from evals.yaml_text import Loader

PARTS = Path(__file__).with_name("parts")

_HAS = re.compile(r"(?P<key>\w+)(?:\((?P<choice>[^)]*)\)|(?P<flag>\?))?")


@dataclass(frozen=True)
class Attribute:
    """Something that a call can say: a value of a pool, of a choice, an object, or yes or no.

    With `several` it is a list of so many. `codes` are what a schema has for a choice, where that
    is not the spelled choice itself. `whole` are forms of an object with all its `fields`.
    """

    key: str
    names: tuple[str, ...]
    about: tuple[str, ...]
    say: tuple[str, ...] = ()
    pool: str = ""
    several: tuple[int, int] | None = None
    choice: tuple[str, ...] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    fields: "tuple[Attribute, ...]" = ()
    whole: tuple[str, ...] = ()
    flag: bool = False
    deny: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name as a person would say it."""
        return self.key.replace("_", " ")


@dataclass(frozen=True)
class Thing:
    """What is acted on: its domain, its sort, its nouns, the usual one first, and what it has."""

    domain: str
    sort: str
    nouns: tuple[str, ...]
    has: tuple[Attribute, ...]


@dataclass(frozen=True)
class Verb:
    """What can be done with things of some sorts; `takes` as `parts/verbs.yaml` says."""

    key: str
    sorts: tuple[str, ...]
    family: str
    takes: str | tuple[str, ...]
    names: tuple[str, ...]
    describes: tuple[str, ...]
    asks: tuple[str, ...]


@dataclass(frozen=True)
class Action:
    """One tool before it has a name: a verb on a thing."""

    verb: Verb
    thing: Thing

    def rivals(self, other: "Action") -> bool:
        """Whether a request for one could be taken for the other."""
        return bool(
            set(self.thing.nouns) & set(other.thing.nouns) and self.verb.family == other.verb.family
        )


@dataclass(frozen=True)
class Parts:
    """Everything that rows are composed of."""

    actions: tuple[Action, ...]
    attributes: Mapping[str, Attribute]
    extras: Mapping[str, tuple[Attribute, ...]]
    pools: Mapping[str, Any]

    def attribute(self, written: str) -> Attribute:
        """The attribute that a verb or a thing names: `date`, `size(S|M)` or `fragile?`.

        Raises:
            ConfigError: it is none of these, and `attributes.yaml` has no such attribute.
        """
        match = _HAS.fullmatch(written)
        if match and match["choice"]:
            return _choice(match["key"], match["choice"].split("|"))
        if match and match["flag"] and match["key"] not in self.attributes:
            return _flag(match["key"])
        key = written.removesuffix("?")
        if key not in self.attributes:
            raise ConfigError(f"parts: attributes.yaml has no attribute {written!r}")
        return self.attributes[key]


def read_parts(*, held: bool, folder: Path = PARTS) -> Parts:
    """The parts for training, or with `held` those for validation, which training never has.

    Raises:
        ConfigError: a file of the parts is not as it should be.
    """
    attributes: dict[str, Attribute] = {}
    for key, entry in _load(folder / "attributes.yaml").items():
        attributes[key] = _attribute(key, entry, attributes)
    extras = {
        sort: tuple(attributes[key] for key in keys)
        for sort, keys in _load(folder / "extras.yaml").items()
    }
    parts = Parts((), attributes, extras, _load(folder / "pools.yaml"))
    verbs = [_verb(key, entry, held) for key, entry in _load(folder / "verbs.yaml").items()]
    domains = _load(folder / ("held_things.yaml" if held else "things.yaml"))
    things = [_thing(domain, line, parts) for domain, lines in domains.items() for line in lines]
    actions = [
        Action(verb, thing) for thing in things for verb in verbs if thing.sort in verb.sorts
    ]
    return replace(parts, actions=tuple(actions))


def plural(noun: str) -> str:
    """The plural of a regular noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + "s"


def with_article(noun: str) -> str:
    """`a visit`, `an alarm`."""
    return ("an " if noun[0].lower() in "aeio" else "a ") + noun


def _attribute(key: str, entry: Mapping[str, Any], known: Mapping[str, Attribute]) -> Attribute:
    codes = entry.get("codes", {})
    several = entry.get("of")
    return Attribute(
        key,
        tuple(entry["names"]),
        tuple(entry["about"]),
        tuple(entry.get("say", ())),
        pool=entry.get("each", entry.get("pool", "")),
        several=(several[0], several[1]) if several else None,
        choice=tuple(entry.get("choice", codes)),
        codes=codes,
        fields=tuple(known[part] for part in entry.get("fields", ())),
        whole=tuple(entry.get("whole", ())),
        flag="deny" in entry,
        deny=tuple(entry.get("deny", ())),
    )


def _choice(key: str, choice: Sequence[str]) -> Attribute:
    label = key.replace("_", " ")
    say = (f"with {label} {{}}", f"{{}} as the {label}", f"{label} {{}}")
    return Attribute(
        key, (key, f"{key}_type", f"which_{key}"), (label.capitalize(),), say, choice=tuple(choice)
    )


def _flag(key: str) -> Attribute:
    label = key.replace("_", " ")
    names = (key, f"is_{key}", f"{key}_flag")
    say = (f"which is {label}", f"and it is {label}", f"{label}: yes", f"mark it as {label}")
    deny = (f"which is not {label}", f"and it is not {label}", f"{label}: no", f"not {label}")
    about = (f"Whether it is {label}", label.capitalize())
    return Attribute(key, names, about, say, flag=True, deny=deny)


def _verb(key: str, entry: Mapping[str, Any], held: bool) -> Verb:
    takes = entry["takes"]
    return Verb(
        key,
        tuple(entry["sorts"]),
        entry.get("family", key),
        takes if isinstance(takes, str) else tuple(takes),
        tuple(entry["names"]),
        tuple(entry["describes"]),
        tuple(entry["held" if held else "asks"]),
    )


def _thing(domain: str, line: str, parts: Parts) -> Thing:
    head, _, has = line.partition(":")
    sort, _, nouns = head.partition(" ")
    written = [match.group() for match in _HAS.finditer(has)]
    return Thing(
        domain,
        sort,
        tuple(noun.strip() for noun in nouns.split(",")),
        tuple(parts.attribute(one) for one in written),
    )


def _load(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader)
