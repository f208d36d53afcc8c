"""Case files: YAML into cases, with every mistake of every file named at its line.

```yaml
# yaml-language-server: $schema=../schema.json
defaults:                       # for the cases of this file; each may override
  tools: [todoread, todowrite]  # names from tools/*.yaml beside the case folders, or inline tools
  tags: [todo]
cases:
  - id: todoread-pending
    ask: Check what tasks are already pending before adding new ones.
    expect:
      call: {name: todoread}
```
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evals.case import Case, Expect, Identifier, KnownDefect, ReplayScript, Tool, ToolChoice
from evals.judging import matchers
from evals.loading.case_check import check_case
from evals.yaml_text import Document, Problems, read_yaml

TOOLS_FOLDER = "tools"
SCHEMA_FILE = "schema.json"
MAX_CASES = 10_000
YAML = (".yaml", ".yml")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseSettings(_Entry):
    """What a case may say, and what a file's `defaults` may say for all of its cases."""

    system: str | None = Field(default=None, description="System message before the question.")
    tools: list[str | Tool] | None = Field(
        default=None, description="Available tools: names from tools/*.yaml, or tools in full."
    )
    tool_choice: ToolChoice | dict[str, Any] | None = None
    """OpenAI's `tool_choice`; a mapping names one function."""
    max_tokens: int | None = Field(default=None, ge=1, le=8192)
    """Where an answer is cut off."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 is greedy: always the likeliest token."""
    repeat: int | None = Field(default=None, ge=1, description="Ask this often.")
    tags: list[Identifier] | None = None
    """Marks for `pytest -m`."""
    tier: str | None = Field(default=None, pattern="^(smoke|full)$")
    """`--tier smoke` asks the cases of tier `smoke` alone."""
    critical: bool | None = Field(default=None, description="The gate forgives no failure.")
    link: str | None = Field(
        default=None, pattern="^https://", description="Public page about this case."
    )
    known_defects: list[KnownDefect] | None = None
    """Defects downstream of the model that make the case fail; then it enters no rate."""
    profiles: list[str] | None = Field(default=None, description="Ask it in these profiles only.")


class CaseEntry(CaseSettings):
    """One case as it stands in a file."""

    id: Identifier
    """Its name within the file; `pytest -k` finds it."""
    ask: str | None = Field(default=None, min_length=1, description="The question, as one message.")
    messages: list[dict[str, Any]] | None = Field(
        default=None, min_length=1, description="A whole conversation, in place of ask."
    )
    expect: Expect
    """What is right."""
    replay: ReplayScript | None = Field(
        default=None, description="What the replay model writes, in place of a real model."
    )

    @model_validator(mode="after")
    def _one_question(self) -> "CaseEntry":
        if (self.ask is None) == (self.messages is None):
            raise ValueError("give exactly one of ask and messages")
        return self


class CaseFile(_Entry):
    """A case file."""

    category: Identifier | None = Field(
        default=None, description="Where its rates are counted; the folder's name by default."
    )
    defaults: CaseSettings = CaseSettings()
    """For all cases of this file; a case may say otherwise."""
    cases: list[CaseEntry] = Field(min_length=1)


def json_schema() -> str:
    """The JSON Schema of case files, as the text of `cases/schema.json`."""
    schema = CaseFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    forms = "; ".join(f"{matcher.form}: {matcher.doc}" for matcher in matchers.MATCHERS)
    arguments = schema["$defs"]["ExpectedCall"]["properties"]["arguments"]
    arguments["description"] = f"All of its arguments, as values or matchers. {forms}"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def find_case_files(places: Iterable[Path]) -> list[Path]:
    """All case files in or at `places`, sorted; tool files are none."""
    found: set[Path] = set()
    for place in places:
        inside = (path for path in place.rglob("*") if is_yaml(path))
        found.update(inside if place.is_dir() else [place])
    return sorted(path for path in found if path.parent.name != TOOLS_FOLDER)


