"""Attention and SwiGLU for training: on a CPU, and where questions of a row stand apart.

Most of a training step on a CPU went into exp: mlx's CPU backend has no vector form of it, while
sums and products of whole arrays are fast. Here exp is written in those, to float32's precision.

A list of tools is most of a prompt's tokens. Questions that stand apart share it and see nothing of
one another: each attends to what comes before the first and to itself, at the places that it would
have alone. So one pass answers a dozen as if each were asked alone.
"""

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from evals.errors import ModelError

_BLOCK = 128
_HIDDEN = -1e9
_ROUND = 1.5 * 2**23  # added and subtracted, it rounds a float32 to the nearest integer


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch stand, and which of them stand apart; both of shape (B, T).

    `places` count from 0 in what all share, and go on from there in each question. `parts` are 0
    for what all share and the number of the question, from 1, for its tokens.
    """

    places: mx.array
    parts: mx.array


_layout: ContextVar[Layout | None] = ContextVar("layout", default=None)


@contextmanager
def laid_out(model: Any, layout: Layout | None) -> Iterator[None]:
    """Within it and `fast_llama`, tokens stand so; None is one conversation a row.

    Raises:
        ModelError: `model` turns its places in a way that `rotated` does not know.
    """
    rope = model.layers[0].self_attn.rope
    if layout is not None and (type(rope) is not _rope or rope.traditional):
        raise ModelError(
            "train: questions stand apart only with plain rotary embeddings: no rope_scaling of "
            "another kind, no rope_traditional"
        )
    token = _layout.set(layout)
    try:
        yield
    finally:
        _layout.reset(token)


def exp(x: mx.array) -> mx.array:
    """e**x of a float32 array, within 2e-6 relative for -87 <= x <= 88; clipped outside."""
    scaled = mx.minimum(mx.maximum(x, -87.0), 88.0) * (1 / math.log(2))
    whole = (scaled + _ROUND) - _ROUND
    f = (scaled - whole) * math.log(2)
    series: Any = 1 / math.factorial(6)
    for n in range(5, -1, -1):
        series = series * f + 1 / math.factorial(n)
    result: mx.array = series * ((whole.astype(mx.int32) + 127) << 23).view(mx.float32)
    return result


def _softmax(scores: mx.array) -> mx.array:
    powers = exp(scores - scores.max(axis=-1, keepdims=True))
    return powers * (1 / powers.sum(axis=-1, keepdims=True))


def _softmax_vjp(scores: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    weighted = output * cotangent
    return weighted - output * weighted.sum(axis=-1, keepdims=True)


def _sigmoid(x: mx.array) -> mx.array:
    return 1 / (1 + exp(-x))


def _sigmoid_vjp(x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return cotangent * output * (1 - output)


def _log_sum_exp(x: mx.array) -> mx.array:
    return mx.log(exp(x).sum(axis=-1, keepdims=True))


def _log_sum_exp_vjp(x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return exp(x - output) * cotangent


# Gradients are given, or mlx would differentiate the series of exp term by term.
softmax: Any = mx.custom_function(_softmax)
softmax.vjp(_softmax_vjp)
sigmoid: Any = mx.custom_function(_sigmoid)
sigmoid.vjp(_sigmoid_vjp)
log_sum_exp: Any = mx.custom_function(_log_sum_exp)
log_sum_exp.vjp(_log_sum_exp_vjp)


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """silu(gate) * x."""
    result: mx.array = gate * sigmoid(gate) * x
    return result


def attention(
    queries: mx.array, keys: mx.array, values: mx.array, *, scale: float, **_: Any
) -> mx.array:
    """Causal attention; queries (B, H, T, D), keys and values (B, H / groups, T, D)."""
    batch, heads, length, size = queries.shape
    layout = _layout.get()
    if not _on_cpu():
        mask: Any = "causal"
        if layout is not None:
            mask = mx.triu(mx.full((length, length), _HIDDEN), k=1) + _apart(layout, 0, length)
            mask = mask.astype(queries.dtype)
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
    shared = keys.shape[1]
    grouped = (queries * scale).reshape(batch, shared, -1, length, size)
    done = []
    # A block of queries at a time: what comes later is not computed, and the scores fit a cache.
    for start in range(0, length, _BLOCK):
        stop = min(length, start + _BLOCK)
        block = grouped[:, :, :, start:stop].reshape(batch, shared, -1, size)
        scores = (block @ keys[:, :, :stop].swapaxes(-1, -2)).reshape(batch, heads, -1, stop)
        hidden = mx.triu(mx.full((stop - start, stop), _HIDDEN), k=start + 1)
        hidden = hidden + _apart(layout, start, stop)
        weights: mx.array = softmax(scores + hidden).reshape(batch, shared, -1, stop)
        done.append((weights @ values[:, :, :stop]).reshape(batch, heads, -1, size))
    return mx.concatenate(done, axis=2)


def _apart(layout: Layout | None, start: int, stop: int) -> Any:
    """What is added to the scores of the queries from `start` on: little where two stand apart."""
    if layout is None:
        return 0.0
    asking, asked = layout.parts[:, start:stop, None], layout.parts[:, None, :stop]
    return mx.where((asked == 0) | (asked == asking), 0.0, _HIDDEN)[:, None]


_rope: Any = importlib.import_module("mlx.nn").RoPE
_rotated_in_order: Any = _rope.__call__


def rotated(rope: Any, x: mx.array, offset: int = 0) -> Any:
    """What mlx's `rope` makes of x (B, H, T, D), with each token at its place of the layout."""
    layout = _layout.get()
    if layout is None:
        return _rotated_in_order(rope, x, offset)
    half = rope.dims // 2
    angles = layout.places[:, None, :, None] * (
        rope.scale * exp(mx.arange(half) * (-math.log(rope.base) / half))
    )
    cos, sin = mx.cos(angles), mx.sin(angles)
    first, second = x[..., :half], x[..., half:]
    return mx.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def cross_entropy(logits: mx.array, targets: mx.array) -> mx.array:
    """-log softmax(logits)[targets]; logits (..., V), targets (...) of token ids."""
    if not _on_cpu():
        return nn.losses.cross_entropy(logits, targets)
    top = mx.stop_gradient(logits.max(axis=-1, keepdims=True))
    chosen = mx.take_along_axis(logits, targets[..., None], axis=-1)
    result: mx.array = (log_sum_exp(logits - top) + top - chosen).squeeze(-1)
    return result


def _on_cpu() -> bool:
    return bool(mx.default_device().type == mx.cpu)


@contextmanager
def fast_llama() -> Iterator[None]:
    """Within it, mlx_lm's Llama computes with this module's functions. No KV cache."""
    llama: Any = importlib.import_module("mlx_lm.models.llama")
    kept = llama.scaled_dot_product_attention, llama.swiglu
    llama.scaled_dot_product_attention = attention
    if _on_cpu():
        llama.swiglu = swiglu
    _rope.__call__ = rotated
    try:
        yield
    finally:
        llama.scaled_dot_product_attention, llama.swiglu = kept
        _rope.__call__ = _rotated_in_order
