"""A request on a socket of its own, and its response as it arrives: HTTP/1.1, and nothing more.

No proxy, no redirect, no compression, no kept connection, no header but those given: each of them
would be something between the suite and the server that is tested.
"""

import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import h11

from evals.errors import TransportError
from evals.escaping import excerpt
from evals.wire.address import Address
from evals.wire.bounds import Bounds, TooLate

_READ = 65_536
_LONGEST_HEADER = 65_536
_MOST_INFORMATIONAL = 100
_BEGIN = b"HTTP/"
_NO_RESPONSE = "the server closed the connection without a response"


class Broken(TransportError):  # noqa: N818
    """The connection failed, or what came is not HTTP; the message says which."""


@dataclass(frozen=True)
class Response:
    """Status and headers, and the body, which is read as it is iterated over, once.

    Iterating raises `Broken`, `TooLate` and `TooLarge`.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    chunks: Iterator[bytes]

    def header(self, name: str) -> str | None:
        """The first header of this name, in lower case; None without one."""
        return next((value for key, value in self.headers if key == name), None)


@contextlib.contextmanager
def open_response(
    address: Address, path: str, headers: Mapping[str, str], body: bytes | None, bounds: Bounds
) -> Iterator[Response]:
    """Send a POST of `body` (without one a GET) to `path` below the address's own.

    Raises:
        Broken: no connection, or no HTTP.
        TooLate: not in time.
        TooLarge: the headers are too large.
    """
    with _connect(address, bounds) as connection:
        wire = _Wire(connection, bounds)
        wire.send(_request(address, path, headers, body))
        head = wire.head()
        named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        yield Response(head.status_code, named, wire.chunks())


def _request(address: Address, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    fields = [("Host", address.authority), *headers.items(), *_EACH]
    if body is not None:
        fields.append(("Content-Length", str(len(body))))
    target = f"{address.path}{path}"
    valid = all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in fields)
    framed = sum(name.lower() in _FRAMING for name, _ in fields)
    if not (valid and _TARGET.fullmatch(target)) or framed > (1 if body is None else 2):
        # Without the header itself, which may be a key.
        raise Broken("the request cannot be sent: a header or the path is not valid")
    lines = [f"{'GET' if body is None else 'POST'} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


_EACH = (("Accept-Encoding", "identity"), ("Connection", "close"))
_FRAMING = ("host", "content-length", "transfer-encoding")
"""Headers that say where a request goes and ends: nobody else may."""
_TARGET = re.compile(r"[!-~]+")
_NAME = re.compile(r"[!#-'*+.^-z|~\w-]+", re.ASCII)
_VALUE = re.compile(r"(?:[!-~]+(?:[\t ]+[!-~]+)*)?")
"""Headers as HTTP/1.1 has them (RFC 9110, section 5), in ASCII: nothing in them ends a line."""
_ASKED = h11.Request(method="POST", target="/", headers=[("Host", "of"), ("Connection", "close")])
"""A request as far as the reading of its response depends on it."""


class _Wire:
    """An HTTP/1.1 conversation on a connected socket, within its bounds."""

    def __init__(self, connection: socket.socket, bounds: Bounds) -> None:
        self._socket = connection
        self._bounds = bounds
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEADER)
        self._begun = b""
        self._ended = False

    def send(self, request: bytes) -> None:
        for event in (_ASKED, h11.EndOfMessage()):
            self._http.send(event)
        rest = memoryview(request)
        # A server may refuse without reading the request: what it said is what counts.
        while rest:
            self._socket.settimeout(self._bounds.left())
            try:
                with _in_time():
                    rest = rest[self._socket.send(rest) :]
            except (BrokenPipeError, ConnectionResetError):
                return
            except OSError as error:  # also of TLS, which the server may have ended
                raise Broken(f"the connection failed: {_said(error)}") from error

    def head(self) -> h11.Response:
        for _ in range(_MOST_INFORMATIONAL):
            event = self._next()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
        raise Broken(
            f"the response is not valid HTTP: more than {_MOST_INFORMATIONAL} informational "
            "responses"
        )

    def chunks(self) -> Iterator[bytes]:
        while isinstance(event := self._next(), h11.Data):
            self._bounds.count_body(len(event.data))
            yield bytes(event.data)

    def _next(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise self._closed() if self._ended else _not_http(str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(self._read())

    def _read(self) -> bytes:
        self._socket.settimeout(self._bounds.left())
        try:
            with _in_time():
                data = self._socket.recv(_READ)
        except ConnectionResetError as error:
            raise self._closed() from error
        except OSError as error:
            raise Broken(f"the connection failed: {_said(error)}") from error
        self._ended = not data
        self._bounds.count_raw(len(data))
        if len(self._begun) < len(_BEGIN):
            # Another protocol's greeting: h11 would wait for the end of its headers.
            self._begun += data[: len(_BEGIN) - len(self._begun)]
            if not _BEGIN.startswith(self._begun):
                raise _not_http(f"it begins with {excerpt(repr(data[:40]))}")
        return data

    def _closed(self) -> Broken:
        if not self._bounds.raw:
            return Broken(_NO_RESPONSE)
        where = f"in the middle of its response ({self._bounds.body} bytes)"
        return Broken(f"the server closed the connection {where}")


def _not_http(why: str) -> Broken:
    return Broken(f"the response is not valid HTTP: {excerpt(why)}")


def _connect(address: Address, bounds: Bounds) -> socket.socket:
    """A connected socket, with TLS where the address says so.

    A name is looked up by the system, which has time limits of its own.
    """
    failure: OSError | None = None
    for family, kind, protocol, _, where in _look_up(address):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(bounds.left())
            with _in_time():
                connection.connect(where)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _secured(connection, address, bounds) if address.secure else connection
        except BaseException as error:
            connection.close()
            # A busy client may hear of a connection when it has been reset already.
            if isinstance(error, ConnectionResetError) and not address.secure:
                raise Broken(_NO_RESPONSE) from error
            if not isinstance(error, OSError):
                raise
            failure = error
    scheme = "https" if address.secure else "http"
    url = f"{scheme}://{address.authority}{address.path}"
    if failure is not None and failure.errno == errno.ECONNREFUSED:
        raise Broken(f"connection refused: nothing listens at {url}") from failure
    raise Broken(f"cannot connect to {url}: {_said(failure)}") from failure


_Place = tuple[int, int, int, str, tuple[object, ...]]


def _look_up(address: Address) -> Sequence[_Place]:
    with contextlib.suppress(OSError):  # a name, which may have another address next time
        return _numbered(address)
    try:
        return _addresses(address, 0)
    except OSError as error:
        raise Broken(f"cannot connect: {address.host} has no address: {_said(error)}") from error


@lru_cache
def _numbered(address: Address) -> Sequence[_Place]:
    """Of a host in numbers, what the system says of it once and for all."""
    return _addresses(address, socket.AI_NUMERICHOST)


def _addresses(address: Address, flags: int) -> Sequence[_Place]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    return [(int(f), int(k), p, name, tuple(where)) for f, k, p, name, where in found]


def _secured(connection: socket.socket, address: Address, bounds: Bounds) -> socket.socket:
    connection.settimeout(bounds.left())
    with _in_time():
        return _tls().wrap_socket(connection, server_hostname=address.host)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise TooLate from None


def _said(error: OSError | None) -> str:
    return excerpt(str(error)) or type(error).__name__
