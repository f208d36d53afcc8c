"""Prompts of a promptfoo configuration, and the messages that a row of variables makes of one."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evals.importers.drafts import Listed
from evals.importers.promptfoo_file import PromptfooFile, UnusableError
from evals.json_text import parse_strict

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_FILE_NAME = re.compile(r"\S+\.(txt|md|jsonl?|ya?ml|csv|j2|[cm]?js|[cm]?ts|py)")
_NEXT_PROMPT = re.compile(r"^---[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """The text of a prompt, with `{{name}}` in it, and where it is from."""

    place: str
    text: str


def read_prompts(file: PromptfooFile) -> Iterator[Prompt]:
    """The prompts that are text, or files of text; others are noted in `file.imported`."""
    given = file.data.get("prompts", "{{prompt}}")
    for number, entry in enumerate(given if isinstance(given, list) else [given]):
        place = file.place("prompts", number)
        if isinstance(entry, Mapping):
            entry = entry.get("raw") or entry.get("id") or entry.get("label")
        if isinstance(entry, str) and _FILE_NAME.fullmatch(entry):
            entry = f"file://{entry.removeprefix('file://')}"
        try:
            found = file.resolved(entry, "the prompt")
        except UnusableError as error:
            file.imported.notes.append(Listed(place, str(error)))
            continue
        for text in _texts(entry, found):
            if isinstance(text, str) and text.strip():
                yield Prompt(place, text)
            else:
                said = f"a prompt is text, not {str(text)[:60]!r}"
                file.imported.notes.append(Listed(place, said))


def _texts(entry: Any, found: Any) -> Iterator[Any]:
    """The prompts in what `entry` names: some kinds of files have several."""
    if isinstance(found, str) and found is not entry and str(entry).endswith(".txt"):
        yield from _NEXT_PROMPT.split(found)
        return
    several = isinstance(found, list) and str(entry).endswith(".jsonl")
    for one in found if several else [found]:
        listed = isinstance(one, list | Mapping)
        yield json.dumps(one, ensure_ascii=False) if listed else one


def messages_of(text: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a prompt: a chat as JSON, also one that variables make, else the user's.

    Raises:
        UnusableError: it is more than a text with names of variables in it.
    """
    if (chat := _chat(text)) is not None:
        return [_rendered(one, row) for one in chat]
    rendered = _render(text, row)
    if rendered.lstrip().startswith("- role:"):
        raise UnusableError("the prompt is a chat in YAML; write it as JSON")
    return _chat(rendered) or [{"role": "user", "content": rendered}]


def _chat(text: str) -> list[dict[str, Any]] | None:
    try:
        chat = parse_strict(text)
    except ValueError:
        return None
    if isinstance(chat, list) and chat and all(isinstance(m, dict) and "role" in m for m in chat):
        return chat
    return None


def _rendered(value: Any, row: Mapping[str, Any]) -> Any:
    """`value` with the variables in all of its texts filled in."""
    if isinstance(value, str):
        return _render(value, row)
    if isinstance(value, Mapping):
        return {key: _rendered(item, row) for key, item in value.items()}
    return [_rendered(item, row) for item in value] if isinstance(value, list) else value


def _render(text: str, row: Mapping[str, Any]) -> str:
    """`text` with `{{name}}` filled in; of Nunjucks nothing else is known."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in row:
            raise UnusableError(f"the prompt has {{{{{name}}}}}, and the test no such variable")
        given = row[name]
        if isinstance(given, str) and given.startswith("file://"):
            raise UnusableError(f"the variable {name} is in a file: {given}")
        if isinstance(given, str) and re.search(r"\{[{%#]", given):
            raise UnusableError(f"the variable {name} is a template itself")
        return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)

    rendered = _VARIABLE.sub(value, text)
    if re.search(r"\{[{%#]", _VARIABLE.sub("", text)):
        raise UnusableError("the prompt is a Nunjucks template with more than {{name}}")
    return rendered
