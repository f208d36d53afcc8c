"""Values that are no strict JSON and that the stock parsers read all the same.

Models spell lists, dictionaries and numbers as Python does. Such a spelling is taken where the
schema does not allow text, and only for a value of a type that the schema allows.
"""

import ast
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from evals import schema as schemas
from evals.case import Tool
from evals.formats.reading import ReadCall
from evals.json_text import parse_strict, to_text
from evals.observation import Call

_WORDS = {"true": True, "false": False, "null": None, "none": None}
_ABSENT = object()


def with_loose_values(read: ReadCall, texts: Mapping[str, str], tool: Tool) -> Call:
    """The call, with each value that does not fit the schema read as loosely as it can be."""
    if not read.unfit:
        return read.call
    arguments = parse_strict(read.call.arguments)
    root = tool.parameters
    for key in read.unfit:
        types = schemas.allowed_types(schemas.child(root, key, root), root)
        value = next((v for v in _spellings(texts[key].strip()) if _fits(v, types)), _ABSENT)
        if value is not _ABSENT:
            arguments[key] = value
    return Call(read.call.name, to_text(arguments))


def _fits(value: Any, types: frozenset[str] | None) -> bool:
    return not isinstance(value, str) and schemas.fits(value, types)


def _spellings(text: str) -> Iterable[Any]:
    """What a text may stand for, as JSON values."""
    if text.lower() in _WORDS:
        yield _WORDS[text.lower()]
    for load in (_loose_json, _python, _number):
        try:
            yield parse_strict(json.dumps(load(text), allow_nan=False))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue


def _loose_json(text: str) -> Any:
    """JSON whose texts may hold line breaks."""
    return json.loads(text, strict=False, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _python(text: str) -> Any:
    """A literal of Python: lists, tuples, dictionaries and what is in them."""
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        keys = [ast.dump(key) for key in getattr(node, "keys", ()) if key is not None]
        if len(set(keys)) < len(keys):
            raise ValueError("a key is given twice")
    return ast.literal_eval(tree)


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return int(value) if value.is_integer() else value
