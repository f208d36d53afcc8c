"""Fixtures of more than one folder: the base model, and one real server with it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.config import cache_folder
from evals.engines.blas import one_thread
from evals.engines.mlx_lm import boot
from evals.engines.server import Server
from evals.models.build import cached_base

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
