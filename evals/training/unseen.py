"""Conversations about composed tools: rows in which reading the list is the only way to be right.

One to eight tools a row, those near to the wanted one among them: other verbs on the same thing,
the same verb on other things, others of the domain. A third of the requests wants words: no tool on
offer serves them, a required value is not said, a call is not wanted, or it is only talk. The
exchanges of a row stand apart: what one says, another does not know.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from evals.training.asking import Asked, Asker
from evals.training.catalogue import Catalogue
from evals.training.composed import ComposedTool, Composer
from evals.training.parts import PARTS, Action, Parts
from evals.training.rows import APART_KEY, Row
from evals.training.spelling import Spelling, draw_nouns
from evals.yaml_text import Loader

KINDS = {
    "call": 0.48,
    "parallel": 0.13,
    "followed": 0.04,
    "absent": 0.12,
    "ask_back": 0.09,
    "withheld": 0.05,
    "about": 0.02,
    "talk": 0.07,
}
OFFERED = [1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8]
KIND_KEY = "kinds"
"""The key of a row that has a kind for each question, in order."""

_EXCHANGES, _EXCHANGES_PER_TOOL = 4, 2

_JOINERS = (" ", " Also: ", " Then: ", " And then: ", "\n", " Next: ", " ")

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class _Offer:
    """The tools of one row."""

    tools: tuple[ComposedTool, ...]

    def serves(self, action: Action) -> bool:
        return any(tool.action.rivals(action) for tool in self.tools)


def compose(
    parts: Parts, catalogue: Catalogue, *, exchanges: int, seed: int, held: bool = False
) -> list[Row]:
    """Rows with at least `exchanges` exchanges; with `held` in the wordings of the validation.

    Talk that has nothing to do with tools is from `catalogue`. A row has its `kinds`.
    """
    writer = _Writer(parts, catalogue, random.Random(seed), held=held)
    rows: list[Row] = []
    done = 0
    while done < exchanges:
        rows.append(writer.row())
        done += len(rows[-1][KIND_KEY])
    return rows


class _Writer:
    def __init__(self, parts: Parts, catalogue: Catalogue, source: random.Random, *, held: bool):
        self.actions = parts.actions
        self.composer = Composer(parts, source)
        self.asker = Asker(parts, source)
        self.random = source
        self.words = yaml.load((PARTS / "words.yaml").read_text(encoding="utf-8"), Loader)
        self.share = "held" if held else "asks"
        self.talk = [pair for pairs in catalogue.answers.values() for pair in pairs]
        self.by_domain: dict[str, list[Action]] = {}
        self.by_verb: dict[str, list[Action]] = {}
        for action in self.actions:
            self.by_domain.setdefault(action.thing.domain, []).append(action)
            self.by_verb.setdefault(action.verb.key, []).append(action)

    def row(self) -> Row:
        """One conversation."""
        offer = self._offer()
        count = _EXCHANGES + _EXCHANGES_PER_TOOL * len(offer.tools)
        kinds = self.random.choices(list(KINDS), list(KINDS.values()), k=count)
        system = self.random.choice(self.words["systems"])
        messages: Messages = [{"role": "system", "content": system}] if system else []
        done: list[str] = []
        for kind in kinds:
            written = self._exchange(kind, offer)
            done.append(kind if written else "talk")
            messages += written or self._talk(offer)
        schemas = [tool.schema for tool in offer.tools]
        return {"messages": messages, "tools": schemas, KIND_KEY: done, APART_KEY: True}

    def _offer(self) -> _Offer:
        wanted = self.random.choice(self.actions)
        size = self.random.choice(OFFERED)
        chosen = [wanted]
        pools: Sequence[Callable[[], Sequence[Action]]] = (
            lambda: [a for a in self.by_domain[wanted.thing.domain] if a.thing == wanted.thing],
            lambda: self.by_domain[wanted.thing.domain],
            lambda: self.by_verb[wanted.verb.key],
            lambda: self.actions,
        )
        while len(chosen) < size:
            pool = self.random.choices(pools, [4, 3, 1, 1])[0]()
            action = self.random.choice(pool)
            if not any(action.rivals(other) for other in chosen):
                chosen.append(action)
            elif self._chance(0.05):
                break
        spelling = Spelling.drawn(self.random)
        tools: dict[str, ComposedTool] = {}
        for action in chosen:
            tool = self.composer.tool(action, spelling)
            tools.setdefault(tool.name.lower(), tool)
        listed = list(tools.values())
        self.random.shuffle(listed)
        return _Offer(tuple(listed))

    def _exchange(self, kind: str, offer: _Offer) -> Messages:
        """The messages of one exchange; none where the tools on offer do not allow this kind."""
        write: Mapping[str, Callable[[_Offer], Messages]] = {
            "call": self._call,
            "parallel": self._parallel,
            "followed": self._followed,
            "absent": self._absent,
            "ask_back": self._ask_back,
            "withheld": self._withheld,
            "about": self._about,
            "talk": self._talk,
        }
        return write[kind](offer)

    def _call(self, offer: _Offer) -> Messages:
        tool = self.random.choice(offer.tools)
        asked = self.asker.ask(tool)
        return _turns(asked.text, "", [tool.call(asked.arguments)])

    def _parallel(self, offer: _Offer) -> Messages:
        """Two calls of two tools, or of one that takes something; one where that cannot be."""
        tools = self.random.choices(offer.tools, k=2)
        if tools[0] is tools[1] or self._chance(0.5):
            text, arguments = self.asker.ask_twice(tools[0])
            return _turns(text, "", [tools[0].call(one) for one in arguments])
        asked = [self.asker.ask(tool) for tool in tools]
        calls = [tool.call(a.arguments) for tool, a in zip(tools, asked, strict=True)]
        first = asked[0].text if asked[0].text[-1] in ".?!" else f"{asked[0].text}."
        return _turns(first + self.random.choice(_JOINERS) + asked[1].text, "", calls)

    def _followed(self, offer: _Offer) -> Messages:
        tool = self.random.choice(offer.tools)
        asked = self.asker.ask(tool)
        result, reply = self._result(tool, asked)
        return [
            *_turns(asked.text, "", [tool.call(asked.arguments)]),
            {"role": "tool", "content": json.dumps(result, ensure_ascii=False)},
            {"role": "assistant", "content": reply},
        ]

    def _result(self, tool: ComposedTool, asked: Asked) -> tuple[dict[str, Any], str]:
        names = draw_nouns(tool.action, self.random)
        if tool.action.verb.key == "estimate":
            price = self.random.randint(12, 900)
            return {"price": price}, f"That would cost {price}."
        if tool.action.verb.family == "see":
            count = self.random.randint(2, 90)
            return {"count": count}, f"There are {count} {names['all']}."
        if tool.action.verb.family == "look":
            state = self.random.choice(["ok", "open", "waiting", "closed", "running", "in order"])
            return {"status": state}, f"The {names['noun']} is {state}."
        if self._chance(0.15):
            return {"error": "not allowed"}, "That was not possible: not allowed."
        return {"ok": True}, self.random.choice(self.words["done"])

    def _absent(self, offer: _Offer) -> Messages:
        """A request that only a tool which is not on offer would serve; most are near to it."""
        near = self.random.choice(offer.tools).action
        pools = (
            [a for a in self.by_domain[near.thing.domain] if a.thing == near.thing],
            self.by_domain[near.thing.domain],
            self.by_verb[near.verb.key],
            self.actions,
        )
        for pool in self.random.choices(pools, [4, 2, 3, 2], k=6):
            action = self.random.choice(pool)
            if not offer.serves(action) and not self._same_noun(action, offer):
                tool = self.composer.tool(action, Spelling.drawn(self.random))
                text = self.asker.ask(tool).text
                return _turns(text, self.random.choice(self.words["absent"]))
        return []

    def _same_noun(self, action: Action, offer: _Offer) -> bool:
        """Whether another thing on offer shares a word with this one: it could be meant."""
        own = {word for noun in action.thing.nouns for word in noun.split()}
        return any(
            tool.action.thing != action.thing
            and own & {word for noun in tool.action.thing.nouns for word in noun.split()}
            for tool in offer.tools
        )

    def _ask_back(self, offer: _Offer) -> Messages:
        fitting = [tool for tool in offer.tools if any(p.missable for p in tool.parameters)]
        if not fitting:
            return []
        tool = self.random.choice(fitting)
        required = [p for p in tool.parameters if p.missable]
        missing = next((p for p in required if p.identity), None)
        if missing is None or self._chance(0.3):
            missing = self.random.choice(required)
        replies = self.words["ask_back"]["thing" if missing.identity else "other"]
        noun = draw_nouns(tool.action, self.random)["noun"]
        reply = self.random.choice(replies).format(noun=noun, label=missing.label)
        return _turns(self.asker.ask(tool, without=missing).text, reply)

    def _withheld(self, offer: _Offer) -> Messages:
        tool = self.random.choice(offer.tools)
        return self._said("withheld", tool, offer, self.asker.ask(tool).text)

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _about(self, offer: _Offer) -> Messages:
        described = [t for t in offer.tools if "description" in t.schema["function"]]
        if not described:
            return []
        return self._said("about", self.random.choice(described), offer, "")

    def _said(self, key: str, tool: ComposedTool, offer: _Offer, ask: str) -> Messages:
        chosen = self.random.choice(self.words[key][self.share])
        names = draw_nouns(tool.action, self.random)
        names |= {"ask": ask, "name": tool.name, "domain": tool.action.thing.domain}
        names["about"] = tool.schema["function"].get("description", "")
        listed = ", ".join(t.name for t in offer.tools)
        names["tools"] = f"I have these tools: {listed}."
        text, reply = chosen["ask"].format(**names), chosen["reply"].format(**names)
        return _turns(text[0].upper() + text[1:], reply[0].upper() + reply[1:])

    def _talk(self, offer: _Offer) -> Messages:
        return _turns(*self.random.choice(self.talk))


def _turns(ask: str, reply: str, calls: Sequence[dict[str, Any]] = ()) -> Messages:
    answer: dict[str, Any] = {"role": "assistant", "content": reply}
    if calls:
        answer["tool_calls"] = list(calls)
    return [{"role": "user", "content": ask}, answer]
