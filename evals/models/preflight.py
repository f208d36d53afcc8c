"""Preflight: a model's weights must be able to say the tags that its server looks for.

Rows of unused vocabulary entries are often nearly equal. A model that was taught to say one of them
says another after quantisation, and the server sees no call at all. The check needs no inference:
the hidden state that asks for a tag most plainly is the tag's own row, and the logits of that state
must be largest at the tag.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def preflight(model: Path, tokenizer: Any) -> Iterator[str]:
    """What is wrong with the call tags of a model folder, a sentence each; nothing if all is well.

    Only tags that are one token are looked at: others are spelled in ordinary tokens, whose rows
    training has kept apart.
    """
    if not getattr(tokenizer, "has_tool_calling", False):
        yield "the server infers no tool parser from the chat template, so it will return no calls"
        return
    tags = [tag for tag in (tokenizer.tool_call_start, tokenizer.tool_call_end) if tag]
    ids = {tag: tokenizer.encode(tag, add_special_tokens=False) for tag in tags}
    output = _output_rows(model)
    for tag, tokens in ids.items():
        if len(tokens) == 1 and output is not None and (rival := _rival(output, tokens[0])):
            other = tokenizer.decode([rival])
            yield f"{tag} cannot win against {other!r}: their rows are too much alike"


def _rival(rows: Any, token: int) -> int | None:
    import mlx.core as mx

    winner: Any = mx.argmax(rows @ rows[token]).item()
    best = int(winner)
    return None if best == token else best


def _output_rows(model: Path) -> Any:
    """The output projection (V, H) as float32, dequantised; None if it has an unusual name."""
    import mlx.core as mx

    weights: dict[str, Any] = {}
    for file in sorted(model.glob("*.safetensors")):
        loaded: Any = mx.load(str(file))
        weights.update(loaded)
    for name in ("lm_head", "model.embed_tokens"):
        rows = weights.get(f"{name}.weight")
        if rows is None:
            continue
        if (scales := weights.get(f"{name}.scales")) is None:
            return rows.astype(mx.float32)
        settings = _quantization(model, name)
        biases = weights.get(f"{name}.biases")
        return mx.dequantize(rows, scales, biases, **settings).astype(mx.float32)
    return None


def _quantization(model: Path, layer: str) -> dict[str, Any]:
    """Group size, bits and mode of a layer: of its own in a mixed model, else those of all."""
    every = json.loads((model / "config.json").read_text())["quantization"]
    own = every.get(layer)
    settings = own if isinstance(own, dict) else every
    return {key: settings[key] for key in ("group_size", "bits", "mode") if key in settings}
