"""`evals bisect --run` over packages of an index on this machine, installed by uv."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import local_index
import pytest

EVALS = [sys.executable, "-m", "evals"]
ROOT = Path(__file__).parents[2]


def releases(name, texts, requires=None):
    """A release for each text: 1.0, 2.0, …; `requires` are those of some, by version."""
    needs = requires or {}
    made = [
        local_index.wheel(name, f"{i}.0", text, needs.get(f"{i}.0", ""))
        for i, text in enumerate(texts, start=1)
    ]
    return dict(made)


RIGHT, WRONG, OTHER = "VALUE = 1\n", "VALUE = 2\n", "VALUE = 3\n"
HANGS = "import time\ntime.sleep(60)\n"
CHECK = f'{sys.executable} -c "import shaky, sys; print(shaky.VALUE); sys.exit(shaky.VALUE != 1)"'


@pytest.fixture
def bisect(tmp_path, monkeypatch):
    """Gives `evals bisect` of a package in an index, as a finished process."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("EVALS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(files, *options, package="shaky", command=CHECK, delay=0.0):
        with local_index.serve(files, delay) as url:
            return subprocess.run(
                [*EVALS, "bisect", "--package", package, *options, "--run", command],
                cwd=tmp_path,
                env={**os.environ, "UV_DEFAULT_INDEX": url},
                capture_output=True,
                text=True,
            )

    return run


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        pytest.param(
            [RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, WRONG, WRONG],
            [
                "shaky 6.0, not yet 5.0:",
                "broke command",
                "is  wrong: exit code 1: 2",
                "asked 5 of 7",
            ],
            id="came",
        ),
        pytest.param(
            [WRONG, WRONG, RIGHT, RIGHT],
            ["shaky 3.0, not yet 2.0:", "mended command", "asked 4 of 4 releases"],
            id="went",
        ),
        pytest.param(
            [RIGHT, WRONG, RIGHT, OTHER],
            ["shaky 2.0, not yet 1.0:", "shaky 3.0, not yet 2.0:", "not monotone: command came"],
            id="came and went",
        ),
        pytest.param(
            [RIGHT, RIGHT, HANGS, WRONG],
            ["shaky 4.0 (or 3.0, not asked), not yet 2.0:", "skipped: shaky 3.0: did not end"],
            id="one in between hangs",
        ),
    ],
)
def test_histories(bisect, texts, says):
    done = bisect(releases("shaky", texts), "--good", "1.0", "--limit", "3")
    assert done.stderr == ""
    assert [line for line in says if line not in done.stdout] == []
    assert done.returncode == 1


