"""The map of the rooms, from the import contract in pyproject.toml and the rooms' docstrings."""

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.reference.tables import listed, table


def rooms() -> Iterator[str]:
    """The lines of the page."""
    order, *others = _contracts()
    yield "# Map of the rooms\n"
    yield "A room imports from levels with a higher number, never from its own or one above it: the"
    yield "contract in `pyproject.toml`, which `make check` enforces.\n"
    yield from table(["level", "room", "what is in it"], _rows(order))
    for contract in others:
        sources = [name.removeprefix("evals.") for name in contract["source_modules"]]
        yield f"\n## {contract['name']}\n"
        yield "Not to be imported, directly or through another room:"
        yield f"{listed(contract['forbidden_modules'])}."
        yield f"This holds for {listed(sources)}."


def _contracts() -> list[Mapping[str, Any]]:
    """The contract of layers, then those that forbid."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[Mapping[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return sorted(contracts, key=lambda contract: contract["type"] != "layers")


def _rows(order: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for level, layer in enumerate(order["layers"], 1):
        for name in layer.split("|"):
            yield str(level), f"`{name.strip()}`", _about(name.strip())


def _about(name: str) -> str:
    """The first line of a room's docstring, or of a module at the root."""
    package = Path("evals", name, "__init__.py")
    path = package if package.exists() else Path("evals", f"{name}.py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
