"""`make bench-scale RUN=reports/latest`: what reading runs costs as they grow.

The answers of a run are repeated under other names, and `evals rejudge`, `report`, `compare` and
`merge` are called on 1,000, 10,000 and 100,000 of them. `build/scale/scale.md` gets the CPU time a
record and the peak memory of each command.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from builders import write_project

from evals.report.summary_file import FINGERPRINT, SUMMARY
from evals.results import RECORDS

COMMANDS = {
    "rejudge": ("rejudge", "whole"),  # first: it writes the summary of all of them
    "report": ("report", "whole"),
    "compare": ("compare", "whole", "whole"),
    "merge": ("merge", "one", "two", "-o", "merged"),
}
CASE = "defaults: {tools: [look]}\ncases:\n  - {id: a, ask: Say., expect: {answer: {}}}\n"


def repeated(lines: Sequence[str], count: int) -> Iterator[str]:
    """So many records, each of another name."""
    for number, line in enumerate(islice(cycle(lines), count)):
        record = json.loads(line)
        record["case"]["id"] = f"{record['case']['id']}-{number}"
        yield json.dumps(record, ensure_ascii=False) + "\n"


def make(run: Path, folder: Path, lines: Iterable[str], shard: str | None = None) -> None:
    """A run of these records, with the fingerprint and the summary of `run`, but for its count."""
    folder.mkdir(parents=True)
    count = 0
    with (folder / RECORDS).open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            count += 1
    shutil.copy(run / FINGERPRINT, folder / FINGERPRINT)
    summary: dict[str, Any] = json.loads((run / SUMMARY).read_text())
    for profile in summary["profiles"].values():
        profile.update(scored=count, errors=0, known=0)
        count = 0
    if shard:
        summary["run"]["shard"] = {"part": shard, "suite": "scale"}
    (folder / SUMMARY).write_text(json.dumps(summary))


def cost(project: Path, *command: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of `evals COMMAND`."""
    with (project / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "evals", *command], cwd=project, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    told = (project / "output").read_text()
    judged = process.returncode == 1 and "gate: " in told
    if (process.returncode and not judged) or "Traceback" in told:
        raise SystemExit(f"evals {' '.join(command)} ended with {process.returncode}:\n{told}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def rows(run: Path, folder: Path, sizes: Sequence[int], commands: Sequence[str]) -> Iterator[str]:
    """The table, a line after each size."""
    heads = [f"{name}, ms CPU a record | peak MiB" for name in commands]
    yield f"| records | {' | '.join(heads)} |"
    yield "|---" * (1 + 2 * len(commands)) + "|"
    lines = (run / RECORDS).read_text(encoding="utf-8").splitlines()
    for size in sizes:
        project = folder / str(size)
        shutil.rmtree(project, ignore_errors=True)
        write_project(project, {"cases/a.yaml": CASE, "evals.toml": ""})
        make(run, project / "whole", repeated(lines, size))
        for number, name in enumerate(("one", "two")):
            half = islice(repeated(lines, size), number, None, 2)
            make(run, project / name, half, f"{number + 1}/2")
        cells = [f"{size:,}"]
        for command in commands:
            seconds, peak = cost(project, *COMMANDS[command])
            cells += [f"{1000 * seconds / size:.2f}", f"{peak:.0f}"]
            print(command, size, *cells[-2:], flush=True)
        shutil.rmtree(project)
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--to", type=Path, default=Path("build/scale"))
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    folder = options.to.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "scale.md").open("w") as file:
        for row in rows(options.run.resolve(), folder, sizes, options.commands.split(",")):
            print(row, flush=True)
            file.write(f"{row}\n")
            file.flush()


if __name__ == "__main__":
    main()
