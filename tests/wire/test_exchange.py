"""Exchanges over real sockets; what servers do wrong on them is in tests/faults."""

import contextlib
import datetime
import email.utils
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evals.request import request_text
from evals.wire import response
from evals.wire.exchange import Exchange, ExchangeError, fetch, retry_seconds

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Listen = Callable[..., str]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Starts a server that gives each connection to a function; `seen` collects the requests."""
    listeners: list[socket.socket] = []

    def start(do: Callable[[socket.socket, bytes], None], scheme: str = "http") -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    do(connection, connection.recv(65_536))

        threading.Thread(target=serve, daemon=True).start()
        return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/v1"

    yield start
    for listener in listeners:
        listener.close()


def ask(url: str, timeout: float = 5.0, **values: object) -> bytes:
    return b"".join(chunk for _, chunk in Exchange(url, b"{}", timeout, **values))  # type: ignore[arg-type]


def test_the_request_has_what_it_needs_and_no_more(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/planted")
    seen: list[bytes] = []

    def do(connection: socket.socket, request: bytes) -> None:
        seen.append(request)
        connection.sendall(ANSWER)

    url = listen(do)
    assert ask(url, headers={"Authorization": "Bearer k"}) == b"hi"
    top, _, body = seen[0].partition(b"\r\n\r\n")
    line, *headers = top.decode().split("\r\n")
    assert (line, body) == ("POST /v1/chat/completions HTTP/1.1", b"{}")
    assert sorted(header.partition(":")[0] for header in headers) == sorted(
        [
            "Accept",
            "Accept-Encoding",
            "Authorization",
            "Connection",
            "Content-Length",
            "Content-Type",
            "Host",
            "User-Agent",
        ]
    )
    assert "Accept-Encoding: identity" in headers


def test_a_header_cannot_be_smuggled_in(listen: Listen) -> None:
    url = listen(lambda connection, _: connection.sendall(ANSWER))
    with pytest.raises(ExchangeError, match="the request cannot be sent"):
        ask(url, headers={"Authorization": "Bearer a\r\nX-Injected: b"})


def test_a_large_request_to_a_server_that_does_not_read_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        begin = time.monotonic()
        with pytest.raises(ExchangeError, match=r"timeout: no response after 0\.5 s"):
            list(Exchange(url, b"x" * 50_000_000, 0.5))
        assert time.monotonic() - begin < 3


def test_a_server_may_refuse_a_request_that_it_has_not_read(listen: Listen) -> None:
    def do(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo long")
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.2)

    with pytest.raises(ExchangeError, match=r"HTTP 413: too long|closed the connection"):
        list(Exchange(listen(do), b"x" * 5_000_000, 5.0))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, crt = folder / "key.pem", folder / "crt.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost "
        f"-keyout {key} -out {crt}".split(),
        check=True,
        capture_output=True,
    )
    return crt, key


def test_a_certificate_that_nobody_signed_is_refused(
    listen: Listen, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                asked.append(secure.recv(100))
        except OSError:
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ExchangeError, match=r"cannot connect to https.*CERTIFICATE_VERIFY_FAILED"):
        ask(f"https://127.0.0.1:{listener.getsockname()[1]}/v1")
    thread.join()
    listener.close()
    assert [text for text in asked if text] == []


def test_tls_that_the_server_ends_before_it_has_read_is_an_error_of_ours(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    monkeypatch.setattr(response, "_tls", lambda: trusting)
    url = f"https://localhost:{listener.getsockname()[1]}/v1"
    with pytest.raises(ExchangeError, match=r"the connection failed|closed the connection"):
        list(Exchange(url, b"x" * 5_000_000, 5.0))
    thread.join()
    listener.close()


def test_plain_http_where_tls_is_expected(listen: Listen) -> None:
    url = listen(lambda connection, _: connection.sendall(ANSWER), "https")
    with pytest.raises(ExchangeError, match="cannot connect to https"):
        ask(url)


def test_tls_with_a_server_that_says_nothing_ends_in_time(listen: Listen) -> None:
    url = listen(lambda connection, _: time.sleep(2), "https")
    begin = time.monotonic()
    with pytest.raises(ExchangeError, match=r"timeout: no response after 0\.5 s"):
        ask(url, timeout=0.5)
    assert time.monotonic() - begin < 1.8


def test_a_busy_server_is_asked_again_within_the_deadline_alone(listen: Listen) -> None:
    asked: list[float] = []

    def do(connection: socket.socket, _: bytes) -> None:
        asked.append(time.monotonic())
        connection.sendall(b"HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")

    exchange = Exchange(listen(do), b"{}", 2.0)
    begin = time.monotonic()
    with pytest.raises(ExchangeError, match=r"HTTP 503: .*timeout is 2 s \(asked 4 times\)"):
        list(exchange)
    assert time.monotonic() - begin < 2.0
    assert (exchange.retries, len(asked)) == (3, 4)
    # A server that says 0 for ever is not asked in a tight loop.
    assert exchange.waited == pytest.approx(0.25 + 0.5 + 1)


def test_seconds_are_those_of_the_answer_without_the_waiting(listen: Listen) -> None:
    answers = [b"HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", ANSWER]
    exchange = Exchange(listen(lambda c, _: c.sendall(answers.pop(0))), b"{}", 5.0)
    ((seconds, _),) = list(exchange)
    assert (exchange.retries, exchange.waited) == (1, 1.0)
    assert seconds < 0.9


def test_fetch_gives_any_status_and_keeps_its_deadline(listen: Listen) -> None:
    url = listen(lambda c, _: c.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"))
    assert fetch(url, "/models", timeout=5) == (404, b"no")

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    begin = time.monotonic()
    with pytest.raises(ExchangeError, match=r"did not answer within 0\.5 s"):
        fetch(listen(drip), "/models", timeout=0.5)
    assert time.monotonic() - begin < 2


def test_a_reset_that_is_heard_of_while_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy(socket.socket):
        """Looks at what became of its connect when the other side has long had its say."""

        def connect(self, address: object) -> None:
            self.setblocking(False)
            self.connect_ex(address)  # type: ignore[arg-type]
            done.wait(5)
            if code := self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))

    def reset() -> None:
        connection, _ = listener.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        done.set()

    done = threading.Event()
    monkeypatch.setattr(socket, "socket", Busy)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=reset, daemon=True).start()
        with pytest.raises(ExchangeError, match="closed the connection without a response"):
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), (" 12 ", 12), ("-1", None), ("1.5", None), ("soon", None), ("", None), ("²", None)],
)
def test_seconds_of_retry_after(value: str, seconds: float | None) -> None:
    assert retry_seconds(value) == seconds


def test_dates_of_retry_after() -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)
    assert retry_seconds(email.utils.format_datetime(later, usegmt=True)) == pytest.approx(
        60, abs=3
    )
    assert retry_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_a_body_is_utf_8_with_half_surrogates_as_escapes() -> None:
    assert request_text({"a": "ü\ud800"}).encode() == b'{"a":"\xc3\xbc\\ud800"}'
