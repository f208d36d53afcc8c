"""Targets, profiles and gates: `[tool.evals]` of pyproject.toml, or the same tables in evals.toml.

```toml
[tool.evals]                        # in evals.toml: the same without "tool.evals"
lanes = ["server", "stream"]        # how each case travels
in_flight = 4                       # requests at a time
cases = ["cases"]                   # folders of case files, beside this file

[tool.evals.targets.mine]           # a server and a model
model = "path/or/hub-name"          # "default": what `evals model build` makes; "replay": scripts
arguments = ["--prompt-cache-size", "20"]
# engine = "llama_cpp"              # the kind of server; mlx_lm if nothing else is said
# url = "http://127.0.0.1:8080/v1"  # attach to a running server instead of booting one
# served_name = "my-model"          # what requests call the model, if /v1/models does not tell
# api_key_env = "MY_KEY"            # the environment variable with the server's key

[tool.evals.profiles.mine]          # a way from model text to tool calls on a target
target = "mine"
parser = "stock"

[tool.evals.gates.mine]             # rates: lower bound of the 95% interval; violations: at most
case = 0.8
violations = 0
categories.zero-param.tool_name = 0.9
```
"""

import json
import os
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from evals.described import Described
from evals.engines.engine import Engine
from evals.engines.registry import ENGINES, engine_named
from evals.errors import ConfigError, unknown_name
from evals.formats.registry import FORMATS, format_names, replayed_formats
from evals.lanes import lane as lanes
from evals.parsers.names import parser_names
from evals.replay.build import templates
from evals.wire.address import read_address
from evals.wire.bounds import MAX_RESPONSE_BYTES
from evals.wording import sentence


def _one_of(what: str, known: Callable[[], Sequence[str]]) -> AfterValidator:
    """Names are a closed set: a slip in one would otherwise show as a fault of the model."""

    def check(name: str) -> str:
        if name not in known():
            raise ValueError(unknown_name(what, name, known()))
        return name

    return AfterValidator(check)


def _each_once(names: list[str]) -> list[str]:
    if len({*names}) < len(names):
        raise ValueError(f"each only once, not {names}")
    return names


def _lanes() -> list[str]:
    return [lane.name for lane in lanes.LANES]


def _templates() -> list[str]:
    return sorted({*templates(), *(f.template for f in replayed_formats() if f.template)})


LaneName = Annotated[str, _one_of("lane", _lanes), WithJsonSchema({"enum": _lanes()})]
TemplateName = Annotated[str, _one_of("template", _templates)]
EngineName = Annotated[
    str,
    _one_of("engine", lambda: [engine.name for engine in ENGINES]),
    WithJsonSchema({"enum": [engine.name for engine in ENGINES]}),
]
ParserName = Annotated[str, _one_of("parser", parser_names)]
FormatName = Annotated[str, _one_of("call format", format_names)]


def _server_url(url: str) -> str:
    read_address(url)
    return url


class _Table(Described):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
    )


class Replicas(_Table):
    """Servers of a target on the nodes of a Ray cluster, for a run with --ray."""

    count: int | None = Field(default=None, ge=1, le=1000)
    """How many; without, one on each node that has what one needs."""
    cpus: float = Field(default=1.0, ge=0)
    """Processor cores of each, as the cluster counts them."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs of each."""
    resources: dict[str, float] = Field(default_factory=dict)
    """What else each needs, by the names that `ray start --resources` gave."""


class Launch(_Table):
    """Machines that serve one model together: mlx_lm.server, started through mlx.launch."""

    hostfile: str = Field(min_length=1)
    """The JSON file of hosts that mlx.launch reads; this machine, "ssh": "127.0.0.1", first."""
    backend: Literal["ring", "jaccl", "jaccl-ring", "mpi", "nccl"] | None = None
    """How the machines talk; without, as the hostfile says, or ring."""
    arguments: list[str] = Field(default_factory=list)
    """More arguments for mlx.launch, such as `--starting-port` or `--env`."""


