"""The package index: what it lists, and what it says when it does not."""

import datetime
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evals.engines.uv import index_url, uv_environment
from evals.errors import ConfigError, HarnessError
from evals.versions.index import Release, releases, shown

FILES = [
    {"filename": "mlx_lm-0.9.0-py3-none-any.whl", "upload-time": "2024-04-11T20:20:23Z"},
    {"filename": "mlx_lm-0.10.0-py3-none-any.whl", "upload-time": "2024-05-02T01:00:00Z"},
    {"filename": "mlx_lm-0.10.0.tar.gz", "upload-time": "2024-05-01T23:00:00Z"},
    {"filename": "mlx_lm-0.11.0rc1-py3-none-any.whl", "upload-time": "2024-06-01T00:00:00Z"},
    {"filename": "mlx_lm-0.11.0-py3-none-any.whl", "yanked": "broken"},
    {"filename": "mlx_lm-0.12.0-py3-none-any.whl", "requires-python": "<3"},
    {"filename": "mlx_lm-0.13.0.zip.sig"},
]
HTML = (
    '<a href="x/mlx_lm-0.9.0-py3-none-any.whl#sha256=1">mlx_lm-0.9.0-py3-none-any.whl</a><br>'
    '<a href="x/mlx_lm-0.8.0.tar.gz" data-yanked="">mlx_lm-0.8.0.tar.gz</a>'
)


class Index(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/").split("/")[-1]
        if name == "slow":
            time.sleep(1.0)
        bodies = {"mlx-lm": json.dumps({"files": FILES}), "plain": HTML, "slow": "", "empty": "{}"}
        self.send_response(500 if name == "broken" else 200 if name in bodies else 404)
        self.end_headers()
        self.wfile.write(bodies.get(name, "").encode())

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def index(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://user:secret@127.0.0.1:{server.server_port}/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", url.replace("user:secret@", ""))
    yield url
    server.shutdown()
    server.server_close()


def test_the_oldest_first_without_what_pip_would_not_take():
    day = datetime.date(2024, 4, 11)
    assert releases("mlx_lm") == [
        Release("0.9.0", day),
        Release("0.10.0", datetime.date(2024, 5, 1)),
    ]


def test_an_index_that_knows_html_alone():
    assert releases("plain") == [Release("0.9.0", None)]


@pytest.mark.parametrize(
    ("package", "error", "says"),
    [
        ("nothing", ConfigError, "knows no 'nothing': .*/simple/nothing/ answers 404"),
        ("empty", ConfigError, "has no release of empty for this Python"),
        ("broken", HarnessError, "answers HTTP 500"),
        ("slow", HarnessError, "gave no answer within 0.2 s"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(package, error, says):
    with pytest.raises(error, match=says) as raised:
        releases(package, seconds=0.2)
    assert "\n" not in str(raised.value)


def test_nobody_listens(monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    with pytest.raises(HarnessError, match=r"cannot be reached: .*refused"):
        releases("mlx-lm")


def test_a_password_is_not_shown(index):
    assert "secret" in index
    assert shown(index) == index.replace("user:secret@", "")


def test_uv_looks_where_pip_does():
    pip = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple/", "PIP_FIND_LINKS": "/wheels"}
    assert index_url(pip) == "http://127.0.0.1:1/simple"
    assert uv_environment(pip)["UV_FIND_LINKS"] == "/wheels"
    assert uv_environment({**pip, "UV_DEFAULT_INDEX": "u"})["UV_DEFAULT_INDEX"] == "u"
