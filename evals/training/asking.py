"""What a person asks of a composed tool, in one of many wordings, with the arguments for it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.training.composed import ComposedTool, Parameter
from evals.training.parts import Action, Attribute, Parts, plural
from evals.training.slots import Values, in_words, number_word
from evals.training.spelling import draw_noun, nouns

_GREETINGS = ("Hi, ", "Hello! ", "Hey, ", "Good morning. ", "Quick one: ", "Next: ", "OK, ")
_THANKS = (" Thanks!", " Thank you.", " Cheers.", " That's all.", " It's important.")


@dataclass(frozen=True)
class Asked:
    """A request for one call: the text, and the arguments that it says."""

    text: str
    arguments: dict[str, Any]


class Asker:
    """Draws requests; values are from the pools of `parts`."""

    def __init__(self, parts: Parts, source: random.Random):
        self.parts = parts
        self.random = source

    def ask(self, tool: ComposedTool, *, without: Parameter | None = None) -> Asked:
        """A request for one call of `tool`, in which the required `without` is not said."""
        noun = draw_noun(tool.action, self.random)
        meant, said, arguments = self._say(tool, noun, self._given(tool, without))
        return Asked(self._sentence(tool.action, noun, meant, said), arguments)

    def ask_twice(self, tool: ComposedTool) -> tuple[str, list[dict[str, Any]]]:
        """A request for two calls, the second in few words; one call of a tool that takes nothing.

        "Set pump 4 to 20 litres, and pump 7 to 35 litres": what is said of one thing is said of
        the other, with other values.
        """
        noun = draw_noun(tool.action, self.random)
        given = self._given(tool, None)
        meant, said, first = self._say(tool, noun, given)
        text = self._sentence(tool.action, noun, meant, said, plainly=True)
        other, more, second = self._say(tool, noun, given)
        if first == second or not (more or other != meant):
            return text, [first]
        again = " ".join(["one" if other == f"the {noun}" else other, *more])
        joined = self.random.choice([", and ", " and ", ", then ", "; also ", ", "])
        return f"{text.rstrip('.?!')}{joined}{again}{text[-1] if text[-1] in '?!' else '.'}", [
            first,
            second,
        ]

    def _given(self, tool: ComposedTool, without: Parameter | None) -> list[Parameter]:
        """The parameters that a request has values for."""
        offered = [p for p in tool.parameters if p is not without]
        given = [p for p in offered if p.required or self._chance(0.5)]
        if tool.action.verb.takes == ("one", "own") and all(p.identity for p in given):
            return offered
        return given

    def _say(
        self, tool: ComposedTool, noun: str, given: Sequence[Parameter]
    ) -> tuple[str, list[str], dict[str, Any]]:
        """How the thing that is meant is called, what else is said, and the arguments."""
        values = Values(self.parts.pools, self.random)
        meant = f"the {noun}"
        said: list[str] = []
        arguments: dict[str, Any] = {}
        for parameter in given:
            if parameter.identity:
                meant, value = self._identify(noun, parameter, values)
            else:
                text, value = self._value(parameter, values)
                said.append(text)
            self._put(arguments, tool, parameter, value)
        return meant, said, arguments

    def _identify(self, noun: str, parameter: Parameter, values: Values) -> tuple[str, Any]:
        """How a person names one thing, and the argument for it."""
        kind = parameter.identity
        if kind in ("codes", "numbers"):
            pool = "code" if kind == "codes" else "id"
            said, listed = values.draw_list(pool, self.random.choice([1, 2, 2, 3]))
            return f"{noun if len(listed) == 1 else plural(noun)} {said}", listed
        pool = {"code": "code", "number": "id", "name": "title", "place": "place"}[kind]
        said, value = values.draw(pool)
        forms = {
            "code": ["{n} {v}", "the {n} {v}", "{n} number {v}", "the {n} with the code {v}"],
            "number": ["{n} {v}", "{n} {v}", "{n} number {v}", "{n} no. {v}", "the {n} number {v}"],
            "name": ['the {n} "{v}"', "the {n} called {v}", "{v}, the {n}", "the {n} {v}"],
            "place": ["the {n} in {v}", "the {n} at {v}"],
        }[kind]
        return self.random.choice(forms).format(n=noun, v=said), value

    def _value(self, parameter: Parameter, values: Values) -> tuple[str, Any]:
        """What is said of a parameter, and its argument."""
        attribute = parameter.attribute
        assert attribute
        if attribute.flag:
            wanted = self._chance(0.6)
            return self.random.choice(attribute.say if wanted else attribute.deny), wanted
        said, value = self._bare(parameter, values)
        form = self.random.choice(attribute.say)
        if self._chance(0.1):
            form = f"{parameter.name.replace('_', ' ').lower()} {{}}"
        return form.replace("{}", said), value

    def _bare(self, parameter: Parameter, values: Values) -> tuple[str, Any]:
        """A value as it is said, without what it is for, and the argument."""
        attribute = parameter.attribute
        assert attribute
        if not attribute.several:
            return self._one(parameter, attribute, values)
        said: list[str] = []
        listed: list[Any] = []
        for _ in range(self.random.randint(*attribute.several)):
            text, value = self._one(parameter, attribute, values)
            if value not in listed:
                said.append(text)
                listed.append(value)
        return in_words(said), listed

    def _one(self, parameter: Parameter, attribute: Attribute, values: Values) -> tuple[str, Any]:
        if attribute.choice:
            said = self.random.choice(attribute.choice)
            return self._loudly(said), parameter.spelled[said]
        if attribute.fields:
            return self._object(parameter, attribute, values)
        said, value = values.draw(attribute.pool)
        if isinstance(value, float) and value.is_integer():  # nobody says 29.0
            said, value = str(int(value)), int(value)
        if isinstance(value, int) and value < 100 and self._chance(0.25):
            said = number_word(value)
        return said, value

    def _object(
        self, parameter: Parameter, attribute: Attribute, values: Values
    ) -> tuple[str, Any]:
        given = [p for p in parameter.fields if p.required or self._chance(0.6)]
        drawn = {p.name: self._bare(p, values) for p in given}
        value = {name: argument for name, (_, argument) in drawn.items()}
        bare = [said for said, _ in drawn.values()]
        if len(given) == len(parameter.fields):
            return self.random.choice(attribute.whole).format(*bare), value
        rest = [
            self.random.choice(p.attribute.say).replace("{}", said)
            for p, said in zip(given[1:], bare[1:], strict=True)
            if p.attribute
        ]
        return ", ".join([bare[0], *rest]), value

    def _loudly(self, said: str) -> str:
        """One of a choice as some people write it: in capitals if short, or with a capital."""
        if self._chance(0.85):
            return said
        return said.upper() if len(said) < 5 else said.capitalize()

    def _put(
        self, arguments: dict[str, Any], tool: ComposedTool, parameter: Parameter, value: Any
    ) -> None:
        if tool.group and not parameter.identity:
            arguments.setdefault(tool.group, {})[parameter.name] = value
        else:
            arguments[parameter.name] = value

    def _sentence(
        self, action: Action, noun: str, meant: str, said: Sequence[str], *, plainly: bool = False
    ) -> str:
        """The request in a wording of the verb; `plainly` as one sentence and nothing around it."""
        names = nouns(noun, meant)
        template = self.random.choice(action.verb.asks)
        spoken = list(said)
        self.random.shuffle(spoken)
        joined = self.random.choice([", ", ", ", " ", " and "]).join(spoken)
        more = f"{self.random.choice([' ', ' ', ' ', ', '])}{joined}" if joined else ""
        if more and "*" not in template:
            template += "*"
        plain = template[0] != "{"
        drawn = 1.0 if plainly or not spoken else self.random.random()
        if drawn < 0.1 and plain:
            return self._led(template, names, spoken)
        if drawn < 0.18:
            return self._terse(action, names, spoken)
        if drawn < 0.32:
            fragments = spoken if drawn < 0.25 else [joined]
            text = template.replace("*", "").format(**names)
            text = " ".join([text, *(f"{part[0].upper()}{part[1:]}." for part in fragments)])
        else:
            text = template.replace("*", "{more}").format(**names, more=more)
        text = text[0].upper() + text[1:]
        return text if plainly else self._mannered(text, plain=plain)

    def _terse(self, action: Action, names: Mapping[str, str], spoken: Sequence[str]) -> str:
        """The request as a note: verb, thing and values, with commas."""
        verb = self.random.choice(action.verb.names).replace("_", " ")
        thing = names["one"] if "one" in action.verb.takes else names["noun"]
        return ", ".join([f"{verb} {thing}", *spoken])

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


def _lowered(text: str) -> str:
    """`text` with a small first letter, unless it begins with "I"."""
    return text if text[:2] in ("I ", "I'") else text[0].lower() + text[1:]
