"""The Allure 3 report of a run: one HTML file or many, by the npm packages that `npm/` pins.

They are installed once, into the cache. Node.js is the only thing that has to be there.
"""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evals.disk import replace_file
from evals.errors import EvalsError
from evals.models.cache import build_once
from evals.report.allure import RESULTS
from evals.report.allure.files import history_id, write_results, write_run_files
from evals.report.allure.result import parameters
from evals.report.before import last_comparable
from evals.report.comparison import compare
from evals.report.headline import headline
from evals.report.html import REPORT
from evals.report.html.render import MOST_LISTED as MOST_IN_HTML
from evals.report.summary import ProfileServed, Summary
from evals.report.summary_file import earlier_runs, read_summary
from evals.report.worst_first import worst_first
from evals.results import RECORDS
from evals.stored import StoredRecords

PACKAGES = Path(__file__).with_name("npm")
LEAST_NODE = 20
HISTORY = "allure-history.jsonl"
MOST_LISTED = 500
"""Answers that a page lists, some of each kind of failure first: with more it is slow to open."""
_INSTALL = ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
_WITHOUT = (
    "the records, summary.json and {results} are complete without it; "
    "`npx allure@3 awesome --single-file {results}` makes the report where Node.js is"
)


def make_html(
    run: Path,
    cache: Path,
    say: Callable[[str], None],
    *,
    output: Path | None = None,
    multi_file: bool = False,
) -> Path:
    """Write the report into `output`, return its page, and let the run join the history once.

    Without `output` it is `<run>/allure-report`. One file opens from a disk; `multi_file` is for a
    web server: the page loads each test when it is opened. The history is beside the run's folder,
    so that the runs of one `reports/` share it. A run of a part of the suite is shown against it,
    and does not join. Above `MOST_LISTED` answers the page lists so many, and `say` is told;
    its figures, its charts and the history are those of all.

    Raises:
        ConfigError: `run` is not a folder of a finished run.
        EvalsError: Node.js is missing or too old, or a command failed; or `output` holds
            something else than a report.
    """
    run = run.resolve()
    summary = read_summary(run)
    results, history = run / RESULTS, run.parent / HISTORY
    output = output.resolve() if output else run / "allure-report"
    if not any(results.glob("*-result.json")):
        records = StoredRecords.read(run / RECORDS)
        write_results(records, summary, results)
        write_run_files(summary, records, results)
    _check_node(results)
    left_out = _left_out(run, summary, results)
    packages = install(cache, say)
    forget(history, summary.run.id)
    _clear(output)
    # Node.js looks for packages where the script is.
    script = shutil.copy(PACKAGES / "report.mjs", packages)
    form = "multi-file" if multi_file else "single-file"
    command = ["node", script, run / "summary.json", results, output, history, form]
    said = _command(command, told=json.dumps(left_out))
    if "error parsing" in said:
        raise EvalsError(f"allure: it cannot read some of {results}:\n{said}")
    if left_out is not None:
        say(f"allure: {left_out['note']}")
    return output / "index.html"


def _left_out(run: Path, summary: Summary, results: Path) -> dict[str, Any] | None:
    """What `report.mjs` is told of a run with more answers than a page lists; None of another.

    `ids`: the history ids of those that it leaves out; `title` and `note` say so to a reader.
    """
    if sum(1 for _ in results.glob("*-result.json")) <= MOST_LISTED:
        return None
    records = StoredRecords.read(run / RECORDS)
    if len(records) <= MOST_LISTED:
        return None
    earlier = last_comparable(list(earlier_runs(run, summary)), summary)
    comparison = compare(read_summary(earlier), summary) if earlier else None
    order = worst_first(records, headline(summary, records, comparison), comparison)
    others = [records[place] for place in order[MOST_LISTED:]]
    share = f"{MOST_LISTED:,} of {len(records):,} answers"
    note = (
        f"{share} are listed, some of each kind of failure first; figures, charts and history are "
        f"of all. All are in {RECORDS}, and {REPORT} lists up to {MOST_IN_HTML:,}."
    )
    ids = [history_id(one.case.node, parameters(one, ProfileServed())) for one in others]
    return {"ids": ids, "title": f"{share} listed", "note": note}


def _clear(output: Path) -> None:
    """Remove an earlier report, and nothing else."""
    if output.is_dir() and any(output.iterdir()) and not (output / "index.html").is_file():
        raise EvalsError(f"{output}: is not empty, and holds no report; give another folder")
    shutil.rmtree(output, ignore_errors=True)


def _check_node(results: Path) -> None:
    without = _WITHOUT.format(results=results)
    if not shutil.which("node") or not shutil.which("npm"):
        raise EvalsError(
            f"allure: Node.js {LEAST_NODE} or newer with npm is needed, and there is none; install "
            f"it (`brew install node`, `apt-get install nodejs npm`, or https://nodejs.org).\n"
            f"allure: {without}"
        )
    version = _command(["node", "--version"]).strip()
    found = re.match(r"v(\d+)", version)
    if not found or int(found[1]) < LEAST_NODE:
        needed = f"allure: Node.js {LEAST_NODE} or newer is needed, this is {version}."
        raise EvalsError(f"{needed}\nallure: {without}")


def install(cache: Path, say: Callable[[str], None]) -> Path:
    """The folder with the pinned packages; installed if need be.

    Raises:
        EvalsError: npm failed.
    """
    digest = hashlib.sha256((PACKAGES / "package-lock.json").read_bytes()).hexdigest()
    folder = cache / f"allure-{digest[:12]}"
    return build_once(
        folder, _install, lambda: say(f"allure: installing the pinned npm packages into {folder}")
    )


def _install(folder: Path) -> None:
    shutil.copytree(PACKAGES, folder)
    _command(_INSTALL, folder)


def _command(
    command: Sequence[str | Path], folder: Path | None = None, told: str | None = None
) -> str:
    """Output and errors of a command; `told` is its input.

    Raises:
        EvalsError: it failed; with the end of what it said.
    """
    done = subprocess.run(
        command, cwd=folder, input=told, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode:
        tail = "\n".join(said.splitlines()[-15:])
        raise EvalsError(f"allure: `{' '.join(map(str, command))}` failed:\n{tail}")
    return said


def forget(history: Path, run: str) -> None:
    """Take the run of this id out of the history, so that reporting it again counts it once."""
    if not history.exists():
        return
    lines = history.read_text(encoding="utf-8").split("\n")
    kept = [line for line in lines if line and json.loads(line).get("name") != report_name(run)]
    replace_file(history, "".join(f"{line}\n" for line in kept))


def report_name(run: str) -> str:
    """The name that a run has in Allure, also in its history."""
    return f"toolcall-evals {run}"
