"""Speculative decoding by `mlx_lm.server`: whether it is faster, and greedy answers stay the same.

mlx_lm.server serves one question at a time as soon as it has a draft model. So each setting is
compared with the same server without a draft, one question at a time, and with the best that it
does with several in flight. The same cases are asked in each repeat, of a fresh server for each
setting; one that gives no answer within the limit is a result.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from evals.bench.drafting import Asked, Pass, Setting, acceptance
from evals.bench.latency import spread_out
from evals.bench.speculative_report import write
from evals.case import Case
from evals.config import Config, cache_folder, read_config
from evals.engines.blas import one_thread
from evals.engines.mlx_lm import boot
from evals.engines.registry import MLX_LM
from evals.engines.server import Server
from evals.errors import ConfigError, ServerError
from evals.extras import need
from evals.lanes import server as lane
from evals.lanes.replayed import replayed
from evals.loading.casefile import find_case_files, read_cases
from evals.models.draft import shallow
from evals.parsers.accepted import read_drafted
from evals.running.options import read_options
from evals.running.places import case_folders, known_names
from evals.running.profile import resolve_model
from evals.running.questions import questions
from evals.running.targets import copy_model, player


@dataclass(frozen=True)
class Plan:
    """What is measured, and how often."""

    draft_tokens: Sequence[int] = (2, 3, 5)
    in_flight: Sequence[int] = (4, 8)
    cases: int = 20
    repeats: int = 3
    limit: float = 300.0
    """Seconds for a question; longer is a hang."""
    max_tokens: int | None = None

    @property
    def settings(self) -> list[Setting]:
        """All of them: first without a draft."""
        batched = [Setting(in_flight=level) for level in self.in_flight if level > 1]
        return [Setting(), *batched, *(Setting(size) for size in self.draft_tokens)]


@dataclass(frozen=True)
class _Bench:
    """The model, its draft, and how their servers are booted."""

    config: Config
    profile: str
    model: Path | str
    draft: Path | str
    folder: Path
    cache: Path
    limit: float
    say: Callable[[str], None]

    @contextlib.contextmanager
    def served(self, setting: Setting) -> Iterator[Server]:
        """A server for `setting`, fresh.

        Raises:
            ServerError: it does not start.
        """
        target, drafted = self.config.target(self.profile), setting.draft_tokens is not None
        launcher = (sys.executable, "-m", "evals.parsers.launcher", "--accepted", str(self.log))
        arguments = [*target.arguments]
        if drafted:
            arguments += ["--draft-model", str(self.draft)]
            arguments += ["--num-draft-tokens", str(setting.draft_tokens)]
        with boot(
            self.model,
            log=self.folder / "server.log",
            cache=self.cache,
            port=target.port,
            arguments=arguments,
            launcher=(*launcher, "--") if drafted else (),
            environment=one_thread(os.environ),
            timeout=target.boot_timeout,
        ) as server:
            copying = copy_model(target)
            if copying is not None:
                server = replayed(server, MLX_LM, player(copying, self.cache))
            self.say(f"speculative: {setting.name}: ready, pid {server.pid}")
            yield server

    @property
    def log(self) -> Path:
        """Where the server notes what the draft model wrote."""
        return self.folder / "accepted.jsonl"

    def passed(self, setting: Setting, repeat: int, cases: Sequence[Case]) -> Pass:
        """Ask all of `cases`, up to one that hangs."""
        try:
            with self.served(setting) as server:
                before, start = cpu_seconds(server.pid), time.perf_counter()
                answers = self._asked(server, setting, cases)
                seconds = time.perf_counter() - start
                spent = cpu_seconds(server.pid) - before
        except ServerError as error:  # not a first token in time: with a draft that is a result
            if setting.draft_tokens is None:
                raise
            return Pass(setting, repeat, 0.0, 0.0, (), hung=f"no first token: {error}")
        late = next(filter(self._is_late, answers), None)
        hung = f"{late.node}: no answer in {self.limit:g} s" if late else None
        return Pass(setting, repeat, round(seconds, 3), round(spent, 3), tuple(answers), hung)

    def _asked(self, server: Server, setting: Setting, cases: Sequence[Case]) -> list[Asked]:
        if setting.in_flight > 1:
            with ThreadPoolExecutor(setting.in_flight, "ask") as pool:
                return list(pool.map(lambda case: self._ask(server, setting, case), cases))
        answers: list[Asked] = []
        for case in cases:
            answers.append(self._ask(server, setting, case))
            if self._is_late(answers[-1]):
                break  # the next ones would wait behind it
        return answers

    def _is_late(self, answer: Asked) -> bool:
        return bool(answer.error) and answer.seconds >= 0.95 * self.limit

    def _ask(self, server: Server, setting: Setting, case: Case) -> Asked:
        noted_before = self.log.stat().st_size if self.log.exists() else 0
        start = time.perf_counter()
        seen = lane.ask(server, case, timeout=self.limit)
        took = round(time.perf_counter() - start, 4)
        if seen.error or seen.token_ids is None:
            return Asked(case.node, took, (), seen.error or "the server gives no token ids")
        accepted = None
        if setting.draft_tokens is not None:
            *_, drafted = read_drafted(self.log, since=noted_before)
            accepted = acceptance(drafted, setting.draft_tokens, case.max_tokens)
        return Asked(case.node, took, seen.token_ids, accepted=accepted)


def measure(
    root: Path,
    folder: Path,
    settings: Mapping[str, Any],
    plan: Plan,
    *,
    draft: str | None = None,
    layers: int = 10,
    say: Callable[[str], None] = print,
) -> list[Pass]:
    """Ask the same cases in each of the plan's settings, and all of that as often as it repeats.

    `settings` are options of a run by name. `draft` is a folder or hub name; without, it is the
    model's own, of `layers` layers. Writes `speculative.json` and `speculative.md` into `folder`.

    Raises:
        ConfigError: there is nothing to ask, or the draft has other words than the model.
        EvalsError: the model is not usable, or its server without a draft does not start.
    """
    need("mlx", "speculative decoding by mlx_lm.server")
    config = read_config(root)
    options = read_options({**settings, "lanes": "server"}, config)
    config = options.applied_to(config)
    profile = options.profiles[0]
    cases = _cases(root, config, options, profile, plan)
    cache = cache_folder()
    model = resolve_model(config.target(profile), cache, say)
    drafting = draft or shallow(_local(model), layers, cache)
    check_same_words(model, drafting)
    folder.mkdir(parents=True, exist_ok=True)
    bench = _Bench(config, profile, model, drafting, folder, cache, plan.limit, say)
    passes: list[Pass] = []
    for repeat in range(plan.repeats):
        # Each repeat begins elsewhere: what comes first must not always be the same.
        turned = plan.settings[repeat:] + plan.settings[:repeat]
        for setting in turned:
            passes.append(bench.passed(setting, repeat, cases))
            say(_told(passes[-1]))
            write(passes, folder, names(model, drafting))
    return passes


def _cases(root: Path, config: Config, options: Any, profile: str, plan: Plan) -> list[Case]:
    files = find_case_files(case_folders(config, root))
    asked = [
        question
        for case in read_cases(files, root, known_names(config))
        for name, question in questions(case, options, config)
        if name == profile and question.repeat == 0
    ]
    if not asked:
        raise ConfigError(f"speculative: no case asks profile {profile} in lane server")
    chosen = [question.case for question in spread_out(asked, plan.cases)]
    greedy = [case.model_copy(update={"temperature": 0.0}) for case in chosen]
    most = plan.max_tokens
    if most is None:
        return greedy
    return [case.model_copy(update={"max_tokens": min(most, case.max_tokens)}) for case in greedy]


def _local(model: Path | str) -> Path:
    if not Path(model).is_dir():
        raise ConfigError(
            f"speculative: a draft is made of a model folder; give --draft to {model}"
        )
    return Path(model)


def check_same_words(model: Path | str, draft: Path | str) -> None:
    """Make sure that both folders' tokenizers have the same ids for the same tokens.

    mlx_lm.server compares their number alone, and then only warns.

    Raises:
        ConfigError: they have not.
    """
    ours, theirs = _words(model), _words(draft)
    if ours is not None and theirs is not None and ours != theirs:
        differing = len(ours.items() ^ theirs.items())
        raise ConfigError(
            f"speculative: the draft {draft} has another tokenizer than {model}: {differing} "
            "tokens differ; a draft model must have the same"
        )


def _words(model: Path | str) -> dict[str, int] | None:
    file = Path(model).expanduser() / "tokenizer.json"
    if not file.is_file():
        return None
    from tokenizers import Tokenizer

    return dict(Tokenizer.from_file(str(file)).get_vocab(with_added_tokens=True))


def cpu_seconds(pid: int | None) -> float:
    """What the process and those that it started have taken of the processors so far."""
    process = psutil.Process(pid)
    spent = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(times.user + times.system for times in spent))


def names(*models: Path | str) -> list[str]:
    """The models as a report calls them."""
    return [Path(model).name if Path(model).is_dir() else str(model) for model in models]


def _told(of: Pass) -> str:
    what = of.hung or f"{len(of.answers)} answers in {of.seconds:.1f} s, {of.cpu_seconds:.1f} s CPU"
    return f"speculative: {of.setting.name}, repeat {of.repeat + 1}: {what}"
