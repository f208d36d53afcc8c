"""The default model as one GGUF file, for llama.cpp and its kin: float32, as it is served here.

What the file says of architecture and tokenizer is taken over from the base model's own file; the
call tags take the places of the entries that they took over, and are shown when decoded.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.models.base import TAGS

if TYPE_CHECKING:
    import numpy as np

_USER_DEFINED = 4
_TOKENS, _KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_TEMPLATE = "tokenizer.chat_template"
_LEFT = ("GGUF.", "general.", _TEMPLATE)


def write_gguf(file: Path, model: Path, base: Path) -> None:
    """Write the model in the folder `model` (float32) as `file`, after the base model's GGUF."""
    import gguf
    from safetensors.numpy import load_file

    reader = gguf.GGUFReader(base)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    writer = gguf.GGUFWriter(str(file), fields["general.architecture"])
    writer.add_name(model.name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, field in reader.fields.items():
        if not name.startswith(_LEFT):
            _copy(writer, name, field, _changed(name, fields))
    writer.add_chat_template((model / "chat_template.jinja").read_text(encoding="utf-8"))
    heads = {
        "q_proj": fields["llama.attention.head_count"],
        "k_proj": fields["llama.attention.head_count_kv"],
    }
    for name, values in load_file(str(model / "model.safetensors")).items():
        part = name.split(".")[-2]
        writer.add_tensor(
            tensor_name(name), permute(values, heads[part]) if part in heads else values
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy(writer: Any, name: str, field: Any, value: Any) -> None:
    inner = field.types[1] if len(field.types) > 1 else None
    writer.add_key_value(name, value, field.types[0], sub_type=inner)


def _changed(name: str, fields: dict[str, Any]) -> Any:
    tokens = fields[_TOKENS]
    if name == _TOKENS:
        return [TAGS.get(token, token) for token in tokens]
    if name == _KINDS:
        kinds = zip(tokens, fields[_KINDS], strict=True)
        return [_USER_DEFINED if token in TAGS else kind for token, kind in kinds]
    return fields[name]


def tensor_name(name: str) -> str:
    """GGUF's name of an array of a Llama or Qwen2 model."""
    *outer, part, what = name.removeprefix("model.").split(".")
    if not outer:
        return f"{_OUTER[part]}.{what}"
    return f"blk.{outer[1]}.{_PARTS[part]}.{what}"


_OUTER = {"embed_tokens": "token_embd", "norm": "output_norm"}
_PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def permute(values: "np.ndarray", heads: int) -> "np.ndarray":
    """The row order that llama.cpp gives to query and key projections for its RoPE."""
    import numpy as np

    rows, columns = values.shape
    split = values.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows, columns))