class Target(_Table):
    """A server and a model: a model to boot, or the URL of a server that runs already."""

    model: str = "default"
    """A folder, a hub name, a GGUF file, `default` (what `evals model build` makes), `replay`
    (scripts) or `copy` (scripts, by the computed model that every engine can serve)."""
    engine: EngineName | None = None
    """The kind of server; without, `mlx_lm` is booted, and an attached one is recognised."""
    template: TemplateName = "qwen3-coder"
    """Chat template of the replay model; other models have their own."""
    vocabulary: Literal["cut", "full"] = "cut"
    """Vocabulary of the copying model: Qwen3's first 8,192 tokens, or all of them."""
    distance: int = Field(default=1024, ge=256, le=8192)
    """How many tokens back the copying model looks: the longest script, about."""
    url: Annotated[str, AfterValidator(_server_url)] | None = None
    """Attach to the server at this URL; without, one is booted. Without a path it gets `/v1`."""
    served_name: str | None = Field(default=None, min_length=1)
    """What requests call the model; without, as the engine has it, or `/v1/models` tells."""
    api_key_env: str | None = Field(default=None, min_length=1)
    """The environment variable with the server's key, which is sent as a bearer token."""
    api_key_file: str | None = Field(default=None, min_length=1)
    """A file with the key, in place of a variable."""
    headers: dict[str, str] = Field(default_factory=dict)
    """More headers of every request. They are no place for a key: they are not kept secret."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More keys of every request's body; they win over those of the case."""
    logprobs: bool = True
    """Ask for the evidence that the engine gives; false where a server refuses that."""
    stream_options: bool = True
    """Ask streams for token counts; false where a server refuses that."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of the booted server; without, a free one."""
    arguments: list[str] = Field(default_factory=list)
    """More arguments for the booted server."""
    launch: Launch | None = None
    """Start the server on several machines, for a model that is too large for one."""
    replicas: Replicas = Replicas()
    """How it is spread over a Ray cluster."""
    boot_timeout: float | None = Field(default=None, gt=0)
    """Seconds in which a booted server must give its first token; without, the engine's own."""

    @property
    def replays(self) -> bool:
        """Whether it plays scripts: only cases with one are asked of it."""
        return self.model in ("replay", "copy")

    @model_validator(mode="after")
    def _launched_is_booted(self) -> "Target":
        if self.launch and (self.url or self.engine not in (None, "mlx_lm")):
            raise ValueError("launch starts mlx_lm.server: leave url and engine out")
        return self

    @model_validator(mode="after")
    def _one_key(self) -> "Target":
        if self.api_key_env and self.api_key_file:
            raise ValueError("give one of api_key_env and api_key_file, not both")
        return self


class Profile(_Table):
    """A way of turning model text into tool calls on a target."""

    target: str = "default"
    """Name of the target."""
    parser: ParserName = "stock"
    """`stock`, `adaptive_xml`, or the name of a module in `mlx_lm.tool_parsers`."""
    grammar: bool = False
    """Let the model write only calls that the tools allow; counts go to the run's folder."""
    call_format: FormatName | None = None
    """The format that the server parses, where its parser does not tell; a call in another one is
    `format_mismatch`."""
    asks: str | None = None
    """Ask the cases of this profile here, too; known defects are still this profile's own."""


class Thresholds(_Table):
    """Minimum rates; a rate without one is not gated."""

    discrimination: float | None = Field(default=None, ge=0, le=1)
    """Call or answer: whether the model chose rightly."""
    tool_name: float | None = Field(default=None, ge=0, le=1)
    """The tools called are those expected; of cases that expect a call."""
    arguments: float | None = Field(default=None, ge=0, le=1)
    """All arguments are those expected; of cases that expect a call."""
    case: float | None = Field(default=None, ge=0, le=1)
    """Everything that the case expects of the answer."""

    def thresholds(self) -> dict[str, float]:
        """The rates that have a threshold."""
        names = ("discrimination", "tool_name", "arguments", "case")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class Gate(Thresholds):
    """Thresholds of a profile, for the lower bound of the 95% interval or for the value itself."""

    on: Literal["low", "value"] = "low"
    """What a threshold holds for: the lower bound of the 95% interval, or the rate itself."""
    violations: int = Field(default=0, ge=0)
    """The maximum of violations."""
    p95_factor: float | None = Field(default=None, ge=1)
    """How many times longer than the baseline's the p95 of TTFT, TTFO and E2EL may be; a gate fails
    where it is longer and the 95% intervals lie apart. Without, latency is not gated."""
    categories: dict[str, Thresholds] = Field(default_factory=dict)
    """More thresholds, each for the cases of one category."""


