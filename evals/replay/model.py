"""The model file of a replay folder: mlx_lm loads it from there, so it stands alone.

Its KV cache holds the token ids themselves, as keys of one dimension. So it knows the whole text
so far whatever the server does with the cache: batching, left padding, reuse of an earlier prompt.
The text up to the prompt's end holds the script; what follows tells how far it has been played.
"""

import base64
import functools
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.base import BaseModelArgs
from mlx_lm.models.cache import KVCache
from tokenizers import Tokenizer

MARKER = re.compile(r"\[\[replay64:([A-Za-z0-9_=-]*)\]\]")
NO_SCRIPT = "There is no replay script in the prompt."
_NEVER = -1e4


@dataclass
class ModelArgs(BaseModelArgs):
    """What config.json says."""

    model_type: str
    vocab_size: int
    eos_token_id: int
    replay_prompt_end_id: int


@dataclass(frozen=True)
class Script:
    """Token ids to play, seconds before each, and the place at which to raise instead."""

    ids: tuple[int, ...]
    delay: float = 0.0
    fail_at: int | None = None


def read_script(prompt: str, encode: Callable[[str], list[int]], vocabulary: int) -> Script:
    """The last script in `prompt`. Without a usable one, a script that says what is wrong."""
    markers = MARKER.findall(prompt)
    if not markers:
        return Script(tuple(encode(NO_SCRIPT)))
    try:
        data = json.loads(base64.urlsafe_b64decode(markers[-1]))
        ids = encode(data["text"]) if "text" in data else data["ids"]
        if any(type(token) is not int or not 0 <= token < vocabulary for token in ids):
            raise ValueError(f"ids are integers from 0 to {vocabulary - 1}")
        return Script(tuple(ids), float(data.get("delay", 0.0)), data.get("fail_at"))
    except (ValueError, KeyError, TypeError) as error:
        # Raising would end the server's only generation thread, and every later answer with it.
        return Script(tuple(encode(f"The replay script cannot be read: {error!r}")))


class Model(nn.Module):  # type: ignore[name-defined, misc]  # mlx has no full types
    """Logits are 0 for the token that the script has next, and far below for all others."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.args = args
        self.model_type = args.model_type
        self.unused = mx.zeros((1,))  # the loader wants at least one weight
        tokenizer = Tokenizer.from_file(str(Path(__file__).with_name("tokenizer.json")))

        def read(prompt: bytes) -> Script:
            ids = np.frombuffer(prompt, dtype=np.int32).tolist()
            text = tokenizer.decode(ids, skip_special_tokens=False)
            return read_script(
                text, lambda t: tokenizer.encode(t, add_special_tokens=False).ids, args.vocab_size
            )

        self._script = functools.lru_cache(maxsize=256)(read)

    @property
    def layers(self) -> list[Any]:
        """One stand-in; mlx_lm only counts them."""
        return [None]

    def make_cache(self) -> list[Any]:
        """The stock cache of one layer."""
        stock: Any = KVCache
        return [stock()]

    def __call__(self, inputs: Any, cache: Any = None, **_: Any) -> Any:
        """Logits (B, L, V) after each of the `inputs` (B, L)."""
        length = inputs.shape[1]
        rows = [self._play(history, length) for history in _histories(inputs, cache)]
        if delay := max(delay for _, delay in rows):
            time.sleep(delay)
        following = mx.array([ids for ids, _ in rows])[..., None]
        return mx.where(following == mx.arange(self.args.vocab_size), 0.0, _NEVER)

    def _play(self, history: Any, length: int) -> tuple[list[int], float]:
        """The ids after each of the last `length` tokens, and the delay of the very last."""
        eos = self.args.eos_token_id
        ends = np.flatnonzero(history == self.args.replay_prompt_end_id)
        if not len(ends):
            return [eos] * length, 0.0
        start = int(ends[0]) + 1
        script = self._script(history[:start].tobytes())
        last = len(history) - start
        if last == script.fail_at:
            raise RuntimeError(f"the replay script fails at token {last}, as it says")
        places = range(last - length + 1, last + 1)
        ids = [script.ids[i] if 0 <= i < len(script.ids) else eos for i in places]
        # The server is one step ahead of what it sends: it asks once more after the end.
        return ids, script.delay if last <= len(script.ids) else 0.0


def _histories(inputs: Any, cache: Any) -> list[Any]:
    """All token ids so far of each row, without padding on the left."""
    keys = inputs.astype(mx.int32)
    if cache is None:
        return list(np.array(keys))
    keys, _ = cache[0].update_and_fetch(keys[:, None, :, None], keys[:, None, :, None])
    rows = np.array(keys[:, 0, :, 0])
    padding = getattr(cache[0], "left_padding", None)
    starts = padding.tolist() if padding is not None else [0] * len(rows)
    return [row[start:] for row, start in zip(rows, starts, strict=True)]
