"""YAML text as plain data, with the line of every place in it and every mistake noted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from evals.errors import CaseFileError
from evals.escaping import excerpt, one_line


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


MAX_BYTES = 16 * 1024 * 1024
_BLOCK = 64 * 1024
MAX_DEPTH = 64
MAX_ALIASED = 20_000
"""So many values may stand in a file by aliases, beyond those that are written there."""


class TooMuch(yaml.MarkedYAMLError):
    """The text is beyond the bounds of what is read."""


class _Bounded(Composer):
    """Raises `TooMuch` at what is nested too deeply; `nodes` counts what is written in the file."""

    nodes = 0
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As yaml does, within bounds."""
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[attr-defined]
            raise TooMuch(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        self.nodes += 1
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class Loader(_Bounded, yaml.SafeLoader):
    """YAML as 1.2 and JSON have it: `on`, `NO`, `12:30` and `2026-01-01` are text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (yaml's own)

    def __init__(self, stream: str) -> None:
        yaml.SafeLoader.__init__(self, stream)


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


_Libyaml: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _QuickLoader(_Bounded, _Libyaml):  # type: ignore[misc]
    """As `Loader`, by libyaml where PyYAML has it: ten times as fast; its messages are other ones.

    Composing is Python's in both: only there is the depth bounded.
    """

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers

    def __init__(self, stream: str) -> None:
        _Libyaml.__init__(self, stream)
        Composer.__init__(self)


def _compose(text: str) -> tuple[Loader | _QuickLoader, yaml.Node | None]:
    """The node of a text with the loader that knows its values."""
    try:
        quick = _QuickLoader(text)
        return quick, quick.get_single_node()
    except (ValueError, yaml.YAMLError):
        loader = Loader(text)  # what is wrong, in PyYAML's own words and place
        return loader, loader.get_single_node()


def read_yaml(file: Path, root: Path, problems: Problems) -> Document | None:
    """The file's data, `None` where it is empty; nothing if it has mistakes, which are noted.

    What YAML has and JSON has not is a mistake, and so is a duplicate key. Size, depth and what
    aliases stand for are bounded. The document's `path` is relative to `root`; a file that a link
    brings in from outside of `root` is not read.
    """
    path = one_line(shown_path(file, root))
    before = len(problems.lines)
    try:
        text = _read_text(file, root)
        loader, node = _compose(text)
        if node is None:
            return Document(path, None, {})
        lines: dict[tuple[str | int, ...], int] = {}
        data = _plain(node, loader, (), _Walk(lines, path, problems, text.splitlines()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = "" if isinstance(error, TooMuch) else "not YAML: "
        problems.add(path, mark.line + 1 if mark else 1, f"{what}{error.problem}{_hint(error)}")
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        problems.add(path, 1, f"cannot be read: {one_line(excerpt(str(error)))}")
        return None
    return Document(path, data, lines) if len(problems.lines) == before else None


def _read_text(file: Path, root: Path) -> str:
    """The text of a file that stands where it seems to stand.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file of text, is too large, or is not to be read.
    """
    if not file.name.isprintable():
        raise ValueError("its name has control characters; rename it")
    inside = file.absolute().is_relative_to(root.absolute())
    if inside and not file.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"a link leads out of {root.resolve()}; copy the file into its folder")
    if not file.is_file():
        raise FileNotFoundError("there is no such file")
    with file.open("rb") as stream:  # a read of many bytes takes their memory, also where few come
        blocks = islice(iter(partial(stream.read, _BLOCK), b""), MAX_BYTES // _BLOCK + 1)
        content = b"".join(blocks)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB; split it")
    return content.decode("utf-8")


def _hint(error: yaml.MarkedYAMLError) -> str:
    """What helps against YAML's own traps."""
    problem = str(error.problem)
    if "mapping values are not allowed" in problem or "expected ',' or" in problem:
        return "; put a value in quotes that has ': ', ' #', ',', '?', '[' or '{' in it"
    if "'\\t'" in problem:
        return "; indent with spaces, not with tabs"
    if "cannot start any token" in problem or "for the tag" in problem:
        return "; put a value in quotes that begins with '@', '`', '%', '!' or a tab"
    return ""


_GLUED = re.compile(r"\s+(#[^\s#!]\S*)")


@dataclass
class _Walk:
    """What is noted on the way through a document."""

    lines: dict[tuple[str | int, ...], int]
    path: str
    problems: Problems
    text: Sequence[str]
    values: int = 0

    def visit(
        self, node: yaml.Node, loader: Loader | _QuickLoader, place: tuple[str | int, ...]
    ) -> int:
        """The line of `node`.

        Raises:
            TooMuch: aliases make the document larger or deeper than it may be.
        """
        self.values += 1
        if len(place) > MAX_DEPTH:
            # Deeper than what is written: only an alias leads there.
            what = "an alias (*name) stands within what it names; write it out"
            raise TooMuch(problem=what, problem_mark=node.start_mark)
        if self.values > loader.nodes + MAX_ALIASED:
            what = f"aliases (*name) stand for more than {MAX_ALIASED} values; write them out"
            raise TooMuch(problem=what, problem_mark=node.start_mark)
        line = int(node.start_mark.line) + 1
        self.lines.setdefault(place, line)
        return line

    def cut_from(self, node: yaml.ScalarNode, value: Any) -> str:
        """What YAML takes for a comment and looks like the rest of a text: `Fix #5`."""
        end = node.end_mark
        if node.style or not isinstance(value, str) or end.line >= len(self.text):
            return ""
        found = _GLUED.match(self.text[end.line], end.column)
        # One word may have a comment in haste behind it; a number belongs to what it follows.
        meant = found and (" " in node.value or found[1][1].isdigit())
        return found[1] if found and meant else ""


def _plain(
    node: yaml.Node, loader: Loader | _QuickLoader, place: tuple[str | int, ...], walk: _Walk
) -> Any:
    """`node` as plain data; notes every place's line and every duplicate key."""
    path, problems, line = walk.path, walk.problems, walk.visit(node, loader, place)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, loader, (*place, i), walk) for i, child in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        try:
            value = loader.construct_object(node)
        except ValueError as error:  # a number of more digits than Python reads
            problems.add(path, line, f"{_shown(place)}cannot be read: {error}")
            return None
        if not isinstance(value, str | int | float | None):
            message = f"{_shown(place)}{node.tag} is no JSON; write the value without a tag"
            problems.add(path, line, message)
        if isinstance(node, yaml.ScalarNode) and (cut := walk.cut_from(node, value)):
            message = f"YAML takes {cut!r} and what follows for a comment; put the text in quotes"
            problems.add(
                path, line, f"{_shown(place)}{message} (a real comment has a space after #)"
            )
        return value
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            braces = isinstance(key_node, yaml.MappingNode)
            hint = 'put {{name}} in quotes: "{{name}}"' if braces else "put it in quotes"
            problems.add(path, line, f"{_shown(place)}key {key!r} is not text; {hint}")
            continue
        if key in result:
            problems.add(path, line, f"{_shown(place)}duplicate key {key!r}; remove one of the two")
        walk.lines[(*place, key)] = line
        result[key] = _plain(value_node, loader, (*place, key), walk)
    return result


def _shown(place: Sequence[str | int]) -> str:
    """`cases[0].expect: `, to begin a message with; nothing for the whole file."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")
    return f"{text}: " if text else ""


def shown_path(file: Path, root: Path) -> str:
    """The file's path as mistakes and reports name it: relative to `root` where it lies there."""
    try:
        return file.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return file.as_posix()
