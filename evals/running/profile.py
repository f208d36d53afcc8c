"""A profile, opened: its server booted or attached, its lanes ready to carry cases."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evals.case import Case
from evals.config import Config, Profile, Target
from evals.engines.attach import attach
from evals.engines.blas import needs_preload, one_thread, preload_environment
from evals.engines.folder import is_hub_name
from evals.engines.mlx_lm import boot, check_bootable
from evals.engines.registry import MLX_LM, engine_named
from evals.engines.revival import revivable
from evals.engines.server import Server
from evals.errors import ConfigError, ModelError
from evals.extras import need
from evals.lanes.lane import Ask, Setup, lanes_asked
from evals.lanes.prompt import look_at
from evals.lanes.replayed import replayed
from evals.lanes.tokens import Decode, decoder, load_tokenizer, render, token_texts
from evals.models.build import ADAPTERS, DEFAULT_ADAPTER, build_gguf, build_model
from evals.models.preflight import preflight
from evals.observation import Observation
from evals.replay import build as replay
from evals.replay.build import cached_replay
from evals.results import Prompt
from evals.running.call_format import parsed_format
from evals.running.packages import packages_of
from evals.running.targets import copy_model, engine_of, player, through_of, wishes_of

_LONGEST_LOG = 16_000


@dataclass(frozen=True)
class Opened:
    """A profile that is ready to be asked."""

    name: str
    profile: Profile
    server: Server | None
    model: Path | str | None
    tokenizer: Any
    decode: Decode | None
    lanes: Mapping[str, Ask]
    call_format: str
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of what answers: of the engine, as far as it tells, and of the packages here."""
    arguments: Sequence[str] = ()
    """What the booted server was started with, as the target says."""

    def prompt_tokens(self, request: Mapping[str, Any]) -> int | None:
        """How many tokens this machine renders for a request's prompt; None if it cannot tell."""
        if not self._renders_here:
            return None
        try:
            return len(render(self.tokenizer, request))
        except ValueError:
            return None

    def prompt(self, request: Mapping[str, Any]) -> Prompt:
        """What else this machine can tell of the prompt of a request."""
        return look_at(self.tokenizer, request) if self._renders_here else Prompt()

    @property
    def _renders_here(self) -> bool:
        """Whether prompts rendered here are the server's.

        Another template engine than ours writes the same tools in other tokens.
        """
        engine = engine_named(self.server.engine) if self.server else MLX_LM
        return self.tokenizer is not None and engine.renders == "here" and engine.same_prompt

    def ask(self, lane: str, case: Case) -> Observation:
        """The answer to `case`, with when it was asked, its tokens' texts and the server's log.

        Never raises: what a lane raises is the error of this answer alone.
        """
        started, begin = time.time(), self.server.log_position() if self.server else 0
        try:
            answer = self._with_texts(self.lanes[lane](case))
        except Exception as error:
            said = f"lane {lane} failed: {type(error).__name__}: {error}"
            answer = Observation(lane, error=said, unasked=True, seconds=time.time() - started)
        log = self.server.log_slice(begin)[-_LONGEST_LOG:] if self.server else ""
        whole = replace(answer, started=started, server_log=log or None)
        return self.server.dialect.hide(whole) if self.server else whole

    def _with_texts(self, answer: Observation) -> Observation:
        if answer.received:
            answer = replace(answer, received=self._with_texts(answer.received))
        if self.decode is None or answer.token_ids is None or answer.raw_text is None:
            return answer
        return replace(answer, token_texts=token_texts(self.decode, answer.token_ids))


def resolve_model(target: Target, cache: Path, say: Callable[[str], None]) -> Path | str:
    """The folder or hub name to serve; `default` and `replay` are built first, if need be.

    Raises:
        ConfigError: mlx is not installed.
        ModelError: the default model cannot be built.
    """
    model = target.model
    if not Path(model).is_file():  # a GGUF file has its tokenizer with it
        need(
            "mlx", "a model on this machine (attach to a running server, or give its target a url)"
        )
    engine = engine_of(target) or MLX_LM
    if model == "default":
        plain = engine != MLX_LM  # quantised as mlx does it, a folder is for mlx alone
        folder = build_default(cache, say, dequantized=plain or needs_preload())
        return build_gguf(folder, cache, say) if engine.loads == "gguf" else folder
    if copying := copy_model(target):
        return copying.gguf(cache) if engine.loads == "gguf" else copying.folder(cache)
    if model == "replay":
        return cached_replay(cache, template=target.template)
    return model if is_hub_name(model) else Path(model).expanduser()