EVERY_CASE = Gate(case=1.0, on="value")
"""What holds where no gate is configured: a gate that was forgotten cannot pass a failed case."""


class Config(_Table):
    """Everything that a run takes from the configuration file.

    For each template of the replay model a target and a profile are implied, with a gate that wants
    every case right: `replay` for `qwen3-coder`, `replay-NAME` for every other NAME; and the same
    again for each engine that plays the template, with its name behind: `replay-llama-cpp`. Tables
    of the same names in the file are taken instead.
    """

    lanes: Annotated[list[LaneName], AfterValidator(_each_once)] = Field(
        default=["server", "stream"], min_length=1
    )
    """How each case travels."""
    in_flight: int = Field(default=4, ge=1, le=256)
    """Cases asked at a time."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds for each question."""
    cases: list[str] = Field(default=["cases"], min_length=1)
    """Folders of the case files, relative to this file; YAML elsewhere is not a case."""
    max_response_bytes: int = Field(default=MAX_RESPONSE_BYTES, ge=1024)
    """The largest response that is read; one with more is an error."""
    targets: dict[str, Target] = Field(default_factory=lambda: {"default": Target()})
    """Targets by name; without any, one named `default`."""
    profiles: dict[str, Profile] = Field(default_factory=lambda: {"default": Profile()})
    """Profiles by name; without any, one named `default`."""
    gates: dict[str, Gate] = Field(default_factory=lambda: {"default": EVERY_CASE})
    """Gates by the name of their profile; `default` is for profiles without one.

    Without either a profile passes only if every case passes.
    """

    @model_validator(mode="before")
    @classmethod
    def _imply_replay(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        own = table.get("profiles")
        own = own if isinstance(own, dict) else {}
        gates = {name: EVERY_CASE for name in replay_profiles() if name not in own}
        merged: dict[str, Any] = {}
        for key, default, implied in (
            ("targets", Target(), replay_targets()),
            ("profiles", Profile(), replay_profiles()),
            ("gates", EVERY_CASE, gates),
        ):
            given = table.get(key, {"default": default})
            if isinstance(given, dict):
                merged[key] = given | {n: v for n, v in implied.items() if n not in given}
        return {**table, **merged}

    @model_validator(mode="after")
    def _names_are_known(self) -> "Config":
        for name in self.gates:
            if name != "default" and name not in self.profiles:
                raise ValueError(f"gates: {unknown_name('profile', name, sorted(self.profiles))}")
        for name, profile in self.profiles.items():
            if profile.target not in self.targets:
                unknown = unknown_name("target", profile.target, sorted(self.targets))
                raise ValueError(f"profiles.{name}.target: {unknown}")
            if profile.asks is not None and profile.asks not in self.profiles:
                unknown = unknown_name("profile", profile.asks, sorted(self.profiles))
                raise ValueError(f"profiles.{name}.asks: {unknown}")
            engine = self.targets[profile.target].engine
            if engine not in (None, "mlx_lm") and (profile.parser != "stock" or profile.grammar):
                raise ValueError(
                    f"profiles.{name}: a parser or grammar is put into mlx_lm.server alone; "
                    f"engine {engine!r} takes its own by arguments in targets.{profile.target}"
                )
        return self

    @property
    def by_name_alone(self) -> frozenset[str]:
        """Implied profiles that `all` leaves out: their engine may not be installed."""
        return frozenset(name for name in self.implied if self.profiles[name].asks)

    @property
    def implied(self) -> frozenset[str]:
        """The profiles that are as they are implied: `all` has those that a case asks for."""
        same = (name for name, of in replay_profiles().items() if self.profiles.get(name) == of)
        return frozenset(same)

    def profile(self, name: str) -> Profile:
        """The profile of this name; NAME@ENGINE asks the cases of NAME on another engine.

        Raises:
            ConfigError: there is none, or no such engine.
        """
        plain, at, engine = name.partition("@")
        if plain not in self.profiles:
            raise ConfigError(unknown_name("profile", plain, sorted(self.profiles)))
        found = self.profiles[plain]
        if not at:
            return found
        engine_named(engine)
        if found.parser != "stock" or found.grammar:
            raise ConfigError(
                f"profile {name}: a parser or grammar of {plain} is put into mlx_lm.server alone"
            )
        return found.model_copy(update={"asks": plain})

    def target(self, profile: str) -> Target:
        """The target of the profile of this name; of NAME@ENGINE, that of NAME on this engine."""
        found = self.profile(profile)
        target, (_, at, engine) = self.targets[found.target], profile.partition("@")
        if not at:
            return target
        template = next((f.template for f in FORMATS if f.name == found.call_format), None)
        on = engine_named(engine)
        small = on.for_small if target.replays or target.model == "default" else ()
        parses = on.replays.get(template or target.template, ())
        arguments = [*target.arguments, *parses, *small]
        return target.model_copy(update={"engine": engine, "arguments": arguments})

    def gate(self, profile: str) -> Gate:
        """The gate of this profile, else that named `default`, else every case has to pass."""
        plain = profile.partition("@")[0]
        return self.gates.get(plain) or self.gates.get("default") or EVERY_CASE


def _replay_name(template: str, engine: Engine | None = None) -> str:
    name = "replay" if template == Target().template else f"replay-{template}"
    return f"{name}-{engine.name.replace('_', '-')}" if engine else name


def replay_targets() -> dict[str, Target]:
    """The implied targets by name: the replay model with each of its templates, on each engine."""
    templates = [format_.template for format_ in replayed_formats() if format_.template]
    return {_replay_name(name): Target(model="replay", template=name) for name in templates} | {
        _replay_name(name, engine): Target(
            model="replay",
            template=name,
            engine=engine.name,
            arguments=[*arguments, *engine.for_small],
        )
        for engine in ENGINES
        for name, arguments in engine.replays.items()
    }


def replay_profiles() -> dict[str, Profile]:
    """The implied profiles by name: one for each call format that the replay model can play."""
    formats = {f.template: f.name for f in replayed_formats() if f.template}
    return {
        name: Profile(target=name, call_format=format_)
        for template, format_ in formats.items()
        if (name := _replay_name(template))
    } | {
        name: Profile(target=name, call_format=formats[template], asks=_replay_name(template))
        for engine in ENGINES
        for template in engine.replays
        if (name := _replay_name(template, engine))
    }


def json_schema() -> str:
    """The JSON Schema of evals.toml, as the text of `cases/evals.schema.json`."""
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def read_config(folder: Path) -> Config:
    """The configuration in `folder`: that of evals.toml or of pyproject.toml.

    Raises:
        ConfigError: not TOML, both files have one, or a key or value that is not allowed; all of
            them in one message.
    """
    path, table = folder / "evals.toml", _read_toml(folder / "evals.toml")
    if "tool" in table:
        raise ConfigError(
            f"{path}: tables have no `tool.evals` before their names here: [targets.default], not "
            "[tool.evals.targets.default]; that is for pyproject.toml"
        )
    project = folder / "pyproject.toml"
    other = _read_toml(project).get("tool", {}).get("evals")
    if path.exists() and other is not None:
        raise ConfigError(f"{path} and [tool.evals] of {project}: keep one of the two")
    if not path.exists():
        path, table = project, other or {}
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_line(e)}" for e in error.errors())) from error


def _read_toml(path: Path) -> dict[str, Any]:
    """The tables of a file; none where there is no file."""
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _line(error: ErrorDetails) -> str:
    """One mistake: its key, and what is wrong."""
    place = "".join(f"{part}: " for part in [".".join(map(str, error["loc"]))] if part)
    return place + sentence(error, error["loc"], Config)


def cache_folder() -> Path:
    """Where models and downloads are kept: `$EVALS_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("EVALS_CACHE"):
        return Path(chosen).expanduser().resolve()
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "toolcall-evals"
