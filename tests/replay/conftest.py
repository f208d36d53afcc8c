from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.config import cache_folder
from evals.engines.mlx_lm import boot
from evals.engines.server import Server
from evals.replay.build import ARGUMENTS, cached_replay


@pytest.fixture(scope="session")
def replay_model() -> Path:
    """The replay folder of the template qwen3-coder."""
    return cached_replay(cache_folder())


@pytest.fixture(scope="session")
def replay_server(replay_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The stock server with the replay model and its parser qwen3_coder."""
    log = tmp_path_factory.mktemp("replay") / "server.log"
    with boot(replay_model, log=log, cache=cache_folder(), arguments=ARGUMENTS) as server:
        yield server
