"""A package in another version beside this environment: only what differs, in a folder of its own.

The folder goes in front of this environment's packages (`PYTHONPATH`). uv resolves what the version
asks for; what is here and allowed stays as it is. Folders are kept in the cache by their content.
"""

import datetime
import hashlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from evals.engines.uv import uv
from evals.models.cache import build_once

PIPELINE = (
    *("mlx", "mlx-cpu", "mlx-lm", "transformers", "tokenizers", "huggingface-hub"),
    *("openai", "pydantic-ai-slim", "llguidance", "xllamacpp"),
)
"""Packages that a call passes through: an old release may need those of its day beside it."""
_SECONDS = 900.0


@dataclass(frozen=True)
class Overlay:
    """A folder of packages in front of this environment's; `differs` has each with its version."""

    folder: Path
    differs: Mapping[str, str]

    def environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """`base` in which Python finds these packages first, and the shell their commands."""
        found = dict(base)
        for name, path in (("PYTHONPATH", self.folder), ("PATH", self.folder / "bin")):
            found[name] = os.pathsep.join(p for p in (str(path), base.get(name, "")) if p)
        return found


def overlay(
    pins: Mapping[str, str], cache_folder: Path, of_day: datetime.date | None = None
) -> Overlay:
    """The packages that `pins` name in these versions, with what they ask for, installed once.

    With `of_day` the other packages of the pipeline are as they were that day; without, everything
    that is here and allowed stays.

    Raises:
        CannotInstallError: nothing goes together with these versions, or one has no wheel for here.
        HarnessError: the index does not answer, or the disk is full: no fault of the versions.
        ConfigError: uv is not installed.
    """
    here = installed_here()
    wanted = _resolved(pins, here, of_day)
    differs = {name: version for name, version in wanted.items() if here.get(name) != version}
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(differs.items()))
    content = f"{sys.implementation.cache_tag} {sys.platform}\n{lines}"
    folder = cache_folder / "overlays" / hashlib.sha256(content.encode()).hexdigest()[:16]

    def install(partial: Path) -> None:
        partial.mkdir()
        if differs:
            with tempfile.TemporaryDirectory() as place:
                file = Path(place) / "pins.txt"
                file.write_text(lines, encoding="utf-8")
                _pip("install", "--no-deps", "--target", str(partial), "-r", str(file))

    return Overlay(build_once(folder, install), differs)


@cache
def installed_here() -> Mapping[str, str]:
    """The packages of this environment, by normal name; this suite is none of them."""
    found: dict[str, str] = {}
    for package in importlib.metadata.distributions():
        name = canonicalize_name(package.metadata["Name"])
        if name != "toolcall-evals":
            found.setdefault(name, package.version)
    return found


def _resolved(
    pins: Mapping[str, str], here: Mapping[str, str], of_day: datetime.date | None
) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as place:
        wanted, preferred = Path(place) / "wanted.in", Path(place) / "preferred.txt"
        wanted.write_text("\n".join(_requirements(pins, here)) + "\n", encoding="utf-8")
        known = (f"{name}=={version}\n" for name, version in sorted(here.items()))
        preferred.write_text("".join(known), encoding="utf-8")
        flags = ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
        for name in PIPELINE if of_day else ():
            if name not in pins:
                flags += ["--exclude-newer-package", f"{name}={of_day}"]
        _pip("compile", *flags, str(wanted), "-o", str(preferred))
        lines = preferred.read_text(encoding="utf-8").splitlines()
    found = (line.partition(" ")[0].partition("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, _, version in found}


def _requirements(pins: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """What uv is asked for: the pins, and as they are here the packages that depend on them.

    On Linux mlx has its library in a package of its own, which comes with an extra.
    """
    extra = "[cpu]" if "mlx-cpu" in here else ""
    lines = [f"{name}{extra if name == 'mlx' else ''}=={v}" for name, v in pins.items()]
    if extra and "mlx" not in pins and pins.keys() & {*PIPELINE}:
        lines.append("mlx[cpu]")
    users = (n for n in PIPELINE if n in here and n not in pins and _needs(n) & pins.keys())
    return lines + [f"{name}=={here[name]}" for name in users if name != "mlx-cpu"]


def _needs(name: str) -> set[str]:
    found = map(Requirement, importlib.metadata.requires(name) or ())
    return {canonicalize_name(r.name) for r in found if "extra" not in str(r.marker)}


def _pip(action: str, *arguments: str) -> None:
    uv("pip", action, "--python", sys.executable, *arguments, seconds=_SECONDS)
