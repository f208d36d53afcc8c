"""What reaches a server, and what never does: read off the socket, for every lane over HTTP."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from scripted_server import TOOLS, completion, make_case

from evals.engines.server import Server, check_alive
from evals.lanes.lane import Setup, lane_named

PLANTED = "planted-secret"
VARIABLES = (
    "OPENAI_API_KEY",
    "OPENAI_ADMIN_KEY",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OPENAI_WEBHOOK_SECRET",
    "HF_TOKEN",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
)


@pytest.fixture
def wire() -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a server that answers everything, and all the bytes that it gets."""
    listener = socket.create_server(("127.0.0.1", 0))
    got: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                got.append(connection.recv(1_000_000))
                body = completion({"role": "assistant", "content": "hi"})
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
                connection.sendall(body)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", got
    listener.close()


@pytest.fixture
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, f"http://127.0.0.1:9/{PLANTED}" if "PROXY" in name else PLANTED)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Custom: {PLANTED}")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("NO_PROXY", raising=False)


@pytest.mark.usefixtures("_planted")
@pytest.mark.parametrize("lane", ["server", "stream", "agent"])
def test_nothing_of_the_environment_reaches_the_server(
    lane: str, wire: tuple[str, list[bytes]]
) -> None:
    url, got = wire
    with lane_named(lane).open(Setup(timeout=10, server=Server(url))) as ask:
        seen = ask(make_case(tools=TOOLS))
    assert seen.status == 200 or seen.content == "hi"
    (request,) = got
    assert request.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    names = {
        line.partition(b":")[0].lower() for line in request.split(b"\r\n\r\n")[0].split(b"\r\n")
    }
    assert names == {
        b"post /v1/chat/completions http/1.1",
        b"host",
        b"content-type",
        b"content-length",
        b"accept",
        b"accept-encoding",
        b"connection",
        b"user-agent",
    }
    assert PLANTED.encode() not in request


@pytest.mark.usefixtures("_planted")
def test_nor_with_the_question_that_tells_whether_it_lives(wire: tuple[str, list[bytes]]) -> None:
    url, got = wire
    check_alive(Server(url))
    assert PLANTED.encode() not in b"".join(got)
