"""Cases and a tiny HTTP server that answers as a test tells it to, also wrongly."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import builders

from evals.case import Case
from evals.engines.server import Server

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]

TOOLS = [
    {"name": "todoread", "description": "Read the list of todos.", "result": "milk"},
    {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
        "result": "sunny",
    },
]


def make_case(question: str = "What is the capital of France?", **values: Any) -> Case:
    place = {"id": "x", "path": "cases/x.yaml", "category": "x"}
    return builders.case(ask=question, **{"max_tokens": 24, **place, **values})


def completion(message: dict[str, Any], finish_reason: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**body, "choices": [choice], "usage": usage, **more}).encode()


def call(name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


class Scripted:
    """A server on 127.0.0.1; `answer` is what it does with a request, `bodies` what it got.

    `wire` has the same as `bodies`, byte for byte.
    """

    def __init__(self, url: str) -> None:
        self.server = Server(url)
        self.bodies: list[dict[str, Any]] = []
        self.wire: list[bytes] = []
        self.answer: Answer = respond(b"")


def respond(
    body: bytes, status: int = 200, length: int | None = None, kind: str = "application/json"
) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Looking(Scripted):
    """It calls `look`; a question with a word of `wrong` gets words, one of `refused` a 400, and
    one of `slow` waits a second."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.wrong: tuple[str, ...] = ()
        self.refused: tuple[str, ...] = ()
        self.slow: tuple[str, ...] = ()
        self.answer = self.look

    def look(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = json.dumps(self.bodies[-1]["messages"])
        if any(word in asked for word in self.slow):
            time.sleep(1)
        if any(word in asked for word in self.refused):
            respond(b'{"error": "logprobs is not supported"}', status=400)(handler)
        elif any(word in asked for word in self.wrong):
            respond(completion({"role": "assistant", "content": "No."}))(handler)
        else:
            message = {"role": "assistant", "tool_calls": [call("look", "{}", id="1")]}
            respond(completion(message, "tool_calls"))(handler)


class Quiet(http.server.ThreadingHTTPServer):
    """Says nothing of clients that went away: tests make them do so."""

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serve(kind: type[Scripted] = Scripted) -> Iterator[Scripted]:
    """A server of this kind while the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            wire = self.rfile.read(length)
            target.wire.append(wire)
            self.body = json.loads(wire)
            target.bodies.append(self.body)
            target.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    target = kind(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield target
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
