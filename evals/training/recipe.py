"""How the shipped adapter is made: dataset, settings and seeds in one place."""

import json
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
    print("train: about an hour on 2 cores; the time left is shown from step 10 on", flush=True)
    work = cache / "training" / name
    dataset = {
        "rows": len(rows),
        "exchanges": EXCHANGES,
        "seed": DATA_SEED,
        "sha256": digest(rows),
    }
    train(cached_base(cache), work, rows, held_out, settings, provenance={"dataset": dataset})
    install_adapter(work, name, settings.iterations)


def install_adapter(work: Path, name: str, step: int) -> None:
    """Put the checkpoint of `step` with config and log among the package's adapters, as float16.

    Raises:
        ModelError: training left no checkpoint of this step in `work`.
    """
    import mlx.core as mx

    weights = work / f"{step:07d}_adapters.safetensors"
    if not weights.exists():
        steps = ", ".join(str(int(path.name[:7])) for path in sorted(work.glob("0*_adapters.*")))
        raise ModelError(f"train: {work} has no checkpoint of step {step}; it has: {steps}")

    target = ADAPTERS / name
    target.mkdir(parents=True, exist_ok=True)
    arrays: Any = mx.load(str(weights))
    halved = {key: value.astype(mx.float16) for key, value in arrays.items()}
    mx.save_safetensors(str(target / "adapters.safetensors"), halved)
    config = json.loads((work / "adapter_config.json").read_text())
    text = json.dumps({**config, "checkpoint": step}, indent=2) + "\n"
    (target / "adapter_config.json").write_text(text)
    shutil.copy(work / "train.jsonl", target / "train.jsonl")
