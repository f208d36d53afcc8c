"""Tools from an MCP server's list, by the official `mcp` package; none of them is called."""

import asyncio
import shlex
from typing import Any

from evals.errors import HarnessError
from evals.extras import need
from evals.loops import run_apart

MAX_TOOLS = 128
"""More tools than that in one question engines refuse: each case names its own."""
_MOST_PAGES = 100


def list_tools(server: str, *, timeout: float) -> list[dict[str, Any]]:
    """The tools of the server at an http URL, or of one that a command line starts, as MCP spells.

    `timeout` is in seconds, for all of it: start, handshake, list. A server that was started is
    ended.

    Raises:
        ConfigError: the extra `mcp` is not installed.
        HarnessError: the server does not start, hangs, or answers with an error.
    """
    need("mcp", "tools from an MCP server")
    try:
        return run_apart(asyncio.wait_for(_listed(server, timeout), timeout))
    except TimeoutError:
        raise HarnessError(f"{server}: no list of tools within {timeout:g} s") from None
    except BaseExceptionGroup as group:
        raise HarnessError(f"{server}: {_first(group)}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise HarnessError(f"{server}: {error or type(error).__name__}") from None
    except Exception as error:  # the package's own errors have no common type
        raise HarnessError(f"{server}: {type(error).__name__}: {error}") from None


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def _listed(server: str, timeout: float) -> list[dict[str, Any]]:
    from mcp import Client, StdioServerParameters

    where: Any = server
    if not server.startswith(("http://", "https://")):
        command, *arguments = shlex.split(server)
        where = StdioServerParameters(command=command, args=arguments)
    async with Client(where, read_timeout_seconds=timeout) as client:
        tools: list[dict[str, Any]] = []
        cursor = None
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += [tool.model_dump(mode="json", by_alias=True) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                return [{k: v for k, v in tool.items() if v is not None} for tool in tools]
    raise ValueError(f"its list has more than {_MOST_PAGES} pages")