def build_default(
    cache: Path,
    say: Callable[[str], None],
    *,
    quantization: str = "5-bit",
    adapter: str = DEFAULT_ADAPTER,
    dequantized: bool | None = None,
) -> Path:
    """The default model's folder, built if need be: quantised, or its float32 copy.

    Without `dequantized` it is the one that mlx computes fast here. `adapter` is the name of a
    shipped one.

    Raises:
        ConfigError: mlx is not installed.
        ModelError: there is no such adapter or quantisation, or a step failed.
    """
    need("mlx", "the default model")
    folder = ADAPTERS / adapter
    if not (folder / "adapters.safetensors").exists():
        raise ModelError(f"model: there is no adapter in {folder}; `evals model train` makes one")
    return build_model(
        folder,
        cache,
        preload_environment(cache),
        quantization=quantization,
        dequantized=needs_preload() if dequantized is None else dequantized,
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
    engine, wishes, copying = engine_of(target), wishes_of(target, environment), copy_model(target)

    def ready(server: Server) -> Server:
        say(f"server: evidence of what the model writes: {server.dialect.evidence.doc}")
        if copying is None:
            return server
        return replayed(server, engine_named(server.engine), player(copying, cache))

    if target.url:
        known = None if target.model == "default" else resolve_model(target, cache, say)
        attached = attach(target.url, engine=engine, wishes=wishes, stream=True, say=say)
        yield ready(attached), known
        return
    engine = engine or MLX_LM
    check_bootable(engine, cache)
    model = resolve_model(target, cache, say)
    if config.profile(name).grammar:
        need("grammar", f"profile {name} with its grammar")
    log = folder / "server.log"
    say(f"server: booting {engine.title} with {model}")
    with_code = target.model == "replay" and copying is None
    arguments = [*(replay.ARGUMENTS if with_code else ()), *target.arguments]

    def start(port: int | None) -> AbstractContextManager[Server]:
        return boot(
            model,
            log=log,
            cache=cache,
            port=port,
            arguments=arguments,
            launcher=_launcher(name, config.profile(name), folder),
            through=through_of(target),
            environment=environment,
            timeout=target.boot_timeout,
            engine=engine,
            wishes=wishes,
        )

    with revivable(start, target.port) as server:
        say(f"server: ready at {server.url}, pid {server.pid}, log {log}")
        yield ready(server), model


def _launcher(name: str, profile: Profile, folder: Path) -> Sequence[str]:
    if profile.parser == "stock" and not profile.grammar:
        return ()
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
    asked = lanes_asked(lanes)
    with_server = any(lane.traits.over_http for lane in asked)
    environment = one_thread(environment)
    _check_direct(target, [lane.name for lane in asked if not lane.traits.over_http])
    with contextlib.ExitStack() as stack:
        server, model = None, None
        if with_server:
            serving = serve(name, config, folder, cache, say, environment)
            server, model = stack.enter_context(serving)
        else:
            model = resolve_model(target, cache, say)
        tokenizer = _tokenizer(target, model, cache)
        call_format = parsed_format(name, config, tokenizer)
        if model is not None and Path(model).is_dir():
            # A replay model has no weights to check.
            problems = preflight(Path(model), tokenizer) if not target.replays else ()
            for problem in problems:
                say(f"model: WARNING: {problem}")
        decode = decoder(tokenizer) if tokenizer is not None else None
        setup = Setup(
            timeout=config.timeout,
            max_bytes=config.max_response_bytes,
            environment=environment,
            server=server,
            decode=decode,
            model=model,
            cache=cache,
            log=folder / "direct.log",
        )
        asks = {lane.name: stack.enter_context(lane.open(setup)) for lane in asked}
        profile = config.profile(name)
        yield Opened(
            name=name,
            profile=profile,
            server=server,
            model=model,
            tokenizer=tokenizer,
            decode=decode,
            lanes=asks,
            call_format=call_format,
            packages=packages_of(server),
            arguments=() if target.url else target.arguments,
        )


def _tokenizer(target: Target, model: Path | str | None, cache: Path) -> Any:
    """The model's own tokenizer; None for a model that hides it, such as a GGUF file."""
    copying = copy_model(target)
    if copying is not None:
        return load_tokenizer(copying.folder(cache))
    return load_tokenizer(model) if model is not None and not Path(model).is_file() else None


def _check_direct(target: Target, in_process: Sequence[str]) -> None:
    if in_process and target.launch:
        raise ConfigError(
            f"lane {in_process[0]} loads the model in one process, and the target's launch spreads "
            "it over machines; leave the lane out"
        )
    if in_process and (copy_model(target) or engine_of(target) not in (None, MLX_LM)):
        raise ConfigError(
            f"lane {in_process[0]} loads the model with mlx_lm, and the target has another engine "
            "or plays scripts; leave the lane out"
        )
