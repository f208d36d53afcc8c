"""How the shipped adapter is made: dataset, settings and seeds in one place."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.errors import ModelError
from evals.formats.json_fence import JSON_FENCE
from evals.models.build import ADAPTERS, TOOLS, cached_base
from evals.training.catalogue import Catalogue, read_catalogue, split
from evals.training.dataset import digest, generate
from evals.training.rows import Row
from evals.training.select import CURVE, best, describe, learning_curve
from evals.training.train import Settings, train

EXCHANGES = 9000
VALIDATION_EXCHANGES = 120
QUESTIONS = 200
DATA_SEED = 7
RECIPES = {"default": Settings(), "json-fence": Settings(call_format=JSON_FENCE.name)}
"""The shipped adapters: they differ in the format of the calls that they were trained on."""


def dataset(tools: Path) -> tuple[list[Row], list[Row]]:
    """The rows for training and those for validation; `tools` is the folder of tool schemas.

    Raises:
        ModelError: `tools` is not a folder.
    """
    training, validation = _catalogues(tools)
    return (
        generate(training, exchanges=EXCHANGES, seed=DATA_SEED),
        generate(validation, exchanges=VALIDATION_EXCHANGES, seed=DATA_SEED + 1),
    )


def questions(tools: Path) -> list[Row]:
    """The rows that decide between checkpoints, in wordings that training never has."""
    return generate(_catalogues(tools)[1], exchanges=QUESTIONS, seed=DATA_SEED + 2)


def _catalogues(tools: Path) -> tuple[Catalogue, Catalogue]:
    if not tools.is_dir():
        raise ModelError(f"train: there is no folder {tools}; run it in the repository's root")
    return split(read_catalogue(tools))


def train_adapter(name: str, tools: Path, cache: Path, iterations: int | None = None) -> None:
    """Train adapter `name`, one of `RECIPES`, in the cache; ship its best checkpoint.

    `tools` is the folder with the tools' schemas. Checkpoints stay in the cache.

    Raises:
        ModelError: there is no such recipe, or `tools` is not a folder.
    """
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise ModelError(
            f"train: there is no recipe {name!r}; evals/training/recipe.py has: {known}"
        )
    rows, held_out = dataset(tools)
    settings = RECIPES[name]
    if iterations:
        settings = replace(settings, iterations=iterations)
    print(f"train: {len(rows)} rows with {EXCHANGES} exchanges, {settings.iterations} steps;")
    print("train: about 4 s a step on one core; the time left is shown from step 10 on", flush=True)
    base, work = cached_base(cache), cache / "training" / name
    shutil.rmtree(work, ignore_errors=True)  # what an earlier training left would be judged, too
    made = {"rows": len(rows), "exchanges": EXCHANGES, "seed": DATA_SEED, "sha256": digest(rows)}
    train(base, work, rows, held_out, settings, provenance={"dataset": made})
    ship_best(name, tools, cache)


def ship_best(name: str, tools: Path, cache: Path) -> None:
    """Put the best checkpoint of a training in the cache among the package's adapters."""
    work = cache / "training" / name
    points = []
    for point in learning_curve(cached_base(cache), work, questions(tools), every=4):
        print(f"train: {describe(point)}", flush=True)
        points.append(point)
    install_adapter(work, name, best(points).step)
    names = sorted(tool.name for tool in read_catalogue(tools).tools)
    (ADAPTERS / name / TOOLS).write_text(json.dumps(names, indent=1) + "\n")
    print(f"train: step {best(points).step} is shipped in {ADAPTERS / name}")


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
    for log in ("train.jsonl", CURVE):
        if (work / log).exists():
            shutil.copy(work / log, target / log)
