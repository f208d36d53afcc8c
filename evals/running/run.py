"""A run: a profile's server and lanes are opened, its questions asked, and the answers judged.

```
Case × lane → Observation(s) → judge → Record → records.jsonl
```
Questions travel a few at a time; all lanes of one case follow one another, so that a stream can
be compared with the plain answer, which also is its evidence.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evals.case import Case
from evals.config import Config, Profile, Target
from evals.engines.attach import attach
from evals.engines.blas import needs_preload, one_thread, preload_environment
from evals.engines.folder import is_hub_name
from evals.engines.mlx_lm import LAUNCHER, boot
from evals.engines.server import Server
from evals.errors import ConfigError, ModelError
from evals.judging.diagnosis import judge
from evals.lanes.lane import LANES, Ask, Setup
from evals.lanes.tokens import decoder, load_tokenizer, render, token_texts
from evals.models.build import ADAPTERS, build_model
from evals.models.preflight import preflight
from evals.observation import Observation
from evals.replay import build as replay
from evals.replay.build import cached_replay
from evals.request import build_request
from evals.results import Record, Status

PLAIN = "server"
_LONGEST_LOG = 16_000


@dataclass(frozen=True)
class Question:
    """One case in one lane; `repeat` counts from 0."""

    case: Case
    lane: str
    repeat: int = 0


@dataclass(frozen=True)
class Opened:
    """A profile that is ready to be asked."""

    name: str
    profile: Profile
    server: Server | None
    model: Path | str | None
    tokenizer: Any
    lanes: Mapping[str, Ask]

    def prompt_tokens(self, case: Case) -> int | None:
        """How many tokens this machine renders for the case's prompt; None if it cannot tell."""
        if self.tokenizer is None:
            return None
        try:
            return len(render(self.tokenizer, build_request(case)))
        except ValueError:
            return None

    def ask(self, lane: str, case: Case) -> Observation:
        """The answer to `case`, with when it was asked, its tokens' texts and the server's log."""
        started, begin = time.time(), self.server.log_position() if self.server else 0
        answer = self.lanes[lane](case)
        texts = None
        if self.tokenizer is not None and answer.token_ids is not None:
            texts = token_texts(decoder(self.tokenizer), answer.token_ids)
        log = self.server.log_slice(begin)[-_LONGEST_LOG:] if self.server else ""
        return replace(answer, started=started, token_texts=texts, server_log=log or None)


def resolve_model(target: Target, cache: Path, say: Callable[[str], None]) -> Path | str:
    """The folder or hub name to serve; `default` and `replay` are built first, if need be.

    Raises:
        ModelError: the default model cannot be built.
    """
    model = target.model
    if model == "default":
        return build_default(cache, say)
    if model == "replay":
        return cached_replay(cache, template=target.template)
    return model if is_hub_name(model) else Path(model).expanduser()


def build_default(
    cache: Path,
    say: Callable[[str], None],
    *,
    quantization: str = "5-bit",
    adapter: str = "default",
) -> Path:
    """The default model's folder, built if need be: quantised, or its float32 copy for the CPU.

    `adapter` is the name of a shipped one; the others are for experiments.

    Raises:
        ModelError: there is no such adapter or quantisation, or a step failed.
    """
    folder = ADAPTERS / adapter
    if not (folder / "adapters.safetensors").exists():
        raise ModelError(f"model: there is no adapter in {folder}; `evals model train` makes one")
    return build_model(
        folder,
        cache,
        preload_environment(cache),
        quantization=quantization,
        dequantized=needs_preload(),
        say=say,
    )


