"""Tools from Python functions: name, docstring and annotations as pydantic-ai reads them."""

from collections.abc import Callable, Iterable
from typing import Any

from evals.case import Tool
from evals.errors import ConfigError
from evals.escaping import excerpt, one_line
from evals.extras import need


def tools_of_functions(functions: Iterable[Callable[..., Any]]) -> tuple[Tool, ...]:
    """A tool for each function; it is looked at, and never called.

    Raises:
        ConfigError: the extra `agent` is not installed, or no tool can be made of one of them.
    """
    need("agent", "tools from Python functions")
    described = [_described(function) for function in functions]
    return tuple(
        Tool(
            name=one.name,
            description=one.description or "",
            parameters={"type": "object", "properties": {}, **one.parameters_json_schema},
        )
        for one in described
    )


def _described(function: Callable[..., Any]) -> Any:
    from pydantic_ai import Tool as Described

    try:
        return Described(function).tool_def
    except Exception as error:  # annotations can be anything, and so can what they raise
        said = one_line(excerpt(str(error).partition("\n")[0]))
        raise ConfigError(f"{function!r} makes no tool: {type(error).__name__}: {said}") from error
