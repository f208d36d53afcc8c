"""The grammar of a parameter's value in Qwen3-Coder XML, from its schema, in llguidance's Lark."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from evals.formats.qwen_xml import PARAMETER_CLOSE
from evals.json_text import to_text
from evals.schema import allowed_types, fits, resolve

ANY = "(?s:.*)"
"""The regular expression of any text."""

_VALUE_END = f"\n{PARAMETER_CLOSE}"
_DEPTH = 8
# An escape, a class, or a single character: what must not be taken apart.
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)


def literal(text: str) -> str:
    """`text` as a Lark string."""
    escaped = json.dumps(text, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029]", lambda m: f"\\u{ord(m[0]):04x}", escaped)


def value_rules(rule: str, declared: Any, root: Any, *, loose: bool = False) -> Iterator[str]:
    """`rule`: a value with the closing tag behind it: text, one of some texts, or JSON.

    `declared` is the value's schema in `root`, the schema of all parameters. `loose`: without
    patterns, and with JSON keywords that llguidance does not support left unheeded.
    """
    end = literal(_VALUE_END + "\n")
    types = allowed_types(declared, root)
    if choices := [value for value in _choices(declared, root) or () if fits(value, types)]:
        texts = [choice if isinstance(choice, str) else to_text(choice) for choice in choices]
        yield f"{rule}: ({' | '.join(literal(text) for text in texts)}) {end}"
    elif types and "string" not in types:
        yield f"{rule}: %json {_json(declared, root, loose=loose)} {end}"
    else:
        schema = resolve(declared, root)
        only_text = isinstance(schema, Mapping) and types == frozenset({"string"})
        yield f'{rule}: {rule}_text "\\n"'
        text = _text(schema, loose=loose) if only_text else f"/{ANY}/"
        yield f"{rule}_text[suffix={literal(_VALUE_END)}]: {text}"


def _choices(declared: Any, root: Any, depth: int = 0) -> list[Any] | None:
    """The values of an enum or const, also in parts of the schema; None if others will do, too."""
    schema = resolve(declared, root)
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    if "const" in schema:
        return [schema["const"]]
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if not isinstance(parts := schema.get(key), list) or not parts:
            continue
        found = [_choices(part, root, depth + 1) for part in parts]
        known = [choices for choices in found if choices is not None]
        if key == "allOf" and known:
            return [choice for choice in known[0] if all(choice in other for other in known)]
        if key != "allOf" and len(known) == len(parts):
            return [choice for choices in known for choice in choices]
    if schema.get("type") == "null":
        return [None]
    return [True, False] if schema.get("type") == "boolean" else None


def _text(schema: Mapping[str, Any], *, loose: bool) -> str:
    """The regular expression of a raw text, by its length and pattern."""
    low, high = (schema.get(key) for key in ("minLength", "maxLength"))
    low, high = (bound if isinstance(bound, int) else None for bound in (low, high))
    any_length = low is None and high is None
    bounds = f"{low or 0},{'' if high is None else high}"
    parts = [f"/{ANY}/" if any_length else f"/(?s:.{{{bounds}}})/"]
    if isinstance(pattern := schema.get("pattern"), str) and not loose:
        parts.append(f"/{_whole(pattern)}/")
    return " & ".join(parts)


def _whole(pattern: str) -> str:
    """An expression that matches whole texts, for one that is searched for in them."""
    alternatives, depth = [[""]], 0
    for piece in _PIECE.findall(pattern):
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and depth == 0:
            alternatives.append([""])
        else:
            alternatives[-1].append(piece)
    return "|".join(f"({_anchored(pieces)})" for pieces in alternatives)


def _anchored(pieces: list[str]) -> str:
    pieces = [piece for piece in pieces if piece]
    begins, ends = pieces[:1] == ["^"], pieces[-1:] == ["$"]
    inner = pieces[begins : len(pieces) - ends]
    body = "".join(r"\/" if piece == "/" else piece for piece in inner)
    body = re.sub(r"(?<!\\)/", r"\/", body)  # a slash in a class
    return f"{'' if begins else ANY}({body}){'' if ends else ANY}"


def _json(declared: Any, root: Any, *, loose: bool) -> str:
    """The schema for llguidance, which looks for `$ref` in it alone: the root goes with it."""
    schema = {**_moved(declared), "$defs": {"root": _moved(root)}}
    return json.dumps(schema | ({"x-guidance": {"lenient": True}} if loose else {}))


def _moved(schema: Any) -> Any:
    """`schema` with its local references pointing to where the root has gone."""
    if isinstance(schema, list):
        return [_moved(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = f"#/$defs/root{reference[1:]}"
    return moved
