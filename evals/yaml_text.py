"""YAML text as plain data, with the line of every place in it and every mistake noted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evals.errors import CaseFileError


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, with the line of every place in it."""

    path: str
    data: Any
    lines: Mapping[tuple[str | int, ...], int]

    def line(self, place: Sequence[str | int]) -> int:
        """The line of `place`, or of the nearest place around it."""
        known = tuple(place)
        while known and known not in self.lines:
            known = known[:-1]
        return self.lines.get(known, 1)


@dataclass
class Problems:
    """Mistakes of all files, so that one look shows them all."""

    lines: list[str] = field(default_factory=list)

    def add(self, path: str, line: int, message: str) -> None:
        """Note one mistake at `path:line`."""
        self.lines.append(f"{path}:{line}: {message}")

    def add_at(self, document: Document, place: Sequence[str | int], message: str) -> None:
        """Note one mistake at `place` of a document, which the message then begins with."""
        self.add(document.path, document.line(place), f"{_shown(place)}{message}")

    def check(self) -> None:
        """Raise them all.

        Raises:
            CaseFileError: there is at least one.
        """
        if self.lines:
            raise CaseFileError("\n".join(self.lines))


class Loader(yaml.SafeLoader):
    """YAML as 1.2 and JSON have it: `on`, `NO`, `12:30` and `2026-01-01` are text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (yaml's own)


for _tag, _first, _pattern in (
    ("null", ["~", "n", "N", ""], r"~|null|Null|NULL|"),
    ("bool", "tTfF", r"true|True|TRUE|false|False|FALSE"),
    ("int", "-+0123456789", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+"),
    (
        "float",
        "-+.0123456789",
        r"[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    ),
):
    Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def read_yaml(file: Path, root: Path, problems: Problems) -> Document | None:
    """The file's data, `None` where it is empty; nothing if it has mistakes, which are noted.

    What YAML has and JSON has not is a mistake, and so is a duplicate key. The document's `path`
    is relative to `root`.
    """
    path = _relative(file, root)
    try:
        loader = Loader(file.read_text(encoding="utf-8"))
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        _add_yaml_error(error, path, problems)
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problems.add(path, 1, f"cannot be read: {error}")
        return None
    if node is None:
        return Document(path, None, {})
    lines: dict[tuple[str | int, ...], int] = {}
    before = len(problems.lines)
    try:
        data = _plain(node, loader, (), lines, path, problems)
    except yaml.MarkedYAMLError as error:
        _add_yaml_error(error, path, problems)
        return None
    except RecursionError:
        problems.add(path, 1, "an alias (*name) stands within what it names; write it out")
        return None
    return Document(path, data, lines) if len(problems.lines) == before else None


def _add_yaml_error(error: yaml.MarkedYAMLError, path: str, problems: Problems) -> None:
    mark = error.problem_mark or error.context_mark
    problems.add(path, mark.line + 1 if mark else 1, f"not YAML: {error.problem}")


def _plain(
    node: yaml.Node,
    loader: Loader,
    place: tuple[str | int, ...],
    lines: dict[tuple[str | int, ...], int],
    path: str,
    problems: Problems,
) -> Any:
    """`node` as plain data; notes every place's line and every duplicate key."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [
            _plain(child, loader, (*place, i), lines, path, problems)
            for i, child in enumerate(node.value)
        ]
    if not isinstance(node, yaml.MappingNode):
        value = loader.construct_object(node)
        if not isinstance(value, str | int | float | None):
            message = f"{_shown(place)}{node.tag} is no JSON; write the value without a tag"
            problems.add(path, node.start_mark.line + 1, message)
        return value
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            problems.add(path, line, f"{_shown(place)}key {key!r} is not text; put it in quotes")
            continue
        if key in result:
            problems.add(path, line, f"{_shown(place)}duplicate key {key!r}; remove one of the two")
        lines[(*place, key)] = line
        result[key] = _plain(value_node, loader, (*place, key), lines, path, problems)
    return result


def _shown(place: Sequence[str | int]) -> str:
    """`cases[0].expect: `, to begin a message with; nothing for the whole file."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")
    return f"{text}: " if text else ""


def _relative(file: Path, root: Path) -> str:
    try:
        return file.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return file.as_posix()
