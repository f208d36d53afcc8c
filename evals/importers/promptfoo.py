"""Cases of a promptfoo configuration: prompts × tests, with the tools of its providers.

Text is read, and nothing of it is run: JavaScript, Python, webhooks and model-graded assertions are
listed with their place. What stands in other files is read where it is data and lies in the
configuration's folder or below it.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.errors import CaseFileError
from evals.importers.drafts import Draft, Imported, Listed, Names, case_id, tool_entry
from evals.importers.promptfoo_asserts import Wanted, read_assertions
from evals.yaml_text import Problems, read_yaml

OWN = "toolcall_evals"
"""The key of a test's `metadata` under which `evals export promptfoo` keeps what it cannot say."""
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_MOST_OF_TEST = 200
_DATA_FILES = (".yaml", ".yml", ".json", ".txt", ".md", ".jsonl")


class UnusableError(Exception):
    """Why a test, or a part of it, becomes no case."""


@dataclass(frozen=True)
class _Prompt:
    place: str
    text: str


class _File:
    """A configuration with what it refers to."""

    def __init__(self, path: Path) -> None:
        problems = Problems()
        document = read_yaml(path, path.parent, problems)
        if document is None or not isinstance(document.data, Mapping):
            raise CaseFileError("\n".join(problems.lines) or f"{path}: not a promptfoo file")
        self.path, self.document, self.data = path, document, document.data
        self.names = Names()
        self.imported = Imported(f"promptfoo ({path.name})")

    def place(self, *keys: str | int) -> str:
        """`file:line: key[0].key` of a place in the configuration."""
        shown = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in keys).lstrip(".")
        return f"{self.path}:{self.document.line(keys)}: {shown}"

    def resolved(self, value: Any, what: str) -> Any:
        """`value`, or the data of the file that `file://…` names.

        Raises:
            UnusableError: it is code, somewhere else, or cannot be read.
        """
        if not isinstance(value, str) or not value.startswith("file://"):
            return value
        name = value.removeprefix("file://")
        file = (self.path.parent / name).resolve()
        if file.suffix not in _DATA_FILES:
            raise UnusableError(f"{what} {value!r} is no data; it is not run")
        if not file.is_relative_to(self.path.parent.resolve()):
            raise UnusableError(f"{what} {value!r} lies outside of the configuration's folder")
        if not file.is_file():
            raise UnusableError(f"{what} {value!r}: there is no such file")
        if file.suffix in (".txt", ".md"):
            return file.read_text(encoding="utf-8")
        if file.suffix == ".jsonl":
            return [
                json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()
            ]
        problems = Problems()
        document = read_yaml(file, file.parent, problems)
        if document is None:
            raise UnusableError(problems.lines[0] if problems.lines else f"{file}: empty")
        return document.data


def read_promptfoo(path: Path) -> Imported:
    """The cases of one configuration as drafts, and what it lists.

    Raises:
        CaseFileError: the file is none.
    """
    file = _File(path)
    imported = file.imported
    prompts = list(_prompts(file))
    drafts: list[Draft] = []
    try:
        tools = _tools(file)
    except UnusableError as error:
        imported.unusable.append(Listed(file.place("providers"), str(error)))
        return imported
    for keys, test in _tests(file):
        try:
            drafts += _drafts(file, keys, test, prompts, tools, [d.entry["id"] for d in drafts])
        except (UnusableError, ValueError) as error:
            imported.unusable.append(Listed(file.place(*keys), str(error)))
    if drafts:
        stem = path.parent.name if path.stem.startswith("promptfooconfig") else path.stem
        imported.files[case_id(stem)] = drafts
    if not drafts and not imported.unusable:
        imported.unusable.append(Listed(str(path), "it has no tests"))
    imported.notes += file.names.notes(str(path))
    return imported


