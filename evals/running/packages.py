"""The packages that a call passes through, each in its version."""

import contextlib
import importlib.metadata

from packaging.utils import canonicalize_name

from evals.engines.registry import engine_named
from evals.engines.server import Server

_PACKAGES = (
    "mlx",
    "mlx-metal",
    "mlx-cpu",
    "mlx-lm",
    "llguidance",
    "openai",
    "pydantic-ai-slim",
    "pytest",
    "transformers",
)


def installed_versions() -> dict[str, str]:
    """The packages that are installed, each with its version: extras may be missing."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def packages_of(server: Server | None) -> dict[str, str]:
    """Versions of what answers; of a server that was not booted here nothing is known.

    An engine of another environment has another version of its package than this one.
    """
    found = installed_versions()
    if server is None:
        return found
    package = engine_named(server.engine).package
    if server.pid is None:
        found = {name: found[name] for name in ("openai", "pydantic-ai-slim") if name in found}
    if package and server.version:
        found[canonicalize_name(package)] = server.version
    return found
