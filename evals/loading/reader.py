"""One case file on its way to cases. No mistake hides the next one: what is left is read on."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evals.case import Case, Tool
from evals.loading.case_check import check_case
from evals.loading.entries import CaseEntry, CaseFile, CaseSettings
from evals.loading.messages import check_messages
from evals.loading.templates import check_template, is_template, named_in, render
from evals.loading.tools import Shelf, Shelves, plain_tool, tools_folder
from evals.request import OWN_KEYS
from evals.wording import add_validation, meant
from evals.yaml_text import Document, Problems

_MOST_OF_TEMPLATE = 5
"""So many mistakes of one template are told; its other cases have the same ones."""
_TAKEN_OVER = CaseSettings.model_fields.keys() - {"tools", "tools_from", "system"}
_SOME_CASE = {"id": "x", "ask": "x", "expect": {"answer": {}}}
"""Stands in for what cannot be read, so that the rest can be looked at."""

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class KnownNames:
    """Names of a configuration that a case may say; it may say no others."""

    profiles: Collection[str]
    lanes: Collection[str]


Model = TypeVar("Model", bound=BaseModel)


def note_id(path: str, name: str, line: int, taken: dict[str, int], problems: Problems) -> None:
    """Note a case whose name an earlier one has; `taken` has the lines of all so far."""
    node = f"{path}::{name}"
    if node in taken:
        where = f"the case in line {taken[node]}"
        if taken[node] == line:
            where = "another case of its template, or of the same file under two names"
        problems.add(path, line, f"id: {name!r} is taken by {where}; choose another")
    taken.setdefault(node, line)


@dataclass
class Reader:
    """A file's data with what it needs; `taken` has the ids of all files by node."""

    document: Document
    file: Path
    shelves: Shelves
    problems: Problems
    names: KnownNames | None
    taken: dict[str, int]
    _offered: dict[str, tuple[Tool, ...]] = field(default_factory=dict)

    def cases(self) -> Iterator[Case]:
        """The cases, as far as they can be read."""
        data = self.document.data
        if not isinstance(data, dict):
            what = (
                "the file is empty; it needs" if data is None else "a case file is a mapping with"
            )
            self.problems.add(self.document.path, 1, f"{what} `cases:` with at least one case")
            return
        head = {key: value for key, value in data.items() if key not in ("cases", "defaults")}
        self._valid(CaseFile, {**head, "cases": [_SOME_CASE]}, ())
        entries = data.get("cases")
        if not isinstance(entries, list) or not entries:
            message = "a list with at least one case, each begun by `- id:`"
            self.problems.add_at(self.document, ("cases",), f"it must be {message}")
            return
        for number, entry in enumerate(entries):
            yield from self._entry(entry, ("cases", number))

    @cached_property
    def _defaults(self) -> CaseSettings:
        given = self.document.data.get("defaults")
        if given is None:
            return CaseSettings()
        read = self._valid(CaseSettings, _spelled(given), ("defaults",))
        if read is not None:
            self._check_keys(read, ("defaults",))
        return read or CaseSettings()

    @cached_property
    def _category(self) -> str:
        given = self.document.data.get("category")
        folder = self.file.parent.name
        named = (self.file.stem if folder == "cases" else folder).replace("_", "-")
        return given if isinstance(given, str) else named

    @cached_property
    def _shelf(self) -> Shelf:
        return self.shelves.folder(tools_folder(self.file))

    def _valid(self, model: type[Model], data: Any, place: Place) -> Model | None:
        """`data` as a model; where it has mistakes, they are noted, and the rest is read on."""
        try:
            # JSON mode: YAML's lists may fill tuples, but "5" is not an integer and 1 no boolean.
            return model.model_validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            add_validation(error, self.document, place, model, self.problems)
            wrong = {detail["loc"][0] if detail["loc"] else None for detail in error.errors()}
        if None in wrong or not isinstance(data, dict):
            return None
        left = {key: value for key, value in data.items() if key not in wrong}
        stand_in = _SOME_CASE if model is CaseEntry else {}
        if "messages" in left or "ask" in left:
            stand_in = {key: value for key, value in stand_in.items() if key != "ask"}
        try:
            return model.model_validate_json(json.dumps({**stand_in, **left}), strict=True)
        except ValidationError:
            return None

    def _entry(self, entry: Any, place: Place) -> Iterator[Case]:
        if not is_template(entry):
            yield from self._case(entry, place)
            return
        mistakes = list(check_template(entry))
        for key, mistake in mistakes:
            self.problems.add_at(self.document, (*place, key), mistake)
        if mistakes:
            return
        rendered, mistakes_of_names = render(entry)
        for name in named_in(self.document.data.get("defaults"), rendered[0].values):
            message = f"{{{{{name}}}}} is filled in cases alone; put what has it into the case"
            self.problems.add_at(self.document, ("defaults",), message)
        for mistake in mistakes_of_names:
            self.problems.add_at(self.document, place, mistake)
        outside, self.problems = self.problems, Problems()
        for each in rendered if not mistakes_of_names else ():
            yield from self._case(each.data, place)
        found, self.problems = list(dict.fromkeys(self.problems.lines)), outside
        more = len(found) - _MOST_OF_TEMPLATE
        self.problems.lines += found[:_MOST_OF_TEMPLATE]
        if more > 0:
            self.problems.add_at(self.document, place, f"and {more} more mistakes of this template")

    def _case(self, data: Any, place: Place) -> Iterator[Case]:
        """The case of one entry; nothing where it cannot be read at all."""
        if not isinstance(data, dict):
            self.problems.add_at(self.document, place, f"a case is a mapping, not {data!r}")
            return
        line = self.document.line((*place, "id"))
        if isinstance(data.get("id"), str):
            note_id(self.document.path, data["id"], line, self.taken, self.problems)
        entry = self._valid(CaseEntry, _spelled(data), place)
        if entry is None:
            return
        before = len(self.problems.lines)
        self._check_messages(entry, place)
        told = len(self.problems.lines)
        offered = self._tools(entry, place)
        all_found = len(self.problems.lines) == told
        self._check_keys(entry, place)
        case = self._made(entry, offered, line)
        # A stand-in expects nothing that its author wrote; a call may be of a tool not found.
        read = len(self.problems.lines) == before or entry.expect.alternatives
        if "expect" in data and all_found and read:
            for message in check_case(case):
                # A message begins with the key that it is about.
                key = re.split(r"\W", message, maxsplit=1)[0]
                self.problems.add(
                    self.document.path, self.document.line((*place, key)), f"{case.id}: {message}"
                )
        yield case

    def _made(self, entry: CaseEntry, offered: tuple[Tool, ...], line: int) -> Case:
        settings = {**_given(self._defaults), **_given(entry)}
        if entry.known_defects:  # its own come first; those of other profiles stay
            settings["known_defects"] += tuple(self._defaults.known_defects or ())
        return Case(
            id=entry.id,
            path=self.document.path,
            line=line,
            category=self._category,
            messages=tuple(self._messages(entry)),
            tools=offered,
            expect=entry.expect,
            replay=entry.replay,
            **settings,
        )

    def _system(self, entry: CaseEntry) -> str | None:
        return entry.system if entry.system is not None else self._defaults.system

    def _messages(self, entry: CaseEntry) -> Iterator[dict[str, Any]]:
        system = self._system(entry)
        if system is not None:
            yield {"role": "system", "content": system}
        if entry.messages is not None:
            yield from entry.messages
        else:
            yield {"role": "user", "content": entry.ask}

    def _check_messages(self, entry: CaseEntry, place: Place) -> None:
        with_system = self._system(entry) is not None
        for inside, problem in check_messages(entry.messages or (), with_system=with_system):
            self.problems.add_at(self.document, (*place, "messages", *inside), problem)

    def _check_keys(self, settings: CaseSettings, place: Place) -> None:
        own = [key for key in OWN_KEYS if key in (settings.extra_body or {})]
        for key in own:
            message = f"the suite sets {key} itself; use the case's own keys, or leave it out"
            self.problems.add_at(self.document, (*place, "extra_body", key), message)
        if self.names is None:
            return
        self._check_names(settings.profiles, "profile", (*place, "profiles"), self.names.profiles)
        for number, defect in enumerate(settings.known_defects or ()):
            inside = (*place, "known_defects", number)
            for what, named, known in (
                ("profile", defect.profiles, self.names.profiles),
                ("lane", defect.lanes, self.names.lanes),
            ):
                self._check_names(named, what, (*inside, f"{what}s"), known)

    def _check_names(
        self, named: Sequence[str] | None, what: str, place: Place, known: Collection[str]
    ) -> None:
        for number, name in enumerate(named or ()):
            if name not in known:
                message = f"unknown {what} {name!r}; {meant(name, dict.fromkeys(known))}"
                self.problems.add_at(self.document, (*place, number), message)

    def _tools(self, entry: CaseEntry, place: Place) -> tuple[Tool, ...]:
        """The available tools: those of the entry, else those of the defaults, found once."""
        if entry.tools is None and entry.tools_from is None:
            if "defaults" not in self._offered:
                self._offered["defaults"] = tuple(self._resolve(self._defaults, ("defaults",)))
            return self._offered["defaults"]
        return tuple(self._resolve(entry, place))

    def _resolve(self, settings: CaseSettings, place: Place) -> Iterator[Tool]:
        shelf = self._shelf
        if settings.tools_from is not None:
            listed = self._listed(settings.tools_from, (*place, "tools_from"))
            if settings.tools is None:
                yield from listed.values()
            shelf = {**shelf, **listed}
        for number, tool in enumerate(settings.tools or ()):
            where = (*place, "tools", number)
            if isinstance(tool, Tool):
                self.shelves.check(tool, self.document, where, self.problems)
                yield tool
            elif tool in shelf:
                yield shelf[tool]
            else:
                message = f"there is no tool {tool!r}; {meant(tool, shelf)}"
                self.problems.add_at(self.document, where, message)

    def _listed(self, name: str, place: Place) -> Shelf:
        file = self.file.parent / name
        if not file.is_file():
            message = (
                f"there is no file {name!r} beside {self.file.name}; write its path from there"
            )
            self.problems.add_at(self.document, place, message)
            return {}
        return self.shelves.file(file)


def _given(settings: CaseSettings) -> dict[str, Any]:
    """What is said of the fields that a case takes over as they are."""
    given = {name: getattr(settings, name) for name in _TAKEN_OVER}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}


def _spelled(data: Any) -> Any:
    """An entry with its tools in this suite's spelling."""
    if not isinstance(data, Mapping) or not isinstance(data.get("tools"), list):
        return data
    tools = [plain_tool(tool) if isinstance(tool, Mapping) else tool for tool in data["tools"]]
    return {**data, "tools": tools}
