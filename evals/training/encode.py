"""Rows as token ids, with what is learned of them, and batches of them as the model takes them.

What is learned can be written in two formats: as the server's XML, or as JSON in a code fence, the
format that the server does not read. Two adapters that differ in nothing else show what it costs.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evals.formats.qwen_xml import QWEN_XML
from evals.observation import Call
from evals.training.rows import APART_KEY, Row
from evals.training.turns import turn_text

_MULTIPLE = 64  # shapes are padded to it, so that few of them need compiling


@dataclass(frozen=True)
class Encoded:
    """One row as token ids, and the positions whose next token is learned.

    `starts` has where each question begins, if they stand apart.
    """

    ids: list[int]
    positions: list[int]
    starts: tuple[int, ...] = ()


def encode(row: Row, tokenizer: Any, call_format: str = QWEN_XML.name) -> Encoded:
    """`row` as the server would render it; learned are assistant turns up to their end mark."""
    write = (
        _for_template if call_format == QWEN_XML.name else functools.partial(_as_text, call_format)
    )
    messages = [write(message) for message in row["messages"]]
    ids = tokenizer.apply_chat_template(messages, tools=row.get("tools"), return_dict=False)
    header = tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
    end = tokenizer.encode("<|im_end|>", add_special_tokens=False)[0]
    positions: list[int] = []
    start = 0
    while (start := _find(ids, header, start)) >= 0:
        start += len(header)
        stop = ids.index(end, start)
        positions += range(start - 1, stop)
    starts = _starts(row, ids, header[0]) if row.get(APART_KEY) else ()
    return Encoded(ids, positions, starts)


def _starts(row: Row, ids: list[int], mark: int) -> tuple[int, ...]:
    """Where the messages of the user begin; each message begins with `mark`, the last one last."""
    roles = [message["role"] for message in row["messages"]]
    marks = [i for i, token in enumerate(ids) if token == mark][-len(roles) :]
    return tuple(i for i, role in zip(marks, roles, strict=True) if role == "user")


def _for_template(message: dict[str, Any]) -> dict[str, Any]:
    """With arguments as values: the template writes XML of them."""
    if not message.get("tool_calls"):
        return message
    calls = [
        {"function": {**c["function"], "arguments": json.loads(c["function"]["arguments"])}}
        for c in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _as_text(call_format: str, message: dict[str, Any]) -> dict[str, Any]:
    """With calls as text of the content: the template leaves them as they are."""
    if not message.get("tool_calls"):
        return message
    calls = [Call(**call["function"]) for call in message["tool_calls"]]
    return {"role": message["role"], "content": turn_text(message["content"], calls, call_format)}


def _find(ids: list[int], part: list[int], start: int) -> int:
    for i in range(start, len(ids) - len(part) + 1):
        if ids[i : i + len(part)] == part:
            return i
    return -1


def _padded(length: int) -> int:
    return -(-length // _MULTIPLE) * _MULTIPLE


def batches(rows: list[Encoded], tokens_per_batch: int) -> list[list[Encoded]]:
    """`rows` by length, in batches of so many tokens with their padding, or of one long row."""
    ordered = sorted(rows, key=lambda row: len(row.ids))
    result: list[list[Encoded]] = [[]]
    for row in ordered:
        if result[-1] and (len(result[-1]) + 1) * _padded(len(row.ids)) > tokens_per_batch:
            result.append([])
        result[-1].append(row)
    return result


def shuffled(batched: Sequence[list[Encoded]], loop: bool = True) -> Iterator[list[Encoded]]:
    """Each batch once, then again in another order; the orders are drawn from numpy's own state."""
    while True:
        yield from (batched[i] for i in np.random.permutation(len(batched)))
        if not loop:
            return


def arrays(batch: list[Encoded]) -> tuple[Any, Any, Any, Any, Any]:
    """Tokens (B, T); of all positions in it that are learned: place, target and weight (K,).

    The last is the places and the parts of a `Layout`, or nothing where no question stands apart.
    """
    import mlx.core as mx

    length = _padded(max(len(row.ids) for row in batch))
    count = _padded(sum(len(row.positions) for row in batch))
    tokens = np.zeros((len(batch), length), np.int32)
    places = np.zeros(count, np.int32)
    targets = np.zeros(count, np.int32)
    weights = np.zeros(count, np.float32)
    done = 0
    for i, row in enumerate(batch):
        these = slice(done, done := done + len(row.positions))
        tokens[i, : len(row.ids)] = row.ids
        places[these] = i * length + np.asarray(row.positions)
        targets[these] = np.asarray(row.ids)[np.asarray(row.positions) + 1]
        weights[these] = 1.0
    layout = _layout(batch, length) if any(row.starts for row in batch) else ()
    return mx.array(tokens), mx.array(places), mx.array(targets), mx.array(weights), layout


def _layout(batch: list[Encoded], length: int) -> tuple[Any, Any]:
    import mlx.core as mx

    places = np.tile(np.arange(length, dtype=np.int32), (len(batch), 1))
    parts = np.zeros_like(places)
    for i, row in enumerate(batch):
        for part, start in enumerate(row.starts):
            places[i, start:] = np.arange(length - start) + row.starts[0]
            parts[i, start:] = part + 1
    return mx.array(places), mx.array(parts)
