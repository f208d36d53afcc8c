"""How a row spells its tools: names and choices in many styles, and nouns of texts about them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from evals.training.disguise import spell
from evals.training.parts import Action, plural, with_article

STYLES = ("snake", "snake", "snake", "camel", "camel", "kebab", "pascal", "dot", "lower")


CHOICE_STYLES = ("snake", "snake", "kebab", "upper", "camel", "plain")


@dataclass(frozen=True)
class Spelling:
    """How one row spells its tools."""

    style: str
    prefixed: bool
    opaque: bool
    noun_first: bool
    described: float
    explained: float
    choices: str

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
            source.choice(CHOICE_STYLES),
        )


def tool_name(action: Action, spelling: Spelling, source: random.Random) -> str:
    """What a row in this spelling calls the tool for `action`."""
    if spelling.opaque:
        stem = source.choice(["tool", "fn", "action", "op", "api"])
        return f"{stem}_{source.randint(1, 99)}"
    verb = source.choice(action.verb.names).split("_")
    noun = draw_noun(action, source, usual=0.8)
    if action.verb.takes in ("none", "many") and source.random() < 0.7:
        noun = plural(noun)
    words = [part for word in noun.split() for part in word.split("-")]
    if len(words) > 2 or (len(words) > 1 and source.random() < 0.3):
        words = words[-1:] if source.random() < 0.5 else words
    ordered = [*words, *verb] if spelling.noun_first else [*verb, *words]
    if spelling.prefixed:
        area = action.thing.domain.split()[0]
        mark = source.choice([".", "__", "_"])
        return f"{area}{mark}{spell(_letters(ordered), _plain(spelling.style))}"
    if spelling.style == "dot":
        return f"{spell(_letters(words), 'snake')}.{spell(verb, 'snake')}"
    return spell(_letters(ordered), spelling.style)


def parameter_name(words: Sequence[str], spelling: Spelling) -> str:
    """`words` as a parameter's name."""
    return spell(_letters(words), _plain(spelling.style))


def choice_name(said: str, spelling: Spelling) -> str | int:
    """What an enum has for one of a choice: a number as it is, words in the row's style."""
    if said.isdigit():
        return int(said)
    if spelling.choices == "plain":
        return said
    if spelling.choices == "upper":
        return said.upper().replace(" ", "_")
    return spell(said.split(), spelling.choices)


def draw_noun(action: Action, source: random.Random, usual: float = 0.6) -> str:
    """A noun for the thing, the usual one in a share of `usual`."""
    first, *others = action.thing.nouns
    return first if not others or source.random() < usual else source.choice(others)


def draw_nouns(action: Action, source: random.Random) -> dict[str, str]:
    """What stands for {noun}, {a}, {all} and {one} in texts about `action`."""
    return nouns(draw_noun(action, source))


def nouns(noun: str, one: str = "") -> dict[str, str]:
    """`noun` in the forms that texts need; `one` is a certain thing, as a person calls it."""
    return {
        "noun": noun,
        "a": with_article(noun),
        "all": plural(noun),
        "one": one or f"the {noun}",
    }


def _plain(style: str) -> str:
    return style if style in ("camel", "kebab") else "snake"


def _letters(words: Sequence[str]) -> list[str]:
    """Words without what no name of a function may have."""
    kept = ["".join(c for c in word.lower() if c.isalnum() and c.isascii()) for word in words]
    return [word for word in kept if word]
