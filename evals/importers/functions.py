"""Tools from Python functions: name, docstring and annotations as pydantic-ai reads them."""

from collections.abc import Callable, Iterable
from typing import Any

from evals.case import Tool
from evals.extras import need


def tools_of_functions(functions: Iterable[Callable[..., Any]]) -> tuple[Tool, ...]:
    """A tool for each function; it is looked at, and never called.

    Raises:
        ConfigError: the extra `agent` is not installed.
    """
    need("agent", "tools from Python functions")
    from pydantic_ai import Tool as Described

    described = [Described(function).tool_def for function in functions]
    return tuple(
        Tool(
            name=one.name,
            description=one.description or "",
            parameters={"type": "object", "properties": {}, **one.parameters_json_schema},
        )
        for one in described
    )
