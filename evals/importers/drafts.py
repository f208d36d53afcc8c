"""Cases on their way into case files: each checked by itself, what cannot be used listed.

Nothing that is imported is executed, and a file is written whole or not at all.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from evals.case import Case, Tool
from evals.disk import replace_file
from evals.errors import ConfigError
from evals.escaping import one_line
from evals.importers.case_text import case_file_text
from evals.loading.case_check import check_case
from evals.loading.entries import CaseEntry
from evals.loading.messages import check_messages
from evals.loading.tools import plain_tool, schema_mistake

_ACCEPTED = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Draft:
    """A case as it will stand in a file: `entry` with the keys of one, `place` where it is from."""

    place: str
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class Listed:
    """What was not imported, or not wholly: where it stands, and why."""

    place: str
    why: str

    def __str__(self) -> str:
        return one_line(f"{self.place}: {self.why}")


@dataclass
class Imported:
    """What an importer made: drafts by the name of their file, and what it lists."""

    source: str
    license: str = "not said"
    files: dict[str, list[Draft]] = field(default_factory=dict)
    unusable: list[Listed] = field(default_factory=list)
    """What became no case."""
    notes: list[Listed] = field(default_factory=list)
    """What was left out of a case, or changed."""

    @property
    def count(self) -> int:
        """How many cases there are."""
        return sum(map(len, self.files.values()))


def checked(imported: Imported) -> Imported:
    """`imported` with what no answer could satisfy, or no case file may hold, listed instead."""
    kept: dict[str, list[Draft]] = {}
    unusable = list(imported.unusable)
    for name, drafts in imported.files.items():
        taken: set[str] = set()
        for draft in drafts:
            if problem := _problem(draft, taken):
                unusable.append(Listed(draft.place, problem))
            else:
                taken.add(draft.entry["id"])
                kept.setdefault(name, []).append(draft)
    return Imported(imported.source, imported.license, kept, unusable, imported.notes)


def sampled(imported: Imported, count: int, chance: Random) -> Imported:
    """`count` of the cases, drawn by `chance`; all of them where there are no more."""
    drawn = [(name, draft) for name, drafts in imported.files.items() for draft in drafts]
    files: dict[str, list[Draft]] = {}
    for name, draft in chance.sample(drawn, min(count, len(drawn))):
        files.setdefault(name, []).append(draft)
    return replace(imported, files=files)


def _problem(draft: Draft, taken: set[str]) -> str | None:
    """The first thing that is wrong with a draft as a case."""
    entry = {key: value for key, value in draft.entry.items() if key != "#"}
    try:
        read = CaseEntry.model_validate_json(json.dumps(entry), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
    except ValueError as error:
        return str(error)
    if read.id in taken:
        return f"id {read.id!r} is taken by another case of this file"
    if wrong := next(
        check_messages(read.messages or (), with_system=read.system is not None), None
    ):
        return f"messages: {wrong[1]}"
    tools = [tool for tool in read.tools or () if isinstance(tool, Tool)]
    for tool in tools:
        if mistake := schema_mistake(tool.parameters):
            return f"tool {tool.name!r}: {mistake}"
    return next(check_case(_case(read, tools)), None)


def _case(read: CaseEntry, tools: Sequence[Tool]) -> Case:
    messages = read.messages or [{"role": "user", "content": read.ask}]
    if read.system is not None:
        messages = [{"role": "system", "content": read.system}, *messages]
    return Case(
        id=read.id,
        path="imported",
        line=1,
        category="imported",
        messages=tuple(messages),
        tools=tuple(tools),
        expect=read.expect,
        tool_choice=read.tool_choice or "auto",
    )


def write(imported: Imported, folder: Path, *, force: bool = False) -> list[Path]:
    """Write the files into `folder`, each whole; source and licence stand in each.

    Raises:
        ConfigError: nothing was imported, or a file is there already and `force` is not given.
        OSError: it cannot be written.
    """
    if not imported.count:
        source = one_line(imported.source)
        raise ConfigError(f"{source}: nothing in it can be used; nothing was written")
    paths = {folder / f"{name}.yaml": drafts for name, drafts in imported.files.items()}
    if there := [path for path in paths if path.exists() and not force]:
        raise ConfigError(f"{there[0]} is there already; give another folder, or --force")
    comments = [f"Imported from {imported.source}; licence: {imported.license}."]
    texts = {
        path: case_file_text([d.entry for d in drafts], comments=comments)
        for path, drafts in paths.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        replace_file(path, text)
    return list(paths)


def asked(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Messages as the keys of an entry: one plain text of the user is `ask`."""
    first = messages[0] if len(messages) == 1 else {}
    plain = first.keys() == {"role", "content"} and isinstance(first["content"], str)
    if plain and first["role"] == "user":
        return {"ask": first["content"]}
    return {"messages": messages}


def case_id(text: str, taken: Iterable[str] = ()) -> str:
    """An id for a case out of any text; a number is added where it is taken."""
    words = re.findall(r"[a-z0-9_]+", text.lower().replace("'", ""))
    name = "-".join(words)[:60].strip("-_") or "case"
    known = set(taken)
    numbers = (f"{name}-{number}" for number in range(2, len(known) + 3))
    return next(found for found in (name, *numbers) if found not in known)


class Names:
    """Names of tools that engines take (letters, digits, _ and -, at most 64) for any others."""

    def __init__(self) -> None:
        self._new: dict[str, str] = {}
        self._taken: set[str] = set()

    def __call__(self, name: str) -> str:
        """The name that goes into the case file: never the same for two names."""
        if name not in self._new:
            new = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "tool"
            numbers = (f"{new[:56]}_{number}" for number in range(2, len(self._taken) + 3))
            self._new[name] = next(one for one in (new, *numbers) if one not in self._taken)
            self._taken.add(self._new[name])
        return self._new[name]

    @property
    def renamed(self) -> dict[str, str]:
        """The new name of each that was changed."""
        return {old: new for old, new in self._new.items() if new != old}

    def notes(self, source: str) -> Iterator[Listed]:
        """A line for each name that was changed."""
        for old, new in self.renamed.items():
            why = "another has its name" if _ACCEPTED.fullmatch(old) else "engines refuse the name"
            yield Listed(source, f"tool {old!r} is named {new!r}: {why}")


def tool_entry(value: Mapping[str, Any], name: Callable[[str], str] = str) -> dict[str, Any]:
    """A tool of any spelling as it stands in a case file, the name first."""
    tool = plain_tool(value)
    if not isinstance(tool.get("name"), str) or not tool["name"]:
        raise ValueError(f"a tool has no name: {json.dumps(value)[:80]}")
    return {"name": name(tool.pop("name")), **tool}
