"""Cases of the Berkeley Function-Calling Leaderboard, v4: single-turn and live, out of its wheel.

The wheel `bfcl-eval` carries questions and possible answers as JSON lines; it is read, and nothing
of it is installed or run. What its answers mean, and how it stands in a case file:

* a list of values for an argument: any of them; `""` in it, or null where its type has none: the
  argument may be left out
* text: letter case and white space ignored (its own checker ignores some punctuation, too)
* a mapping or a list of mappings: each value is a list of possible values again
* its types (`dict`, `float`, `tuple`, `any`, those of Java and JavaScript) are JSON Schema's
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.errors import CaseFileError
from evals.importers.drafts import Draft, Imported, Listed, Names
from evals.json_text import parse_strict

WHEEL = "bfcl-eval==2026.3.23"
WHEEL_SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
_DATA = "bfcl_eval/data"
_FILE = "BFCL_v4_{}.json"
LICENSE = "Apache-2.0 (Berkeley Function-Calling Leaderboard, gorilla.cs.berkeley.edu)"

CALLS = (
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
)
NO_CALL = ("irrelevance", "live_irrelevance")
SOME_CALL = ("live_relevance",)
CATEGORIES = (*CALLS, *NO_CALL, *SOME_CALL)

_TYPES: Mapping[str, str] = {
    "dict": "object",
    "hashmap": "object",
    "hashtable": "object",
    "object": "object",
    "float": "number",
    "double": "number",
    "number": "number",
    "int": "integer",
    "integer": "integer",
    "long": "integer",
    "short": "integer",
    "byte": "integer",
    "bigint": "integer",
    "tuple": "array",
    "list": "array",
    "array": "array",
    "arraylist": "array",
    "queue": "array",
    "stack": "array",
    "set": "array",
    "string": "string",
    "char": "string",
    "boolean": "boolean",
    "bool": "boolean",
    "null": "null",
}
"""BFCL's types, in lower case; any other (`any`, none at all) allows every value."""


def read_bfcl(source: Path) -> Imported:
    """All rows of a wheel of bfcl-eval, or of a folder of its data, as drafts; broken ones listed.

    Raises:
        CaseFileError: it is neither.
    """
    imported = Imported(f"bfcl-eval ({source.name})", LICENSE)
    names = Names()
    try:
        texts = _texts(source)
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
        raise CaseFileError(f"{source}: no wheel of bfcl-eval and no folder: {error}") from error
    for category in CATEGORIES:
        rows = _rows(texts, _FILE.format(category), imported)
        found = _rows(texts, f"possible_answer/{_FILE.format(category)}", imported)
        answers = {str(row.get("id")): row.get("ground_truth") for _, row in found}
        for place, row in rows:
            _add(imported, category, place, row, answers.get(str(row.get("id"))), names)
    if not imported.count and not imported.unusable:
        raise CaseFileError(f"{source}: it has none of {_FILE.format('simple_python')} and its kin")
    imported.notes += names.notes("bfcl-eval")
    return imported


def _texts(source: Path) -> dict[str, str]:
    """The text of each file of rows, by its path within the data."""
    names = [_FILE.format(category) for category in CATEGORIES]
    names += [f"possible_answer/{name}" for name in names]
    if source.is_dir():
        there = {name: source / name for name in names if (source / name).is_file()}
        return {name: path.read_text(encoding="utf-8-sig") for name, path in there.items()}
    with zipfile.ZipFile(source) as archive:
        members = set(archive.namelist())
        inside = {name: f"{_DATA}/{name}" for name in names if f"{_DATA}/{name}" in members}
        return {name: archive.read(member).decode("utf-8") for name, member in inside.items()}


def _rows(
    texts: Mapping[str, str], name: str, imported: Imported
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(texts.get(name, "").split("\n"), 1):
        place = f"{name}:{number}"
        if not line.strip():
            continue
        try:
            row = parse_strict(line)
        except ValueError as error:
            imported.unusable.append(Listed(place, f"not JSON: {error}"))
            continue
        if isinstance(row, dict):
            yield place, row
        else:
            imported.unusable.append(Listed(place, "not a JSON object"))


def _add(
    imported: Imported,
    category: str,
    place: str,
    row: Mapping[str, Any],
    truth: Any,
    names: Names,
) -> None:
    place = f"{place} ({row.get('id')})"
    try:
        entry = {
            "id": str(row["id"]).lower(),
            "messages": [dict(message) for turn in row["question"] for message in turn],
            "tools": [_tool(function, names) for function in row.get("function") or ()],
            "expect": _expect(category, truth, names, row.get("function") or ()),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        imported.unusable.append(Listed(place, f"not as BFCL's rows are: {error!r}"))
        return
    if not entry["tools"]:
        del entry["tools"]
    imported.files.setdefault(category.replace("_", "-"), []).append(Draft(place, entry))


def _tool(function: Mapping[str, Any], names: Names) -> dict[str, Any]:
    parameters = _schema(function.get("parameters") or {})
    return {
        "name": names(function["name"]),
        "description": function.get("description") or "",
        "parameters": {**parameters, "type": "object"},
    }


def _schema(given: Any) -> Any:
    """A schema in JSON Schema's types; keys that are BFCL's own are left out."""
    if not isinstance(given, Mapping):
        return given
    result: dict[str, Any] = {}
    for key, value in given.items():
        if key == "type":
            known = _TYPES.get(str(value).lower()) if isinstance(value, str) else value
            result |= {"type": known} if known else {}
        elif key == "properties" and isinstance(value, Mapping):
            result[key] = {name: _schema(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties"):
            result[key] = _schema(value)
        elif key == "required" and isinstance(value, list):
            properties = given.get("properties") or {}
            result[key] = [name for name in value if name in properties]
        elif key not in ("optional", "nullable", "format"):
            result[key] = value
    return result


def _expect(category: str, truth: Any, names: Names, functions: Any) -> dict[str, Any]:
    if category in NO_CALL:
        return {"answer": {}}
    if category in SOME_CALL:
        return {"some_call": True}
    schemas = {f["name"]: _schema(f.get("parameters") or {}) for f in functions}
    calls = [
        {"name": names(name), "arguments": _arguments(arguments, schemas.get(name, {}))}
        for call in truth
        for name, arguments in call.items()
    ]
    return {"call": calls[0]} if len(calls) == 1 else {"calls": calls}


def _arguments(given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    if matchers := [key for key in given if key.startswith("$")]:
        raise ValueError(f"an argument named {matchers[0]!r} would be a matcher")
    return {
        key: _possible(values, properties.get(key) or {})
        for key, values in given.items()
        if any(value not in ("", None) for value in values) or not isinstance(values, list)
    }


def _possible(values: Any, schema: Mapping[str, Any]) -> Any:
    """What an argument may be: one of a list of values, absent where `""` is among them."""
    if not isinstance(values, list):
        raise ValueError(f"possible values are a list, not {values!r}")
    null = schema.get("type") in (None, "null")  # null for an argument without one: left out
    kept = [value for value in values if value != "" and (null or value is not None)]
    allowed = [_value(value, schema) for value in kept]
    one = allowed[0] if len(allowed) == 1 else {"$any_of": allowed}
    return {"$optional": one} if len(kept) < len(values) else one


def _value(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return value if "enum" in schema else {"$text": value}
    if isinstance(value, Mapping):
        return _arguments(value, schema)
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [_value(item, items if isinstance(items, Mapping) else {}) for item in value]
    return value
