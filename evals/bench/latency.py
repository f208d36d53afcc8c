"""Latency of profiles by lane and by how many questions are in flight; cold, and once more warm.

For each number in flight there is a server of its own: cold asks each question for the first time,
warm asks all of them again. They are asked as a run asks them, one lane at a time: a stream that
came after its plain answer would never be cold.
"""

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.bench.suite import markdown
from evals.config import Config, cache_folder, read_config
from evals.disk import replace_file
from evals.engines.memory import PeakMemory
from evals.errors import ConfigError
from evals.loading.casefile import find_case_files, read_cases
from evals.observation import Observation
from evals.report.latency import LaneLatency, latency
from evals.report.plots import second_rows, standalone
from evals.report.waterfall import bars_of, waterfall
from evals.running.life import Life
from evals.running.options import read_options
from evals.running.places import case_folders, known_names
from evals.running.profile import Opened, open_profile
from evals.running.questions import Question, questions

COLUMNS = ("queue", "ttft", "ttfo", "itl", "tpot", "e2el", "prompt_rate", "decode_rate")


@dataclass(frozen=True)
class Asked:
    """One answer, to the case of this id, and the seconds that a clock around it counted."""

    node: str
    seconds: float
    seen: Observation


@dataclass(frozen=True)
class Row:
    """One pass over the questions, by what it was asked of, and what came of it."""

    profile: str
    engine: str
    lane: str
    in_flight: int
    warm: bool
    seconds: float
    """Wall time of the pass."""
    failed: int
    """Answers without a whole response; they are in no figure."""
    explained: float
    """The parts of the answers' time, as a share of what a clock around each question counted."""
    peak_bytes: int | None
    """The most memory of the server's process so far; None of one that runs elsewhere."""
    latency: LaneLatency
    answers: tuple[Asked, ...]

    @property
    def name(self) -> str:
        """`default-stream-8-cold`."""
        return f"{self.profile}-{self.lane}-{self.in_flight}-{'warm' if self.warm else 'cold'}"


