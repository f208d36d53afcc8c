r"""Several cases from one: `vars` and `matrix` put values in place of `{{name}}`. No code is run.

```yaml
- id: weather
  vars: [{city: Oslo}, {city: Rome, id: capital}]   # a list of rows
  matrix: {days: [1, 2]}                            # and every combination of these
  ask: Weather in {{city}} for {{days}} days?
  expect: {call: {name: get_weather, arguments: {city: "{{city}}", days: "{{days}}"}}}
```

A text that is nothing but `{{name}}` becomes the value itself, a number for a number. Within other
text, and where only text may stand (a question, words of an answer), it is written out. `\{{` is
two braces. Each case gets its id from its own values, so that it stays the same when rows are added
or moved.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from evals.json_text import to_text

KEYS = ("vars", "matrix")
MOST = 10_000
_LONGEST = 40
_MARK = re.compile(r"(\\?)\{\{(.*?)\}\}")
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass
class Rendered:
    """One case of a template: its data, and the values that it was made with."""

    data: dict[str, Any]
    values: Mapping[str, Any]


@dataclass
class _Names:
    """Which names were used, and which are not known."""

    known: Mapping[str, Any]
    used: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


def is_template(entry: Any) -> bool:
    """Whether an entry of a case file stands for several cases."""
    return isinstance(entry, Mapping) and any(key in entry for key in KEYS)


def check_template(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with `vars` and `matrix` themselves: the key, and a sentence."""
    rows, axes = entry.get("vars", [{}]), entry.get("matrix", {})
    if not isinstance(rows, list) or not rows or not all(isinstance(r, Mapping) for r in rows):
        yield "vars", "vars is a list of mappings, such as [{city: Oslo}, {city: Rome}]"
        return
    if not isinstance(axes, Mapping) or not all(isinstance(v, list) and v for v in axes.values()):
        yield "matrix", "matrix is a mapping from name to a list, such as {days: [1, 2]}"
        return
    yield from _check_names(rows, axes)
    count = len(rows) * prod(len(values) for values in axes.values())
    if count > MOST:
        yield "matrix", f"it makes {count:,} cases; at most {MOST:,} are allowed: split it"


def _check_names(
    rows: Sequence[Mapping[str, Any]], axes: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    first = set(rows[0]) - {"id"}
    for number, row in enumerate(rows):
        if set(row) - {"id"} != first:
            other = ", ".join(sorted(set(row) - {"id"} ^ first))
            yield "vars", f"vars[{number}] and vars[0] differ in {other}; every row needs all names"
    for key, names in (("vars", first), ("matrix", set(axes))):
        for name in sorted(map(str, names)):
            if not _NAME.fullmatch(name):
                yield key, f"{name!r} is not a name: letters, digits and _"
    if both := first & set(axes):
        yield "matrix", f"{', '.join(sorted(both))} is in vars, too; remove one of the two"


def render(entry: Mapping[str, Any]) -> tuple[list[Rendered], list[str]]:
    """The cases of a template that `check_template` found nothing wrong with, and its mistakes."""
    plain = {key: value for key, value in entry.items() if key not in KEYS}
    axes: Mapping[str, list[Any]] = entry.get("matrix", {})
    rendered: list[Rendered] = []
    names = _Names({})
    for row in entry.get("vars", [{}]):
        for combination in product(*axes.values()):
            values = {**row, **dict(zip(axes, combination, strict=True))}
            combined = dict(zip(axes, combination, strict=True))
            # An id of the row's own stands for all of its values.
            ends = {"id": values.pop("id"), **combined} if "id" in row else values
            names.known = values
            data = _fill({**plain, "id": _id(plain.get("id"), ends)}, names, ())
            rendered.append(Rendered(data, values))
    known = ", ".join(names.known) or "none"
    mistakes = [f"unknown name {{{{{n}}}}}; there are: {known}" for n in sorted(names.unknown)]
    unused = [name for name in names.known if name not in names.used]
    mistakes += [f"{n} is never used; write {{{{{n}}}}} somewhere, or remove it" for n in unused]
    return rendered, mistakes


def named_in(value: Any, names: Collection[str]) -> list[str]:
    """Which of `names` stand as `{{name}}` in a value that is not filled."""
    text = to_text(value)
    return [name for name in names if any(_marks(text, name))]


def _marks(text: str, name: str) -> Iterator[bool]:
    return (not mark[1] and mark[2].strip() == name for mark in _MARK.finditer(text))


def _id(name: Any, values: Mapping[str, Any]) -> Any:
    """`weather-oslo-2`: the values, or a digest of them where they make no name."""
    if not isinstance(name, str) or _MARK.search(name):
        return name
    text = "-".join(_in_text(value) for value in values.values()).lower()
    slug = re.sub(r"[^a-z0-9_]+", "-", text).strip("-")
    if not slug or len(slug) > _LONGEST or not text.isascii():
        slug = hashlib.sha256(to_text(dict(values)).encode()).hexdigest()[:8]
    return f"{name}-{slug}"


def _fill(value: Any, names: _Names, place: tuple[str | int, ...]) -> Any:
    if isinstance(value, str):
        filled = _fill_text(value, names) if "{{" in value else value
        scalar = not isinstance(filled, str | list | Mapping)
        return _in_text(filled) if scalar and _only_text(place) else filled
    if isinstance(value, Mapping):
        return {_key(k, names): _fill(inner, names, (*place, k)) for k, inner in value.items()}
    if isinstance(value, list):
        return [_fill(item, names, (*place, i)) for i, item in enumerate(value)]
    return value


def _only_text(place: tuple[str | int, ...]) -> bool:
    """Whether only text may stand at a place of an entry, and no number."""
    keys = [key for key in place if isinstance(key, str)]
    if keys[0] == "messages":
        return keys[-1] in ("content", "text")
    if keys[0] == "expect":
        # An argument of a call may have any of these names.
        answered = "answer" in keys and "arguments" not in keys
        return answered and keys[-1] in ("contains", "not_contains", "any_of", "regex")
    return keys in (["ask"], ["system"], ["stop"])


def _key(key: str, names: _Names) -> str:
    return _in_text(_fill_text(key, names)) if "{{" in key else key


def _fill_text(text: str, names: _Names) -> Any:
    alone = _MARK.fullmatch(text)
    if alone and not alone[1] and alone[2].strip() in names.known:
        names.used.add(alone[2].strip())
        return names.known[alone[2].strip()]
    return _MARK.sub(lambda mark: _written(mark, names), text)


def _written(mark: re.Match[str], names: _Names) -> str:
    name = mark[2].strip()
    if mark[1]:
        return mark[0][1:]
    if name not in names.known:
        names.unknown.add(name)
        return mark[0]
    names.used.add(name)
    return _in_text(names.known[name])


def _in_text(value: Any) -> str:
    return value if isinstance(value, str) else to_text(value)