@contextlib.contextmanager
def serve(
    name: str,
    config: Config,
    folder: Path,
    cache: Path,
    say: Callable[[str], None],
    environment: Mapping[str, str],
) -> Iterator[tuple[Server, Path | str | None]]:
    """The server of profile `name`, booted or attached, and its model where that is known here.

    With a parser other than `stock`, or a grammar, a launcher puts it into the same server.
    """
    target = config.target(name)
    if target.url:
        known = None if target.model == "default" else resolve_model(target, cache, say)
        yield attach(target.url), known
        return
    model = resolve_model(target, cache, say)
    log = folder / "server.log"
    say(f"server: booting mlx_lm.server with {model}")
    arguments = [*(replay.ARGUMENTS if target.model == "replay" else ()), *target.arguments]
    with boot(
        model,
        log=log,
        cache=cache,
        port=target.port,
        arguments=arguments,
        launcher=_launcher(name, config.profile(name), folder),
        environment=environment,
    ) as server:
        say(f"server: ready at {server.url}, pid {server.pid}, log {log}")
        yield server, model


def _launcher(name: str, profile: Profile, folder: Path) -> Sequence[str]:
    if profile.parser == "stock" and not profile.grammar:
        return LAUNCHER
    parser = ("--parser", profile.parser) if profile.parser != "stock" else ()
    grammar = ("--grammar", str(grammar_log(name, folder))) if profile.grammar else ()
    return (sys.executable, "-m", "evals.parsers.launcher", *parser, *grammar, "--")


def grammar_log(name: str, folder: Path) -> Path:
    """Where the server of profile `name` counts what its grammar masked."""
    return folder / f"grammar-{name}.jsonl"


@contextlib.contextmanager
def open_profile(
    name: str,
    config: Config,
    lanes: Sequence[str],
    folder: Path,
    cache: Path,
    say: Callable[[str], None] = print,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Opened]:
    """Everything that asking this profile needs; all of it is gone afterwards.

    `environment` is that of the processes with a model.
    """
    target = config.target(name)
    with_server = any(lane != "direct" for lane in lanes)
    if with_server and "direct" in lanes:
        environment = one_thread(environment)  # the model is loaded twice
    with contextlib.ExitStack() as stack:
        server, model = None, None
        if with_server:
            serving = serve(name, config, folder, cache, say, environment)
            server, model = stack.enter_context(serving)
        else:
            model = resolve_model(target, cache, say)
        tokenizer = load_tokenizer(model) if model is not None else None
        if model is not None and Path(model).is_dir():
            # A replay model has no weights to check.
            problems = preflight(Path(model), tokenizer) if target.model != "replay" else ()
            for problem in problems:
                say(f"model: WARNING: {problem}")
        setup = Setup(
            timeout=config.timeout,
            environment=environment,
            server=server,
            decode=decoder(tokenizer) if tokenizer is not None else None,
            model=model,
            cache=cache,
            log=folder / "direct.log",
        )
        asks = {lane: stack.enter_context(LANES[lane](setup)) for lane in _with_plain(lanes)}
        yield Opened(name, config.profile(name), server, model, tokenizer, asks)


def check_lanes(lanes: Sequence[str]) -> None:
    """Every name is a lane's.

    Raises:
        ConfigError: one is not.
    """
    for lane in lanes:
        if lane not in LANES:
            raise ConfigError(f"there is no lane {lane!r}; there are: {', '.join(LANES)}")


def _with_plain(lanes: Sequence[str]) -> list[str]:
    """`lanes`, and the plain lane where one of them needs it as evidence."""
    needs = PLAIN not in lanes and ("stream" in lanes or "agent" in lanes)
    return [PLAIN, *lanes] if needs else list(lanes)