def measure(
    root: Path,
    folder: Path,
    settings: Mapping[str, Any],
    levels: Sequence[int],
    most: int,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """Ask `most` questions of each profile and lane at each of `levels` in flight, cold and warm.

    `settings` are options of a run by name. Writes `latency.json`, `latency.md` and pictures into
    `folder`.

    Raises:
        ConfigError: a profile has no questions, or something is not usable.
    """
    config = read_config(root)
    options = read_options(settings, config)
    config = options.applied_to(config)
    files = find_case_files(case_folders(config, root))
    asked = [
        pair
        for case in read_cases(files, root, known_names(config))
        for pair in questions(case, options, config)
    ]
    rows: list[Row] = []
    for profile, lane, in_flight in itertools.product(options.profiles, options.lanes, levels):
        mine = [q for name, q in asked if (name, q.lane, q.repeat) == (profile, lane, 0)]
        if not mine:
            raise ConfigError(f"latency: no case asks profile {profile} in lane {lane}")
        rows += _passes(profile, lane, spread_out(mine, most), in_flight, config, folder, say)
        write(rows, folder)
    return rows


def spread_out(of: Sequence[Question], most: int) -> list[Question]:
    """`most` of these, evenly chosen: neighbours are alike."""
    count = min(most, len(of))
    return [of[number * len(of) // count] for number in range(count)]


def _passes(
    profile: str,
    lane: str,
    asked: Sequence[Question],
    in_flight: int,
    config: Config,
    folder: Path,
    say: Callable[[str], None],
) -> list[Row]:
    with open_profile(profile, config, [lane], folder, cache_folder(), say) as opened:
        process = opened.server.process if opened.server else None
        memory = PeakMemory(lambda: process.pid if process else None)
        rows = []
        for warm in (False, True):
            seconds, answers = _ask(opened, lane, asked, in_flight, config.timeout)
            row = _row(opened, lane, in_flight, warm, seconds, answers, memory.bytes)
            say(f"latency: {row.name}: {len(answers)} answers in {seconds:.1f} s")
            rows.append(row)
        memory.close()
        return rows


def _ask(
    opened: Opened, lane: str, asked: Sequence[Question], in_flight: int, timeout: float
) -> tuple[float, list[Asked]]:
    """Wall time, and the answers in the order of the questions."""
    life = Life(opened, timeout=timeout, in_flight=in_flight, note=lambda _: None)

    def ask(question: Question) -> Asked:
        start = time.perf_counter()
        seen = life.ask(lane, question.case)
        return Asked(question.case.node, time.perf_counter() - start, seen)

    start = time.perf_counter()
    with ThreadPoolExecutor(in_flight, "ask") as pool:
        answers = list(pool.map(ask, asked))
    life.close()
    return time.perf_counter() - start, answers


def _row(
    opened: Opened,
    lane: str,
    in_flight: int,
    warm: bool,
    seconds: float,
    answers: Sequence[Asked],
    peak: int | None,
) -> Row:
    whole = [answer for answer in answers if answer.seen.timing]
    parts = [sum(answer.seen.timing.parts.values()) for answer in whole if answer.seen.timing]
    spent = sum(answer.seconds for answer in whole)
    return Row(
        profile=opened.name,
        engine=opened.server.engine if opened.server else "mlx_lm",
        lane=lane,
        in_flight=in_flight,
        warm=warm,
        seconds=round(seconds, 3),
        failed=len(answers) - len(whole),
        explained=round(sum(parts) / spent, 4) if whole else 0.0,
        peak_bytes=peak,
        latency=latency([answer.seen for answer in whole]),
        answers=tuple(answers),
    )


def write(rows: Sequence[Row], folder: Path) -> None:
    """`latency.json`, `latency.md`, a picture of how times are spread, and one for each pass."""
    plain = [{k: v for k, v in asdict(row).items() if k != "answers"} for row in rows]
    replace_file(folder / "latency.json", json.dumps({"schema": 1, "rows": plain}, indent=1) + "\n")
    replace_file(folder / "latency.md", table(rows))
    times = [(row.name, [a.seen.seconds for a in row.answers if a.seen.timing]) for row in rows]
    replace_file(folder / "e2el.svg", standalone(second_rows("End-to-end latency", times)))
    for row in rows:
        if bars := bars_of((answer.node, answer.seen) for answer in row.answers):
            picture = standalone(waterfall(f"Where the time went: {row.name}", bars))
            replace_file(folder / f"waterfall-{row.name}.svg", picture)


def table(rows: Sequence[Row]) -> str:
    """A row for each pass as Markdown: p50 and p95 with their intervals."""
    head = ["profile", "lane", "in flight", "", "n", "cached", *COLUMNS, "wall s", "parts", "MiB"]
    lines = [head, ["---", "---", "--:", "---", "--:", "--:", *["---"] * 8, "--:", "--:", "--:"]]
    for row in rows:
        seen = row.latency
        lines.append(
            [
                row.profile,
                row.lane,
                str(row.in_flight),
                "warm" if row.warm else "cold",
                f"{seen.answers}" + (f" ({row.failed} failed)" if row.failed else ""),
                "" if seen.cached is None else f"{seen.cached:.0%}",
                *(_cell(seen, name) for name in COLUMNS),
                f"{row.seconds:.1f}",
                f"{row.explained:.1%}",
                "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f}",
            ]
        )
    note = (
        "Cells: median / 95th percentile with 95% intervals, in seconds, rates in tokens a second; "
        "a question mark where so few answers have no bound, empty where nothing shows it. Parts: "
        "the phases' sum as a share of the measured time. Cold: a fresh server; warm: the same "
        "questions again. MiB: peak of the server's process so far."
    )
    return markdown(lines, note)


def _cell(seen: LaneLatency, name: str) -> str:
    spread = seen.measures.get(name)
    return f"{spread.p50.text} / {spread.p95.text}" if spread else ""