def is_yaml(path: Path) -> bool:
    """Whether its name says that it is a YAML file."""
    return path.suffix in YAML


def read_cases(files: Iterable[Path], root: Path) -> list[Case]:
    """The cases of `files`, in order; their `path` is relative to `root`.

    Raises:
        CaseFileError: every mistake of every file, a line each, `file:line: field: what; remedy`.
    """
    problems = Problems()
    tools: dict[Path, dict[str, Tool]] = {}
    cases: list[Case] = []
    for file in files:
        document = read_yaml(file, root, problems)
        if document is None:
            continue
        folder = _tools_folder(file)
        if folder not in tools:
            tools[folder] = read_tools(folder, root, problems)
        cases += _read_document(document, file, tools[folder], problems)
    _check_unique(cases, problems)
    problems.check()
    return cases


def read_tools(folder: Path, root: Path, problems: Problems) -> dict[str, Tool]:
    """The shared tools of `folder`, by name; mistakes go to `problems`."""
    tools: dict[str, Tool] = {}
    for file in sorted(path for path in folder.glob("*") if is_yaml(path)):
        document = read_yaml(file, root, problems)
        if document is None:
            continue
        if not isinstance(document.data, dict):
            problems.add(document.path, 1, "a tool file is a mapping from tool name to tool")
            continue
        for name, value in document.data.items():
            if name in tools:
                problems.add(document.path, document.line((name,)), f"second tool named {name!r}")
            if not isinstance(value, dict):
                problems.add_at(document, (name,), "a tool is a mapping")
                continue
            try:
                tools[name] = Tool.model_validate({"name": name, **value})
            except ValidationError as error:
                _add_validation(error, document, (name,), problems)
                continue
            _check_parameters(tools[name], document, (name, "parameters"), problems)
    return tools


def _tools_folder(file: Path) -> Path:
    for folder in file.parents:
        if (folder / TOOLS_FOLDER).is_dir():
            return folder / TOOLS_FOLDER
    return file.parent / TOOLS_FOLDER


def _read_document(
    document: Document, file: Path, tools: Mapping[str, Tool], problems: Problems
) -> Iterator[Case]:
    if document.data is None:
        message = "the file is empty; it needs `cases:` with at least one case"
        problems.add(document.path, 1, message)
        return
    if not _few_enough(document, problems):
        return
    try:
        # JSON mode: YAML's lists may fill tuples, but "5" is not an integer and 1 no boolean.
        content = CaseFile.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        _add_validation(error, document, (), problems)
        return
    for number, entry in enumerate(content.cases):
        place = ("cases", number)
        offered = _resolve_tools(entry, content.defaults, tools, document, place, problems)
        settings = {**_given(content.defaults), **_given(entry)}
        case = Case(
            id=entry.id,
            path=document.path,
            line=document.line((*place, "id")),
            category=content.category or _category(file),
            messages=tuple(_messages(entry, content.defaults)),
            tools=tuple(offered),
            expect=entry.expect,
            replay=entry.replay,
            **settings,
        )
        for message in check_case(case):
            # A message begins with the key that it is about.
            line = document.line((*place, re.split(r"\W", message, maxsplit=1)[0]))
            problems.add(document.path, line, f"{case.id}: {message}")
        yield case


def _few_enough(document: Document, problems: Problems) -> bool:
    cases = document.data.get("cases") if isinstance(document.data, dict) else None
    if not isinstance(cases, list) or len(cases) <= MAX_CASES:
        return True
    line = document.line(("cases", MAX_CASES))
    problems.add(document.path, line, f"a file has at most {MAX_CASES:,} cases; split it")
    return False


def _given(settings: CaseSettings) -> dict[str, Any]:
    """What is said of the fields that a case takes over as they are."""
    names = CaseSettings.model_fields.keys() - {"tools", "system"}
    given = {name: getattr(settings, name) for name in names}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}


def _category(file: Path) -> str:
    folder = file.parent.name
    return (file.stem if folder == "cases" else folder).replace("_", "-")


