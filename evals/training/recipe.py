"""How the shipped adapters are made: data, settings and seeds in one place."""

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evals.errors import ModelError
from evals.formats.json_fence import JSON_FENCE
from evals.models.build import ADAPTERS, TOOLS, cached_base
from evals.training.catalogue import Catalogue, read_catalogue, split
from evals.training.dataset import digest, generate
from evals.training.parts import read_parts
from evals.training.rows import Row
from evals.training.select import CURVE, best, describe, learning_curve
from evals.training.train import CONFIG, Settings, read_checkpoint, train
from evals.training.unseen import compose

QUESTIONS = 200
VALIDATION_EXCHANGES = 120


@dataclass(frozen=True)
class Data:
    """How many exchanges a training has about tools of the catalogue and about composed ones."""

    catalogue: int = 9000
    composed: int = 0
    seed: int = 7
    composed_seed: int = 11


@dataclass(frozen=True)
class Recipe:
    """How one adapter is made; with `start`, from the shipped adapter of that name on.

    `keep` is the share of that one in the mean of both that is shipped.
    """

    settings: Settings = field(default_factory=Settings)
    data: Data = field(default_factory=Data)
    start: str = ""
    keep: float = 0.0


_FENCES = Settings(call_format=JSON_FENCE.name)
_SHORT = Settings(iterations=840, save_every=60)
_READING = Data(catalogue=3000, composed=9000, seed=13)
RECIPES = {
    "catalogue": Recipe(),
    "catalogue-json-fence": Recipe(_FENCES),
    "reading": Recipe(_SHORT, _READING, start="catalogue", keep=0.25),
    "reading-json-fence": Recipe(
        replace(_SHORT, call_format=JSON_FENCE.name),
        _READING,
        start="catalogue-json-fence",
        keep=0.25,
    ),
}
"""Adapters of a pair differ in the format of calls alone; `catalogue` ones know the tools of
`evals/training/catalogue`, and `reading` ones go on with tools that only the list tells."""


def find_recipe(name: str) -> Recipe:
    """The recipe of adapter `name`.

    Raises:
        ModelError: there is no such recipe.
    """
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise ModelError(
            f"train: there is no recipe {name!r}; evals/training/recipe.py has: {known}"
        )
    return RECIPES[name]


def dataset(tools: Path, data: Data | None = None) -> tuple[list[Row], list[Row]]:
    """The rows for training and those for validation; `tools` is the folder of tool schemas.

    Raises:
        ModelError: `tools` is not a folder.
    """
    data = data or Data()
    training, validation = _catalogues(tools)
    rows = generate(training, exchanges=data.catalogue, seed=data.seed)
    if data.composed:
        parts = read_parts(held=False)
        rows += compose(parts, training, exchanges=data.composed, seed=data.composed_seed)
    return rows, generate(validation, exchanges=VALIDATION_EXCHANGES, seed=data.seed + 1)


def questions(tools: Path) -> dict[str, list[Row]]:
    """The rows that decide between checkpoints, in wordings that training never has.

    Those of `seen` are about tools of the catalogue, those of `unseen` about tools of domains that
    no training has.
    """
    held = _catalogues(tools)[1]
    seed = Data().seed + 2
    return {
        "seen": generate(held, exchanges=QUESTIONS, seed=seed),
        "unseen": compose(read_parts(held=True), held, exchanges=QUESTIONS, seed=seed, held=True),
    }


def _catalogues(tools: Path) -> tuple[Catalogue, Catalogue]:
    if not tools.is_dir():
        raise ModelError(f"train: there is no folder {tools}; run it in the repository's root")
    return split(read_catalogue(tools))


def train_adapter(
    name: str, tools: Path, cache: Path, iterations: int | None = None, torch: str = ""
) -> None:
    """Train adapter `name`, one of `RECIPES`, in the cache; ship its best checkpoint.

    `tools` is the folder with the tools' schemas, `torch` as in `train`. Checkpoints stay in the
    cache.

    Raises:
        ModelError: there is no such recipe, `tools` is not a folder, or torch's training failed.
    """
    recipe = find_recipe(name)
    settings = replace(recipe.settings, iterations=iterations or recipe.settings.iterations)
    rows, held_out = dataset(tools, recipe.data)
    exchanges = recipe.data.catalogue + recipe.data.composed
    print(f"train: {len(rows)} rows with {exchanges} exchanges, {settings.iterations} steps;")
    print("train: the time left is shown from step 10 on", flush=True)
    base, work = cached_base(cache), cache / "training" / name
    made: dict[str, Any] = {
        "dataset": {"rows": len(rows), **_counted(recipe.data), "sha256": digest(rows)}
    }
    start = ADAPTERS / recipe.start / "adapters.safetensors" if recipe.start else None
    if start:
        made |= {"start": recipe.start, "keep": recipe.keep}
    train(base, work, rows, held_out, settings, provenance=made, start=start, torch=torch)
    ship_best(name, tools, cache)


def _counted(data: Data) -> dict[str, int]:
    """What an adapter's config says of the data; without composed ones as ever."""
    made = {"exchanges": data.catalogue, "seed": data.seed}
    composed = {"composed": data.composed, "composed_seed": data.composed_seed}
    return made | (composed if data.composed else {})


def ship_best(name: str, tools: Path, cache: Path) -> None:
    """Put the best checkpoint of a training in the cache among the package's adapters."""
    work = cache / "training" / name
    points = []
    for point in learning_curve(cached_base(cache), work, questions(tools), every=4):
        print(f"train: {describe(point)}", flush=True)
        points.append(point)
    step = best(points)
    install_adapter(work, name, step)
    names = sorted(tool.name for tool in read_catalogue(tools).tools)
    (ADAPTERS / name / TOOLS).write_text(json.dumps(names, indent=1) + "\n")
    print(f"train: step {step} is shipped in {ADAPTERS / name}")


def install_adapter(work: Path, name: str, step: int) -> None:
    """Put the checkpoint of `step` with config and log among the package's adapters, as float16.

    Raises:
        ModelError: training left no checkpoint of this step in `work`.
    """
    import mlx.core as mx

    halved = {k: v.astype(mx.float16) for k, v in read_checkpoint(work, step).items()}
    target = ADAPTERS / name
    target.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(target / "adapters.safetensors"), halved)
    config = json.loads((work / CONFIG).read_text())
    text = json.dumps({**config, "checkpoint": step}, indent=2) + "\n"
    (target / CONFIG).write_text(text)
    for log in ("train.jsonl", CURVE):
        if (work / log).exists():
            shutil.copy(work / log, target / log)
