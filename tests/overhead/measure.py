"""`make bench-overhead`: what a harness costs, against a server that answers at once.

The same questions, tools and checks go through evals, a bare openai client, pydantic-evals,
deepeval, inspect-ai and promptfoo, one after another in each round, at several numbers of
questions. The server is a process of its own and counts what it is asked. Each harness has an
environment of its own below `build/overhead/`, made once, and for this alone, without what a
developer of it has beside it; a first run, which is not measured, leaves its bytecode there. CPU
seconds are those of the harness's process, and of all that it started and waited for; the peak is
that of its largest.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from questions import IN_FLIGHT, PROMPTFOO, build_project, build_promptfoo

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_SILENT = {
    "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
    "OPENAI_API_KEY": "none",
    "OPENBLAS_NUM_THREADS": "1",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_CONFIG_DIR": "home",
}


@dataclass(frozen=True)
class Harness:
    """One way to ask: its packages, and the command that asks N questions at a URL.

    The command runs in an empty folder; `prepare` puts there what it needs.
    """

    name: str
    packages: tuple[str, ...]
    command: Callable[[Path, str, int], list[str]]
    prepare: Callable[[Path, str, int], None] = lambda folder, url, count: None
    node: bool = False
    """Its packages are npm's, not Python's."""

    def install(self, below: Path) -> Path:
        """Its environment in the folder `below`; made if it is not there."""
        place = below / self.name
        if not (place / ".ready").exists():
            shutil.rmtree(place, ignore_errors=True)
            (_install_node if self.node else _install_python)(place, self.packages)
            (place / ".ready").touch()
        return place


def _install_python(place: Path, packages: Sequence[str]) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", str(place)], check=True)
    python = ["--python", str(place / "bin" / "python"), "--compile-bytecode"]
    subprocess.run([uv, "pip", "install", "--quiet", *python, *packages], check=True)


def _install_node(place: Path, packages: Sequence[str]) -> None:
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", "install", *quiet, "--prefix", str(place), *packages], check=True)


@dataclass(frozen=True)
class Cost:
    """What one run of a harness cost; seconds and MiB. `asked` is the server's own count."""

    harness: str
    count: int
    cpu: float
    wall: float
    peak: float
    asked: int


def _script(name: str) -> Callable[[Path, str, int], list[str]]:
    def command(place: Path, url: str, count: int) -> list[str]:
        return [str(place / "bin" / "python"), str(HERE / name), url, str(count)]

    return command


def _ours(place: Path, url: str, count: int) -> list[str]:
    return [str(place / "bin" / "python"), "-m", "evals", "run", "--attach", url]


def _promptfoo(place: Path, url: str, count: int) -> list[str]:
    program = place / "node_modules" / ".bin" / "promptfoo"
    options = ["--no-cache", "--no-table", "--no-progress-bar", "-j", str(IN_FLIGHT)]
    return [str(program), "eval", "-c", PROMPTFOO, *options, "-o", "results.json"]


HARNESSES = (
    Harness(
        "evals", ("-e", str(ROOT)), _ours, lambda folder, url, count: build_project(folder, count)
    ),
    Harness("openai", ("openai",), _script("ask_openai.py")),
    Harness("pydantic-evals", ("pydantic-evals", "openai"), _script("ask_pydantic_evals.py")),
    Harness("deepeval", ("deepeval", "openai"), _script("ask_deepeval.py")),
    Harness("inspect-ai", ("inspect-ai", "openai"), _script("ask_inspect.py")),
    Harness("promptfoo", ("promptfoo",), _promptfoo, build_promptfoo, node=True),
)


