"""Parts of pages: docstrings, tables, and the keys of a model as a table."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from pydantic import BaseModel, TypeAdapter

from evals.case import Case
from evals.described import attribute_docs
from evals.json_text import to_text


def doc(what: object) -> str:
    """A docstring without its indentation."""
    return inspect.cleandoc(what.__doc__ or "")


def listed(names: Iterable[str]) -> str:
    """Names as code, with commas between them."""
    return ", ".join(f"`{name}`" for name in names)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table's lines; a cell may hold any text."""
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(map(_cell, row)) + " |"


def _cell(text: str) -> str:
    """Text as a table's cell: no end of the cell in it, and outside of code no tag."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(
        part.replace("<", "&lt;") if i % 2 == 0 else part for i, part in enumerate(parts)
    )


def model_keys(
    model: type[BaseModel],
    *,
    leave: Iterable[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """A section with a table of the model's keys; `defaults` are for keys that have none there."""
    schema = model.model_json_schema()
    yield f"\n## {model.__name__}\n"
    yield f"{doc(model)}\n"
    rows = [
        (
            f"`{name}`",
            _type(field),
            _default(field, name in schema.get("required", ()), (defaults or {}).get(name)),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
        if name not in set(leave)
    ]
    yield from table(["key", "value", "default", "meaning"], rows)


def value_keys(of: type) -> Iterator[str]:
    """A section with a table of the keys that a frozen value has as JSON."""
    documented = attribute_docs(of)
    yield f"\n## {of.__name__}\n"
    yield f"{doc(of)}\n"
    fields = TypeAdapter(of).json_schema()["properties"].items()
    rows = [(f"`{name}`", _value(field), documented[name]) for name, field in fields]
    yield from table(["key", "value", "meaning"], rows)


def _value(schema: Mapping[str, Any]) -> str:
    can_be_null = any(part.get("type") == "null" for part in schema.get("anyOf", ()))
    return _type(schema) + (" or null" if can_be_null else "")


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON Schema's type in words; other models are links to their sections."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(s) for s in schema["anyOf"] if s.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"{_type(values)} by name" if isinstance(values, dict) else "mapping"
    if schema.get("type") == "string":
        return _PATTERNS.get(schema.get("pattern", ""), f"text like `{schema.get('pattern')}`")
    named = {"boolean": "`true`, `false`"}
    kind: str = schema.get("type", "anything")
    return named.get(kind, kind) + _range(schema)


_PATTERNS = {
    "": "text",
    Case.model_json_schema()["properties"]["id"]["pattern"]: "name",
    "^(smoke|full)$": "`smoke`, `full`",
    "^https://": "address with `https://`",
}


def _range(schema: Mapping[str, Any]) -> str:
    limits = (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
    )
    parts = [f"{word} {schema[key]:g}" for key, word in limits if key in schema]
    return f", {' '.join(parts)}" if parts else ""


def _default(schema: Mapping[str, Any], required: bool, otherwise: Any) -> str:
    if required:
        return "required"
    value = schema.get("default")
    value = otherwise if value is None else value
    plain = isinstance(value, str | int | float | list | tuple) and value not in ("", [], ())
    return f"`{to_text(value)}`" if plain else ""


def members(of: type[Enum]) -> list[tuple[str, str]]:
    """An enumeration's values as code, with the docstrings under them."""
    documented = attribute_docs(of)
    return [(f"`{member.value}`", documented[member.name]) for member in of]
