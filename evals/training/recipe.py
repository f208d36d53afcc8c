"""How the shipped adapter is made: dataset, settings and seeds in one place."""

import shutil
from pathlib import Path
from typing import Any

from evals.errors import ModelError
from evals.training.build import ADAPTERS, cached_base
from evals.training.dataset import digest, generate, read_catalogue, split
from evals.training.train import Settings, train

EXCHANGES = 5000
VALIDATION_EXCHANGES = 60
DATA_SEED = 7


def train_adapter(name: str, tools: Path, cache: Path, iterations: int | None = None) -> None:
    """Train adapter `name` in the cache, then put it among the package's adapters.

    `tools` is the folder with the tools' schemas. Checkpoints stay in the cache.

    Raises:
        ModelError: `tools` is no folder.
    """
    if not tools.is_dir():
        raise ModelError(f"train: there is no folder {tools}; run it in the repository's root")
    training, validation = split(read_catalogue(tools))
    rows = generate(training, exchanges=EXCHANGES, seed=DATA_SEED)
    held_out = generate(validation, exchanges=VALIDATION_EXCHANGES, seed=DATA_SEED + 1)
    settings = Settings(iterations=iterations) if iterations else Settings()
    print(f"train: {len(rows)} rows with {EXCHANGES} exchanges, {settings.iterations} steps;")
    print("train: about 4 s a step on 2 cores; the time left is shown from step 10 on", flush=True)
    work = cache / "training" / name
    dataset = {
        "rows": len(rows),
        "exchanges": EXCHANGES,
        "seed": DATA_SEED,
        "sha256": digest(rows),
    }
    train(cached_base(cache), work, rows, held_out, settings, provenance={"dataset": dataset})
    install_adapter(work, name, work / "adapters.safetensors")


def install_adapter(work: Path, name: str, weights: Path) -> None:
    """Put `weights` with the config and log in `work` among the adapters, as float16."""
    import mlx.core as mx

    target = ADAPTERS / name
    target.mkdir(parents=True, exist_ok=True)
    arrays: Any = mx.load(str(weights))
    halved = {key: value.astype(mx.float16) for key, value in arrays.items()}
    mx.save_safetensors(str(target / "adapters.safetensors"), halved)
    for file in ("adapter_config.json", "train.jsonl"):
        shutil.copy(work / file, target / file)