@contextlib.contextmanager
def instant_server() -> Iterator[str]:
    """The URL of a server that answers at once."""
    command = [sys.executable, str(HERE / "instant.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def asked(url: str) -> int:
    """How many questions the server got since this was called last."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/count") as answer:
        return int(json.load(answer)["count"])


def measure(harness: Harness, place: Path, url: str, count: int, folder: Path) -> Cost:
    """The cost of `count` questions through `harness`.

    Raises:
        SystemExit: it did not get every answer, or found one wrong.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if harness.name != "evals":
        folder.mkdir(parents=True)
    harness.prepare(folder, url, count)
    asked(url)
    output = folder / "output.txt"
    environment = {**os.environ, **_SILENT}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    with output.open("w") as file:
        process = subprocess.Popen(
            harness.command(place, url, count),
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall, said = time.monotonic() - began, output.read_text(errors="replace").replace(",", "")
    if process.returncode or not re.search(rf"\b{count}\b.* (right|passed)", said):
        sys.exit(f"{harness.name}: exit code {process.returncode}\n{said[-3000:]}")
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    cpu = used.ru_utime + used.ru_stime
    return Cost(harness.name, count, cpu, wall, peak, asked(url))


def fixed_and_marginal(costs: Sequence[Cost]) -> tuple[float, float]:
    """CPU seconds of a run without questions, and milliseconds of each: a line through two sizes.

    They are the smallest and the largest; of several rounds their medians count.
    """
    sizes = sorted({cost.count for cost in costs})
    few, many = (median(c.cpu for c in costs if c.count == size) for size in (sizes[0], sizes[-1]))
    each = (many - few) / (sizes[-1] - sizes[0])
    return few - each * sizes[0], each * 1000


def table(costs: Sequence[Cost]) -> str:
    """The costs by harness and number of questions, in Markdown."""
    rows = ["| harness | fixed s | marginal ms | N | CPU s | wall s | peak MiB | asked |"]
    rows.append("| --- | --: | --: | --: | --: | --: | --: | --: |")
    for name in dict.fromkeys(cost.harness for cost in costs):
        own = [cost for cost in costs if cost.harness == name]
        fixed, marginal = fixed_and_marginal(own)
        for size in sorted({cost.count for cost in own}):
            of_size = [cost for cost in own if cost.count == size]
            cpu, wall, peak = (
                median(getattr(cost, key) for cost in of_size) for key in ("cpu", "wall", "peak")
            )
            counted = ", ".join(sorted({str(cost.asked) for cost in of_size}))
            head = f"| {name} | {fixed:.2f} | {marginal:.2f} " if size == own[0].count else "| | | "
            rows.append(f"{head}| {size:,} | {cpu:.2f} | {wall:.1f} | {peak:.0f} | {counted} |")
    return "\n".join(rows)


def main() -> None:
    """Install, measure, and write `build/overhead/overhead.md` and `.json`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", default="20,200,2000", help="numbers of questions")
    parser.add_argument("--rounds", type=int, default=3)
    names = [harness.name for harness in HARNESSES]
    parser.add_argument("--only", default=",".join(names), help="harnesses, of " + ", ".join(names))
    parser.add_argument("--folder", type=Path, default=Path("build/overhead"))
    given = parser.parse_args()
    sizes = sorted({int(size) for size in given.sizes.split(",")})
    if len(sizes) < 2:
        parser.error("--sizes: a line goes through two numbers of questions at least: 20,200")
    chosen = [harness for harness in HARNESSES if harness.name in given.only.split(",")]
    folder = given.folder.resolve()
    places = {harness.name: harness.install(folder / "environments") for harness in chosen}
    costs: list[Cost] = []
    with instant_server() as url:
        for harness in chosen:
            measure(harness, places[harness.name], url, sizes[0], folder / "work" / harness.name)
        for size in sizes:
            for _ in range(given.rounds):
                for harness in chosen:
                    work = folder / "work" / harness.name
                    costs.append(measure(harness, places[harness.name], url, size, work))
                    print(costs[-1], flush=True)
    (folder / "overhead.md").write_text(f"{table(costs)}\n")
    (folder / "overhead.json").write_text(json.dumps([vars(cost) for cost in costs], indent=1))
    print(table(costs))


if __name__ == "__main__":
    main()
