"""Boot a server, `mlx_lm.server` unless told otherwise, as a child that is gone with the run."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from evals.engines import ports, supervisor
from evals.engines.blas import preload_environment
from evals.engines.dialect import Dialect
from evals.engines.engine import Engine
from evals.engines.environment import home_of, installed
from evals.engines.folder import check_gguf, check_model, is_hub_name
from evals.engines.greeting import Wishes, greet
from evals.engines.registry import MLX_LM
from evals.engines.server import Server, exchange
from evals.errors import ServerError
from evals.escaping import escape_controls

_POLL = 0.1
_SILENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAPID_MLX_TELEMETRY": "0",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Engines report their use to their makers unless they are told otherwise; what is set stays."""


@contextlib.contextmanager
def boot(
    model: Path | str,
    *,
    log: Path,
    cache: Path,
    port: int | None = None,
    arguments: Sequence[str] = (),
    launcher: Sequence[str] = (),
    through: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    timeout: float | None = None,
    engine: Engine = MLX_LM,
    wishes: Wishes | None = None,
) -> Iterator[Server]:
    """A server with `model` (folder, GGUF file or hub name) that has answered for one token.

    It listens on 127.0.0.1, on `port` or a free one. What it prints is appended to `log`. `cache`
    keeps the BLAS copy. `arguments` go to the server as they are; `launcher` is a command in place
    of the engine's own; `through` stands in front of either. `wishes` are the target's, on how it
    is asked. `timeout`: seconds from start to first token; the engine's own without. On leaving,
    however that happens, the server is ended: SIGTERM, and after 1.5 s SIGKILL.

    Raises:
        ModelError: the folder is missing or half built.
        ServerError: the port is taken, or the server died, or did not get ready in time; the
            message ends with the last 20 lines of its log.
    """
    check_bootable(engine, cache, launcher)
    local = not is_hub_name(model)
    if local:
        model = Path(model).expanduser().resolve()
        check_gguf(model) if engine.loads == "gguf" else check_model(model)
    if port is None:
        port = ports.free_port()
    ports.check_free(port)
    command = (
        [*launcher, "--model", str(model), "--host", ports.HOST, "--port", str(port), *arguments]
        if launcher
        else engine.argv(model, port, tuple(arguments), home_of(engine, cache))
    )
    variables = _environment(cache, environment, local=local, mlx=engine.uses_mlx)
    with _supervised([*through, *command], variables, log) as child:
        wishes = wishes or Wishes()
        dialect = _wait_until_ready(child, port, timeout or engine.boot_seconds, engine, wishes)
        url = f"http://{ports.HOST}:{port}/v1"
        yield Server(
            url,
            child.pid,
            log,
            ended=child.ended,
            dialect=dialect,
            engine=engine.name,
            version=installed(engine, cache),
        )


def check_bootable(engine: Engine, cache: Path, launcher: Sequence[str] = ()) -> None:
    """Make sure that a server of this kind can be started here, or in its environment in `cache`.

    Raises:
        ServerError: it is only attached to, or its program is not installed; with what to do.
    """
    if engine.command is None and not launcher:
        raise ServerError(
            f"{engine.title} is started by yourself, not here: {engine.install}; then give its "
            "url in the target, or --attach URL"
        )
    if not launcher and not engine.can_boot(home_of(engine, cache)):
        own = f"`evals engine install {engine.name}`, or " if engine.pins else ""
        raise ServerError(
            f"{engine.title} is not installed here: {own}{engine.install}; or attach to a running "
            "one by url in the target, or --attach URL"
        )


