"""The copying model as folders and files that any engine loads: a Qwen2 model without any code.

The script stands in the prompt, `distance` tokens before its end, and comes out token by token.
Safetensors are for mlx_lm, vLLM, SGLang and transformers; GGUF is for llama.cpp and its kin.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evals.errors import ModelError, unknown_name
from evals.models.cache import build_once
from evals.replay.build import TEMPLATES, templates
from evals.replay.tokenizer import write_tokenizer
from evals.replay.vocabulary import CUT, ENDS, FULL, PROMPT_END, Vocabulary

GGUF = "model.gguf"
CONTEXT = 32_768
_EPSILON = 1e-6
_MARK = f" + '{PROMPT_END}'"
"""How the templates end a prompt for the replay model with code, which alone needs it."""


@dataclass(frozen=True)
class CopyModel:
    """Which copying model: its chat template, vocabulary and distance."""

    template: str = "qwen3-coder"
    vocabulary: Vocabulary = CUT
    distance: int = 1024
    heads: int = 1
    """All alike; as many as there are ranks that share the model."""

    def folder(self, cache: Path) -> Path:
        """The safetensors folder in the cache, built on first use in seconds.

        Raises:
            ModelError: there is no such template, or the vocabulary cannot be fetched.
        """
        if self.template not in templates():
            raise ModelError(unknown_name("replay template", self.template, templates()))
        return build_once(
            cache / "models" / f"copy-{self._name()}",
            lambda folder: self._write_folder(folder, cache / "downloads"),
        )

    def gguf(self, cache: Path) -> Path:
        """The same model as one GGUF file.

        Raises:
            ModelError: as `folder`.
        """
        source = self.folder(cache)
        folder = build_once(
            cache / "models" / f"copy-gguf-{self._name()}",
            lambda folder: self._write_gguf(folder, source),
        )
        return folder / GGUF

    def _name(self) -> str:
        heads = f"-{self.heads}-heads" if self.heads > 1 else ""
        return f"{self.template}-{self.vocabulary.name}-{self.distance}{heads}-{_digest()}"

    def _write_folder(self, folder: Path, downloads: Path) -> None:
        from evals.replay.copy_weights import copying_weights, write_safetensors

        folder.mkdir(parents=True)
        write_tokenizer(folder, downloads, self.vocabulary)
        (folder / "chat_template.jinja").write_text(chat_template(self.template), encoding="utf-8")
        (folder / "config.json").write_text(json.dumps(self._config(), indent=2))
        weights = copying_weights(self.vocabulary.rows, self.distance, self.heads)
        write_safetensors(folder / "model.safetensors", weights, self._type())

    def _type(self) -> Literal["float32", "bfloat16"]:
        """float32 is the fastest on a CPU; of the full vocabulary it would be 78 MB."""
        return "bfloat16" if self.vocabulary == FULL else "float32"

    def _config(self) -> dict[str, Any]:
        from evals.replay.copy_weights import HIDDEN, THETA

        return {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": HIDDEN * self.heads,
            "intermediate_size": HIDDEN * self.heads,
            "num_hidden_layers": 1,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "hidden_act": "silu",
            "rms_norm_eps": _EPSILON,
            "rope_theta": THETA,
            "max_position_embeddings": CONTEXT,
            "vocab_size": self.vocabulary.rows,
            "tie_word_embeddings": True,
            "eos_token_id": [self.vocabulary.token_id(token) for token in ENDS],
            "torch_dtype": self._type(),
        }

    def _write_gguf(self, folder: Path, source: Path) -> None:
        from evals.replay.copy_gguf import write_gguf
        from evals.replay.copy_weights import copying_weights

        folder.mkdir(parents=True)
        weights = copying_weights(self.vocabulary.rows, self.distance)
        write_gguf(folder / GGUF, source, weights, self.vocabulary)


def chat_template(name: str) -> str:
    """The replay template of this name, for a model that needs no mark at the prompt's end."""
    text = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    if _MARK not in text:
        raise ModelError(f"replay template {name} does not end its prompts with {PROMPT_END}")
    return text.replace(_MARK, "")


def _digest() -> str:
    """Of all that decides the content, so that a change makes a new folder."""
    names = ("copy_weights", "copy_model", "copy_gguf", "tokenizer", "vocabulary")
    files = [Path(__file__).with_name(f"{name}.py") for name in names]
    files += sorted(TEMPLATES.glob("*.jinja"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