def test_the_command_that_is_told_shows_it(bisect):
    done = bisect(releases("shaky", [RIGHT, WRONG]), "--good", "1.0")
    shown = next(line for line in done.stdout.splitlines() if "PYTHONPATH=" in line).strip()
    again = subprocess.run(["sh", "-c", shown], capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (1, "2\n")


def test_a_release_with_a_broken_dependency_is_skipped_and_named(bisect):
    files = releases("shaky", [RIGHT, RIGHT, WRONG], {"2.0": "no-such-package-anywhere"})
    done = bisect(files, "--good", "1.0")
    assert "shaky 3.0 (or 2.0, not asked), not yet 1.0:" in done.stdout
    assert "skipped: shaky 2.0: cannot be installed: " in done.stdout
    assert "no-such-package-anywhere was not found" in done.stdout


def test_dependencies_come_with_the_version_that_asks_for_them(bisect):
    helper = releases("helper", [RIGHT, WRONG])
    uses = "from helper import VALUE\n"
    needs = {"1.0": "helper==1.0", "2.0": "helper==2.0"}
    done = bisect({**helper, **releases("shaky", [uses, uses], needs)}, "--good", "1.0")
    assert "shaky 2.0, not yet 1.0:" in done.stdout
    assert "beside another environment: helper 1.0, then helper 2.0" in done.stdout


def test_of_two_packages_the_one_to_blame_is_told(bisect):
    files = {**releases("shaky", [RIGHT, WRONG]), **releases("other", [RIGHT, RIGHT, RIGHT])}
    options = ["--good", "1.0", "--package", "other", "--good", "1.0"]
    done = bisect(files, *options)
    assert "command: shaky" in done.stdout
    assert "shaky 2.0, not yet 1.0:" in done.stdout
    assert "other" not in done.stdout.split("command: shaky")[1]


def test_what_changed_is_an_issue_and_nothing_newer_is_no_failure(bisect, tmp_path):
    files = releases("shaky", [RIGHT, WRONG])
    bisect(files, "--good", "1.0", "--issue", "issue.md")
    text = (tmp_path / "issue.md").read_text()
    assert text.startswith(
        "# Tool calling: what changed from shaky 1.0 to 2.0\n\n    shaky 2.0, not"
    )
    done = bisect(files, "--good", "2.0", "--issue", "none.md")
    assert (done.returncode, done.stdout) == (0, "shaky 2.0 is the newest release\n")
    assert not (tmp_path / "none.md").exists()


def test_nothing_differs(bisect):
    done = bisect(releases("shaky", [RIGHT, WRONG, RIGHT]), "--good", "1.0")
    assert "nothing differs between the ends" in done.stdout
    assert "not asked: 2.0; what came and went among them is not seen here" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--good", "9.0"], "the package index has no shaky 9.0 for this Python; last: 1.0, 2.0"),
        (["--good", "2.0", "--bad", "1.0"], "--good 2.0 is not older than --bad 1.0"),
        ([], "shaky is not installed here; give the version to begin with: --good"),
        (["--good", "one"], "'one' is no version of shaky"),
        (["--good", "1.0", "--good", "2.0"], "as many --good and --bad"),
    ],
)
def test_mistakes_are_told_in_a_line(bisect, options, says):
    done = bisect(releases("shaky", [RIGHT, WRONG]), *options)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_that_the_index_does_not_know(bisect):
    done = bisect({}, "--good", "1.0")
    assert "the package index knows no 'shaky': http://127.0.0.1:" in done.stderr


def test_an_index_that_fails_stops_the_search_and_blames_no_version(bisect):
    files = {n: b"" if "2.0" in n else c for n, c in releases("shaky", [RIGHT, WRONG]).items()}
    done = bisect(files, "--good", "1.0")
    assert done.stderr.startswith("uv could not install: error: Failed to fetch")
    assert "shaky-2.0-py3-none-any.whl" in done.stderr
    assert "skipped" not in done.stdout
    assert done.returncode == 1


def test_a_full_disk_is_named_and_blames_no_version(bisect, tmp_path, monkeypatch):
    big = f"VALUE = 2\nFILL = {'x' * 900_000!r}\n"
    small = tmp_path / "cache"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    try:
        done = bisect(releases("shaky", [RIGHT, big]), "--good", "1.0")
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert "skipped" not in done.stdout
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        again = bisect(releases("shaky", [RIGHT, big]), "--good", "1.0")
        assert "shaky 2.0, not yet 1.0:" in again.stdout
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_ctrl_c_ends_it_in_a_line_and_the_same_command_goes_on(bisect, tmp_path, monkeypatch):
    texts = [RIGHT, RIGHT, RIGHT, WRONG]
    slow = f"echo asked >> {tmp_path}/asked; sleep 1; {CHECK}"
    options = ["--package", "shaky", "--good", "1.0", "--run", slow]
    with local_index.serve(releases("shaky", texts)) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        stopped = subprocess.Popen(
            [*EVALS, "bisect", *options], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        while not list(tmp_path.glob("reports/versions/*/step.json")):
            assert stopped.poll() is None
            time.sleep(0.05)
        stopped.send_signal(signal.SIGINT)
        assert stopped.communicate(timeout=30)[1] == "stopped; the same command goes on from here\n"
        kept = len(list(tmp_path.glob("reports/versions/*/step.json")))
        before = len((tmp_path / "asked").read_text().splitlines())
        done = subprocess.run(
            [*EVALS, "bisect", *options], cwd=tmp_path, capture_output=True, text=True
        )
    assert "shaky 4.0, not yet 3.0:" in done.stdout
    assert len((tmp_path / "asked").read_text().splitlines()) - before == 4 - kept
