"""A run spread over a Ray cluster is the same run, also when a node dies half-way."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from evals.report.summary_file import read_summary
from evals.results import RECORDS, Record
from evals.stored import read_records

pytest.importorskip("ray", reason="pip install 'toolcall-evals[ray]'")

CASES = 10
CALL = r"<tool_call>\n<function=todoread>\n</function>\n</tool_call>"
HEAD = """\
defaults:
  tools: [{name: todoread, description: Read., parameters: {type: object, properties: {}}}]
cases:
"""
PROJECT = {
    "evals.toml": '[targets.default]\nmodel = "copy"\n',
    "cases/tools/t.yaml": "look: {}\n",
    "cases/t.yaml": HEAD
    + "".join(
        f"- {{id: n{n}, ask: Number {n}., expect: {{call: {{name: todoread}}}}, "
        f'replay: {{text: "{CALL}"}}}}\n'
        for n in range(CASES)
    ),
}
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "300",  # where other tests have the processors
    "RAY_ENABLE_WORKER_PRESTART": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "RAY_worker_niceness": "0",
    "SPREAD_TEST": str(os.getpid()),
    "PYTHONPATH": str(Path(__file__).parents[2]),
}
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one core each, on this machine."""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={**SMALL, "include_dashboard": False},
    )
    made.add_node(**SMALL)
    yield made
    made.shutdown()


def _started(project: Path, folder: str, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "evals", "run", "--run-dir", folder, "--in-flight", "2", *more]
    environment = {**os.environ, **QUIET}
    return subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _said(record: Record) -> tuple[Any, ...]:
    """All that does not depend on when and where it was asked."""
    seen = record.observation
    calls = [(call.name, call.arguments) for call in seen.calls]
    checks = [*record.verdicts]
    told = (record.key, record.case, record.request, record.status, record.call_format)
    ids = (seen.token_ids, seen.raw_text, record.rendered_prompt_tokens)
    return (*told, seen.content, calls, seen.finish_reason, *ids, checks)


def test_no_answer_is_lost_or_doubled_when_a_node_dies(project: Path, cluster: Any) -> None:
    spread = _started(project, "reports/spread", "--ray", cluster.address)
    records = project / "reports/spread" / RECORDS
    while spread.poll() is None and (not records.exists() or len(_lines(records)) < CASES // 2):
        time.sleep(0.05)
    before = len(_lines(records))
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    said = spread.communicate(timeout=600)[0]
    assert spread.returncode == 0, said
    assert CASES // 2 <= before < 2 * CASES  # streamed back while the run went on
    assert "is lost" in said
    assert not _servers_left()
    assert "1 of 2 replicas left" in said

    alone = _started(project, "reports/alone")
    told = alone.communicate(timeout=600)[0]
    assert alone.returncode == 0, told
    runs = [project / "reports" / name for name in ("spread", "alone")]
    ours, theirs = (
        sorted(map(_said, read_records(run / RECORDS)), key=lambda said: said[0]) for run in runs
    )
    assert len(ours) == 2 * CASES
    assert ours == theirs
    one, other = (read_summary(run) for run in runs)
    assert one.fingerprint.suite == other.fingerprint.suite
    assert one.fingerprint.profiles == other.fingerprint.profiles
    assert one.gate == other.gate


def _servers_left() -> list[psutil.Process]:
    """Servers of this test's nodes that outlive the run, the killed node's among them."""
    deadline = time.monotonic() + 60
    while (left := [*_servers()]) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def _servers() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get("SPREAD_TEST") == QUIET["SPREAD_TEST"]
            if ours and process.status() != psutil.STATUS_ZOMBIE and "mlx_lm" in process.cmdline():
                yield process


def _lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines() if file.exists() else []


def test_no_cluster_is_one_line(project: Path) -> None:
    done = _started(project, "reports/none", "--ray", "127.0.0.1:1")
    said = done.communicate(timeout=300)[0]
    assert done.returncode == 3, said
    assert "--ray 127.0.0.1:1: no cluster: " in said
    assert "Traceback" not in said
