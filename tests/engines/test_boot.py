import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from evals.config import cache_folder
from evals.engines import ports
from evals.engines.mlx_lm import boot
from evals.engines.server import check_alive, exchange
from evals.errors import ModelError, ServerError

# A program in the server's place, for behaviour that the real one does not show on demand.
STAND_IN = """
import http.server, json, signal, subprocess, sys, time
port = int(sys.argv[sys.argv.index("--port") + 1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        {answer}
    def do_GET(self):
        self.send_response(200); self.end_headers()
{before}
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
ANSWER = "self.send_response(200); self.end_headers(); self.wfile.write(b'{\"choices\": [{}]}')"


def stand_in(before: str = "", answer: str = ANSWER) -> tuple[str, ...]:
    return (sys.executable, "-c", STAND_IN.format(before=before, answer=answer))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder that looks complete, for launchers that never open it."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "tokenizer.json").write_text("{}")
    header = json.dumps({"x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    return path


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_gone(pid: int, seconds: float = 6.0) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


# --- a server that works -------------------------------------------------------------------------


def test_the_booted_server_answers_is_the_one_that_listens_and_is_gone_afterwards(
    base_model: Path, tmp_path: Path
) -> None:
    log = tmp_path / "deep" / "server.log"
    port = ports.free_port()
    with boot(base_model, log=log, cache=cache_folder(), port=port) as server:
        assert server.url == f"http://127.0.0.1:{port}/v1"
        assert server.pid is not None
        assert ports.listens(server.pid, port)
        start = server.log_position()
        check_alive(server)
        status, models = exchange(server.url, "/models", 10.0)
        assert "POST /v1/chat/completions" in server.log_slice(start)
        assert "POST /v1/chat/completions" not in server.log_slice(start, start)
        assert status == 200
        assert json.loads(models)["data"]  # empty where the hub's folder does not exist
    assert not is_running(server.pid)
    assert not ports.answers(port)
    assert log.read_text().splitlines()[-1] == server.log_tail(1)


def test_an_exception_in_the_run_ends_the_server(folder: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        boot(folder, log=tmp_path / "log", cache=tmp_path, launcher=stand_in()) as server,
    ):
        raise ZeroDivisionError
    assert server.pid is not None
    assert not is_running(server.pid)


def test_a_server_that_ignores_sigterm_and_its_children_are_killed(
    folder: Path, tmp_path: Path
) -> None:
    children = tmp_path / "children"
    before = textwrap.dedent(f"""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import signal, time; "
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"])
        open({str(children)!r}, "w").write(str(child.pid))
    """)
    with boot(folder, log=tmp_path / "log", cache=tmp_path, launcher=stand_in(before)) as server:
        child = int(children.read_text())
        assert is_running(child)
        start = time.monotonic()
    assert time.monotonic() - start < 6  # its supervisor does it, after 3 s
    assert server.pid is not None
    assert not is_running(server.pid)
    assert wait_gone(child)


def test_a_server_whose_supervisor_was_killed_is_ended_all_the_same(
    folder: Path, tmp_path: Path
) -> None:
    with boot(folder, log=tmp_path / "log", cache=tmp_path, launcher=stand_in()) as server:
        assert server.pid is not None
        supervisor = psutil.Process(server.pid).parent()
        assert supervisor is not None
        assert supervisor.pid != os.getpid()
        supervisor.kill()
        assert is_running(server.pid)
    assert wait_gone(server.pid, 1.0)


# --- the run ends in every other way -------------------------------------------------------------

RUN = """
import sys, time
from pathlib import Path
from evals.engines.mlx_lm import boot
with boot(Path(sys.argv[1]), log=Path(sys.argv[2]), cache=Path(sys.argv[3])) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""