def _prompts(file: _File) -> Iterator[_Prompt]:
    given = file.data.get("prompts", "{{prompt}}")
    for number, entry in enumerate(given if isinstance(given, list) else [given]):
        place = file.place("prompts", number)
        if isinstance(entry, Mapping):
            entry = entry.get("raw") or entry.get("id") or entry.get("label")
        try:
            text = file.resolved(entry, "the prompt")
        except UnusableError as error:
            file.imported.notes.append(Listed(place, str(error)))
            continue
        if isinstance(text, list | Mapping):
            text = json.dumps(text, ensure_ascii=False)
        if isinstance(text, str):
            yield _Prompt(place, text)


def _tools(file: _File) -> list[dict[str, Any]]:
    """The tools of the first provider that has some; those of others are noted if they differ.

    Raises:
        UnusableError: there are some, and none is a function that a case can have.
    """
    found: list[list[dict[str, Any]]] = []
    unread: list[str] = []
    providers = file.data.get("providers") or file.data.get("targets") or []
    for number, provider in enumerate(providers if isinstance(providers, list) else [providers]):
        place = file.place("providers", number)
        for config in _configs(provider):
            given = config.get("tools") or config.get("functions")
            try:
                tools = _tool_list(file, given) if given else []
            except (UnusableError, ValueError) as error:
                unread.append(str(error))
                file.imported.notes.append(Listed(place, str(error)))
                continue
            if tools and found and tools != found[0]:
                said = "its tools are others than those of an earlier provider; left out"
                file.imported.notes.append(Listed(place, said))
            elif tools:
                found.append(tools)
    if unread and not found:
        raise UnusableError(f"the tools of its providers cannot be used: {unread[0]}")
    return found[0] if found else []


def _configs(provider: Any) -> Iterator[Mapping[str, Any]]:
    """`config` of a provider, which may stand below its id."""
    if not isinstance(provider, Mapping):
        return
    inner = [provider, *(value for value in provider.values() if isinstance(value, Mapping))]
    yield from (one["config"] for one in inner if isinstance(one.get("config"), Mapping))


def _tool_list(file: _File, given: Any) -> list[dict[str, Any]]:
    given = file.resolved(given, "the tools")
    entries: list[Any] = []
    for entry in given if isinstance(given, list) else [given]:
        entry = file.resolved(entry, "the tool")
        entries += entry if isinstance(entry, list) else [entry]
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise UnusableError("tools are a list of mappings")
    return [tool_entry(one, file.names) for entry in entries for one in _functions(entry)]


def _functions(entry: Mapping[str, Any]) -> list[Any]:
    """The functions of one entry of `tools`, as Bedrock, Gemini and Adaline nest them, too."""
    for key in ("functionDeclarations", "function_declarations"):
        if isinstance(entry.get(key), list):
            return [_lower_types(one) for one in entry[key]]
    schema = _mapping(entry.get("definition")).get("schema")
    nested: Any = entry.get("toolSpec") or schema
    inner = _mapping(nested).get("inputSchema")
    if isinstance(inner, Mapping) and isinstance(inner.get("json"), Mapping):
        return [{**nested, "inputSchema": inner["json"]}]
    return [nested if isinstance(nested, Mapping) else entry]


