"""What is asked of a run on the command line, read and checked in one place."""

import fnmatch
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from evals.case import Case
from evals.config import Config, Target
from evals.engines.registry import engine_named
from evals.errors import ConfigError
from evals.lanes.lane import check_lanes
from evals.loading.entries import CaseSettings
from evals.report.summary import Asked
from evals.report.summary_file import read_run
from evals.running.shard import Shard, parse_shard

_FIELDS: Mapping[str, str] = {"ask_timeout": "timeout"}
"""Names of options in the file, where they are others."""
_LIMITS: Mapping[str, type[BaseModel]] = {
    "repeat": CaseSettings,
    "temperature": CaseSettings,
    "max_tokens": CaseSettings,
    "in_flight": Config,
    "port": Target,
    "ask_timeout": Config,
    "boot_timeout": Target,
}
"""Numbers of the command line, and where a file may say the same: the limits are those."""


@dataclass(frozen=True)
class RunOptions:
    """What was asked for; what the command line leaves open comes from the configuration."""

    profiles: tuple[str, ...]
    lanes: tuple[str, ...]
    tier: str = "full"
    repeat: int | None = None
    """For all cases; None leaves it to each case. So do `temperature` and `max_tokens`."""
    temperature: float | None = None
    max_tokens: int | None = None
    in_flight: int = 4
    """Cases asked at a time."""
    ask_timeout: float | None = None
    """Seconds for each question, in place of the configuration's."""
    boot_timeout: float | None = None
    """Seconds for a booted server's first token, in place of the engine's own."""
    ray: str | None = None
    """The address of a Ray cluster whose nodes ask; None: this process does."""
    shard: Shard | None = None
    baseline: Path | None = None
    """A run's folder or a baseline file that the gate compares with."""
    model: str | None = None
    """In place of the targets' own; so are all down to `port`. `attach` is a URL."""
    engine: str | None = None
    attach: str | None = None
    served_name: str | None = None
    api_key_env: str | None = None
    port: int | None = None
    run_dir: Path | None = None
    resume: Path | None = None
    implied: frozenset[str] = frozenset()
    """Of `profiles`, those that `all` implies: they count only where a case asks for them."""

    def asked_for(self, case: Case) -> Case:
        """`case` with the temperature and length that were chosen for all."""
        chosen = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        changes = {key: value for key, value in chosen.items() if value is not None}
        return case.model_copy(update=changes) if changes else case  # a copy is half as large again

    def applied_to(self, config: Config) -> Config:
        """`config` with the chosen time limit, and these profiles with the model, URL or port."""
        for profile in (name for name in self.profiles if name not in self.implied):
            config = with_options(
                config,
                profile,
                model=self.model,
                engine=self.engine,
                url=self.attach,
                served_name=self.served_name,
                api_key_env=self.api_key_env,
                port=self.port,
                boot_timeout=self.boot_timeout,
            )
        if self.ask_timeout is not None:
            config = config.model_copy(update={"timeout": self.ask_timeout})
        return config

    def as_asked(self, answered: Collection[str]) -> Asked:
        """The part that decides what is asked, as `asked` of the run's summary.

        `answered` are the profiles with answers.
        """
        return Asked(
            profiles=tuple(p for p in self.profiles if p not in self.implied or p in answered),
            lanes=tuple(self.lanes),
            repeat=self.repeat,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
        )


def read_options(settings: Mapping[str, Any], config: Config) -> RunOptions:
    """The options that `settings` gives by name; an option that was not given is not in it.

    Raises:
        ConfigError: a profile or lane is unknown, a number is out of its limits, the shard or the
            baseline is none, or repeats would all be one answer.
    """
    _check_limits(settings)
    repeat, temperature = settings.get("repeat"), settings.get("temperature")
    if (repeat or 1) > 1 and not temperature:
        raise ConfigError(
            f"--repeat {repeat} at temperature 0 is one answer {repeat} times; "
            "add --temperature, such as 0.7"
        )
    baseline = _path(settings, "baseline")
    if baseline:
        read_run(baseline)  # a mistake in it shows now, not after the run
    return RunOptions(
        profiles=profile_names(settings, config),
        lanes=_lanes(settings, config),
        tier=settings.get("tier", "full"),
        repeat=repeat,
        temperature=temperature,
        max_tokens=settings.get("max_tokens"),
        in_flight=settings.get("in_flight", config.in_flight),
        ask_timeout=settings.get("ask_timeout"),
        boot_timeout=settings.get("boot_timeout"),
        ray=settings.get("ray"),
        shard=parse_shard(settings["shard"]) if "shard" in settings else None,
        baseline=baseline,
        model=settings.get("model"),
        engine=_engine(settings),
        attach=settings.get("attach"),
        served_name=settings.get("served_name"),
        api_key_env=settings.get("api_key_env"),
        port=settings.get("port"),
        run_dir=_path(settings, "run_dir"),
        resume=_path(settings, "resume"),
        implied=implied_by_all(settings, config),
    )


def profile_names(settings: Mapping[str, Any], config: Config) -> tuple[str, ...]:
    """The profiles that are asked for; `all` means all of the configuration's.

    A name with `*` stands for all that it fits: `replay*-vllm`.

    Raises:
        ConfigError: none is named, or one is not in the configuration.
    """
    names = _names(settings.get("profiles", "default"))
    if _means_all(names, config):
        return tuple(name for name in config.profiles if name not in config.by_name_alone)
    fitting = [fnmatch.filter(config.profiles, name) if "*" in name else [name] for name in names]
    for name, found in zip(names, fitting, strict=True):
        config.profile(found[0] if found else name)
    return tuple(dict.fromkeys(itertools.chain(*fitting)))


def implied_by_all(settings: Mapping[str, Any], config: Config) -> frozenset[str]:
    """The implied profiles, if `all` names them: they count only where a case asks for them."""
    names = _names(settings.get("profiles", "default"))
    return config.implied if _means_all(names, config) else frozenset()


def _means_all(names: Sequence[str], config: Config) -> bool:
    return names == ["all"] and "all" not in config.profiles


def with_options(config: Config, profile: str, **given: Any) -> Config:
    """`config` with what the command line says of the profile's target; None says nothing."""
    name = config.profile(profile).target
    changes = {key: value for key, value in given.items() if value}
    if "api_key_env" in changes:
        changes["api_key_file"] = None
    target = config.targets[name].model_copy(update=changes)
    return config.model_copy(update={"targets": {**config.targets, name: target}})


def _check_limits(settings: Mapping[str, Any]) -> None:
    for name, table in _LIMITS.items():
        if name not in settings:
            continue
        try:
            table.model_validate({_FIELDS.get(name, name): settings[name]})
        except ValidationError as error:
            option = f"--{name.replace('_', '-')}"
            what = error.errors()[0]["msg"].replace("Input should be", "it should be")
            raise ConfigError(f"{option} {settings[name]}: {what}") from error


def _lanes(settings: Mapping[str, Any], config: Config) -> tuple[str, ...]:
    lanes: Sequence[str] = _names(settings["lanes"]) if "lanes" in settings else config.lanes
    check_lanes(lanes)
    return tuple(dict.fromkeys(lanes))


def _engine(settings: Mapping[str, Any]) -> str | None:
    name: str | None = settings.get("engine")
    return engine_named(name).name if name else None


def _names(value: str) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"{value!r} names nothing; give names with commas between them")
    return names


def _path(settings: Mapping[str, Any], name: str) -> Path | None:
    return Path(settings[name]).resolve() if name in settings else None
