"""Fixtures of more than one folder, and how tests with parameters are called."""

import os
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from builders import write_project
from hypothesis import settings

from evals.config import cache_folder
from evals.engines.blas import one_thread
from evals.engines.mlx_lm import boot
from evals.engines.server import Server
from evals.models.build import cached_base

PURE = frozenset({"formats", "judging", "loading"})

# How long one example takes says what else the machine does.
settings.register_profile("evals", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=20)
settings.load_profile("evals")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has models of its own.
    os.environ.update(one_thread())


@pytest.fixture(scope="session")
def base_model() -> Path:
    """The base model's folder; built in the cache on first use."""
    return cached_base(cache_folder())


@pytest.fixture(scope="session")
def base_server(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The stock server with the base model, for tests that only ask it things."""
    log = tmp_path_factory.mktemp("base_server") / "server.log"
    with boot(base_model, log=log, cache=cache_folder()) as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pure tests last: at the end they keep all workers busy, where a boot would keep one."""
    items.sort(key=lambda item: item.path.parent.name in PURE)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Data by what it says, in at most 48 characters; functions and other things as pytest does."""
    said = val if isinstance(val, str) else _said(val)
    if said is None:
        return None
    text = re.sub(r"[^\x21-\x7e]+", " ", said).strip()
    return text if len(text) <= 48 else f"{text[:30]}..{text[-16:]}"


def _said(value: object) -> str | None:
    """`value` as code, of dataclasses only what is no default; None if something in it has none."""
    if isinstance(value, list | tuple):
        parts = [_said(item) for item in value]
        return None if None in parts else f"[{', '.join(map(str, parts))}]"
    if is_dataclass(value) and not isinstance(value, type):
        given = {f.name: getattr(value, f.name) for f in fields(value)}
        changed = [given[f.name] for f in fields(value) if given[f.name] != f.default]
        return None if None in map(_said, changed) else f"{type(value).__name__}{_said(changed)}"
    if isinstance(value, dict):
        return None if None in map(_said, value.values()) else repr(value)
    plain = value is None or isinstance(value, str | bytes | int | float | BaseException)
    return repr(value) if plain else None


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A project of one's own with the files that the module's PROJECT has, by path."""
    return write_project(tmp_path, request.module.PROJECT)
