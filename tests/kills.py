"""`make test-kills N=…`: kill runs at random, resume them, and look at what is left.

N times each pytest itself, one of xdist's workers and the server are killed with SIGKILL, at a
random moment of a run on the replay model. After `--resume` there has to be exactly one record for
each case × lane × repeat, equal to that of an undisturbed run apart from times.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from builders import write_project

from evals.observation import Observation
from evals.results import Record
from evals.stored import read_records

KINDS = ("pytest", "worker", "server")
_CASE = """\
  - id: c{0}
    ask: Say {0}.
    repeat: {1}
    temperature: 0.5
    replay: {{text: "It is {0}.", delay: 0.03}}
    expect: {{answer: {{}}}}
"""
_SETTINGS = "[tool.pytest.ini_options]\n[tool.evals]\nin_flight = 3\n"
_LONGEST = 1200


def project_of(folder: Path, cases: int) -> Path:
    """A project whose cases the replay model answers slowly; every third one is repeated."""
    text = "defaults: {profiles: [replay], tools: [look]}\ncases:\n"
    text += "".join(_CASE.format(n, 2 if n % 3 == 0 else 1) for n in range(cases))
    return write_project(folder, {"cases/a.yaml": text, "pyproject.toml": _SETTINGS})


def start(project: Path, run: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a run in the folder `run` of `project`, or resume the one that is there."""
    where = "--resume" if (project / run).exists() else "--run-dir"
    command = [sys.executable, "-m", "pytest", "cases", "-q", "-p", "no:cacheprovider"]
    with (project / f"{run}.output").open("a") as output:
        return subprocess.Popen(
            [*command, "--profiles", "replay", where, run, *arguments],
            cwd=project,
            stdout=output,
            stderr=output,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        )


def without_times(record: Record) -> Record:
    """`record` without what another moment changes: times, the log, and the prompt cache."""
    plain = _without_times(record.plain) if record.plain else None
    return replace(record, observation=_without_times(record.observation), plain=plain)


def _without_times(seen: Observation) -> Observation:
    events = tuple(replace(e, seconds=0.0, data="") for e in seen.events)
    return replace(
        seen,
        seconds=0.0,
        first_token_seconds=None,
        timing=None,
        started=None,
        server_log=None,
        events=events,
        body=_without_moment(seen.body) if seen.body else None,
        usage=replace(seen.usage, cached=0) if seen.usage else None,
    )


def _without_moment(body: str) -> str:
    """A response without its name, its moment and its token counts, of which `usage` tells."""
    fields = json.loads(body)
    return json.dumps({k: v for k, v in fields.items() if k not in ("id", "created", "usage")})


def records_of(folder: Path) -> Sequence[Record]:
    """What the file of records holds."""
    return list(read_records(folder / "records.jsonl"))


def victim(process: "subprocess.Popen[bytes]", kind: str) -> psutil.Process | None:
    """The process that is to be killed; None if there is none at the moment."""
    family = psutil.Process(process.pid)
    if kind == "pytest":
        return family
    found = [child for child in family.children(recursive=True) if _is(child, kind)]
    return random.choice(found) if found else None


def _is(process: psutil.Process, kind: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    if kind == "server":
        return "mlx_lm" in words and not any("supervisor.py" in word for word in words)
    return "-c" in words and "import sys;exec(eval(sys.stdin.readline()))" in words  # execnet's


def disturb(project: Path, run: str, kind: str, seconds: float) -> bool:
    """Kill a process `seconds` after the server was ready; whether there was one to kill."""
    process = start(project, run, *(["-n", "2"] if kind == "worker" else []))
    try:
        log = project / f"{run}.output"
        deadline = time.monotonic() + _LONGEST
        while not _asked(project / run) and process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no question was asked: {log}")
            time.sleep(0.02)
        time.sleep(seconds)
        found = victim(process, kind) if process.poll() is None else None
        if found:
            found.kill()
        process.wait(_LONGEST)
    finally:
        process.kill()
        process.wait()
    return found is not None


def _asked(run: Path) -> bool:
    log = run / "server.log"
    return log.exists() and log.read_bytes().count(b"POST /v1/chat/completions") > 1


def one_round(
    project: Path, run: str, kind: str, undisturbed: Mapping[str, Record], say: Callable[[str], Any]
) -> Iterator[str]:
    """What is wrong after a kill and a `--resume`; nothing if all is well."""
    while not disturb(project, run, kind, seconds := random.uniform(0, 2)):
        shutil.rmtree(project / run)  # the run had ended before
    say(f"{run}: killed after {seconds:.2f} s")
    before = {r.key: r for p in (project / run).glob("records*.jsonl") for r in read_records(p)}
    start(project, run).wait(_LONGEST)
    records = records_of(project / run)
    found = {record.key: record for record in records}
    if len(found) != len(records):
        yield f"{len(records) - len(found)} records are double"
    if missing := undisturbed.keys() - found.keys():
        yield f"missing: {sorted(missing)}"
    for key, record in found.items():
        if key not in undisturbed:
            yield f"{key} was never wanted"
        elif without_times(record) != without_times(undisturbed[key]):
            yield f"{key} is another answer: {record.status} {record.why}"
    changed = [k for k, r in before.items() if r.scores is not None and found.get(k) != r]
    if changed:
        yield f"saved answers that were changed: {changed}"


def kill_at_random(
    n: int,
    cases: int,
    folder: Path,
    kinds: Sequence[str] = KINDS,
    say: Callable[[str], Any] = print,
) -> int:
    """`n` rounds of each kind; the number of those after which something was wrong."""
    project, wrong = project_of(folder, cases), 0
    start(project, "undisturbed").wait(_LONGEST)
    undisturbed = {record.key: record for record in records_of(project / "undisturbed")}
    if len(undisturbed) != (cases + (cases + 2) // 3) * 2:
        raise RuntimeError((project / "undisturbed.output").read_text())
    for number in range(n):
        for kind in kinds:
            run = f"{kind}-{number}"
            problems = list(one_round(project, run, kind, undisturbed, say))
            wrong += bool(problems)
            say(f"{run}: {problems or 'all well'}")
            if not problems:
                shutil.rmtree(project / run)
    return wrong


def main() -> None:
    """Count the rounds in which something was lost; exit code 1 if there are any."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("-n", type=int, default=10, help="rounds of each kind")
    options.add_argument("--cases", type=int, default=9)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kinds", default=",".join(KINDS))
    given = options.parse_args()
    random.seed(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    kinds = given.kinds.split(",")
    wrong = kill_at_random(given.n, given.cases, folder, kinds, partial(print, flush=True))
    print(f"{given.n * len(kinds)} kills, {wrong} with something wrong; in {folder}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
