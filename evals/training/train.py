"""LoRA on the generated rows: the loss is on every assistant turn and on nothing else.

mlx_lm's trainer does the steps, or torch in another environment; this module gives them batches
and learning rates. mlx_lm's own prompt masking trains the last message only, and its loss computes
49,152 logits for each prompt token, which on a CPU costs a third of the step; here logits are
computed where there is a target.
"""

import functools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.tuner.callbacks import TrainingCallback

from evals.errors import ModelError
from evals.formats.qwen_xml import QWEN_XML
from evals.training.cpu import Layout, cross_entropy, fast_llama, laid_out
from evals.training.encode import Encoded, arrays, batches, encode, shuffled
from evals.training.rows import Row

CONFIG = "adapter_config.json"
_STATE = "state.pt"  # what `in_torch.py` needs to go on


@dataclass(frozen=True)
class Settings:
    """What decides the adapter; recorded beside it as `adapter_config.json`."""

    iterations: int = 2000
    tokens_per_batch: int = 640
    learning_rate: float = 4e-4
    warmup: int = 50
    seed: int = 7
    num_layers: int = 30
    lora_parameters: dict[str, Any] = field(
        default_factory=lambda: {"rank": 8, "scale": 20.0, "dropout": 0.0}
    )
    save_every: int = 100
    call_format: str = QWEN_XML.name


def _iterate(
    dataset: list[Encoded],
    batch_size: int,
    max_seq_length: int,
    loop: bool = False,
    comm_group: Any = None,
    seed: int | None = None,
    *,
    tokens_per_batch: int,
) -> Iterator[tuple[Any, Any, Any, Any, Any]]:
    """mlx_lm's batch protocol; its `batch_size` and `max_seq_length` do not apply here."""
    yield from map(arrays, shuffled(batches(dataset, tokens_per_batch), loop))


def logits(model: Any, tokens: Any, places: Any, layout: Any) -> Any:
    """Logits (K, vocabulary) at `places` (K,) in the flattened `tokens` (B, T); see `arrays`."""
    with laid_out(model, Layout(*layout) if layout else None):
        hidden = model.model(tokens)
    return model.model.embed_tokens.as_linear(hidden.reshape(-1, hidden.shape[-1])[places])


def _loss(
    model: Any, tokens: Any, places: Any, targets: Any, weights: Any, layout: Any
) -> tuple[Any, Any]:
    count = weights.sum()
    losses = cross_entropy(logits(model, tokens, places, layout), targets)
    return (losses * weights).sum() / count, count


class _Log(TrainingCallback):
    """Training callback: one JSON line a report, with the time that is left."""

    def __init__(self, path: Path, iterations: int):
        self.path = path
        self.iterations = iterations
        self.started = time.monotonic()

    def on_train_loss_report(self, report: dict[str, Any]) -> None:
        """Called by mlx_lm every few steps."""
        done = report["iteration"]
        spent = time.monotonic() - self.started
        left = spent / done * (self.iterations - done)
        print(f"step {done}/{self.iterations}, about {left / 60:.0f} min left", flush=True)
        self._write({"iteration": done, "train_loss": round(report["train_loss"], 4)})

    def on_val_loss_report(self, report: dict[str, Any]) -> None:
        """Called by mlx_lm at each validation."""
        self._write({"iteration": report["iteration"], "val_loss": round(report["val_loss"], 4)})

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({**line, "seconds": round(time.monotonic() - self.started)}))
            file.write("\n")


def _weights(adapter: Path, step: int) -> Path:
    return adapter / f"{step:07d}_adapters.safetensors"


def checkpoints(adapter: Path) -> list[int]:
    """The steps of which a training left checkpoints in the folder `adapter`, in order."""
    return sorted(int(path.name[:7]) for path in adapter.glob("0*_adapters.safetensors"))


def read_checkpoint(adapter: Path, step: int) -> dict[str, Any]:
    """The weights of a checkpoint by name; the mean with those it began with, where there is one.

    The config's `keep` is the share of the beginning, from 0 to 1: what is learned is added to what
    was known, and takes less of it away. See "Robust fine-tuning of zero-shot models" (2022). It is
    the mean of each LoRA factor, which keeps the rank, and not that of their products.

    Raises:
        ModelError: there is no checkpoint of this step, or none of step 0 for a mean.
    """
    import mlx.core as mx

    keep = json.loads((adapter / CONFIG).read_text()).get("keep", 0)
    steps = checkpoints(adapter)
    for needed in (step, 0) if keep else (step,):
        if needed not in steps:
            there = ", ".join(map(str, steps))
            raise ModelError(
                f"train: {adapter} has no checkpoint of step {needed}; it has: {there}"
            )
    learned: Any = mx.load(str(_weights(adapter, step)))
    if not keep:
        return dict(learned)
    known: Any = mx.load(str(_weights(adapter, 0)))
    return {
        name: keep * known[name].astype(mx.float32) + (1 - keep) * value.astype(mx.float32)
        for name, value in learned.items()
    }


