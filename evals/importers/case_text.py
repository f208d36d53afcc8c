"""Case files as text: a case a block, its values as JSON, which YAML reads back to the letter."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evals.escaping import escape_controls, one_line

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What JSON may have raw, and YAML may not."""
_LISTS = ("tools", "messages", "calls", "any_of")
"""Lists of which each item gets a line of its own."""


def case_file_text(
    entries: Iterable[Mapping[str, Any]],
    *,
    comments: Sequence[str] = (),
    head: Mapping[str, Any] | None = None,
) -> str:
    """A case file: `comments` above, then the keys of `head`, then `cases` with the entries.

    A key `#` of an entry is a comment beside it.
    """
    lines = [_comment(line) for line in comments]
    for key, value in (head or {}).items():
        lines += _pair(key, value, "")
    lines.append("cases:")
    for entry in entries:
        block = [line for key, value in entry.items() for line in _pair(key, value, "    ")]
        lines += [f"  - {block[0].lstrip()}", *block[1:]]
    return "\n".join(lines) + "\n"


def tool_file_text(tools: Iterable[Mapping[str, Any]], *, comments: Sequence[str] = ()) -> str:
    """A file of tools, each by its name."""
    lines = [_comment(line) for line in comments]
    for tool in tools:
        lines.append(f"{_scalar(tool['name'])}:")
        lines += [line for k, v in tool.items() if k != "name" for line in _pair(k, v, "  ")] or [
            "  {}"
        ]
    return "\n".join(lines) + "\n"


def _comment(line: str) -> str:
    """One line, whatever is in it: what is imported writes no keys of its own."""
    return f"# {one_line(line)}".rstrip()


def _pair(key: str, value: Any, indent: str) -> list[str]:
    if key == "#":
        return [indent + _comment(line) for line in escape_controls(str(value)).split("\n")]
    if key == "expect" and isinstance(value, Mapping) and value.keys() & set(_LISTS):
        return [
            f"{indent}expect:",
            *(x for k, v in value.items() for x in _pair(k, v, indent + "  ")),
        ]
    if key in _LISTS and isinstance(value, list) and value:
        return [f"{indent}{key}:", *(f"{indent}  - {_scalar(item)}" for item in value)]
    return [f"{indent}{key}: {_scalar(value)}"]


def _scalar(value: Any) -> str:
    """A value as JSON; a plain word stands without quotes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", value):
        plain = value.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
        return value if plain else json.dumps(value)
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
