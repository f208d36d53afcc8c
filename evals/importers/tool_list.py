"""A list of tools in anybody's spelling as a file of tools that cases name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evals.case import Tool
from evals.disk import replace_file
from evals.errors import ConfigError
from evals.importers.case_text import tool_file_text
from evals.importers.drafts import Listed, Names, tool_entry
from evals.loading.tools import schema_mistake


@dataclass
class WrittenTools:
    """How many tools were written, and what is listed."""

    count: int = 0
    unusable: list[Listed] = field(default_factory=list)
    notes: list[Listed] = field(default_factory=list)


def write_tools(
    given: Iterable[Mapping[str, Any]], source: str, path: Path, *, force: bool = False
) -> WrittenTools:
    """Write a file of tools; what cannot be used is listed, and the file is whole or not there.

    Raises:
        ConfigError: no tool can be used, or the file is there and `force` is not given.
        OSError: it cannot be written.
    """
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; give another file, or --force")
    names, written, tools = Names(), WrittenTools(), dict[str, dict[str, Any]]()
    for number, value in enumerate(given):
        try:
            tool = tool_entry(value, names)
            mistake = schema_mistake(Tool.model_validate(tool).parameters)
        except ValidationError as error:
            mistake = error.errors()[0]["msg"]
        except ValueError as error:
            mistake = str(error)
        if not mistake and tool["name"] in tools:
            mistake = "second tool of this name"
        if mistake:
            name = str(value.get("name"))[:64]
            written.unusable.append(Listed(f"{source}: tools[{number}] {name}", mistake))
        else:
            tools[tool["name"]] = tool
    if not tools:
        said = "\n".join(map(str, written.unusable[:20]))
        raise ConfigError(f"{said}\n{source}: no tool in it can be used".lstrip())
    written.notes += names.notes(source)
    written.count = len(tools)
    text = tool_file_text(tools.values(), comments=[f"Tools of {source}."])
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text)
    return written
