"""The weights of the copying model: computed, not trained.

One attention head looks exactly `distance` tokens back and copies what it finds. In a Qwen2 model
queries and keys have biases, so they need no input: their projections are zero, the key's bias is
(1, 0) in each pair of rotary dimensions and the query's is (cos Dθ, −sin Dθ). Rotated to their
positions, their product is Σ cos((Δ − D)θ) at a distance of Δ: largest at Δ = D, and enough above
the next for attention to one place alone, in half precision, too. Values are the input itself, so
the last position gets the embedding of the token D places back, eleven times as long as its own.

Embeddings are rows of ±1/√128: signs survive every precision and quantisation as they are, and no
two rows of a vocabulary are near each other.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

Weights = dict[str, np.ndarray[Any, np.dtype[np.float32]]]

HIDDEN = 128
"""Dimensions of each attention head, and of the embedding where there is one."""
THETA = 10_000.0
_SEED = 20261128
_SHARPNESS = 30.0
"""How far the score of the place looked at is above any other: e⁻³⁰ of the attention goes there."""
_NEXT = 1.9
"""How far Σ cos((Δ − D)θ) falls from its largest value to the next place, Δ = D ± 1."""
_LOUDNESS = 4.0
"""Weight of the last norm: with it, sampling at temperature 1 gives the script as well."""


def copying_weights(rows: int, distance: int, heads: int = 1) -> Weights:
    """The arrays of a Qwen2 model of one layer and `rows` tokens, under its own names.

    Each of `heads` copies a part of the embedding, which is as many times as wide.
    """
    layer, width = "model.layers.0", HIDDEN * heads
    ones, zeros = np.ones(width, np.float32), np.zeros((width, width), np.float32)
    identity = np.eye(width, dtype=np.float32)
    query, key = (np.tile(bias, heads) for bias in _biases(distance))
    return {
        "model.embed_tokens.weight": embedding(rows, width),
        "model.norm.weight": ones * np.float32(_LOUDNESS),
        f"{layer}.input_layernorm.weight": ones,
        f"{layer}.post_attention_layernorm.weight": ones,
        f"{layer}.self_attn.q_proj.weight": zeros,
        f"{layer}.self_attn.q_proj.bias": query,
        f"{layer}.self_attn.k_proj.weight": zeros,
        f"{layer}.self_attn.k_proj.bias": key,
        f"{layer}.self_attn.v_proj.weight": identity,
        f"{layer}.self_attn.v_proj.bias": np.zeros(width, np.float32),
        f"{layer}.self_attn.o_proj.weight": identity,
        f"{layer}.mlp.gate_proj.weight": zeros,
        f"{layer}.mlp.up_proj.weight": zeros,
        f"{layer}.mlp.down_proj.weight": zeros,
    }


def embedding(rows: int, width: int = HIDDEN) -> np.ndarray[Any, np.dtype[np.float32]]:
    """`rows` directions of length 1; the same ones on every machine, for they come from bits."""
    bits = np.random.PCG64(_SEED).random_raw(rows * width // 64).astype("<u8")
    signs = np.unpackbits(bits.view(np.uint8)).reshape(rows, width).astype(np.float32)
    result: np.ndarray[Any, np.dtype[np.float32]] = (signs * 2 - 1) / np.float32(width**0.5)
    return result


def _biases(distance: int) -> tuple[Any, Any]:
    """Of query and key; the two halves of a vector are the two dimensions of the rotary pairs."""
    gain = np.sqrt(_SHARPNESS * HIDDEN**0.5 / _NEXT)
    pairs = np.arange(HIDDEN // 2)
    angles = distance * THETA ** (-2.0 * pairs / HIDDEN)
    query = gain * np.concatenate([np.cos(angles), -np.sin(angles)])
    key = gain * np.concatenate([np.ones(len(pairs)), np.zeros(len(pairs))])
    return query.astype(np.float32), key.astype(np.float32)


def write_safetensors(file: Path, weights: Weights, kind: Literal["float32", "bfloat16"]) -> None:
    """Write the arrays as `kind`; bfloat16 is the upper half of a float32, rounded to even."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts, end = [], 0
    for name, values in weights.items():
        content = values.astype("<f4").tobytes() if kind == "float32" else _upper_half(values)
        header[name] = {
            "dtype": "F32" if kind == "float32" else "BF16",
            "shape": list(values.shape),
            "data_offsets": [end, end + len(content)],
        }
        parts.append(content)
        end += len(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *parts]))


def _upper_half(values: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    bits = values.astype("<f4").view("<u4")
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return bytes((rounded >> 16).astype("<u2").tobytes())
