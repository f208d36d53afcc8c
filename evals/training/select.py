"""The best checkpoint of a training, by the calls that it would write: the loss does not tell.

Validation questions are worded as no training question is. One pass over a conversation tells what
greedy decoding would write: it writes the wanted answer exactly if each of its tokens is the
likeliest after those before it. An answer that is right in other words counts as wrong, so these
numbers are lower than the suite's, but cost a hundredth; they are for comparing checkpoints.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evals.training.cpu import fast_llama
from evals.training.rows import Row
from evals.training.train import Encoded, arrays, batches, encode, logits

CURVE = "curve.jsonl"


@dataclass(frozen=True)
class Point:
    """How a checkpoint answers.

    Of `n` answers: those that call or speak as wanted. Of the `n_calls` answers with calls: those
    with the first name right, and those right to the last token.
    """

    step: int
    n: int
    n_calls: int
    call_or_answer: int
    tool_name: int
    whole: int


@dataclass(frozen=True)
class _Wanted:
    """An answer: which of a row's learned positions it has, and how many tokens hold its name.

    `name` is 0 for an answer in words.
    """

    start: int
    stop: int
    name: int


def learning_curve(
    base: Path, work: Path, rows: Sequence[Row], *, every: int = 1
) -> Iterator[Point]:
    """Judge every `every`th checkpoint in the folder `work`, and the last; yield each when done.

    What is done is kept in `curve.jsonl` beside the checkpoints and not done again.
    """
    from mlx_lm import load
    from mlx_lm.tuner.utils import linear_to_lora_layers

    steps = sorted(int(path.name[:7]) for path in work.glob("0*_adapters.safetensors"))
    done = {point.step: point for point in read_curve(work / CURVE)}
    config = json.loads((work / "adapter_config.json").read_text())
    model, tokenizer = load(str(base))[:2]
    linear_to_lora_layers(model, config["num_layers"], config["lora_parameters"])
    model.eval()
    asked = _asked(rows, tokenizer, config["call_format"])
    for step in sorted({*steps[every - 1 :: every], *steps[-1:]}):
        if step not in done:
            model.load_weights(str(work / f"{step:07d}_adapters.safetensors"), strict=False)
            done[step] = _judge(model, asked, step)
            with (work / CURVE).open("a") as file:
                file.write(json.dumps(asdict(done[step])) + "\n")
        yield done[step]


def read_curve(path: Path) -> list[Point]:
    """The points in the file; none if there is no file."""
    if not path.exists():
        return []
    return [Point(**json.loads(line)) for line in path.read_text().splitlines()]


def best(points: Sequence[Point]) -> Point:
    """The point with the most whole calls; among equals the most decisions, then the last."""
    return max(points, key=lambda point: (point.whole, point.call_or_answer, point.step))


def describe(point: Point) -> str:
    """`step 600: call or answer 280/300, tool name 150/200, whole call 120/200`."""
    return (
        f"step {point.step}: call or answer {point.call_or_answer}/{point.n}, "
        f"tool name {point.tool_name}/{point.n_calls}, whole call {point.whole}/{point.n_calls}"
    )


def _asked(
    rows: Sequence[Row], tokenizer: Any, call_format: str
) -> list[tuple[Encoded, list[_Wanted]]]:
    asked = []
    for row in rows:
        encoded = encode(row, tokenizer, call_format)
        answers = [m for m in row["messages"] if m["role"] == "assistant"]
        wanted = []
        for message, (start, stop) in zip(answers, _spans(encoded.positions), strict=True):
            calls = message.get("tool_calls")
            name = calls[0]["function"]["name"] if calls else None
            ids = [encoded.ids[place + 1] for place in encoded.positions[start:stop]]
            wanted.append(_Wanted(start, stop, _tokens_of_name(tokenizer, ids, name)))
        asked.append((encoded, wanted))
    return asked


def _spans(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Where runs of consecutive positions start and stop: one for each answer."""
    starts = [i for i, place in enumerate(positions) if i == 0 or place != positions[i - 1] + 1]
    return list(zip(starts, [*starts[1:], len(positions)], strict=True))


def _tokens_of_name(tokenizer: Any, ids: Sequence[int], name: str | None) -> int:
    if name is None:
        return 0
    ends = (f"{name}>", f'{name}"')
    return next(
        k for k in range(1, len(ids) + 1) if any(end in tokenizer.decode(ids[:k]) for end in ends)
    )


def _judge(model: Any, asked: Sequence[tuple[Encoded, list[_Wanted]]], step: int) -> Point:
    answers = {id(encoded): wanted for encoded, wanted in asked}
    opener = next(
        encoded.ids[encoded.positions[answer.start] + 1]
        for encoded, wanted in asked
        for answer in wanted
        if answer.name
    )
    decided, named, whole = [], [], []
    with fast_llama():
        for batch in batches([encoded for encoded, _ in asked], tokens_per_batch=1024):
            likeliest, targets = _likeliest(model, batch)
            done = 0
            for encoded in batch:
                for answer in answers[id(encoded)]:
                    first, last = done + answer.start, done + answer.stop
                    right = likeliest[first:last] == targets[first:last]
                    decided.append(bool(likeliest[first] == opener) == bool(answer.name))
                    if answer.name:
                        named.append(all(right[: answer.name]))
                        whole.append(all(right))
                done += len(encoded.positions)
    return Point(step, len(decided), len(whole), sum(decided), sum(named), sum(whole))


def _likeliest(model: Any, batch: list[Encoded]) -> tuple[Any, Any]:
    """For each learned position of the batch: the likeliest next token, and the wanted one."""
    import mlx.core as mx

    tokens, places, targets, _ = arrays(batch)
    likeliest = mx.argmax(logits(model, tokens, places), axis=-1)
    return np.array(likeliest), np.array(targets)
