"""Two ranks on this machine serve one model, and are started again when one of them is killed."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
from builders import case

from evals.case import ReplayScript
from evals.config import cache_folder, read_config
from evals.engines import ports
from evals.running.profile import Opened, open_profile

HERE: dict[str, Any] = {"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}
CALL = "<tool_call>\n<function=todoread>\n</function>\n</tool_call>"


def test_two_ranks_answer_and_are_started_again(tmp_path: Path) -> None:
    (tmp_path / "hosts.json").write_text(json.dumps([HERE, HERE]))
    (tmp_path / "evals.toml").write_text(
        '[targets.default]\nmodel = "copy"\n[targets.default.launch]\nbackend = "ring"\n'
        f'hostfile = "{tmp_path / "hosts.json"}"\n'
        f'arguments = ["--starting-port", "{ports.free_port()}"]\n'
    )
    config = read_config(tmp_path)
    opening = open_profile("default", config, ["server", "stream"], tmp_path, cache_folder())
    with opening as opened:
        assert _answers(opened) == ["todoread"] * 2
        server = opened.server
        assert server is not None
        assert server.process is not None
        first, second = _ranks(server.process.pid)
        assert ports.listens(first.pid, int(server.url.split(":")[2].split("/")[0]))
        os.kill(second.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while (how := server.process.how_ended()) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        # Whichever is seen first: rank 0 cannot go on, or `mlx.launch` has ended it.
        assert how in ("stopped generating (/health says HTTP 503)", "ended with exit code 0")
        server.process.restart()
        assert _answers(opened) == ["todoread"] * 2
        last = _ranks(server.process.pid)
    assert not any(_lives(rank) for rank in (first, second, *last))


def _answers(opened: Opened) -> list[str]:
    asked = case({"call": {"name": "todoread"}}, tools=[{"name": "todoread"}])
    played = asked.model_copy(update={"replay": ReplayScript(text=CALL), "max_tokens": 60})
    seen = [opened.ask(lane, played) for lane in ("server", "stream")]
    assert not any(answer.error for answer in seen), seen
    return [call.name or "" for answer in seen for call in answer.calls]


def _ranks(pid: int | None) -> list[psutil.Process]:
    family = psutil.Process(pid).children(recursive=True)
    found = [process for process in family if "server" in process.cmdline()]
    return sorted(found, key=lambda process: process.environ()["MLX_RANK"])


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; one that nobody has waited for is dead all the same."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
