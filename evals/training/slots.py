"""Slots of a phrase, `{city}` or `{city#2}`, and the values drawn for them from pools.

A pool is a list of values, or of `{say, value}` where a person says it in other words, or a rule:
`{integer: [low, high]}`, `{number: [low, high, decimals]}`, `{list: pool, of: [least, most]}`,
`{compose: "text with {slots}"}`, `{any: [pool, other_pool]}`.
"""

import copy
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
_TEENS = "fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"

SLOT = re.compile(r"\{([a-z0-9_]+(?:#\d)?)\}")


@dataclass
class Values:
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
        whole = SLOT.fullmatch(template)
        if whole:
            return copy.deepcopy(self._slot(whole[1])[1])
        return SLOT.sub(lambda match: text_of(self._slot(match[1])[1]), template)

    def variants(self, slot: str, count: int) -> "list[Values]":
        """`count` copies that differ in the value of `slot` alone, where its pool has so many."""
        if not isinstance(self.drawn[slot][1], str | int | float):
            return [self]
        copies: dict[str, Values] = {}
        for _ in range(20):
            if len(copies) < count:
                drawn = self.draw(slot.partition("#")[0])
                copies[drawn[0]] = replace(self, drawn={**self.drawn, slot: drawn}, listed=slot)
        return list(copies.values())

    def say(self, template: str) -> str:
        """`template` with slots replaced by what a person would say for them."""
        return SLOT.sub(lambda match: self._slot(match[1])[0], template)

    def _slot(self, name: str) -> tuple[str, Any]:
        if name not in self.drawn:
            self.drawn[name] = self.draw(name.partition("#")[0])
        return self.drawn[name]

    def draw(self, pool: str) -> tuple[str, Any]:
        """A value of the pool, drawn anew: what is said, and what is meant."""
        entry = self.pools[pool]
        if isinstance(entry, list):
            choice = self.random.choice(entry)
            if isinstance(choice, dict) and "say" in choice:
                return text_of(choice["say"]), choice["value"]
            return text_of(choice), choice
        return self._draw_rule(entry)

    def _draw_rule(self, rule: Mapping[str, Any]) -> tuple[str, Any]:
        if "integer" in rule:
            number = self.random.randint(*rule["integer"])
            return str(number), number
        if "number" in rule:
            low, high, decimals = rule["number"]
            number = round(self.random.uniform(low, high), decimals)
            return str(number), number
        if "any" in rule:
            return self.draw(self.random.choice(rule["any"]))
        if "list" in rule:
            return self.draw_list(rule["list"], self.random.randint(*rule["of"]))
        text = SLOT.sub(lambda m: self.draw(m[1].partition("#")[0])[0], rule["compose"])
        return text, text

    def draw_list(self, pool: str, length: int) -> tuple[str, Any]:
        """Up to `length` different values of the pool: as a list in words, and as a list."""
        parts: dict[str, Any] = {}
        for _ in range(20):  # a small pool may not hold that many different values
            if len(parts) < length:
                parts.update([self.draw(pool)])
        return in_words(list(parts)), list(parts.values())


def in_words(said: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else said[0]


def number_word(number: int) -> str:
    """A number from 0 to 99 as it is spoken: `thirty-five`."""
    small = f"{_ONES} {_TEENS}".split()
    if number < len(small):
        return small[number]
    tens, ones = divmod(number, 10)
    word = _TENS.split()[tens - 2]
    return f"{word}-{small[ones]}" if ones else word


def text_of(value: Any) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
