"""A disk that takes no more ends a run in one line, and nothing that was saved is lost.

The limits are real: a file size limit, a small tmpfs, a read-only mount, few file descriptors.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from builders import write_project
from made_runs import answer_of, called, case_of
from scripted_server import completion, respond, serve

from evals.disk import append_line
from evals.errors import ConfigError
from evals.running.folder import RunFolder
from evals.stored import read_records

CASE = "  - {{id: c{0}, ask: Say {0}., expect: {{answer: {{}}}}}}\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 800, "total_tokens": 809}
GOOD = respond(completion({"role": "assistant", "content": "Yes. " * 400}, usage=USAGE))
PYTEST = (sys.executable, "-m", "pytest", "cases", "-q", "-p", "no:cacheprovider")
SETTINGS = "[tool.pytest.ini_options]\n[tool.evals]\nlanes = ['server']\nin_flight = 2\n"


@pytest.fixture
def project(tmp_path):
    cases = "defaults: {tools: [look], max_tokens: 900}\ncases:\n" + "".join(
        CASE.format(n) for n in range(20)
    )
    return write_project(tmp_path, {"cases/a.yaml": cases, "pyproject.toml": SETTINGS})


@pytest.fixture
def url():
    with serve() as scripted:
        scripted.answer = GOOD
        yield scripted.server.url


def run(project, url, *where, limits=()):
    """Exit code and output of a run; `limits` are resources and what they are limited to."""

    def limit():
        for what, most in limits:
            resource.setrlimit(what, (most, most))

    done = subprocess.run(
        [*PYTEST, "--attach", url, *map(str, where)],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limit,
    )
    return done.returncode, done.stdout + done.stderr


def is_one_line(output, words):
    assert words in output
    assert "Traceback" not in output, output
    assert "INTERNALERROR" not in output, output


def kept(folder):
    return {record.key: record for record in read_records(folder / "records.jsonl", print)}


def test_a_file_size_limit_ends_a_run_that_can_be_resumed(project, url):
    folder = project / "run"
    limits = [(resource.RLIMIT_FSIZE, 30_000)]
    code, output = run(project, url, "--run-dir", folder, limits=limits)
    assert code == 3
    is_one_line(output, "records.jsonl: File too large")
    assert f"--resume {folder}" in output
    saved = kept(folder)
    assert 0 < len(saved) < 20
    for _ in range(2):  # still no room: nothing is lost by trying
        code, output = run(project, url, "--resume", folder, limits=limits)
        assert code == 3
        is_one_line(output, "File too large")
        assert saved.items() <= kept(folder).items()
    code, output = run(project, url, "--resume", folder)
    assert code == 0, output
    assert len(kept(folder)) == 20
    assert saved.items() <= kept(folder).items()


@contextmanager
def tmpfs(place, options):
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_no_answer_however_often_it_is_resumed(project, url):
    with tmpfs(project / "small", "size=48k") as disk:
        folder = disk / "run"
        code, output = run(project, url, "--run-dir", folder)
        assert code == 3, output
        is_one_line(output, "No space left on device")
        saved = kept(folder)
        assert 0 < len(saved) < 20
        for _ in range(int(os.environ.get("RESUMES", "2"))):
            code, output = run(project, url, "--resume", folder)
            assert code == 3
            is_one_line(output, "No space left on device")
            assert saved.items() <= kept(folder).items()
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        code, output = run(project, url, "--resume", folder)
        assert code == 0, output
        assert len(kept(folder)) == 20
        assert saved.items() <= kept(folder).items()


def test_a_read_only_folder_is_named_before_anything_is_asked(project, url):
    with tmpfs(project / "fixed", "ro,size=48k") as disk:
        code, output = run(project, url, "--run-dir", disk / "run")
    assert code == 4
    is_one_line(output, "Read-only file system")
    assert str(disk / "run") in output


def test_too_few_file_descriptors_are_named_before_anything_is_asked(project, url):
    code, output = run(project, url, "--run-dir", "run", limits=[(resource.RLIMIT_NOFILE, 24)])
    assert code == 3
    is_one_line(output, "ulimit -n")
    assert not (project / "run/records.jsonl").exists()


def test_a_run_folder_is_for_one_run_at_a_time(project, url):
    folder = project / "run"
    folder.mkdir()
    writer = RunFolder(folder)
    writer.lock()
    for where in ("--run-dir", "--resume"):
        code, output = run(project, url, where, folder)
        assert code == 4
        is_one_line(output, "another process is writing this run")
    writer.unlock()
    assert run(project, url, "--run-dir", folder)[0] == 0


def test_the_lock_of_a_killed_run_blocks_nobody(tmp_path):
    code = f"from evals.running.folder import *; RunFolder(Path({str(tmp_path)!r})).lock()"
    held = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print('held', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert held.stdout.readline() == b"held\n"
    with pytest.raises(ConfigError, match="another process"):
        RunFolder(tmp_path).lock()
    held.send_signal(signal.SIGKILL)
    held.communicate()
    RunFolder(tmp_path).lock()


def test_a_line_is_appended_whole_or_not_at_all(tmp_path):
    record = answer_of(case_of("a"), called())
    folder = RunFolder(tmp_path)
    folder.append(record)
    before = folder.records.read_bytes()
    code = (
        "import resource, sys; from pathlib import Path; from evals.disk import append_line\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 10},) * 2)\n"
        "append_line(Path(sys.argv[1]), 'x' * 1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder.records)], capture_output=True, text=True
    )
    assert "File too large" in done.stderr
    assert folder.records.read_bytes() == before


def test_lines_of_many_threads_stay_whole(tmp_path):
    path = tmp_path / "lines"
    threads = [
        threading.Thread(target=lambda n=n: [append_line(path, f"{n}" * 5000) for _ in range(20)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"{n}" * 5000 for n in range(4) for _ in range(20))
    assert list(tmp_path.iterdir()) == [path]