def _messages(entry: CaseEntry, defaults: CaseSettings) -> Iterator[dict[str, Any]]:
    system = entry.system if entry.system is not None else defaults.system
    if system is not None:
        yield {"role": "system", "content": system}
    if entry.messages is not None:
        yield from entry.messages
    else:
        yield {"role": "user", "content": entry.ask}


def _resolve_tools(
    entry: CaseEntry,
    defaults: CaseSettings,
    tools: Mapping[str, Tool],
    document: Document,
    place: tuple[str | int, ...],
    problems: Problems,
) -> Iterator[Tool]:
    named = entry.tools if entry.tools is not None else defaults.tools or []
    where = (*place, "tools") if entry.tools is not None else ("defaults", "tools")
    for number, tool in enumerate(named):
        if isinstance(tool, Tool):
            _check_parameters(tool, document, (*where, number), problems)
            yield tool
        elif tool in tools:
            yield tools[tool]
        else:
            message = f"there is no tool {tool!r}; {_meant(tool, tools)}"
            problems.add_at(document, (*where, number), message)


def _meant(name: str, tools: Mapping[str, Tool]) -> str:
    if close := get_close_matches(name, tools, n=3):
        return f"did you mean {' or '.join(close)}?"
    return f"there are: {', '.join(sorted(tools)) or 'none, without a tools folder'}"


def _check_parameters(
    tool: Tool, document: Document, place: tuple[str | int, ...], problems: Problems
) -> None:
    if tool.parameters.get("type") != "object":
        problems.add_at(document, place, "a tool's parameters are of type object")
    try:
        Draft202012Validator.check_schema(tool.parameters)
    except SchemaError as error:
        problems.add_at(document, place, f"not a JSON Schema: {error.message}")


def check_unique(cases: Iterable[Case]) -> None:
    """Refuse cases of one name, whichever files they were read from.

    Raises:
        CaseFileError: there are some; a line for each but the first.
    """
    problems = Problems()
    _check_unique(cases, problems)
    problems.check()


def _check_unique(cases: Iterable[Case], problems: Problems) -> None:
    seen: dict[str, Case] = {}
    for case in cases:
        if first := seen.get(case.node):
            taken = f"the case in line {first.line}"
            if first.line == case.line:  # the same file, found by another name
                taken = "the same case: its file is read twice, under two names"
            message = f"id: {case.id!r} is taken by {taken}; choose another"
            problems.add(case.path, case.line, message)
        seen.setdefault(case.node, case)


def _add_validation(
    error: ValidationError, document: Document, base: Sequence[str | int], problems: Problems
) -> None:
    for detail in error.errors():
        place = (*base, *detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message = f"unknown key; allowed here: {_allowed(place, document)}"
        elif detail["type"] != "missing" and not isinstance(detail["input"], dict):
            message += f", not {detail['input']!r}"
        problems.add_at(document, place, message)


def _allowed(place: Sequence[str | int], document: Document) -> str:
    """The keys that may stand beside `place`; the model is found by walking the names."""
    models: dict[str, type[BaseModel]] = {"defaults": CaseSettings, "expect": Expect}
    keys = [part for part in place[:-1] if isinstance(part, str)]
    if not keys:
        model: type[BaseModel] = CaseFile if "cases" in document.data else Tool
    elif keys == ["cases"]:
        model = CaseEntry
    else:
        model = models.get(keys[-1]) or _field_model(keys[-1])
    return ", ".join(model.model_fields)


def _field_model(key: str) -> type[BaseModel]:
    from evals.case import ExpectedAnswer, ExpectedCall

    named: dict[str, type[BaseModel]] = {
        "call": ExpectedCall,
        "calls": ExpectedCall,
        "any_of": ExpectedCall,
        "answer": ExpectedAnswer,
        "known_defects": KnownDefect,
        "replay": ReplayScript,
    }
    return named.get(key, Tool)
