"""`make soak MINUTES=60`: one long run under mixed load, with faults now and then, and watched.

The stock server plays calls, answers, long answers, wrong ones, lost calls and ones that come too
late, in three lanes; one case is a killer, and the server is killed four times. After `MINUTES`
the run is interrupted as by Ctrl-C. Every second the memory, descriptors and threads of the
harness are noted. Wanted: both stay flat, the verdicts of the last minute are those of the first,
and the end comes within seconds. `build/soak/` gets `soak.svg`, `soak.md` and `samples.csv`.
"""

import argparse
import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

import psutil
from builders import write_project
from kills import victim

from evals.report.plots import standalone
from evals.report.summary_file import read_summary
from evals.results import Record
from evals.stored import read_records

_CALL = r"<tool_call>\n<function=look>\n</function>\n</tool_call>"
_SCRIPTS = {
    "call": (f'text: "{_CALL}"', "call: {name: look}"),
    "answer": ("text: 'It is so.'", "answer: {contains: [so]}"),
    "long": (f"text: '{'It is so, and more of it. ' * 3}'", "answer: {contains: [more]}"),
    "wrong": ("text: 'I will not look.'", "call: {name: look}"),
    "lost": (f'text: "{_CALL[:28]}"', "call: {name: look}"),
}
_LATE = (f"text: '{'Late, too late. ' * 16}', delay: 1.0", "answer: {}")
_KILLER = ("text: 'It is so.', fail_at: 2", "answer: {}")
_IN_FLIGHT, _TIMEOUT, _DELAY, _KILLS, _PARTS = 4, 45, 0.04, 4, 5
_CASES_A_MINUTE = 150
_IN_A_FILE = 1000
_GROWTH = 1.15
"""What the memory of the last fifth may be of that of the second: the first one warms up."""


@dataclass(frozen=True)
class Sample:
    """One second of the run. Memory is in MiB, resident."""

    seconds: float
    answers: int
    memory: float
    descriptors: int
    threads: int
    server_memory: float


def write_cases(folder: Path, minutes: float) -> Path:
    """A project with more cases than are asked in `minutes`."""
    lines = [list(_case(number)) for number in range(int(minutes * _CASES_A_MINUTE) + 50)]
    head = "defaults: {profiles: [replay], tools: [look]}\ncases:\n"
    files = {
        f"cases/{start // _IN_A_FILE:02}.yaml": head
        + "".join(line for case in lines[start : start + _IN_A_FILE] for line in case)
        for start in range(0, len(lines), _IN_A_FILE)
    }
    settings = f"in_flight = {_IN_FLIGHT}\ntimeout = {_TIMEOUT}\n"
    lanes = "lanes = ['server', 'stream', 'agent']\n"
    table = f"[tool.pytest.ini_options]\n[tool.evals]\n{settings}{lanes}"
    return write_project(folder, {**files, "pyproject.toml": table})


def _case(number: int) -> Iterator[str]:
    kind, (script, expect) = list(_SCRIPTS.items())[number % len(_SCRIPTS)]
    if number % 100 == 60:
        kind, (script, expect) = "late", _LATE
    elif number == 33:
        kind, (script, expect) = "killer", _KILLER
    delay = "" if "delay" in script else f", delay: {_DELAY}"
    yield f"  - id: c{number:06}-{kind}\n    ask: Look at {number}.\n    max_tokens: 400\n"
    yield f"    replay: {{{script}{delay}}}\n    expect: {{{expect}}}\n"


def watch(process: "subprocess.Popen[bytes]", run: Path, minutes: float) -> Iterator[Sample]:
    """A sample a second, for `minutes` after the first answer; the server is killed meanwhile."""
    harness, records = psutil.Process(process.pid), run / "records.jsonl"
    while not records.exists() or not records.stat().st_size:
        if process.poll() is not None:
            raise RuntimeError("the run ended before it began")
        time.sleep(0.2)
    begin, answers, read, killed = time.monotonic(), 0, 0, 0
    while (now := time.monotonic() - begin) < minutes * 60 and process.poll() is None:
        with records.open("rb") as stream:
            stream.seek(read)
            new = stream.read()
        answers, read = answers + new.count(b"\n"), read + len(new)
        server = victim(process, "server")
        with contextlib.suppress(psutil.Error):
            memory = server.memory_info().rss / 2**20 if server else 0.0
            own = harness.memory_info().rss / 2**20
            yield Sample(now, answers, own, harness.num_fds(), harness.num_threads(), memory)
        if server and now > (killed + 1) * minutes * 60 / (_KILLS + 1):
            server.kill()
            killed += 1
        time.sleep(1)


