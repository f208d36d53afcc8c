"""A draft for speculative decoding: some of a model's own layers, and the same tokenizer."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from evals.errors import ModelError
from evals.models.cache import build_once

_LAYER = re.compile(r"^((?:.+\.)?layers\.)(\d+)(\..+)$")


def shallow(model: Path, layers: int, cache: Path) -> Path:
    """A folder with `layers` of the layers of `model`, made once: its first and its last ones.

    The middle ones change a text the least. Nothing is trained: how much of what such a draft says
    is accepted is measured.

    Raises:
        ModelError: the model has not more layers than that.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    has = int(config.get("num_hidden_layers", 0))
    if not 1 <= layers < has:
        raise ModelError(f"a draft of {layers} layers: {model} has {has}; give fewer, at least 1")
    kept = [*range(layers - layers // 2), *range(has - layers // 2, has)]
    digest = hashlib.sha256(str(model.resolve()).encode()).hexdigest()[:8]
    newest = max(int(file.stat().st_mtime) for file in model.iterdir())
    name = f"{model.name}-{layers}-layers-{digest}-{newest}"
    return build_once(cache / "models" / name, lambda folder: _write(folder, model, kept, config))


def _write(folder: Path, model: Path, kept: list[int], config: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    for file in model.iterdir():
        if file.is_file() and ".safetensors" not in file.name and file.name != "config.json":
            shutil.copyfile(file, folder / file.name)
    fewer = {**config, "num_hidden_layers": len(kept)}
    (folder / "config.json").write_text(json.dumps(fewer, indent=2), encoding="utf-8")
    for file in sorted(model.glob("*.safetensors")):
        _write_some(file, folder / file.name, {old: new for new, old in enumerate(kept)})


def _write_some(source: Path, target: Path, numbers: dict[int, int]) -> None:
    """The arrays outside layers, and those of the layers in `numbers`, under their new numbers."""
    with source.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        head = {"__metadata__": told} if (told := header.pop("__metadata__", None)) else {}
        taken, end = [], 0
        for name, entry in header.items():
            if (renamed := _renamed(name, numbers)) is None:
                continue
            start, stop = entry["data_offsets"]
            head[renamed] = {**entry, "data_offsets": [end, end + stop - start]}
            taken.append((start, stop - start))
            end += stop - start
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        with target.open("wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for start, size in taken:
                file.seek(8 + length + start)
                out.write(file.read(size))


def _renamed(name: str, numbers: dict[int, int]) -> str | None:
    """The array's new name; None for one of a layer that is left out."""
    if (found := _LAYER.match(name)) is None:
        return name
    number = numbers.get(int(found[2]))
    return None if number is None else f"{found[1]}{number}{found[3]}"
