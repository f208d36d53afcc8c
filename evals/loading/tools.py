"""Tools in OpenAI's, MCP's, Anthropic's or this suite's spelling, each as it is."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import ValidationError

from evals.case import Case, Tool
from evals.json_text import parse_strict, to_text
from evals.schema import leads
from evals.wording import add_validation
from evals.yaml_text import Document, Problems, read_yaml, shown_path

TOOLS_FOLDER = "tools"
YAML = (".yaml", ".yml")

_SCHEMAS = ("parameters", "inputSchema", "input_schema")
_OF_OTHERS = ("title", "annotations", "outputSchema", "icons", "execution", "_meta")
"""Keys of MCP that say nothing to a model."""
_OF_ANTHROPIC = ("cache_control", "defer_loading", "input_examples", "allowed_callers")
_ACCEPTED = re.compile(r"[A-Za-z0-9_-]{1,64}")

Shelf = dict[str, Tool]


_OF_OTHER_TOOLS = ("node_modules", "venv")


def is_left_out(folder: str) -> bool:
    """Whether case files are not looked for in folders of this name, such as `.git`."""
    return folder.startswith(".") or folder in _OF_OTHER_TOOLS


def is_yaml(path: Path) -> bool:
    """Whether its name says that it is a YAML file."""
    return path.suffix.lower() in YAML


def plain_tool(value: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of any spelling in this suite's: name, description, parameters, strict, result."""
    function = value.get("function")
    if value.get("type") == "function" and isinstance(function, Mapping):
        value = {**function, **{k: v for k, v in value.items() if k not in ("type", "function")}}
    elif "name" in value and value.get("type") in ("function", "custom", None):
        value = {key: item for key, item in value.items() if key != "type"}
    foreign = any(key in value for key in _SCHEMAS[1:])
    tool = {
        key: item
        for key, item in value.items()
        if key not in _SCHEMAS and not (key in _OF_OTHERS or (foreign and key in _OF_ANTHROPIC))
    }
    given = next((value[key] for key in _SCHEMAS if key in value), None)
    tool["parameters"] = _parameters(given)
    return {k: v for k, v in tool.items() if not (v is None and k in ("strict", "description"))}


