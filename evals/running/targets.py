"""What a target says, as values: its engine, how it is asked, and the model that it serves."""

import os
from collections.abc import Mapping
from pathlib import Path

from evals.config import Target
from evals.engines.engine import Engine
from evals.engines.greeting import Wishes
from evals.engines.mlx_launch import launching, ranks_in
from evals.engines.registry import MLX_LM, engine_named
from evals.errors import ConfigError
from evals.replay.copy_model import CopyModel
from evals.replay.layout import Player
from evals.replay.prompts import player_of
from evals.replay.vocabulary import VOCABULARIES


def engine_of(target: Target) -> Engine | None:
    """The engine that the target names; mlx_lm for one to boot, None for one to be recognised."""
    if target.engine is not None:
        return engine_named(target.engine)
    return None if target.url else MLX_LM


def wishes_of(target: Target, environment: Mapping[str, str] = os.environ) -> Wishes:
    """How the target's server is asked.

    Raises:
        ConfigError: its key is not where the target says.
    """
    key, setting = _key(target, environment)
    return Wishes(
        served_name=target.served_name,
        model=None if target.model in ("default", *SCRIPTED) else target.model,
        key=key,
        key_setting=setting,
        headers=target.headers,
        extra_body=target.extra_body,
        logprobs=target.logprobs,
        stream_options=target.stream_options,
    )


def _key(target: Target, environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    if name := target.api_key_env:
        if not environment.get(name):
            raise ConfigError(
                f"api_key_env: the environment variable {name} is not set, or empty; put the key "
                "of the server into it"
            )
        return environment[name], f"api_key_env = {name!r}"
    if file := target.api_key_file:
        try:
            key = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"api_key_file: {file} cannot be read: {error}") from error
        if not key:
            raise ConfigError(f"api_key_file: {file} is empty")
        return key, f"api_key_file = {file!r}"
    return None, None


SCRIPTED = ("replay", "copy")


def copy_model(target: Target) -> CopyModel | None:
    """The copying model that the target serves; None where it serves another one.

    mlx_lm has a replay model with code of its own, for delays and faults: `replay` means that one.
    Ranks that share it get an attention head each.
    """
    engine = engine_of(target)
    if target.model == "copy" or (target.model == "replay" and engine not in (None, MLX_LM)):
        vocabulary = next(v for v in VOCABULARIES if v.name == target.vocabulary)
        heads = ranks_in(target.launch.hostfile) if target.launch else 1
        return CopyModel(target.template, vocabulary, target.distance, heads)
    return None


def through_of(target: Target) -> tuple[str, ...]:
    """What stands in front of the server's command: `mlx.launch` for a target on many machines.

    Raises:
        ConfigError: its hostfile cannot be used, or `mlx.launch` is not installed.
    """
    if target.launch is None:
        return ()
    ranks_in(target.launch.hostfile)
    return launching(target.launch.hostfile, target.launch.backend, target.launch.arguments)


def player(model: CopyModel, cache: Path) -> Player:
    """How scripts are played on `model`."""
    return player_of(model.folder(cache), cache / "downloads", model.distance)
