"""promptfoo's assertions as what a case expects: those that need neither code nor another model."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_IN_LIST = re.compile(r'\s*"[^"]*"|[^,]+')
"""The texts of a list that is written as one text: separated by commas, some in quotes."""

Place = tuple[str | int, ...]


@dataclass
class Wanted:
    """What the assertions of a test say together; `tools` are the names that it has."""

    tools: list[str]
    name: Callable[[str], str]
    calls: list[str] = field(default_factory=list)
    some_call: bool = False
    answer: dict[str, Any] = field(default_factory=dict)
    patterns: list[str] = field(default_factory=list)

    def expect(self) -> dict[str, Any] | None:
        """`expect` of a case; None where nothing is said."""
        if self.calls:
            calls = [{"name": name, "arguments": {"$partial": {}}} for name in self.calls]
            return {"call": calls[0]} if len(calls) == 1 else {"calls": calls}
        if self.some_call:
            return {"some_call": True}
        if self.patterns:
            together = "".join(f"(?=[\\s\\S]*?(?:{pattern}))" for pattern in self.patterns)
            one = self.patterns[0] if len(self.patterns) == 1 else f"^{together}"
            return {"answer": {**self.answer, "regex": one}}
        return {"answer": self.answer} if self.answer else None

    def text(self, key: str, values: Iterable[str]) -> None:
        """Texts that must, or must not, occur in the answer."""
        self.answer[key] = [*self.answer.get(key, []), *values]


def read_assertions(
    stated: Iterable[tuple[Place, Any]], wanted: Wanted
) -> Iterator[tuple[Place, str]]:
    """Put what assertions say into `wanted`; yield the place and reason of those left out."""
    for place, assertion in stated:
        if not isinstance(assertion, Mapping):
            yield place, f"an assertion is a mapping, not {str(assertion)[:60]!r}"
            continue
        kind = str(assertion.get("type") or "")
        if kind == "assert-set":
            inner = assertion.get("assert")
            if assertion.get("threshold", 1) != 1 or not isinstance(inner, list):
                yield place, "assert-set: a threshold below 1, or no list of assertions"
                continue
            yield from read_assertions(
                (((*place, "assert", n), a) for n, a in enumerate(inner)), wanted
            )
            continue
        if why := _read(kind, assertion, wanted):
            yield place, f"{kind or 'an assertion without a type'}: {why}"


def _read(kind: str, assertion: Mapping[str, Any], wanted: Wanted) -> str | None:
    """Why an assertion is left out; None where it was read."""
    value = assertion.get("value")
    if assertion.get("transform") or assertion.get("weight", 1) == 0:
        return "it has a transform, which is code, or the weight 0"
    if kind in _SOME_CALL or (kind == "finish-reason" and value in ("tool_calls", "tool_use")):
        wanted.some_call = True
        return None if wanted.tools else "the test has no tools"
    if kind == "tool-call-f1":
        return _names(value, assertion, wanted)
    if kind not in _TEXTS:
        return "needs code, another model or what a case cannot say; it is not run"
    texts = [value] if isinstance(value, str | int | float) else value
    if kind in _JSON:
        problem = _read_texts(kind, [""], wanted)
        return problem or ("its schema is not read" if value else None)
    if kind.endswith(("-any", "-all")) and isinstance(value, str):
        texts = [text.strip().strip('"') for text in _IN_LIST.findall(value)]
    if not isinstance(texts, list) or not all(isinstance(t, str | int | float) for t in texts):
        return f"its value is {str(value)[:60]!r}"
    as_text = [text if isinstance(text, str) else json.dumps(text) for text in texts]
    return _read_texts(kind, as_text, wanted)


def _read_texts(kind: str, texts: list[str], wanted: Wanted) -> str | None:
    if any(text.startswith("file://") or "{{" in text for text in texts):
        return "its value is a file or a template"
    if wanted.tools:
        return _about_calls(kind, texts, wanted)
    _TEXTS[kind](texts, wanted)
    return None


def _names(value: Any, assertion: Mapping[str, Any], wanted: Wanted) -> str | None:
    names = re.split(r"\s*,\s*", value) if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return "its value is no list of tools"
    if assertion.get("threshold", 1) != 1:
        return "a threshold below 1"
    if unknown := [name for name in names if wanted.name(name) not in wanted.tools]:
        return f"there is no tool {unknown[0]!r}"
    wanted.calls += [wanted.name(name) for name in names]
    return None


def _about_calls(kind: str, texts: list[str], wanted: Wanted) -> str | None:
    """With tools at hand the text is a call's JSON: one that names a tool asks for its call."""
    named = [tool for tool in wanted.tools if any(text.strip('"') == tool for text in texts)]
    if kind in ("contains", "icontains", "equals") and named:
        wanted.calls += [name for name in named if name not in wanted.calls]
        return None
    return "the case has tools, so it cannot be told whether a text or a call's JSON is meant"


def _equals(texts: list[str], wanted: Wanted) -> None:
    wanted.patterns += [f"^\\s*{re.escape(text)}\\s*$" for text in texts]


def _starts(texts: list[str], wanted: Wanted) -> None:
    wanted.patterns += [f"^\\s*{re.escape(text)}" for text in texts]


def _pattern(texts: list[str], wanted: Wanted) -> None:
    wanted.patterns += texts


def _json(texts: list[str], wanted: Wanted) -> None:
    del texts
    wanted.patterns.append(r"[\{\[][\s\S]*[\}\]]")


def _any(texts: list[str], wanted: Wanted) -> None:
    if wanted.answer.get("any_of"):  # one list of them; a second one is another condition
        wanted.patterns.append(f"(?i:{'|'.join(map(re.escape, texts))})")
    else:
        wanted.text("any_of", texts)


def _all(texts: list[str], wanted: Wanted) -> None:
    wanted.text("contains", texts)


def _none(texts: list[str], wanted: Wanted) -> None:
    wanted.text("not_contains", texts)


_SOME_CALL = (
    "is-valid-openai-tools-call",
    "is-valid-openai-function-call",
    "is-valid-function-call",
)
_JSON = ("is-json", "contains-json")
_TEXTS: Mapping[str, Callable[[list[str], Wanted], None]] = {
    "contains": _all,
    "icontains": _all,
    "contains-all": _all,
    "icontains-all": _all,
    "contains-any": _any,
    "icontains-any": _any,
    "not-contains": _none,
    "not-icontains": _none,
    "equals": _equals,
    "starts-with": _starts,
    "regex": _pattern,
    "is-json": _json,
    "contains-json": _json,
}
"""How each assertion on the text is read; letter case is ignored in what must occur."""