def _without_own_keys(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of somebody else's file without the keys that only its own program knows.

    A key that is likely a slip in a known one stays, and is told.
    """
    known = Tool.model_fields.keys()
    return {
        key: value
        for key, value in tool.items()
        if "name" not in tool
        or key in known
        or get_close_matches(key, [*known, *_SCHEMAS], n=1, cutoff=0.8)
    }


def _parameters(given: Any) -> Any:
    """No schema, null and one without a type are an object's."""
    if given is None or given == {}:
        return {"type": "object", "properties": {}}
    if isinstance(given, Mapping) and "type" not in given:
        return {"type": "object", **given}
    return given


def tools_folder(file: Path) -> Path:
    """The folder of shared tools that is nearest to a case file."""
    for folder in file.parents:
        if (folder / TOOLS_FOLDER).is_dir():
            return folder / TOOLS_FOLDER
    return file.parent / TOOLS_FOLDER


class Shelves:
    """Tools by the folder or file that they stand in; each is read and checked once."""

    def __init__(self, root: Path, problems: Problems) -> None:
        self._root, self._problems = root, problems

    def folder(self, folder: Path) -> Shelf:
        """The shared tools of a folder."""
        files = sorted(path for path in folder.glob("*") if is_yaml(path) or _is_json(path))
        return self._read(files, own=True)

    def file(self, file: Path) -> Shelf:
        """The tools of one file, which may be another program's."""
        return self._read([file], own=False)

    def _read(self, files: list[Path], *, own: bool) -> Shelf:
        stamps = tuple((file, *_stamp(file)) for file in files)
        shelf, mistakes = _read_shelf(stamps, self._root, own)
        self._problems.lines += [line for line in mistakes if line not in self._problems.lines]
        return shelf

    def check(
        self, tool: Tool, document: Document, place: tuple[str | int, ...], problems: Problems
    ) -> None:
        """Note what is wrong with a tool's parameters."""
        if problem := schema_mistake(tool.parameters):
            problems.add_at(document, place, problem)


def tools_of_file(file: Path, root: Path) -> tuple[Tool, ...]:
    """The tools of one file, in any spelling.

    Raises:
        CaseFileError: it is not there, or every mistake in it.
    """
    problems = Problems()
    if not file.is_file():
        problems.add(shown_path(file, root), 1, "there is no such file")
    shelf = Shelves(root, problems).file(file) if file.is_file() else {}
    problems.check()
    return tuple(shelf.values())


def _stamp(file: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        state = file.stat()
    except OSError:
        return (0, 0)
    return (state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _read_shelf(
    stamps: tuple[tuple[Path, int, int], ...], root: Path, own: bool
) -> tuple[Shelf, tuple[str, ...]]:
    """The tools of some files, and their mistakes; read again only where a file has changed."""
    shelf: Shelf = {}
    problems = Problems()
    for file, _, _ in stamps:
        _fill(shelf, file, root, problems, own=own)
    return shelf, tuple(problems.lines)


def _fill(shelf: Shelf, file: Path, root: Path, problems: Problems, *, own: bool) -> None:
    document = (
        _read_json(file, root, problems) if _is_json(file) else read_yaml(file, root, problems)
    )
    if document is None:
        return
    entries = _entries(document.data)
    if isinstance(document.data, dict) and {"openapi", "swagger"} & document.data.keys():
        said = "this is an OpenAPI document; write its operations as tools, or have a tool do that"
        problems.add(document.path, 1, said)
        return
    if entries is None:
        said = "a tool file is a mapping from name to tool, a list of tools, or {tools: […]}"
        problems.add(document.path, 1, said)
        return
    for place, name, value in entries:
        if not isinstance(value, dict):
            problems.add_at(document, place, "a tool is a mapping")
            continue
        plain = plain_tool(value) if own else _without_own_keys(plain_tool(value))
        try:
            tool = Tool.model_validate({**({"name": name} if name else {}), **plain})
        except ValidationError as error:
            add_validation(error, document, place, Tool, problems)
            continue
        if tool.name in shelf:
            problems.add(document.path, document.line(place), f"second tool named {tool.name!r}")
        shelf[tool.name] = tool
        if problem := schema_mistake(tool.parameters):
            problems.add_at(document, (*place, "parameters"), problem)


def _read_json(file: Path, root: Path, problems: Problems) -> Document | None:
    path = shown_path(file, root)
    try:
        return Document(path, parse_strict(file.read_text(encoding="utf-8-sig")), {(): 1})
    except (OSError, ValueError) as error:
        problems.add(path, getattr(error, "lineno", 1), f"not JSON: {error}")
        return None


def schema_mistake(parameters: Any) -> str | None:
    """What is wrong with a tool's parameters; None if nothing is."""
    return _mistake_of(to_text(parameters))


@lru_cache(maxsize=4096)
def _mistake_of(text: str) -> str | None:
    parameters = parse_strict(text)
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        return "a tool's parameters are of type object"
    try:
        Draft202012Validator.check_schema(parameters)
    except SchemaError as error:
        return f"not a JSON Schema: {error.message}"
    for reference in _references(parameters):
        if reference.startswith("#") and not leads(reference, parameters):
            return f"$ref {reference!r} leads nowhere; write what it names below $defs"
    return None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for inner in schema.values():
            yield from _references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)


def _is_json(path: Path) -> bool:
    return path.suffix == ".json"


def _entries(data: Any) -> list[tuple[tuple[str | int, ...], str | None, Any]] | None:
    """Each tool of a file with its place, and its name where that is the key."""
    prefix: tuple[str, ...] = ()
    if isinstance(data, dict) and isinstance(data.get("result"), dict):  # JSON-RPC's own envelope
        prefix, data = ("result",), data["result"]
    if isinstance(data, dict) and isinstance(data.get("tools"), list):
        prefix, data = (*prefix, "tools"), data["tools"]
    if isinstance(data, list):
        return [((*prefix, i), None, value) for i, value in enumerate(data)]
    if isinstance(data, dict) and not prefix:
        return [((name,), name, {} if value is None else value) for name, value in data.items()]
    return None


def notes(cases: list[Case]) -> Iterator[str]:
    """What is no mistake and yet worth knowing of the tools of some cases."""
    seen: dict[str, str] = {}
    for case in cases:
        for tool in case.tools:
            seen.setdefault(tool.name, case.path)
    for name, path in seen.items():
        if not _ACCEPTED.fullmatch(name):
            yield (
                f"{path}: tool {name!r}: OpenAI, Anthropic and servers like them take letters, "
                "digits, _ and -, at most 64, and answer this with HTTP 400"
            )
