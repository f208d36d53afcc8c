"""What is installed only where it is asked for: extras of the package, and what needs each.

The package alone asks any server that runs and judges its answers. Each extra is one of
`pip install 'toolcall-evals[NAME]'`.
"""

import importlib.util
from dataclasses import dataclass

from evals.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Extra:
    """Packages that one part of the work needs; `modules` are what is imported of them."""

    name: str
    modules: tuple[str, ...]
    doc: str


EXTRAS = (
    Extra("mlx", ("mlx", "mlx_lm", "gguf"), "boot mlx_lm.server, build the default model"),
    Extra("train", ("mlx", "mlx_lm", "rapidfuzz"), "train adapters, audit training data"),
    Extra("grammar", ("mlx_lm", "llguidance"), "let a model write only calls that tools allow"),
    Extra("agent", ("openai", "pydantic_ai"), "lane agent; tools from Python functions"),
    Extra("llama-cpp", ("xllamacpp",), "boot llama.cpp's server"),
    Extra("mcp", ("mcp",), "tools from an MCP server"),
    Extra("ray", ("ray",), "spread a run over the nodes of a Ray cluster: --ray"),
    Extra("versions", ("uv",), "evals bisect, evals matrix, evals engine install"),
)


def need(name: str, what: str) -> None:
    """Make sure that the packages of an extra are there, before `what` begins.

    Raises:
        ConfigError: one is not, with the command that installs it.
    """
    extra = next((extra for extra in EXTRAS if extra.name == name), None)
    if extra is None:
        raise ConfigError(unknown_name("extra", name, [extra.name for extra in EXTRAS]))
    missing = [module for module in extra.modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"{what} needs {', '.join(missing)}, not installed here: "
            f"pip install 'toolcall-evals[{name}]'"
        )
