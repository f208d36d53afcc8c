"""Replay folders: everything that the stock server needs to play scripts, about 8 MB."""

import hashlib
import json
import shutil
from pathlib import Path

from evals.errors import ModelError
from evals.models.cache import build_once
from evals.replay.tokenizer import write_tokenizer
from evals.replay.vocabulary import END, FULL, PROMPT_END

TEMPLATES = Path(__file__).with_name("templates")
ARGUMENTS = ("--trust-remote-code",)
"""What the server must be told to load the folder's own model file."""
_MODEL_FILE = Path(__file__).with_name("model.py")


def templates() -> list[str]:
    """The names of the chat templates: one for each call format."""
    return sorted(path.stem for path in TEMPLATES.glob("*.jinja"))


def build_replay(
    folder: Path, downloads: Path, *, template: str = "qwen3-coder", parser: str | None = None
) -> None:
    """Write a replay model into `folder`; `downloads` keeps the vocabulary's source.

    The server infers its tool parser from the template; `parser` names another of its parsers.

    Raises:
        ModelError: there is no such template, or the vocabulary cannot be fetched.
    """
    source = TEMPLATES / f"{template}.jinja"
    if template not in templates():
        raise ModelError(
            f"unknown replay template {template!r} (choose from {', '.join(templates())})"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, downloads)
    config = {
        "model_type": "replay",
        "model_file": "replay_model.py",
        "vocab_size": FULL.rows,
        "eos_token_id": FULL.token_id(END),
        "replay_prompt_end_id": FULL.token_id(PROMPT_END),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    shutil.copyfile(_MODEL_FILE, folder / "replay_model.py")
    shutil.copyfile(source, folder / "chat_template.jinja")
    if parser is not None:
        _set_parser(folder / "tokenizer_config.json", parser)
    _write_weights(folder / "model.safetensors")


def cached_replay(cache: Path, *, template: str = "qwen3-coder", parser: str | None = None) -> Path:
    """The replay folder in the cache, built on first use; it is ready for `boot(…, ARGUMENTS)`.

    Raises:
        ModelError: as `build_replay`.
    """
    name = "-".join(["replay", template, *([parser] if parser else []), _digest()])
    return build_once(
        cache / "models" / name,
        lambda folder: build_replay(folder, cache / "downloads", template=template, parser=parser),
    )


def _digest() -> str:
    """Of all that decides the content, so that a change makes a new folder."""
    files = [*sorted(Path(__file__).parent.glob("*.py")), *sorted(TEMPLATES.glob("*.jinja"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _set_parser(file: Path, parser: str) -> None:
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "tool_parser_type": parser}, indent=2))


def _write_weights(file: Path) -> None:
    """One array of one zero, as a safetensors file."""
    entry = {"unused": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    header = json.dumps({"__metadata__": {"format": "mlx"}, **entry}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
