"""Lists of tools as MCP servers give them: taken over, listed, or refused; and real servers."""

import asyncio
import importlib.util
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from evals.cli import app
from evals.engines.ports import free_port
from evals.errors import ConfigError, HarnessError
from evals.importers.mcp_server import list_tools
from evals.importers.tool_list import write_tools
from evals.loading.tools import tools_of_file

SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
INSTALLED = importlib.util.find_spec("mcp") is not None
needs_mcp = pytest.mark.skipif(not INSTALLED, reason="the extra mcp is not installed")
SERVER = """
from mcp.server import MCPServer
server = MCPServer("many")
for number in range({count}):
    def tool(at: str, times: int = 1) -> str:
        raise AssertionError("called")
    server.add_tool(tool, name=f"tool_{{number}}", description="Does it.")
server.run({how})
"""


def test_a_list_becomes_a_file_of_tools(tmp_path):
    given = [
        {"name": "a.look", "title": "Look", "inputSchema": SCHEMA, "annotations": {"x": 1}},
        {"name": "broken", "inputSchema": {"type": "array"}},
        {"inputSchema": SCHEMA},
        {"name": "look", "description": "Look: #1\u2028", "inputSchema": {}},
        {"name": "look", "inputSchema": SCHEMA},
    ]
    written = write_tools(given, "a server", tmp_path / "tools/t.yaml")
    assert written.count == 2
    assert [str(one).partition(":")[2].strip() for one in written.unusable] == [
        "tools[1] broken: a tool's parameters are of type object",
        'tools[2] None: a tool has no name: {"inputSchema": {"type": "object", "properties": '
        '{"at": {"type": "string"}}}}'[: len("tools[2] None: a tool has no name: ") + 80],
        "tools[4] look: second tool of this name",
    ]
    tools = tools_of_file(tmp_path / "tools/t.yaml", tmp_path)
    assert [(t.name, t.description) for t in tools] == [("a_look", ""), ("look", "Look: #1\u2028")]
    assert tools[0].parameters == SCHEMA


def test_of_a_list_without_a_usable_tool_nothing_is_written(tmp_path):
    with pytest.raises(ConfigError, match="no tool in it can be used"):
        write_tools([{"name": "x", "inputSchema": []}], "a server", tmp_path / "t.yaml")
    assert not (tmp_path / "t.yaml").exists()


@pytest.mark.skipif(INSTALLED, reason="the extra mcp is installed")
def test_without_the_extra_the_command_is_named(tmp_path):
    result = CliRunner().invoke(app, ["import", "mcp", "true", "--to", str(tmp_path / "t.yaml")])
    assert "pip install 'toolcall-evals[mcp]'" in str(result.exception) + result.output


@needs_mcp
@pytest.mark.parametrize("count", [3, 300])
def test_a_server_that_is_started_gives_its_list(tmp_path, count):
    (tmp_path / "server.py").write_text(SERVER.format(count=count, how=""))
    command = f"{sys.executable} {tmp_path / 'server.py'}"
    path = tmp_path / "t.yaml"
    words = ["import", "mcp", command, "--to", str(path), "--timeout", "60"]
    done = subprocess.run([sys.executable, "-m", "evals", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("at most 128" in done.stdout) == (count > 128)
    tools = tools_of_file(path, tmp_path)
    assert len(tools) == count
    assert tools[0].parameters["required"] == ["at"]


@needs_mcp
def test_a_server_over_http_gives_its_list_also_beside_a_loop_that_runs(tmp_path):
    port = free_port()
    how = f'"streamable-http", host="127.0.0.1", port={port}'
    (tmp_path / "server.py").write_text(SERVER.format(count=20, how=how))
    command = [sys.executable, str(tmp_path / "server.py")]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:

            async def listed():
                return list_tools(f"http://127.0.0.1:{port}/mcp", timeout=10)

            tools = when_up(lambda: asyncio.run(listed()))
        finally:
            process.terminate()
    assert [tool["name"] for tool in tools] == [f"tool_{number}" for number in range(20)]
    assert tools[0]["inputSchema"]["required"] == ["at"]


def when_up(ask):
    """What `ask` gives once the server listens, within half a minute."""
    end = time.monotonic() + 30
    while True:
        try:
            return ask()
        except HarnessError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@needs_mcp
@pytest.mark.parametrize("body", ["import time; time.sleep(60)", "raise SystemExit(3)"])
def test_a_server_that_hangs_or_ends_is_an_error_in_time(tmp_path, body):
    (tmp_path / "server.py").write_text(body)
    started = time.monotonic()
    with pytest.raises(HarnessError):
        list_tools(f"{sys.executable} {tmp_path / 'server.py'}", timeout=3)
    assert time.monotonic() - started < 20


@needs_mcp
@pytest.mark.parametrize("server", ["http://127.0.0.1:9/mcp", "nosuch-command --x"])
def test_a_server_that_is_not_there_is_an_error(server):
    with pytest.raises(HarnessError):
        list_tools(server, timeout=10)