def _heed_signals() -> None:
    """What nohup or a shell's background job ignores, its children ignore, too."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_server_outlives_its_run(number: int, base_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(base_model), str(tmp_path / "log")]
    with subprocess.Popen(
        [*command, str(cache_folder())],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=_heed_signals,
    ) as run:
        assert run.stdout is not None
        server = int(run.stdout.readline())
        assert is_running(server)
        run.send_signal(number)
        assert run.wait(30) != 0
    assert wait_gone(server)


def test_no_server_outlives_a_run_that_is_killed_during_the_boot(
    folder: Path, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    launcher = (
        sys.executable,
        "-c",
        "import os, pathlib, time; "
        f"pathlib.Path({str(started)!r}).write_text(str(os.getpid())); time.sleep(60)",
    )
    code = (
        "from pathlib import Path; from evals.engines.mlx_lm import boot\n"
        f"with boot(Path({str(folder)!r}), log=Path({str(tmp_path / 'log')!r}), "
        f"cache=Path({str(tmp_path)!r}), launcher={launcher!r}): pass"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as run:
        while not started.exists() or not started.read_text():
            assert run.poll() is None
            time.sleep(0.05)
        run.kill()
    assert wait_gone(int(started.read_text()))


# --- a server that does not come up --------------------------------------------------------------


@contextmanager
def listener(port: int = 0) -> Iterator[int]:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_taken_port_is_named_with_its_holder_before_anything_starts(
    folder: Path, tmp_path: Path
) -> None:
    with (
        listener() as port,
        pytest.raises(ServerError) as caught,
        boot(folder, log=tmp_path / "log", cache=tmp_path, port=port),
    ):
        pass
    name = psutil.Process().name()
    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is taken by pid {os.getpid()} ({name}); "
        "choose another with --port or stop it"
    )
    assert not (tmp_path / "log").exists()


def test_a_port_that_is_bound_but_not_listening_is_taken_too() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} on 127.0.0.1 is taken"):
            ports.check_free(port)


def test_another_program_that_takes_the_port_during_the_boot_is_not_taken_for_the_server(
    folder: Path, tmp_path: Path
) -> None:
    port = ports.free_port()
    launcher = (sys.executable, "-c", "import time; time.sleep(60)")
    with (
        _thief(port),
        pytest.raises(ServerError, match="taken by another program during the boot"),
        boot(
            folder, log=tmp_path / "log", cache=tmp_path, port=port, launcher=launcher, timeout=20
        ),
    ):
        pass


def test_a_server_that_dies_while_another_programs_answers_at_its_port_is_not_ready(
    folder: Path, tmp_path: Path
) -> None:
    port = ports.free_port()
    dies = (
        "import os, socket, sys, time\n"
        "where = ('127.0.0.1', int(sys.argv[sys.argv.index('--port') + 1]))\n"
        "while socket.socket().connect_ex(where): time.sleep(0.02)\n"
        "os.kill(os.getpid(), 11)"
    )
    other = [*stand_in(), "--model", str(folder), "--host", "127.0.0.1", "--port", str(port)]

    def start() -> None:
        time.sleep(0.5)
        started.append(subprocess.Popen(other))

    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=start)
    thread.start()
    try:
        with (
            # On a busy machine its death is heard of after the other has been.
            pytest.raises(ServerError, match=r"was killed by SIGSEGV before|taken by another"),
            boot(
                folder,
                log=tmp_path / "log",
                cache=tmp_path,
                port=port,
                launcher=(sys.executable, "-c", dies),
                timeout=20,
            ),
        ):
            pass
        assert exchange(f"http://127.0.0.1:{port}/v1", "/models", timeout=5.0)[0] == 200
    finally:
        thread.join()
        for process in started:
            process.terminate()
            process.wait()


def test_where_nobody_may_look_at_ports_the_first_token_says_whose_the_server_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(process: psutil.Process, kind: str = "tcp") -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "net_connections", refuse)
    with boot(folder, log=tmp_path / "log", cache=tmp_path, launcher=stand_in()) as server:
        assert exchange(server.url, "/models", timeout=5.0)[0] == 200

    # Who took the port gives no token, and that is said in place of a guess.
    launcher = (sys.executable, "-c", "import time; time.sleep(60)")
    port = ports.free_port()
    with (
        _thief(port),
        pytest.raises(ServerError, match=r"did not answer within|no first token"),
        boot(folder, log=tmp_path / "log", cache=tmp_path, port=port, launcher=launcher, timeout=4),
    ):
        pass


@contextmanager
def _thief(port: int) -> Iterator[None]:
    """Listens on `port` half a second after the block has begun, until it ends."""
    over = threading.Event()

    def steal() -> None:
        time.sleep(0.5)
        with listener(port):
            over.wait(20)

    thread = threading.Thread(target=steal)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('no such weights'); raise SystemExit(3)", ["ended with exit code 3", "no such w"]),
        ("import os; os.kill(os.getpid(), 11)", ["was killed by SIGSEGV"]),
        ("print('\\n'.join(f'line {i};' for i in range(99))); 1/0", ["line 98;", "ZeroDivision"]),
    ],
)
def test_a_server_that_dies_is_reported_at_once_with_its_last_lines(
    code: str, words: list[str], folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_text("a line of an earlier boot\n")
    start = time.monotonic()
    with (
        pytest.raises(ServerError) as caught,
        boot(folder, log=log, cache=tmp_path, launcher=(sys.executable, "-c", code)),
    ):
        pass
    assert time.monotonic() - start < 5
    first, *tail = str(caught.value).splitlines()
    assert "before it was ready" in first
    assert len(tail) <= 20
    assert all(word in str(caught.value) for word in words)
    assert "an earlier boot" not in str(caught.value)


def test_an_engine_is_told_not_to_report_its_use_to_its_makers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "mine")
    names = ["DO_NOT_TRACK", "RAPID_MLX_TELEMETRY", "VLLM_NO_USAGE_STATS"]
    code = f"import os; print('told', *(os.environ[name] for name in {names})); raise SystemExit(3)"
    with (
        pytest.raises(ServerError, match="told 1 0 mine"),
        boot(folder, log=tmp_path / "log", cache=tmp_path, launcher=(sys.executable, "-c", code)),
    ):
        pass


def test_a_launcher_that_does_not_exist_is_named(folder: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match="cannot start no-such-program"),
        boot(folder, log=tmp_path / "log", cache=tmp_path, launcher=("no-such-program",)),
    ):
        pass


def test_the_real_server_that_cannot_load_its_model_is_noticed_although_it_stays_alive(
    base_model: Path, folder: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base_model / name, folder / name)
    start = time.monotonic()
    with (
        pytest.raises(ServerError) as caught,
        boot(folder, log=tmp_path / "log", cache=cache_folder()),
    ):
        pass
    assert time.monotonic() - start < 20
    assert str(caught.value).startswith("the server could not load the model; the last lines of")
    assert "generation thread died" in str(caught.value) or "ValueError" in str(caught.value)


def test_wrong_arguments_are_reported_in_the_servers_own_words(
    base_model: Path, tmp_path: Path
) -> None:
    with (
        pytest.raises(ServerError, match="unrecognized arguments: --no-such-option"),
        boot(
            base_model, log=tmp_path / "log", cache=cache_folder(), arguments=["--no-such-option"]
        ),
    ):
        pass


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("time.sleep(60)", "no first token within 2 s|did not answer within"),
        ("self.send_response(404); self.end_headers(); self.wfile.write(b'what?')", "404: what?"),
        ("self.send_response(200); self.end_headers()", "HTTP 200: an empty body"),
        ("pass", "closed the connection without a response"),
    ],
)
def test_a_server_that_listens_but_gives_no_token_is_not_ready(
    answer: str, words: str, folder: Path, tmp_path: Path
) -> None:
    with (
        pytest.raises(ServerError, match=words.replace("?", r"\?")),
        boot(
            folder,
            log=tmp_path / "log",
            cache=tmp_path,
            launcher=stand_in(answer=answer),
            timeout=2,
        ),
    ):
        pass


def test_a_missing_model_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with (
        pytest.raises(ModelError, match="nowhere does not exist"),
        boot(tmp_path / "nowhere", log=tmp_path / "log", cache=tmp_path),
    ):
        pass
    assert not (tmp_path / "log").exists()
