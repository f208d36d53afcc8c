"""`make bench-throughput`: a run beside a bare client that sends the same requests.

Each pass has a fresh server of the profile, as a run boots it. A run of evals is attached to one;
what it sent, in the order of its records, a bare openai client sends to the next, with as many in
flight; and once, with `--alone`, one at a time. Wall time is that of the client's process, from its
start to its end; the server's CPU seconds are those between.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean

import psutil

from evals.config import cache_folder, read_config
from evals.running.options import read_options
from evals.running.profile import open_profile
from evals.stored import read_records

BARE = Path(__file__).with_name("send_all.py")


@dataclass(frozen=True)
class Pass:
    """What one pass took, in seconds; `answered` is the number of whole responses."""

    client: str
    wall: float
    server_cpu: float
    client_cpu: float
    answered: int


def measure(
    client: str, profile: str, model: str, folder: Path, command: Callable[[str], list[str]]
) -> tuple[float, float, float]:
    """Wall time, the server's CPU seconds and the client's, of `command(url)` on a fresh server.

    Raises:
        SystemExit: the client ended with another exit code than 0 and 1, that of a red gate.
    """
    root = Path.cwd()
    config = read_config(root)
    options = read_options({"profiles": profile} | ({"model": model} if model else {}), config)
    place = folder / client
    place.mkdir(parents=True, exist_ok=True)
    with open_profile(
        profile, options.applied_to(config), ["server"], place, cache_folder(), print
    ) as opened:
        running = opened.server.process if opened.server else None
        if opened.server is None or running is None:
            sys.exit(f"{profile}: the profile has no server of its own to boot")
        server = psutil.Process(running.pid)
        before, began = _used(server), time.monotonic()
        with (place / "output.txt").open("w") as output:
            process = subprocess.Popen(command(opened.server.url), stdout=output, stderr=output)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        if process.returncode not in (0, 1):
            sys.exit(f"{client}: exit code {process.returncode}; see {place / 'output.txt'}")
        return wall, _used(server) - before, used.ru_utime + used.ru_stime


def _used(process: psutil.Process) -> float:
    """CPU seconds of a server and its children."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def table(passes: Sequence[Pass]) -> str:
    """Every pass, and what a run takes of a bare client's time, pair by pair; in Markdown."""
    rows = ["| client | wall s | server CPU s | client CPU s | answers |"]
    rows.append("| --- | --: | --: | --: | --: |")
    rows += [
        f"| {p.client} | {p.wall:.1f} | {p.server_cpu:.1f} | {p.client_cpu:.1f} | {p.answered} |"
        for p in passes
    ]
    ours = [p for p in passes if p.client == "evals"]
    bare = [p for p in passes if p.client == "bare"]
    for name in ("wall", "server_cpu"):
        ratios = [getattr(a, name) / getattr(b, name) for a, b in zip(ours, bare, strict=True)]
        told = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        rows.append(f"\nevals / bare, {name}: {geometric_mean(ratios):.3f} ({told})")
    for p in passes:
        if p.client == "alone":
            factor = p.wall / geometric_mean([one.wall for one in ours])
            rows.append(f"\none at a time / evals, wall: {factor:.2f}")
    return "\n".join(rows)


def main() -> None:
    """Measure, and write `throughput.md` and `throughput.json`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--profile", default="default")
    parser.add_argument("--model", default="", help="in place of the target's")
    parser.add_argument("--places", nargs="+", default=["cases"], help="case files or folders")
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="once more, one at a time")
    parser.add_argument("--folder", type=Path, default=Path("build/throughput"))
    given = parser.parse_args()
    folder = given.folder.resolve()
    run, requests = folder / "run", folder / "requests.json"
    passes: list[Pass] = []

    def ours(url: str) -> list[str]:
        shutil.rmtree(run, ignore_errors=True)
        options = ["--profiles", given.profile, "--lanes", "server", "--attach", url]
        options += ["--in-flight", str(given.in_flight), "--run-dir", str(run)]
        return [sys.executable, "-m", "evals", "run", *given.places, *options]

    def bare(in_flight: int) -> Callable[[str], list[str]]:
        return lambda url: [sys.executable, str(BARE), url, str(requests), str(in_flight)]

    def note(client: str, command: Callable[[str], list[str]]) -> None:
        wall, server_cpu, client_cpu = measure(client, given.profile, given.model, folder, command)
        if client == "evals":
            records = list(read_records(run / "records.jsonl"))
            # The order of asking decides how much of a prompt is in the server's cache.
            records.sort(key=lambda record: record.observation.started or 0)
            requests.write_text(json.dumps([record.request for record in records]))
            answered = sum(record.observation.error is None for record in records)
        else:
            answered = int((folder / client / "output.txt").read_text().split()[-1])
        passes.append(Pass(client, wall, server_cpu, client_cpu, answered))
        print(passes[-1], flush=True)
        (folder / "throughput.json").write_text(json.dumps([asdict(p) for p in passes], indent=1))

    for _ in range(given.pairs):
        note("evals", ours)
        note("bare", bare(given.in_flight))
    if given.alone:
        note("alone", bare(1))
    (folder / "throughput.md").write_text(f"{table(passes)}\n")
    print(table(passes))


if __name__ == "__main__":
    main()
