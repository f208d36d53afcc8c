"""What a replayed text costs: the computed model against the model with code, in one run.

`PYTHONPATH=tests python tests/replay_cost.py` serves both by the stock mlx_lm.server, one after the
other, asks each the regression texts of profile `replay` plain and streamed, one at a time, in
turns, and prints CPU seconds and memory of the servers, with their ratio.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import psutil

from evals.case import Case
from evals.config import cache_folder
from evals.engines.mlx_lm import boot
from evals.engines.registry import MLX_LM
from evals.engines.server import Server
from evals.lanes import server as plain
from evals.lanes import stream
from evals.lanes.replayed import replayed
from evals.loading.casefile import find_case_files, read_cases
from evals.observation import Observation
from evals.replay.build import ARGUMENTS, cached_replay
from evals.replay.copy_model import CopyModel
from evals.replay.prompts import player_of

ROOT = Path(__file__).parents[1]
LANES: tuple[Callable[..., Observation], ...] = (plain.ask, stream.ask)


def texts(count: int) -> list[Case]:
    """The first `count` cases that both models can play and the server answers."""
    cases = read_cases(find_case_files([ROOT / "cases" / "regressions"]), ROOT)
    mine = [case for case in cases if "replay" in case.profiles and case.replay]
    return [case for case in mine if not any(d.no_answer for d in case.known_defects)][:count]


@contextlib.contextmanager
def served(folder: Path, *, with_code: bool) -> Iterator[Server]:
    """The stock server with one of the two models."""
    cache = cache_folder()
    if with_code:
        model, arguments = cached_replay(cache), ARGUMENTS
    else:
        model, arguments = CopyModel().folder(cache), ()
    log = folder / f"{'code' if with_code else 'copy'}.log"
    with boot(model, log=log, cache=cache, arguments=arguments) as server:
        if with_code:
            yield server
        else:
            player = player_of(model, cache / "downloads", CopyModel().distance)
            yield replayed(server, MLX_LM, player)


def cost(server: Server, cases: list[Case]) -> list[float]:
    """The server's CPU seconds for each text, plain and streamed."""
    process = psutil.Process(server.pid)
    spent = []
    for case in cases:
        before = sum(process.cpu_times()[:2])
        for ask in LANES:
            answer = ask(server, case, timeout=120)
            assert not answer.error, (case.node, answer.error)
        spent.append(sum(process.cpu_times()[:2]) - before)
    return spent


def main() -> None:
    """Both servers at once, the texts in turns; the first of each is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="texts")
    cases = texts(parser.parse_args().n + 1)
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(served(Path(place), with_code=name == "with code"))
            for name in ("with code", "computed")
        }
        spent: dict[str, list[float]] = {name: [] for name in servers}
        for case in cases:
            for name, server in servers.items():
                spent[name] += cost(server, [case])
        memory = {
            name: psutil.Process(server.pid).memory_info().rss / 1e6
            for name, server in servers.items()
        }
    for name in servers:
        seconds = spent[name][1:]
        print(
            f"{name}: {sum(seconds):.2f} CPU s for {len(seconds)} texts in 2 lanes, median "
            f"{median(seconds):.3f} s a text, {memory[name]:.0f} MB"
        )
    ratios = [a / b for a, b in zip(spent["with code"][1:], spent["computed"][1:], strict=True)]
    total = sum(spent["with code"][1:]) / sum(spent["computed"][1:])
    print(
        f"with code / computed: {total:.1f} times the CPU in all, median {median(ratios):.1f} a "
        f"text (n={len(ratios)}); {memory['with code'] / memory['computed']:.2f} times the memory"
    )


if __name__ == "__main__":
    main()
