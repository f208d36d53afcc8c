"""Typed JSON comparison: what was expected against what came, with the reason for every leaf.

`true` ≠ `1` ≠ `"1"`, `1` = `1.0`, integers are exact at any size, text is compared as given. An
expected value may be a [matcher](#matchers), a mapping with one `$`-key. An absent argument equals
its schema's `default`, and the other way round. Where branches of a schema (`anyOf`, `oneOf`, `if`)
state different defaults, the one counts whose branch the arguments are in; none where that does
not tell.
"""

from collections.abc import Mapping
from typing import Any

from evals.judging import matchers as registry
from evals.judging.comparison import Match, Place, compare, compare_whole


def match(
    expected: Any, got: Any, *, schema: Any = None, path: str = "$", matchers: bool = True
) -> Match:
    """Compare a parsed value with what was expected.

    `schema` is the JSON Schema of the whole value; only its defaults are used. With
    `matchers=False` mappings with `$`-keys are plain values.
    """
    return Match(tuple(compare(expected, got, _place(path, schema, matchers))))


def match_arguments(
    expected: Mapping[str, Any],
    got: Mapping[str, Any],
    *,
    schema: Any = None,
    matchers: bool = True,
) -> Match:
    """Compare a call's arguments: a name may begin with `$`, and only the values are matchers.

    But for a matcher that stands for all of them, such as `$partial`.
    """
    return Match(tuple(compare_whole(expected, got, _place("$", schema, matchers))))


def _place(path: str, schema: Any, matchers: bool) -> Place:
    return Place(path, schema, schema, registry.MATCHERS if matchers else ())