def _lower_types(value: Any) -> Any:
    """Gemini spells JSON Schema's types in capitals."""
    if isinstance(value, list):
        return [_lower_types(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: item.lower() if key == "type" and isinstance(item, str) else _lower_types(item)
        for key, item in value.items()
    }


def _tests(file: _File) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    given = file.data.get("tests")
    try:
        given = file.resolved(given, "the tests")
    except (UnusableError, ValueError) as error:
        file.imported.unusable.append(Listed(file.place("tests"), str(error)))
        return
    if isinstance(given, Mapping):
        given = [given]
    for number, test in enumerate(given if isinstance(given, list) else []):
        if isinstance(test, Mapping):
            yield ("tests", number), test
        else:
            said = f"a test is a mapping, not {str(test)[:60]!r}"
            file.imported.unusable.append(Listed(file.place("tests", number), said))


def _drafts(
    file: _File,
    keys: tuple[str | int, ...],
    test: Mapping[str, Any],
    prompts: Sequence[_Prompt],
    tools: list[dict[str, Any]],
    taken: list[str],
) -> list[Draft]:
    default = file.data.get("defaultTest")
    default = default if isinstance(default, Mapping) else {}
    own = _mapping(_mapping(test.get("metadata")).get(OWN))
    options = {**_mapping(default.get("options")), **_mapping(test.get("options"))}
    if options.get("tools"):
        tools = _tool_list(file, options["tools"])
    wanted = _wanted(file, keys, test, default, tools, own)
    drafts: list[Draft] = []
    variables = {
        **_mapping(default.get("vars")),
        **_mapping(file.resolved(test.get("vars"), "vars")),
    }
    for row in _rows(variables):
        for prompt in prompts:
            drafts.append(_draft(file.place(*keys), prompt, row, test, wanted, tools, own, taken))
            taken.append(drafts[-1].entry["id"])
    if not drafts:
        raise UnusableError("none of the prompts can be used")
    return drafts


def _wanted(
    file: _File,
    keys: tuple[str | int, ...],
    test: Mapping[str, Any],
    default: Mapping[str, Any],
    tools: list[dict[str, Any]],
    own: Mapping[str, Any],
) -> Mapping[str, Any]:
    if own.get("expect"):
        return dict(own["expect"])
    stated = [
        *(((*keys, "assert", n), a) for n, a in enumerate(test.get("assert") or [])),
        *((("defaultTest", "assert", n), a) for n, a in enumerate(default.get("assert") or [])),
    ]
    wanted = Wanted([tool["name"] for tool in tools], file.names)
    left = list(read_assertions(stated, wanted))
    expect = wanted.expect()
    reasons = [Listed(file.place(*place), why) for place, why in left]
    if expect is None:
        listed = "; ".join(one.why for one in reasons) or "it has none"
        raise UnusableError(f"no assertion that can be imported: {listed}")
    file.imported.notes += reasons
    return expect


def _rows(variables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One mapping for each combination of the variables that are lists."""
    lists = {key: value for key, value in variables.items() if isinstance(value, list)}
    count = 1
    for values in lists.values():
        count *= max(len(values), 1)
    if count > _MOST_OF_TEST:
        raise UnusableError(f"{count} combinations of its variables; {_MOST_OF_TEST} are read")
    for chosen in itertools.product(*lists.values()):
        yield {**variables, **dict(zip(lists, chosen, strict=True))}


def _draft(
    place: str,
    prompt: _Prompt,
    row: Mapping[str, Any],
    test: Mapping[str, Any],
    wanted: Mapping[str, Any],
    tools: list[dict[str, Any]],
    own: Mapping[str, Any],
    taken: Sequence[str],
) -> Draft:
    messages = own.get("messages") or _messages(prompt.text, row)
    name = own.get("id") or test.get("description") or str(messages[-1].get("content"))
    entry: dict[str, Any] = {"id": case_id(str(name), taken)}
    if len(messages) == 1 and messages[0].get("role") == "user":
        entry["ask"] = messages[0]["content"]
    else:
        entry["messages"] = messages
    return Draft(place, {**entry, **({"tools": tools} if tools else {}), "expect": wanted})


def _messages(text: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a prompt: a chat as JSON or YAML, else one of the user."""
    try:
        chat = json.loads(text)
    except ValueError:
        return [{"role": "user", "content": _render(text, row)}]
    if not (isinstance(chat, list) and all(isinstance(one, dict) for one in chat)):
        return [{"role": "user", "content": _render(text, row)}]
    return [
        {k: _render(v, row) if isinstance(v, str) else v for k, v in one.items()} for one in chat
    ]


def _render(text: str, row: Mapping[str, Any]) -> str:
    """`text` with `{{name}}` filled in; of Nunjucks nothing else is known."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in row:
            raise UnusableError(f"the prompt has {{{{{name}}}}}, and the test no such variable")
        given = row[name]
        if isinstance(given, str) and given.startswith("file://"):
            raise UnusableError(f"the variable {name} is in a file: {given}")
        return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)

    rendered = _VARIABLE.sub(value, text)
    if "{{" in _VARIABLE.sub("", text) or "{%" in text:
        raise UnusableError("the prompt is a Nunjucks template with more than {{name}}")
    return rendered


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
