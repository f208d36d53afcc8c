"""A promptfoo configuration with the files of data that it names; code is never read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.errors import CaseFileError
from evals.importers.drafts import Imported, Names
from evals.json_text import parse_strict
from evals.yaml_text import Problems, read_yaml

_DATA_FILES = (".yaml", ".yml", ".json", ".txt", ".md", ".jsonl")


class UnusableError(Exception):
    """Why a test, or a part of it, becomes no case."""


class PromptfooFile:
    """A configuration with what it refers to."""

    def __init__(self, path: Path) -> None:
        problems = Problems()
        document = read_yaml(path, path.parent, problems)
        if document is None or not isinstance(document.data, Mapping):
            raise CaseFileError("\n".join(problems.lines) or f"{path}: not a promptfoo file")
        self.path, self.document, self.data = path, document, _merged(document.data)
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
        try:
            return self._read(value, what)
        except (OSError, ValueError) as error:
            raise UnusableError(f"{what} {value!r} cannot be read: {error}") from error

    def _read(self, value: str, what: str) -> Any:
        file = (self.path.parent / value.removeprefix("file://")).resolve()
        if file.suffix not in _DATA_FILES:
            raise UnusableError(f"{what} {value!r} is no data; it is not run")
        if not file.is_relative_to(self.path.parent.resolve()):
            raise UnusableError(f"{what} {value!r} lies outside of the configuration's folder")
        if not file.is_file():
            raise UnusableError(f"{what} {value!r}: there is no such file")
        if file.suffix in (".txt", ".md"):
            return file.read_text(encoding="utf-8-sig")
        if file.suffix == ".jsonl":
            lines = file.read_text("utf-8-sig").split("\n")
            return [parse_strict(line) for line in lines if line.strip()]
        problems = Problems()
        document = read_yaml(file, file.parent, problems)
        if document is None:
            raise UnusableError(problems.lines[0] if problems.lines else f"{file}: empty")
        return _merged(document.data)


def _merged(value: Any) -> Any:
    """`value` with YAML's merge keys (`<<: *base`) carried out, which promptfoo's reader knows."""
    if isinstance(value, list):
        return [_merged(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    own = {key: _merged(item) for key, item in value.items() if key != "<<"}
    bases = _merged(value.get("<<", []))
    for base in bases if isinstance(bases, list) else [bases]:
        if isinstance(base, Mapping):
            own = {**base, **own}
    return own
