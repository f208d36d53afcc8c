"""The model that is served: base, fused with an adapter, quantised; built once, by content hash.

Folders in the cache are named by a digest of everything that decides their content, so a changed
adapter, template or quantisation is a new folder and never a stale one. A folder appears under
its name only when it is complete.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.errors import ModelError
from evals.models import base
from evals.models.cache import build_once

ADAPTERS = Path(__file__).parents[1] / "training" / "adapters"
DEFAULT_ADAPTER = "reading"
"""The adapter of the default model; the others are what it began with, and for experiments."""
TOOLS = "tools.json"
"""The file beside an adapter that names the tools of its training, apart from its digest."""
GGUF = "model.gguf"
GROUP_SIZE = 32  # weights that share a scale; mlx_lm's own 64 cost this small model cases at 5 bits
QUANTIZATIONS: Mapping[str, Sequence[str]] = {
    "fp16": (),
    **{f"{n}-bit": ("--quantize", "--q-bits", str(n)) for n in (8, 6, 5, 4, 3, 2)},
    **{
        name: ("--quantize", "--quant-predicate", name.replace("-", "_"))
        for name in ("mixed-4-6", "mixed-3-6", "mixed-3-4", "mixed-2-6")
    },
}
"""The names of quantisations, with mlx_lm's options for them; mixed ones keep some layers wider."""


def build_model(
    adapter: Path,
    cache: Path,
    environment: Mapping[str, str],
    *,
    quantization: str = "5-bit",
    dequantized: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """The folder of base + `adapter`, fused to float16 and quantised as one of `QUANTIZATIONS`.

    With `dequantized`, the float32 copy of that model: the same values, in the form that mlx
    computes fast on a CPU. `environment` is that of the child processes.

    Raises:
        ModelError: there is no such quantisation, or a step failed; the message has its output.
    """
    if quantization not in QUANTIZATIONS:
        allowed = ", ".join(QUANTIZATIONS)
        raise ModelError(f"model: unknown quantisation {quantization!r} (choose from {allowed})")
    models, options = cache / "models", QUANTIZATIONS[quantization]
    name = f"{_base_folder(cache).name}-{_adapter_digest(adapter)}"

    def converting(*settings: str) -> Callable[[Path, Path], None]:
        return lambda source, folder: _convert(source, folder, environment, settings)

    steps = [
        _Step(
            models / f"{name}-fp16",
            lambda source, folder: _fuse(source, adapter, folder, environment),
            "fusing the adapter to float16",
        )
    ]
    if options:
        # Scales in float16, as everywhere: mlx_lm would take the base's float32 for them.
        group = ("--q-group-size", str(GROUP_SIZE), "--dtype", "float16")
        short = quantization.replace("-bit", "bit")
        folder = models / f"{name}-{short}-group{GROUP_SIZE}"
        steps.append(_Step(folder, converting(*options, *group), f"quantising: {quantization}"))
    if dequantized:
        to_float32 = (*(["--dequantize"] if options else []), "--dtype", "float32")
        folder = models / f"{steps[-1].folder.name}-float32"
        steps.append(_Step(folder, converting(*to_float32), "writing its float32 copy for the CPU"))
    return _last(steps, lambda: cached_base(cache, say), say)


@dataclass(frozen=True)
class _Step:
    """A folder that is made of the one before it, and how."""

    folder: Path
    make: Callable[[Path, Path], None]
    what: str


def _last(steps: Sequence[_Step], first: Callable[[], Path], say: Callable[[str], None]) -> Path:
    """The folder of the last step. One that is there, handed over maybe, needs none before it."""
    if not steps:
        return first()
    *before, step = steps
    return _once(
        step.folder, lambda folder: step.make(_last(before, first, say), folder), say, step.what
    )


def build_gguf(model: Path, cache: Path, say: Callable[[str], None] = print) -> Path:
    """The GGUF file of a float32 folder that `build_model` made, in the cache."""
    from evals.models.gguf_file import write_gguf

    def make(folder: Path) -> None:
        folder.mkdir()
        write_gguf(folder / GGUF, model, base.fetch_gguf(cache / "downloads"))

    code = _digest(Path(__file__).with_name("gguf_file.py"))
    name = f"{model.name}-gguf-{code}"
    return _once(cache / "models" / name, make, say, "writing its GGUF file") / GGUF


def cached_base(cache: Path, say: Callable[[str], None] = print) -> Path:
    """The base model's folder in the cache; built if need be."""
    return _once(
        _base_folder(cache),
        lambda folder: base.build_base(folder, cache / "downloads"),
        say,
        "fetching and converting the base model",
    )


def _base_folder(cache: Path) -> Path:
    return cache / "models" / f"smollm2-135m-{_digest(Path(base.__file__), base.CHAT_TEMPLATE)}"


def check_weights(model: Path, wanted: str) -> None:
    """Make sure that the weights of a folder are those with the digest `wanted`.

    Raises:
        ModelError: they are others.
    """
    if (found := weights_digest(model)) != wanted:
        raise ModelError(
            f"model: the weights in {model} are {found}, and {wanted} were to be served; remove "
            "that folder, and take the one that was built once for all"
        )


def _once(
    folder: Path, make: Callable[[Path], None], say: Callable[[str], None], what: str
) -> Path:
    return build_once(folder, make, lambda: say(f"model: {what} ({folder.name})"))


def _digest(*files: Path) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:12]


def _fuse(model: Path, adapter: Path, folder: Path, environment: Mapping[str, str]) -> None:
    unrounded = folder.with_name(f"{folder.name}.float32")
    try:
        _mlx_lm(
            "fuse",
            ["--model", model, "--adapter-path", adapter, "--save-path", unrounded],
            environment,
        )
        _convert(unrounded, folder, environment, ["--dtype", "float16"])
    finally:
        shutil.rmtree(unrounded, ignore_errors=True)


def _convert(
    model: Path, folder: Path, environment: Mapping[str, str], options: Sequence[str]
) -> None:
    _mlx_lm("convert", ["--hf-path", model, "--mlx-path", folder, *options], environment)


def _mlx_lm(command: str, options: Sequence[str | Path], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlx_lm", command, *map(str, options)],
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ModelError(
            f"model: mlx_lm {command} failed with exit code {done.returncode}:\n{tail}"
        )


def trained_tools(model: Path) -> tuple[str, ...] | None:
    """The names of the tools that a model built here was trained on; None of any other model."""
    for listed in sorted(ADAPTERS.glob(f"*/{TOOLS}")):
        if f"-{_adapter_digest(listed.parent)}-" in f"{model.name}-":
            return tuple(json.loads(listed.read_text(encoding="utf-8")))
    return None


def _adapter_digest(adapter: Path) -> str:
    return _digest(adapter / "adapters.safetensors", adapter / "adapter_config.json")


def weights_digest(model: Path) -> str:
    """sha256 over the model's weight files, first 16 hex digits; part of a run's fingerprint."""
    whole = hashlib.sha256()
    for file in sorted(model.glob("*.safetensors")):
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()[:16]


def quantization(model: Path) -> str:
    """`5-bit, group 64` or the floating-point type, from the model's config."""
    config = json.loads((model / "config.json").read_text())
    if settings := config.get("quantization"):
        return f"{settings['bits']}-bit, group {settings['group_size']}"
    return str(config.get("torch_dtype") or config.get("dtype") or "unknown")
