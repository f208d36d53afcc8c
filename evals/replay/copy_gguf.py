"""The copying model as a GGUF file."""

import json
from pathlib import Path
from typing import Any

from evals.models.gguf_file import tensor_name
from evals.replay.copy_weights import HIDDEN, THETA, Weights
from evals.replay.vocabulary import END, Vocabulary

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5


def write_gguf(file: Path, folder: Path, weights: Weights, vocabulary: Vocabulary) -> None:
    """Write `weights` with the tokenizer and the chat template of the model in `folder`."""
    import gguf

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(str(file), "qwen2")
    writer.add_name(folder.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(THETA)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, folder, vocabulary)
    for name, values in weights.items():
        writer.add_tensor(tensor_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, folder: Path, vocabulary: Vocabulary) -> None:
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = [f"[unused{i}]" for i in range(vocabulary.rows)]
    kinds = [_UNUSED] * vocabulary.rows
    for token, number in model["vocab"].items():
        tokens[number], kinds[number] = token, _NORMAL
    for number, token, special in vocabulary.added():
        tokens[number], kinds[number] = token, _CONTROL if special else _USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_eos_token_id(vocabulary.token_id(END))
    writer.add_pad_token_id(vocabulary.token_id("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))
