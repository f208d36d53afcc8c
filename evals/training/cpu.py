"""Attention and SwiGLU for training on a CPU, where mlx computes exp one number at a time.

Most of a training step on a CPU went into exp: mlx's CPU backend has no vector form of it, while
sums and products of whole arrays are fast. Here exp is written in those, to float32's precision.
"""

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn

_BLOCK = 128
_ROUND = 1.5 * 2**23  # added and subtracted, it rounds a float32 to the nearest integer


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
    shared = keys.shape[1]
    grouped = (queries * scale).reshape(batch, shared, -1, length, size)
    done = []
    # A block of queries at a time: what comes later is not computed, and the scores fit a cache.
    for start in range(0, length, _BLOCK):
        stop = min(length, start + _BLOCK)
        block = grouped[:, :, :, start:stop].reshape(batch, shared, -1, size)
        scores = (block @ keys[:, :, :stop].swapaxes(-1, -2)).reshape(batch, heads, -1, stop)
        later = mx.triu(mx.full((stop - start, stop), -1e9), k=start + 1)
        weights: mx.array = softmax(scores + later).reshape(batch, shared, -1, stop)
        done.append((weights @ values[:, :, :stop]).reshape(batch, heads, -1, size))
    return mx.concatenate(done, axis=2)


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
    """Within it, mlx_lm's Llama on a CPU computes with this module's functions. No KV cache."""
    if not _on_cpu():
        yield
        return
    llama: Any = importlib.import_module("mlx_lm.models.llama")
    kept = llama.scaled_dot_product_attention, llama.swiglu
    llama.scaled_dot_product_attention, llama.swiglu = attention, swiglu
    try:
        yield
    finally:
        llama.scaled_dot_product_attention, llama.swiglu = kept
