"""LoRA with mlx_lm on the generated rows: the loss is on every assistant turn and on nothing else.

mlx_lm's trainer does the steps; this module gives it batches and a loss. Its own prompt masking
trains the last message only, and its loss computes 49,152 logits for each prompt token, which on
a CPU costs a third of the step; here logits are computed where there is a target.
"""

import functools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mlx_lm.tuner.callbacks import TrainingCallback

from evals.training.dataset import Row

_MULTIPLE = 64  # shapes are padded to it, so that few of them need compiling


@dataclass(frozen=True)
class Settings:
    """What decides the adapter; recorded beside it as `adapter_config.json`."""

    iterations: int = 640
    tokens_per_batch: int = 512
    learning_rate: float = 2e-4
    warmup: int = 30
    seed: int = 7
    num_layers: int = 30
    lora_parameters: dict[str, Any] = field(
        default_factory=lambda: {"rank": 8, "scale": 20.0, "dropout": 0.0}
    )
    save_every: int = 80


@dataclass(frozen=True)
class Encoded:
    """One row as token ids, and the positions whose next token is learned."""

    ids: list[int]
    positions: list[int]


def encode(row: Row, tokenizer: Any) -> Encoded:
    """`row` as the server would render it; learned are assistant turns up to their end mark."""
    messages = [_with_parsed_arguments(message) for message in row["messages"]]
    ids = tokenizer.apply_chat_template(messages, tools=row.get("tools"), return_dict=False)
    header = tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
    end = tokenizer.encode("<|im_end|>", add_special_tokens=False)[0]
    positions: list[int] = []
    start = 0
    while (start := _find(ids, header, start)) >= 0:
        start += len(header)
        stop = ids.index(end, start)
        positions += range(start - 1, stop)
    return Encoded(ids, positions)


def _with_parsed_arguments(message: dict[str, Any]) -> dict[str, Any]:
    if not message.get("tool_calls"):
        return message
    calls = [
        {"function": {**c["function"], "arguments": json.loads(c["function"]["arguments"])}}
        for c in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _find(ids: list[int], part: list[int], start: int) -> int:
    for i in range(start, len(ids) - len(part) + 1):
        if ids[i : i + len(part)] == part:
            return i
    return -1


def _batches(rows: list[Encoded], tokens_per_batch: int) -> list[list[Encoded]]:
    ordered = sorted(rows, key=lambda row: len(row.ids))
    batches: list[list[Encoded]] = [[]]
    for row in ordered:
        padded = -(-len(row.ids) // _MULTIPLE) * _MULTIPLE
        if batches[-1] and (len(batches[-1]) + 1) * padded > tokens_per_batch:
            batches.append([])
        batches[-1].append(row)
    return batches


def _arrays(batch: list[Encoded]) -> tuple[Any, Any, Any, Any]:
    """Tokens (B, T), positions (B, K), targets (B, K), weights (B, K)."""
    import mlx.core as mx

    length = -(-max(len(row.ids) for row in batch) // _MULTIPLE) * _MULTIPLE
    count = -(-max(len(row.positions) for row in batch) // _MULTIPLE) * _MULTIPLE
    tokens = np.zeros((len(batch), length), np.int32)
    positions = np.zeros((len(batch), count), np.int32)
    targets = np.zeros((len(batch), count), np.int32)
    weights = np.zeros((len(batch), count), np.float32)
    for i, row in enumerate(batch):
        n = len(row.positions)
        tokens[i, : len(row.ids)] = row.ids
        positions[i, :n] = row.positions
        targets[i, :n] = np.asarray(row.ids)[np.asarray(row.positions) + 1]
        weights[i, :n] = 1.0
    return mx.array(tokens), mx.array(positions), mx.array(targets), mx.array(weights)


def _iterate(
    dataset: list[Encoded],
    batch_size: int,
    max_seq_length: int,
    loop: bool = False,
    comm_group: Any = None,
    seed: int | None = None,
    *,
    tokens_per_batch: int,
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """mlx_lm's batch protocol; its `batch_size` and `max_seq_length` do not apply here."""
    batches = _batches(dataset, tokens_per_batch)
    while True:
        for i in np.random.permutation(len(batches)):
            yield _arrays(batches[i])
        if not loop:
            return


def _loss(model: Any, tokens: Any, positions: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
    import mlx.core as mx
    import mlx.nn as nn

    hidden = model.model(tokens)
    chosen = mx.take_along_axis(hidden, positions[:, :, None], axis=1)
    logits = model.model.embed_tokens.as_linear(chosen)
    count = weights.sum()
    return (nn.losses.cross_entropy(logits, targets) * weights).sum() / count, count


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


def train(
    base: Path,
    adapter: Path,
    rows: list[Row],
    validation: list[Row],
    settings: Settings,
    *,
    provenance: dict[str, Any],
) -> None:
    """Train an adapter on `rows` and write it, its config and its log into the folder `adapter`.

    Checkpoints `NNNNNNN_adapters.safetensors` are left beside it, one every `save_every` steps.
    """
    import mlx.core as mx
    import mlx.optimizers as optimizers
    from mlx_lm import load
    from mlx_lm.tuner.trainer import TrainingArgs
    from mlx_lm.tuner.trainer import train as mlx_train
    from mlx_lm.tuner.utils import build_schedule, linear_to_lora_layers

    np.random.seed(settings.seed)
    mx.random.seed(settings.seed)
    model, tokenizer = load(str(base))[:2]
    model.freeze()
    linear_to_lora_layers(model, settings.num_layers, settings.lora_parameters)
    adapter.mkdir(parents=True, exist_ok=True)
    config = {"fine_tune_type": "lora", **asdict(settings), **provenance}
    (adapter / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (adapter / "train.jsonl").unlink(missing_ok=True)
    schedule = build_schedule(
        {
            "name": "cosine_decay",
            "warmup": settings.warmup,
            "arguments": [
                settings.learning_rate,
                settings.iterations - settings.warmup,
                settings.learning_rate / 20,
            ],
        }
    )
    mlx_train(
        model=model,
        optimizer=optimizers.Adam(learning_rate=schedule),
        train_dataset=[encode(row, tokenizer) for row in rows],
        val_dataset=[encode(row, tokenizer) for row in validation],
        args=TrainingArgs(
            batch_size=1,
            iters=settings.iterations,
            val_batches=4,
            steps_per_report=10,
            steps_per_eval=320,
            steps_per_save=settings.save_every,
            adapter_file=str(adapter / "adapters.safetensors"),
        ),
        loss=_loss,
        iterate_batches=functools.partial(_iterate, tokens_per_batch=settings.tokens_per_batch),
        training_callback=_Log(adapter / "train.jsonl", settings.iterations),
    )
