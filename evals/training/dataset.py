"""The training questions: generated from the catalogue, seeded, the same on every machine.

A row is one conversation: `{"messages": [...], "tools": [...]}` with calls in OpenAI's form. Up to
eight unrelated exchanges share one set of tools, because the tools are most of a prompt's tokens.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from evals.training.catalogue import Catalogue, CatalogueTool, Pairs, Wording
from evals.training.disguise import Disguise
from evals.training.rows import Row
from evals.training.slots import Values, text_of

SYSTEM = "You are a helpful assistant."

# Shares of the exchanges. Calls make 70 %; the rest is answered in words.
KINDS = {
    "call": 0.55,
    "parallel": 0.11,
    "followed": 0.05,
    "answer": 0.05,
    "smalltalk": 0.01,
    "refusal": 0.02,
    "near_miss": 0.10,
    "no_fit": 0.05,
    "ask_back": 0.06,
}
ZERO_PARAMETER_SHARE = 0.22
EXCHANGES_PER_ROW = [1, 2, 3, 4, 6, 8]

_Asked = tuple[Wording, Values]
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

        The first two decide which tools are available; later ones ask for any of these.
        """
        kinds = self.random.choices(
            list(KINDS), list(KINDS.values()), k=self.random.choice(EXCHANGES_PER_ROW)
        )
        wanted = [self._wanted(kind, self.catalogue.tools) for kind in kinds[:2]]
        offered = self._offered([tool for tools in wanted for tool in tools])
        wanted += [self._wanted(kind, offered) for kind in kinds[2:]]
        names = {
            tool.name: Disguise.drawn(tool, self.catalogue.synonyms, self.random)
            for tool in offered
        }
        messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
        for kind, tools in zip(kinds, wanted, strict=True):
            messages += self._exchange(kind, tools, offered, names)
        schemas = [names[tool.name].schema for tool in offered]
        self.random.shuffle(schemas)
        row: Row = {"messages": messages}
        if schemas:
            row["tools"] = schemas
        return row, len(kinds)

    def _wanted(self, kind: str, tools: Sequence[CatalogueTool]) -> list[CatalogueTool]:
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
        elif kind == "near_miss":
            fitting = [t for t in tools if self.catalogue.near_misses[t.domain]]
        else:
            fitting = []
        return [self.random.choice(fitting)] if fitting else []

    def _wanted_together(self, tools: Sequence[CatalogueTool]) -> list[CatalogueTool]:
        """Two different tools, or one with arguments that is called two or three times."""
        if not tools:
            return []
        first = self.random.choice(tools)
        others = [t for t in tools if t is not first and not self._rival(t, {first.name: first})]
        if others and (first.takes_nothing or self._chance(0.5)):
            return [first, self.random.choice(others)]
        return [first] * (1 if first.takes_nothing else self.random.choice([2, 2, 3]))

    def _offered(self, wanted: list[CatalogueTool]) -> list[CatalogueTool]:
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

    def _rival(self, tool: CatalogueTool, offered: Mapping[str, CatalogueTool]) -> bool:
        return any(tool.name in group and group & offered.keys() for group in self.catalogue.rivals)

    def _exchange(
        self,
        kind: str,
        tools: list[CatalogueTool],
        offered: list[CatalogueTool],
        names: Mapping[str, Disguise],
    ) -> list[dict[str, Any]]:
        if kind in self.catalogue.answers or (kind != "no_fit" and not tools):
            answers = self.catalogue.answers.get(kind) or self.catalogue.answers["answer"]
            return self._in_words(answers)
        if kind == "near_miss":
            return self._in_words(self.catalogue.near_misses[tools[0].domain])
        if kind == "no_fit":
            return self._no_fit(offered)
        if kind == "ask_back":
            return self._in_words(tools[0].missing)
        return self._calls(kind, tools, names)

    def _in_words(self, pairs: Pairs) -> list[dict[str, Any]]:
        return _turns(*self.random.choice(pairs))

    def _calls(
        self, kind: str, tools: list[CatalogueTool], names: Mapping[str, Disguise]
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
            turns.append({"role": "tool", "content": text_of(values.fill(tool.result))})
            turns.append({"role": "assistant", "content": values.say(tool.reply)})
        return turns

    def _asked(self, tools: list[CatalogueTool]) -> list[_Asked]:
        """What is asked of each tool: a wording and its values.

        Of one tool it is often one wording with a list: "the prices of MSFT and AMD".
        """
        one = tools[0]
        if len(tools) > 1 and all(tool is one for tool in tools) and self._chance(0.6):
            listable = [(w, slot) for w in one.wordings if (slot := w.listable_slot())]
            if listable:
                wording, slot = self.random.choice(listable)
                first = Values(one.pools, self.random)
                first.say(wording.ask)
                return [(wording, v) for v in first.variants(slot, len(tools))]
        return [
            (self.random.choice(tool.wordings), Values(tool.pools, self.random)) for tool in tools
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

    def _no_fit(self, offered: list[CatalogueTool]) -> list[dict[str, Any]]:
        domains = {tool.domain for tool in offered}
        others = [tool for tool in self.catalogue.tools if tool.domain not in domains]
        if not others or self.catalogue.for_anything & {tool.name for tool in offered}:
            return self._in_words(self.catalogue.answers["answer"])
        tool = self.random.choice(others)
        ask = Values(tool.pools, self.random).say(self.random.choice(tool.wordings).ask)
        return _turns(ask, self.random.choice(self.catalogue.no_fit))

    def _chance(self, share: float) -> bool:
        return self.random.random() < share


def _turns(ask: str, reply: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": reply}]


def _starts_plainly(template: str) -> bool:
    """Whether the first letter is a capital only because it starts the sentence."""
    first = template.split(" ", 1)[0]
    return first[0].isupper() and first[1:].islower() and first[1:2] != "'"


def digest(rows: list[Row]) -> str:
    """sha256 of the rows' canonical JSON; recorded beside every adapter trained on them."""
    lines = "\n".join(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()