def train(
    base: Path,
    adapter: Path,
    rows: list[Row],
    validation: list[Row],
    settings: Settings,
    *,
    provenance: dict[str, Any],
    start: Path | None = None,
    torch: str = "",
) -> None:
    """Train an adapter on `rows` and write it, its config and its log into the folder `adapter`.

    It goes on from the weights in the file `start`, an adapter of the same shape, if one is given.
    The steps are mlx_lm's, or with `torch`, a Python whose environment has it, those of
    `in_torch.py`; these go on where an earlier training with the same config was ended.

    Checkpoints `NNNNNNN_adapters.safetensors` are left beside it, one every `save_every` steps and
    one of the last; that of step 0 is `start`.

    Raises:
        ModelError: `torch` is no Python that has it, or its training failed.
    """
    import mlx.core as mx
    from mlx_lm.utils import load_tokenizer

    config = {"fine_tune_type": "lora", **asdict(settings), **provenance}
    if torch:
        _need_torch(torch)
        config |= {"steps": "torch", "base": base.name}
        config |= {"start_sha256": sha256(start.read_bytes()).hexdigest()} if start else {}
    adapter.mkdir(parents=True, exist_ok=True)
    if not (torch and _goes_on(adapter, config)):
        shutil.rmtree(adapter.resolve())  # what it has would be judged, too
        adapter.resolve().mkdir()
        (adapter / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        if start:
            shutil.copy(start, _weights(adapter, 0))
        elif torch:
            drawn = dict(tree_flatten(_begun(base, settings).trainable_parameters()))
            mx.save_safetensors(str(_weights(adapter, 0)), drawn)
    load: Any = load_tokenizer
    tokenizer = load(base)
    encoded = [encode(row, tokenizer, settings.call_format) for row in rows]
    np.random.seed(settings.seed)
    if torch:
        _train_in_torch(torch, base, adapter, batches(encoded, settings.tokens_per_batch), settings)
        return
    held_out = [encode(row, tokenizer, settings.call_format) for row in validation]
    _train_in_mlx(_begun(base, settings, start), adapter, encoded, held_out, settings)


def _begun(base: Path, settings: Settings, start: Path | None = None) -> Any:
    """The frozen model `base` with LoRA as `settings` draw it, or that of the file `start`."""
    import mlx.core as mx
    from mlx_lm import load
    from mlx_lm.tuner.utils import linear_to_lora_layers

    mx.random.seed(settings.seed)
    model = load(str(base))[0]
    model.freeze()
    linear_to_lora_layers(model, settings.num_layers, settings.lora_parameters)
    if start:
        halved: Any = mx.load(str(start))
        model.load_weights([(k, v.astype(mx.float32)) for k, v in halved.items()], strict=False)
    return model


def schedule(settings: Settings) -> Any:
    """The learning rate by step, from 0: warmed up, then a cosine to a twentieth of it."""
    from mlx_lm.tuner.utils import build_schedule

    warmup = min(settings.warmup, settings.iterations // 2)
    return build_schedule(
        {
            "name": "cosine_decay",
            "warmup": warmup,
            "arguments": [
                settings.learning_rate,
                settings.iterations - warmup,
                settings.learning_rate / 20,
            ],
        }
    )


def _train_in_torch(
    python: str, base: Path, adapter: Path, batched: list[list[Encoded]], settings: Settings
) -> None:
    import mlx.core as mx

    rates = map(schedule(settings), map(mx.array, range(settings.iterations)))
    with (adapter / "steps.jsonl").open("w") as file:
        for rate, batch in zip(rates, shuffled(batched), strict=False):
            step = {"rate": rate.item(), "batch": [asdict(row) for row in batch]}
            file.write(json.dumps(step) + "\n")
    # A BLAS that is there for mlx would take the place of torch's own.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    program = Path(__file__).with_name("in_torch.py")
    # -I: beside the program are modules named as some of the standard library.
    done = subprocess.run([python, "-I", program, base, adapter], env=environment)
    if done.returncode:
        raise ModelError(
            f"train: the steps in torch ended with exit code {done.returncode}; the same command "
            f"goes on at the last checkpoint in {adapter}"
        )


def _need_torch(python: str) -> None:
    try:
        code = "import torch, numpy, safetensors.torch"
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)
    except OSError as error:
        raise ModelError(f"train: cannot run {python}: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise ModelError(
            f"train: {python} has no usable torch, numpy and safetensors: it said {said[0]!r}; "
            "that of `evals engine install vllm` has them"
        )


def _goes_on(adapter: Path, config: dict[str, Any]) -> bool:
    """Whether the folder has the state of a training in torch with the same config."""
    if not (adapter / _STATE).exists() or not (adapter / CONFIG).exists():
        return False
    return bool(json.loads((adapter / CONFIG).read_text()) == json.loads(json.dumps(config)))


def _train_in_mlx(
    model: Any,
    adapter: Path,
    rows: list[Encoded],
    validation: list[Encoded],
    settings: Settings,
) -> None:
    import mlx.optimizers as optimizers
    from mlx_lm.tuner.trainer import TrainingArgs
    from mlx_lm.tuner.trainer import train as mlx_train

    with fast_llama():
        mlx_train(
            model=model,
            # Batches are small and differ much: without correction the first steps are three times
            # too large, and a second moment over 1,000 steps remembers a spike for too long.
            optimizer=optimizers.Adam(schedule(settings), betas=[0.9, 0.98], bias_correction=True),
            train_dataset=rows,
            val_dataset=validation,
            args=TrainingArgs(
                batch_size=1,
                iters=settings.iterations,
                val_batches=4,
                steps_per_report=10,
                steps_per_eval=settings.save_every,
                steps_per_save=settings.save_every,
                adapter_file=str(adapter / "adapters.safetensors"),
            ),
            loss=_loss,
            iterate_batches=functools.partial(_iterate, tokens_per_batch=settings.tokens_per_batch),
            training_callback=_Log(adapter / "train.jsonl", settings.iterations),
        )
    last = _weights(adapter, settings.iterations)
    if not last.exists():  # no multiple of `save_every`
        shutil.copy(adapter / "adapters.safetensors", last)
