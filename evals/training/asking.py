"""What a person asks of a composed tool, in one of many wordings, with the arguments for it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.training.composed import ComposedTool, Parameter
from evals.training.parts import Action, Parts, plural
from evals.training.slots import Values
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
        values = Values(self.parts.pools, self.random)
        given = [p for p in tool.parameters if p is not without and self._is_given(p)]
        if tool.action.verb.takes == ("one", "own") and all(p.identity for p in given):
            given = [p for p in tool.parameters if p is not without]
        noun = draw_noun(tool.action, self.random)
        said: list[str] = []
        arguments: dict[str, Any] = {}
        meant = f"the {noun}"
        for parameter in given:
            if parameter.identity:
                meant, value = self._identify(noun, parameter, values)
            else:
                text, value = self._value(parameter, values)
                said.append(text)
            self._put(arguments, tool, parameter, value)
        return Asked(self._sentence(tool.action, noun, meant, said), arguments)

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
            said = self.random.choice(attribute.choice)
            value: Any = parameter.spelled[said]
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

    def _sentence(self, action: Action, noun: str, meant: str, said: Sequence[str]) -> str:
        names = nouns(noun, meant)
        template = self.random.choice(action.verb.asks)
        spoken = list(said)
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
