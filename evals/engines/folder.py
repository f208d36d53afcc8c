"""Model folders: found to be complete before a server spends a minute on a broken one."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from evals.errors import ModelError

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json")
_REMEDY = "build it again (`evals model build`) or give another model"


def is_hub_name(model: Path | str) -> bool:
    """Whether `model` is the text `organisation/name`, and no folder here; a Path never is."""
    if isinstance(model, Path) or model.count("/") != 1 or model[0] in "./~":
        return False
    return not Path(model).parent.exists()  # else it is a misspelt folder


def check_model(folder: Path) -> None:
    """Make sure that `folder` has a readable config, complete weights and a tokenizer.

    Raises:
        ModelError: it is missing or half built; the message names the file.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise ModelError(f"model folder {folder} {what}; {_REMEDY}")
    _read_json(folder / "config.json")
    weights = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.exists():
        named = set(_read_json(index).get("weight_map", {}).values())
        weights = sorted({*weights, *(folder / name for name in named)})
    if not weights:
        raise ModelError(f"model folder {folder} has no *.safetensors; {_REMEDY}")
    for file in weights:
        _check_weights(file)
    if not any((folder / name).exists() for name in _TOKENIZERS):
        raise ModelError(f"model folder {folder} has no {_TOKENIZERS[0]}; {_REMEDY}")
    if (tokenizer := folder / "tokenizer.json").exists():
        found = tokenizer.stat()
        _check_json(tokenizer, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=16)
def _check_json(file: Path, _size: int, _changed: int) -> None:
    """Read a file that is the same as before no more: a tokenizer costs 30 MB at each restart."""
    _read_json(file)


def check_gguf(file: Path) -> None:
    """Make sure that `file` begins as a GGUF file does.

    Raises:
        ModelError: it is missing, or another kind of file.
    """
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise ModelError(f"{file} {what}; llama.cpp serves a GGUF file: give its path as model")
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ModelError(f"{file} is no GGUF file; give the path of one as model")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"model folder {file.parent} has no {file.name}; {_REMEDY}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}; {_REMEDY}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} is not a JSON object; {_REMEDY}")
    return content


def _check_weights(file: Path) -> None:
    """Compare the file's size with what its header promises; the arrays are not read."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > size - 8:
                raise ModelError(f"{file} is cut off: {size} bytes; {_REMEDY}")
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
    except FileNotFoundError as error:
        raise ModelError(f"{file} is missing; {_REMEDY}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelError(f"{file} is no safetensors file: {error}; {_REMEDY}") from error
    promised = 8 + length + max(ends, default=0)
    if size != promised:
        raise ModelError(f"{file} is cut off: {size} of {promised} bytes; {_REMEDY}")
