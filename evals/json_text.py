"""JSON text, read strictly and written exactly."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from math import isinf
from typing import Any

MAX_DEPTH = 100


def parse_strict(text: str) -> Any:
    """Parse one JSON value: no duplicate keys, NaN, Infinity or text behind it.

    Integers are exact at any size; int and float stay apart.

    Raises:
        ValueError: the text is none of that, a number does not fit a double, or arrays and objects
            are nested deeper than 100 levels; the message says which.

    """
    return _checked(lambda: (_DECODER.decode(text), len(text)))[0]


def read_once(read: Callable[[str], Any], text: str) -> Any:
    """`read(text)`, kept for the next who asks, if it is short; nobody may change the value."""
    return _kept(read, text) if len(text) <= _SHORT else read(text)


@lru_cache(maxsize=64)
def _kept(read: Callable[[str], Any], text: str) -> Any:
    return read(text)


_SHORT = 20_000
"""Characters: answers of megabytes must not stay in memory."""


def parse_strict_at(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at `start`, as `parse_strict` reads it, and where it ends.

    Raises:
        ValueError: as of `parse_strict`.
    """
    return _checked(lambda: _DECODER.raw_decode(text, start))


def _checked(decode: Callable[[], tuple[Any, int]]) -> tuple[Any, int]:
    try:
        value, end = decode()
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    _check_depth(value)
    return value, end


def to_text(value: Any) -> str:
    """A value as JSON text, for readers and records; never raises, whatever was parsed.

    Unlike `json.dumps` it writes integers of any size, and lone surrogates as escapes.
    """
    try:
        text = _ENCODER.encode(value)
    except (ValueError, TypeError, RecursionError):
        text = _write(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


_ENCODER = json.JSONEncoder(ensure_ascii=False)


def _write(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{to_text(str(k))}: {_write(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_write(item) for item in value) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(Decimal(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {to_text(twice)}")
    return result


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if isinf(value) or (value == 0 and Decimal(text) != 0):
        raise ValueError(f"number {text[:40]} is beyond the range of a double")
    return value


def _integer(text: str) -> int:
    # int() refuses more than 4300 digits; Decimal does not.
    return int(text) if len(text) < 4000 else int(Decimal(text))


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        level = [
            item
            for outer in level
            for item in (
                outer.values()
                if isinstance(outer, dict)
                else outer
                if isinstance(outer, list)
                else ()
            )
        ]
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
