"""Values that a matcher accepts and the schema of its place allows, or the proof of none.

What an author wrote out (a value, an option of `$any_of`) is shown as it is: where the schema
forbids it, that is told of the value. What a matcher leaves open is searched for.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice, permutations
from typing import Any

from evals import schema as schemas
from evals.judging.comparison import Examples
from evals.judging.schema_values import (
    NONE,
    Branch,
    Found,
    Where,
    filled,
    listed,
    numbers,
    sample,
    search,
    texts,
    union,
)

_MOST_ORDERS = 120


def any_of(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """Those of each option."""
    return union(inner.of(option, where) for option in expected["$any_of"])


def optional(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """Those of the value that it may be."""
    return inner.of(expected["$optional"], where)


def literal(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """The value itself."""
    return Found((expected["$literal"],), known=True)


def anything(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """Any value of the schema."""
    return sample(where)


def regex(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """A text in which the pattern is found."""
    pattern = expected["$regex"]
    return search(where, lambda branch: texts([pattern], branch), inner.accepts)


def approx(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """The number itself where it is allowed, else one that is near enough."""
    wanted = schemas.exact(expected["$approx"])
    room = tolerance(expected)

    def find(branch: Branch) -> Found:
        if not branch.may_be("number"):
            return NONE
        near = numbers(wanted - room, wanted + room, branch)
        return Found((expected["$approx"], *near.values), near.known) if near.values else near

    return search(where, find, inner.accepts)


def tolerance(expected: Mapping[str, Any]) -> Any:
    """How far a number may be off, exactly."""
    relative = expected.get("rel", 0 if "abs" in expected else 1e-6)
    share = schemas.exact(relative) * abs(schemas.exact(expected["$approx"]))
    return max(schemas.exact(expected.get("abs", 0)), share)


def text(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """The text itself where it is allowed, else one that differs in what is ignored."""
    wanted, ignored = expected["$text"], ignored_of(expected)
    pattern = _loose_pattern(wanted, ignored)
    odd = any(len(c.casefold()) != 1 for c in wanted)

    def find(branch: Branch) -> Found:
        if not branch.may_be("string"):
            return NONE
        found = texts([pattern], branch)
        itself = (wanted,) if where.allows(wanted) else ()
        return Found((*itself, *found.values), found.known and not odd)

    return search(where, find, inner.accepts)


def _loose_pattern(wanted: str, ignored: Sequence[str]) -> str:
    parts = re.split(r"\s+", wanted.strip()) if "space" in ignored else [wanted]
    if "case" in ignored:
        parts = [
            "".join(f"[{re.escape(c.lower())}{re.escape(c.upper())}]" for c in p) for p in parts
        ]
    else:
        parts = [re.escape(part) for part in parts]
    edge = r"\s*" if "space" in ignored else ""
    gap = r"\s+"
    return f"^{edge}{gap.join(parts)}{edge}$"


def ignored_of(expected: Mapping[str, Any]) -> Sequence[str]:
    """What a `$text` ignores: both letter case and white space where it does not say."""
    said = expected.get("ignore", ["case", "space"])
    return [said] if isinstance(said, str) else list(said)


def folded(value: str, ignored: Sequence[str]) -> str:
    """A text without what is ignored: white space counts as one space, none at its ends."""
    value = " ".join(value.split()) if "space" in ignored else value
    return value.casefold() if "case" in ignored else value


def contains(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """A text with this part, or an array with this item."""
    item = expected["$contains"]

    def find(branch: Branch) -> Found:
        found = texts([re.escape(item)], branch) if isinstance(item, str) else NONE
        if not branch.may_be("array"):
            return found
        inside = inner.of(item, where.at(0))
        allowed = [value for value in inside.values[:8] if where.at(0).allows(value)]
        if not allowed:
            return union([found, Found(known=inside.known and not branch.every("prefixItems"))])
        return union([found, *(listed([value], branch, where) for value in allowed)])

    return search(where, find, inner.accepts)


def unordered(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """The items in an order that the schema allows; as they stand where it allows none."""
    branches = where.branches()
    if branches is not None and not any(branch.may_be("array") for branch in branches):
        return NONE
    inside = [inner.of(item, where.at(0)) for item in expected["$unordered"]]
    if any(not each.values for each in inside):
        return Found(known=any(each.impossible for each in inside))
    items = [each.values[0] for each in inside]
    orders = (list(order) for order in islice(permutations(items), _MOST_ORDERS))
    return Found((next((order for order in orders if where.allows(order)), items),), known=True)


def partial(expected: Mapping[str, Any], where: Where, inner: Examples) -> Found:
    """The named properties, and others that the schema requires."""
    named = {key: inner.of(value, where.at(key)) for key, value in expected["$partial"].items()}
    if any(not each.values for each in named.values()):
        return Found(known=any(each.impossible for each in named.values()))
    values = {key: each.values[0] for key, each in named.items()}
    branches = where.branches()
    if branches is None:
        return Found((values,), known=True)
    return union(filled(values, branch, where) for branch in branches)