def soak(folder: Path, minutes: float) -> tuple[list[Sample], float, Sequence[Record]]:
    """The samples, the seconds from Ctrl-C to the end, and the records."""
    project = write_cases(folder, minutes)
    command = [sys.executable, "-m", "pytest", "cases", "-q", "--profiles", "replay"]
    with (project / "output").open("w") as output:
        process = subprocess.Popen(
            [*command, "--run-dir", "run", "-p", "no:cacheprovider"],
            cwd=project,
            stdout=output,
            stderr=output,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        samples = list(watch(process, project / "run", minutes))
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(600)
        ended = time.monotonic() - begin
    finally:
        process.kill()
    return samples, ended, list(read_records(project / "run/records.jsonl"))


def verdicts(records: Sequence[Record]) -> dict[str, set[str]]:
    """What was said of each kind of case in each lane."""
    said: dict[str, set[str]] = defaultdict(set)
    for record in records:
        kind = record.case.id.partition("-")[2]
        failed = sorted({str(verdict.kind) for verdict in record.failed})
        said[f"{kind} in {record.lane}"].add(f"{record.status} {' '.join(failed)}".strip())
    return dict(said)


def minute(records: Sequence[Record], last: bool) -> list[Record]:
    """The records of the first or the last minute."""
    begun = sorted(records, key=lambda record: record.observation.started or 0.0)
    edge = begun[-1 if last else 0].observation.started or 0.0
    return [r for r in begun if abs((r.observation.started or 0.0) - edge) < 60]


def parts(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    """The samples in fifths."""
    size = -(-len(samples) // _PARTS)
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def table(samples: Sequence[Sample]) -> Iterator[str]:
    """A Markdown table with a line for each fifth of the run."""
    yield "| minutes | answers | memory, median MiB | most | descriptors, most | threads, most |"
    yield "|---|---|---|---|---|---|"
    for part in parts(samples):
        memory = [sample.memory for sample in part]
        yield (
            f"| {part[0].seconds / 60:.1f} to {part[-1].seconds / 60:.1f} | {part[-1].answers} "
            f"| {median(memory):.1f} | {max(memory):.1f} "
            f"| {max(s.descriptors for s in part)} | {max(s.threads for s in part)} |"
        )


def picture(samples: Sequence[Sample]) -> str:
    """Memory and descriptors along the minutes, each from 0."""
    panels = [("memory of the harness, MiB", [s.memory for s in samples], "s0")]
    panels += [("its descriptors", [float(s.descriptors) for s in samples], "s1")]
    longest, drawn = samples[-1].seconds, list[str]()
    for number, (title, values, kind) in enumerate(panels):
        top, bottom, most = 30 + 130 * number, 120 + 130 * number, max(values) * 1.2
        points = " ".join(
            f"{40 + 400 * s.seconds / longest:.1f},{bottom - value / most * 90:.1f}"
            for s, value in zip(samples, values, strict=True)
        )
        drawn.append(f'<text x="40" y="{top - 8}">{title}</text>')
        for share in (0.0, 0.5, 1.0):
            y = bottom - share * 90
            drawn.append(f'<line class="grid" x1="40" x2="440" y1="{y}" y2="{y}"/>')
            drawn.append(f'<text class="soft" x="36" y="{y + 4}" text-anchor="end">')
            drawn.append(f"{most * share:.0f}</text>")
        drawn.append(f'<polyline class="{kind} path" points="{points}"/>')
    drawn.append(f'<text class="soft" x="440" y="272" text-anchor="end">{longest / 60:.1f} minutes')
    body = "".join([*drawn, "</text>"])
    head = '<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 280" role="img">'
    return standalone(f"{head}<title>memory and descriptors of a soak</title>{body}</svg>")


def problems(samples: Sequence[Sample], ended: float, records: Sequence[Record]) -> Iterator[str]:
    """What is not as wanted."""
    _, second, *_, last = parts(samples)
    before, after = (median(s.memory for s in part) for part in (second, last))
    if after > before * _GROWTH:
        yield f"memory grew from {before:.1f} to {after:.1f} MiB"
    if max(s.descriptors for s in last) > max(s.descriptors for s in second) + 5:
        yield "descriptors grew"
    first_said, last_said = (verdicts(minute(records, last=last)) for last in (False, True))
    for what in first_said.keys() & last_said.keys():
        if first_said[what] != last_said[what]:
            yield f"{what}: first {first_said[what]}, last {last_said[what]}"
    others = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    if ended > 3 * others:
        yield f"Ctrl-C took {ended:.1f} s with {others:.1f} processes on each core"


def main() -> None:
    """Soak, write what was seen, and end with exit code 1 if it is not as wanted."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--output", type=Path, default=Path("build/soak"))
    given = options.parse_args()
    folder = given.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    samples, ended, records = soak(folder / f"project-{os.getpid()}", given.minutes)
    with (folder / "samples.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow([field.name for field in fields(Sample)])
        rows.writerows([getattr(s, f.name) for f in fields(Sample)] for s in samples)
    (folder / "soak.svg").write_text(picture(samples))
    deaths = read_summary(folder / f"project-{os.getpid()}" / "run").run.deaths
    lines = [
        *table(samples),
        "",
        f"{len(records)} answers, {len(deaths)} deaths of the server, {ended:.1f} s from Ctrl-C "
        "to the end.",
        *(
            f"* {what}: {', '.join(sorted(said))}"
            for what, said in sorted(verdicts(records).items())
        ),
        *(f"NOT AS WANTED: {problem}" for problem in problems(samples, ended, records)),
    ]
    (folder / "soak.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    sys.exit(any(line.startswith("NOT AS WANTED") for line in lines))


if __name__ == "__main__":
    main()
