"""Targets, profiles and gates: `[tool.evals]` of pyproject.toml, or the same tables in evals.toml.

```toml
[tool.evals]                        # in evals.toml: the same without "tool.evals"
lanes = ["server", "stream"]        # how each case travels
in_flight = 4                       # requests at a time

[tool.evals.targets.mine]           # a server and a model
model = "path/or/hub-name"          # "default": what `evals model build` makes; "replay": scripts
arguments = ["--prompt-cache-size", "20"]
# url = "http://127.0.0.1:8080/v1"  # attach to a running server instead of booting one

[tool.evals.profiles.mine]          # a way from model text to tool calls on a target
target = "mine"
parser = "stock"

[tool.evals.gates.mine]             # rates: lower bound of the 95% interval; violations: at most
case = 0.8
violations = 0
categories.zero-param.tool_name = 0.9
```
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evals.errors import ConfigError

Lane = Literal["server", "stream", "direct", "agent"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Target(_Table):
    """A server and a model: a model to boot, or the URL of a server that runs already."""

    model: str = "default"
    """A folder, a hub name, `default` (what `evals model build` makes) or `replay` (scripts)."""
    template: str = "qwen3-coder"
    """Chat template of the replay model; other models have their own."""
    url: str | None = None
    """Attach to the server at this URL; without, one is booted. Without a path it gets `/v1`."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of the booted server; without, a free one."""
    arguments: list[str] = Field(default_factory=list)
    """More arguments for the booted `mlx_lm.server`."""


class Profile(_Table):
    """A way of turning model text into tool calls on a target."""

    target: str = "default"
    """Name of the target."""
    parser: str = "stock"
    """`stock`, `adaptive_xml`, or the name of a module in `mlx_lm.tool_parsers`."""
    grammar: bool = False
    """Let the model write only calls that the tools allow; counts go to the run's folder."""
    call_format: str = "qwen3-coder-xml"
    """The format that the server parses; a call in another one is `format_mismatch`."""


class Thresholds(_Table):
    """Least rates; a rate without one is not gated."""

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
    """So many are allowed."""
    categories: dict[str, Thresholds] = Field(default_factory=dict)
    """More thresholds, each for the cases of one category."""


class Config(_Table):
    """Everything that a run takes from the configuration file."""

    lanes: list[Lane] = ["server", "stream"]
    """How each case travels."""
    in_flight: int = Field(default=4, ge=1, le=16)
    """Cases asked at a time."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds for each question."""
    targets: dict[str, Target] = Field(default_factory=lambda: {"default": Target()})
    """Targets by name; without any, one named `default`."""
    profiles: dict[str, Profile] = Field(default_factory=lambda: {"default": Profile()})
    """Profiles by name; without any, one named `default`."""
    gates: dict[str, Gate] = Field(default_factory=lambda: {"default": Gate()})
    """Gates by the name of their profile; `default` is for profiles without one."""

    @model_validator(mode="after")
    def _names_are_known(self) -> "Config":
        for name in self.gates:
            if name != "default" and name not in self.profiles:
                known = ", ".join(sorted(self.profiles))
                raise ValueError(f"gates.{name}: there is no such profile; there are: {known}")
        return self

    def profile(self, name: str) -> Profile:
        """The profile of this name.

        Raises:
            ConfigError: there is none, or its target is not there.
        """
        profile: Profile = _named("profile", name, self.profiles)
        _named("target", profile.target, self.targets)
        return profile

    def target(self, profile: str) -> Target:
        """The target of the profile of this name."""
        return self.targets[self.profile(profile).target]

    def gate(self, profile: str) -> Gate:
        """The gate of this profile; the default profile's gate where it has none of its own."""
        return self.gates.get(profile) or self.gates.get("default") or Gate()


def _named(what: str, name: str, table: dict[str, Any]) -> Any:
    if name not in table:
        known = ", ".join(sorted(table))
        raise ConfigError(f"there is no {what} {name!r}; the configuration has: {known}")
    return table[name]


def read_config(folder: Path) -> Config:
    """The configuration in `folder`: evals.toml if there is one, else pyproject.toml's table.

    Raises:
        ConfigError: not TOML, or a key or value that is not allowed; all of them in one message.
    """
    path = folder / "evals.toml"
    if not path.exists():
        path = folder / "pyproject.toml"
    if not path.exists():
        return Config()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    table = content if path.name == "evals.toml" else content.get("tool", {}).get("evals", {})
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']} (it is {e['input']!r})"
            for e in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from error


def cache_folder() -> Path:
    """Where models and downloads are kept: `$EVALS_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("EVALS_CACHE"):
        return Path(chosen).expanduser().resolve()
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "toolcall-evals"
