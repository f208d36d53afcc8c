"""The server's side of one connection, and the building blocks of misbehaviour on it.

An act is a function of a `Peer`: it does with the connection what a fault is. Nothing but sockets
and the standard library, so that whatever HTTP allows or forbids can be done.
"""

import contextlib
import gzip
import json
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

LONGEST = 12.0
"""Seconds after which a hanging act ends, whatever its client does."""
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


class Peer:
    """A connection from a client. `port` is the one asked, `witness` another server's."""

    def __init__(self, connection: socket.socket, port: int, witness: int) -> None:
        self.socket = connection
        self.port = port
        self.witness = witness
        self.streamed = False
        self.ends = time.monotonic() + LONGEST

    def read(self) -> None:
        """The whole request."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._received()
        top, _, body = received.partition(b"\r\n\r\n")
        lengths = [line for line in top.lower().split(b"\r\n") if line.startswith(b"content-len")]
        while lengths and len(body) < int(lengths[0].partition(b":")[2]):
            body += self._received()
        self.streamed = bool(json.loads(body or b"{}").get("stream"))

    def _received(self) -> bytes:
        received = self.socket.recv(65_536)
        if not received:
            raise ConnectionResetError
        return received

    def send(self, text: bytes) -> None:
        self.socket.sendall(text)

    def drip(self, text: bytes, every: float) -> None:
        for number in range(len(text)):
            self.send(text[number : number + 1])
            time.sleep(every)

    def for_ever(self, text: bytes, every: float = 0.02) -> None:
        while time.monotonic() < self.ends:
            self.send(text)
            time.sleep(every)

    def hang(self) -> None:
        """Say nothing until the client goes away."""
        while time.monotonic() < self.ends:
            readable, _, _ = select.select([self.socket], [], [], 0.2)
            if readable and not self.socket.recv(65_536):
                return

    def reset(self) -> None:
        """Close with a reset in place of an orderly end."""
        time.sleep(0.1)  # what was sent before arrives before it
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def body(self) -> bytes:
        """The right answer's body, for a stream as its events."""
        return STREAM if self.streamed else PLAIN


Act = Callable[[Peer], None]


def completion(content: str = "Paris.") -> bytes:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    rest = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**rest, "choices": [choice], "usage": USAGE}, ensure_ascii=False).encode()


def data(text: bytes) -> bytes:
    return b"data: " + text + b"\n\n"


def _chunk(choices: list[Any], **more: Any) -> bytes:
    rest = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return data(json.dumps({**rest, "choices": choices, **more}, ensure_ascii=False).encode())


def event(content: str | None = None, finish: str | None = None) -> bytes:
    delta = {"role": "assistant", **({"content": content} if content is not None else {})}
    return _chunk([{"index": 0, "delta": delta, "finish_reason": finish}])


FIRST = event("Paris")
LAST = event(".") + event(finish="stop")
COUNTS = _chunk([], usage=USAGE)
DONE = data(b"[DONE]")
STREAM = FIRST + LAST + COUNTS + DONE
PLAIN = completion()


def head(status: int = 200, *lines: str, kind: str = "application/json") -> bytes:
    """Status line and headers; without a length the body ends with the connection."""
    return "\r\n".join([f"HTTP/1.1 {status} Said", f"Content-Type: {kind}", *lines, "", ""]).encode(
        "latin-1"
    )


def sized(body: bytes, status: int = 200, *lines: str, kind: str = "application/json") -> bytes:
    return head(status, f"Content-Length: {len(body)}", *lines, kind=kind) + body


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def good(peer: Peer) -> None:
    """The right answer."""
    gives(PLAIN, STREAM)(peer)


def close(peer: Peer) -> None:
    """Nothing: the connection is closed after every act."""


def says(answer: bytes | Callable[[Peer], bytes]) -> Act:
    """Reads the request, sends these bytes and closes."""

    def act(peer: Peer) -> None:
        peer.read()
        peer.send(answer if isinstance(answer, bytes) else answer(peer))

    return act


def begins(beginning: bytes | Callable[[Peer], bytes], then: Act) -> Act:
    """Reads the request, sends these bytes, then goes on so."""

    def act(peer: Peer) -> None:
        says(beginning)(peer)
        then(peer)

    return act


def greets(greeting: bytes) -> Act:
    """Another protocol: speaks first, then waits for what it understands."""

    def act(peer: Peer) -> None:
        peer.send(greeting)
        peer.hang()

    return act


def gives(plain: bytes, stream: bytes, kind: str | None = None) -> Act:
    """A whole response of status 200 with this body."""

    def act(peer: Peer) -> None:
        peer.read()
        usual = "text/event-stream" if peer.streamed else "application/json"
        peer.send(sized(stream if peer.streamed else plain, kind=kind or usual))

    return act


def refuses(status: int, body: bytes, *lines: str, kind: str = "application/json") -> Act:
    """A whole response of another status."""
    return says(sized(body, status, *lines, kind=kind))


def redirects(status: int, place: str) -> Act:
    """To the witness (`{witness}`), to itself (`{port}`) or elsewhere."""
    return says(
        lambda peer: sized(
            b"", status, "Location: " + place.format(witness=peer.witness, port=peer.port)
        )
    )


def in_chunks(size: int, end: bytes = b"0\r\n\r\n") -> Act:
    """The right answer in chunks, and after them this in place of the last one."""
    return says(
        lambda peer: (
            head(200, "Transfer-Encoding: chunked")
            + chunked(peer.body(), size).removesuffix(b"0\r\n\r\n")
            + end
        )
    )


def with_headers(*lines: str) -> Act:
    """The right answer with these headers, too."""
    return says(lambda peer: sized(peer.body(), 200, *lines))


def dripping(every: float) -> Act:
    """The right answer's body, a byte every so many seconds."""

    def act(peer: Peer) -> None:
        peer.read()
        peer.send(head(200, f"Content-Length: {len(peer.body())}"))
        peer.drip(peer.body(), every)

    return act


def half(peer: Peer) -> bytes:
    """A response that promises more than it has."""
    return sized(peer.body())[: -len(peer.body()) // 2]


def begun(peer: Peer) -> bytes:
    """Headers and the first half of a body that ends with the connection."""
    return head() + peer.body()[: len(peer.body()) // 2]


def flood(size: int) -> Act:
    """A body of `size` bytes, all of it one text; in a stream within one event."""

    def act(peer: Peer) -> None:
        peer.send(b'data: {"x": "' if peer.streamed else b'{"x": "')
        for _ in range(size // 65_536):
            peer.send(b"y" * 65_536)

    return act


def packed(pack: Callable[[bytes], bytes], name: str, body: bytes | None = None) -> Act:
    """The right answer, or `body`, compressed."""
    return says(
        lambda peer: sized(
            pack(body if body is not None else peer.body()), 200, f"Content-Encoding: {name}"
        )
    )


GZIP_BOMB = packed(gzip.compress, "gzip", bytes(50_000_000))
GZIP = packed(gzip.compress, "gzip")
DEFLATE = packed(zlib.compress, "deflate")


@contextlib.contextmanager
def ended(connection: socket.socket) -> Iterator[None]:
    """Clients go away as they like; the connection is always closed."""
    try:
        with contextlib.suppress(OSError, ValueError):
            yield
            connection.shutdown(socket.SHUT_WR)
    finally:
        connection.close()