class Runner:
    """Asks the questions of one opened profile, `in_flight` cases at a time, in order.

    `record(question)` waits for its answer. Questions of one case and repeat are asked together;
    a plain answer that another lane needs is asked for once.
    """

    def __init__(self, opened: Opened, questions: Sequence[Question], *, in_flight: int) -> None:
        self._opened = opened
        self._alone = _Gate()
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="ask")
        groups: dict[tuple[str, int], list[Question]] = {}
        for question in questions:
            groups.setdefault((question.case.node, question.repeat), []).append(question)
        self._futures: dict[Question | tuple[str, str, int], Future[dict[str, Record]]] = {}
        for group in groups.values():
            future = self._pool.submit(self._ask_group, group)
            for question in group:
                self._futures[_key(question)] = future

    def record(self, question: Question) -> Record:
        """The judged answer to `question`; waits until it is there."""
        return self._futures[_key(question)].result()[question.lane]

    def close(self) -> None:
        """Ask nothing more; questions in flight end with the server, nobody waits for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask_group(self, group: Sequence[Question]) -> dict[str, Record]:
        lanes = [question.lane for question in group]
        with self._alone.shared():
            answers = {lane: self._opened.ask(lane, group[0].case) for lane in _asked(lanes)}
        records = {lane: self._judge(group[0], lane, answers) for lane in lanes}
        if differing := [lane for lane in lanes if records[lane].differs_from_plain]:
            # Batching can change a greedy answer by rounding: it counts only if it repeats alone.
            with self._alone.exclusive():
                asked = (PLAIN, *differing)
                again = {lane: self._opened.ask(lane, group[0].case) for lane in asked}
            for lane in {*asked} & {*lanes}:
                records[lane] = replace(self._judge(group[0], lane, again), asked_alone=True)
        return records

    def _judge(self, question: Question, lane: str, answers: Mapping[str, Observation]) -> Record:
        case = question.case
        # pydantic-ai rewrites schemas, so the agent's prompt is not the one rendered here.
        tokens = None if lane == "agent" else self._opened.prompt_tokens(case)
        unjudged = Record(
            case=case,
            profile=self._opened.name,
            lane=lane,
            repeat=question.repeat,
            request=build_request(case, stream=lane == "stream"),
            observation=answers[lane],
            verdicts=(),
            scores=None,
            status=Status.ERROR,
            plain=_evidence(lane, answers),
            rendered_prompt_tokens=tokens,
            call_format=self._opened.profile.call_format,
        )
        return judged(unjudged)


def _evidence(lane: str, answers: Mapping[str, Observation]) -> Observation | None:
    """The plain answer to the very same prompt, for a lane that has no token ids of its own."""
    plain = answers.get(PLAIN)
    if lane == "stream":
        return plain
    mine = answers[lane].usage
    # pydantic-ai may rewrite a tool's schema: then the model was asked something else.
    same = plain and plain.usage and mine and plain.usage.prompt == mine.prompt
    return plain if lane == "agent" and same else None


def is_answer_to(record: Record, case: Case) -> bool:
    """Whether the record's answer is one to `case` as it is today; what is expected may differ."""
    today = build_request(case, stream=record.lane == "stream")
    # As text with sorted keys: that is how a record is kept.
    asked, would_ask = (json.dumps(body, sort_keys=True) for body in (record.request, today))
    return asked == would_ask and record.case.tools == case.tools


def judged(record: Record) -> Record:
    """`record` with verdicts, scores and status anew, from nothing but what it holds."""
    judgement = judge(
        record.case,
        record.observation,
        profile=record.profile,
        plain=record.plain,
        rendered_prompt_tokens=record.rendered_prompt_tokens,
        call_format=record.call_format,
    )
    return replace(
        record,
        verdicts=judgement.verdicts,
        scores=judgement.scores,
        status=judgement.status,
    )


def _key(question: Question) -> tuple[str, str, int]:
    return question.case.node, question.lane, question.repeat


def _asked(lanes: Sequence[str]) -> list[str]:
    return [lane for lane in LANES if lane in _with_plain(lanes)]


@dataclass
class _Gate:
    """Many may ask at once, or one alone."""

    _condition: threading.Condition = field(default_factory=threading.Condition)
    _inside: int = 0
    _alone: bool = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._alone = True
            self._condition.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()


def with_options(
    config: Config, profile: str, *, model: str | None, url: str | None, port: int | None
) -> Config:
    """`config` with the command line's model, URL or port for the profile's target."""
    name = config.profile(profile).target
    changes = {
        key: value for key, value in {"model": model, "url": url, "port": port}.items() if value
    }
    target = config.targets[name].model_copy(update=changes)
    return config.model_copy(update={"targets": {**config.targets, name: target}})