def _environment(
    cache: Path, environment: Mapping[str, str], *, local: bool, mlx: bool
) -> dict[str, str]:
    variables = preload_environment(cache, environment) if mlx else dict(environment)
    variables = {**_SILENT, **variables, "PYTHONUNBUFFERED": "1"}
    if local:
        variables["HF_HUB_OFFLINE"] = "1"
        # /v1/models answers with an empty body where the hub's folder does not exist.
        home = Path(variables.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
        hub = Path(variables.get("HF_HUB_CACHE") or home / "hub").expanduser()
        if not hub.is_dir():
            hub = cache / "hub"
            hub.mkdir(parents=True, exist_ok=True)
            variables["HF_HUB_CACHE"] = str(hub.resolve())
    return variables


class _Child:
    """A supervised process: its pid, whether it has ended, and the log of this boot alone."""

    def __init__(self, supervisor_process: "subprocess.Popen[str]", log: Path, start: int) -> None:
        assert supervisor_process.stdout is not None
        self._output = supervisor_process.stdout
        self._log, self._log_start = log, start
        first = self._output.readline()
        if not first.startswith("pid "):
            self._status = "unknown"
            raise self.error("the server cannot be started")
        self.pid = int(first.split()[1])
        self._process: psutil.Process | None = None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(self.pid)
        self._status = ""
        self._reader = threading.Thread(target=self._read_status, daemon=True)
        self._reader.start()

    def _read_status(self) -> None:
        line = self._output.readline()
        self._status = line.split()[1] if line.startswith("exit ") else "unknown"

    def ended(self, within: float = 0.0) -> str | None:
        """How the process ended, in words; None if it still runs after `within` seconds."""
        self._reader.join(within)
        if not self._status:
            return None
        if self._status.startswith("-"):
            return f"was killed by {signal.Signals(-int(self._status)).name}"
        return f"ended with exit code {self._status}"

    def error(self, what: str) -> ServerError:
        """`what`, followed by the last 20 lines that this boot logged."""
        log = escape_controls(Server("", log=self._log).log_slice(self._log_start))
        tail = log.splitlines()[-20:]
        return ServerError("\n".join([f"{what}; the last lines of {self._log}:", *tail]))

    def end_orphan(self) -> None:
        """End the process itself where its supervisor did not live to do so."""
        self._reader.join()
        with contextlib.suppress(psutil.NoSuchProcess):  # also raised for a reused pid
            if self._process is not None:
                for member in [*self._process.children(recursive=True), self._process]:
                    member.kill()


@contextlib.contextmanager
def _supervised(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[_Child]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-I", supervisor.__file__, str(os.getpid()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env=environment,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    child = None
    try:
        child = _Child(process, log, start)
        yield child
    finally:
        process.stdin.close()  # the sign to end the server
        try:
            process.wait(supervisor.GRACE + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if child is not None:
            child.end_orphan()
        process.stdout.close()


def _wait_until_ready(
    child: _Child, port: int, timeout: float, engine: Engine, wishes: Wishes
) -> Dialect:
    deadline = time.monotonic() + timeout
    outcome: queue.SimpleQueue[ServerError | Dialect] = queue.SimpleQueue()
    asked = False
    while (left := deadline - time.monotonic()) > 0:
        if how := child.ended():
            raise child.error(f"the server {how} before it was ready")
        if asked and engine.health_503 == "failed" and _is_unhealthy(port):
            raise child.error("the server could not load the model")
        if not asked and ports.answers(port) and not is_loading(port, engine):
            # Asked after `answers`: our own server, once it answers, is certainly seen to listen,
            # unless nobody may look. Then the first token says whose it is.
            if ports.listens(child.pid, port) is False:
                if child.ended(within=0.5):
                    continue  # who answers there now is another program's server
                raise child.error(f"port {port} was taken by another program during the boot")
            _ask_in_background(port, left, outcome, engine, wishes)
            asked = True
        with contextlib.suppress(queue.Empty):
            answer = outcome.get(timeout=_POLL)
            if isinstance(answer, Dialect) and not child.ended():
                return answer
            if (
                isinstance(answer, ServerError)
                and not child.ended(within=0.5)
                and not _is_unhealthy(port)
            ):
                raise child.error(str(answer))
    raise child.error(f"the server gave no first token within {timeout:g} s")


def _ask_in_background(
    port: int,
    timeout: float,
    outcome: "queue.SimpleQueue[ServerError | Dialect]",
    engine: Engine,
    wishes: Wishes,
) -> None:
    """Ask for a first token in a thread, so that a death meanwhile is noticed at once."""

    def ask() -> None:
        url = f"http://{ports.HOST}:{port}/v1"
        try:
            outcome.put(greet(url, engine, wishes, timeout=timeout, stream=False).dialect)
        except ServerError as error:
            outcome.put(error)

    threading.Thread(target=ask, daemon=True).start()


def is_loading(port: int, engine: Engine) -> bool:
    """Whether a server of this kind answers, and says that it loads its model still."""
    return engine.health_503 == "loading" and _is_unhealthy(port)


def _is_unhealthy(port: int) -> bool:
    """Whether /health says 503: mlx_lm stays alive, and says so for ever, if loading failed.

    llama.cpp says so while it loads.
    """
    try:
        return exchange(f"http://{ports.HOST}:{port}", "/health", timeout=5.0)[0] == 503
    except ServerError:
        return False
