import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import respond, serve

from evals.engines import ports
from evals.engines.attach import api_base, attach
from evals.engines.server import Server
from evals.errors import ServerError


def test_attach_to_a_running_server_leaves_it_running(base_server: Server) -> None:
    root = base_server.url.removesuffix("/v1")
    assert attach(root) == Server(url=base_server.url)
    assert attach(base_server.url + "/") == Server(url=base_server.url)


def test_an_attached_server_has_no_log() -> None:
    server = Server("http://127.0.0.1:1/v1")
    assert (server.log_tail(), server.log_slice(0), server.log_position()) == ("", "", 0)


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{ports.free_port()}/v1"
    with pytest.raises(ServerError, match=f"cannot attach to {url}: .*refused.*; start the server"):
        attach(url)


@pytest.fixture
def files() -> Iterator[str]:
    """A web server that knows nothing of completions."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_of_another_kind(files: str) -> None:
    with pytest.raises(ServerError, match=r"answers a one-token completion with HTTP 501"):
        attach(files)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        ("https://host/api/v1", "https://host/api/v1"),
        (" http://[::1]:80/v1", "http://[::1]:80/v1"),
    ],
)
def test_base_of_a_url(url: str, base: str) -> None:
    assert api_base(url) == base


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://host/v1", "http://", "http://h:x/v1"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ServerError, match="is no server URL; it looks like http://127"):
        attach(url)


def test_the_log_in_slices(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes("eins\nzwölf\n".encode())
    server = Server("http://127.0.0.1:1/v1", log=log)
    middle = server.log_position()
    with log.open("a") as stream:
        stream.write("drei\n")
    assert server.log_slice(0, middle) == "eins\nzwölf\n"
    assert server.log_slice(middle) == "drei\n"
    assert server.log_tail(2) == "zwölf\ndrei"
    assert server.log_tail(0) == ""


def test_what_a_server_says_cannot_act_in_the_terminal() -> None:
    with serve() as scripted:
        scripted.answer = respond(b"\x1b]0;title\x07\x1b[31mred \xe2\x80\xae", status=500)
        with pytest.raises(ServerError) as error:
            attach(scripted.server.url)
    assert r"\x1b]0;title\x07\x1b[31mred \u202e" in str(error.value)
    assert str(error.value).isprintable()


def test_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(ServerError, match="api_key_env") as error:
        attach("http://user:planted@127.0.0.1:1/v1")
    assert "planted" not in str(error.value)


def test_a_redirect_is_not_followed() -> None:
    with serve() as scripted, serve() as other:
        place = f"{other.server.url}/chat/completions"

        def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_response(307)
            handler.send_header("Location", place)
            handler.end_headers()

        scripted.answer = redirect
        with pytest.raises(ServerError, match="HTTP 307"):
            attach(scripted.server.url)
        assert other.bodies == []
