"""uv, which installs packages: engines into environments of their own, versions into overlays."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from evals.errors import ConfigError, HarnessError

_PYPI = "https://pypi.org/simple"
_SETTINGS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_NOT_THEIR_FAULT = (
    *("No space left on device", "os error 28"),
    *("error sending request", "timed out", "Failed to fetch", "dns error", "Connection refused"),
)
"""What uv says where the disk or the index is at fault, and no package."""


class CannotInstallError(Exception):
    """Packages do not go together, or have no wheel for here; the message says why, in one line."""


def uv(*arguments: str, seconds: float) -> None:
    """Run uv, for `seconds` at the longest; it looks where pip does.

    Raises:
        CannotInstallError: what is asked for does not go together.
        HarnessError: the index does not answer, or the disk is full: no fault of the packages.
        ConfigError: uv is not installed.
    """
    command = [_program(), "--quiet", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=uv_environment(), timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise HarnessError(
            f"uv did not end within {seconds:g} s; the package index may be slow"
        ) from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"uv ended with exit code {done.returncode}"
        if any(words in said for words in _NOT_THEIR_FAULT):
            raise HarnessError(f"uv could not install: {said[:600]}")
        raise CannotInstallError(said.partition(" hint: ")[0].removeprefix("error: ")[:600])


def _program() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise ConfigError(
            "uv, which installs packages, is not here: pip install 'toolcall-evals[versions]'"
        )
    return found


def uv_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`environment` with which uv looks where pip does."""
    found = {"UV_DEFAULT_INDEX": index_url(environment)}
    for ours, pips in (("UV_FIND_LINKS", "PIP_FIND_LINKS"), ("SSL_CERT_FILE", "PIP_CERT")):
        if environment.get(pips):
            found[ours] = environment[pips]
    return {**found, **environment}


def index_url(environment: Mapping[str, str] = os.environ) -> str:
    """The package index that uv and pip are set to: by the environment, else pip's own settings."""
    for name in _SETTINGS:
        if environment.get(name):
            return environment[name].rstrip("/")
    return (_pip_index() or _PYPI).rstrip("/")


@cache
def _pip_index() -> str:
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""
