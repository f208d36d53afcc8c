"""What is here: engines that would run, and whether a model is fit for tool calling."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.case import Tool
from evals.engines.engine import Engine
from evals.engines.environment import home_of, installed
from evals.engines.folder import check_gguf, check_model
from evals.engines.registry import ENGINES
from evals.errors import ModelError
from evals.formats.registry import syntax
from evals.lanes.tokens import load_tokenizer, render
from evals.probing.finding import Finding, passes
from evals.request import tool_schema

_TOOL = Tool(name="probe_tool_name", description="A tool.")


def engine_findings(cache: Path) -> Iterator[Finding]:
    """Of each kind of server: whether it would start here, and what brings it.

    `cache` has the engines' own environments.
    """
    for engine in ENGINES:
        there = engine.can_boot(home_of(engine, cache))
        yield Finding(engine.name, "pass" if there else "cannot tell", _about(engine, cache))


def _about(engine: Engine, cache: Path) -> str:
    seen = f"run {engine.seen}: {engine.seen_version}" if engine.seen_version else engine.seen
    if engine.can_boot(home := home_of(engine, cache)):
        where = f" in {home}" if home else ""
        version = installed(engine, cache) or ""
        return f"{engine.title} {version} is installed{where}; {seen}".replace("  ", " ")
    if engine.command is None:
        return f"attach only; {seen}; {engine.install or 'give its url'}"
    own = f"`evals engine install {engine.name}`, or " if engine.pins else ""
    return f"not installed: {own}{engine.install}; {seen}"


def model_findings(model: Path) -> Iterator[Finding]:
    """Whether the model in a folder or GGUF file is whole, and what it does with tools."""
    if model.is_file() or model.suffix == ".gguf":
        yield from _gguf_findings(model)
        return
    try:
        check_model(model)
        tokenizer = load_tokenizer(model)
    except ModelError as error:
        yield Finding("weights and tokenizer", "fail", str(error))
        return
    yield Finding("weights and tokenizer", "pass", str(model))
    yield from _parser_findings(tokenizer)
    yield _rendered(tokenizer)


def _parser_findings(tokenizer: Any) -> Iterator[Finding]:
    """What mlx_lm.server infers from the template, and the tags of it as tokens."""
    function = getattr(tokenizer, "tool_parser", None)
    parser = str(getattr(function, "__module__", "")).rpartition(".")[2]
    inferred = bool(getattr(tokenizer, "has_tool_calling", False)) and bool(parser)
    yield passes(
        "tool parser of mlx_lm.server",
        inferred,
        parser if inferred else "none is inferred from the chat template: calls stay text",
    )
    if not inferred:
        return
    for tag in (tokenizer.tool_call_start, tokenizer.tool_call_end):
        if not tag:
            continue
        ids = tokenizer.encode(tag, add_special_tokens=False)
        whole = tokenizer.decode(ids) == tag
        yield passes(f"tag {tag!r}", whole, f"{len(ids)} tokens: {ids}")


def _rendered(tokenizer: Any) -> Finding:
    name = "tools reach the prompt"
    request = {"messages": [{"role": "user", "content": "Hello"}], "tools": [tool_schema(_TOOL)]}
    try:
        text = str(tokenizer.decode(render(tokenizer, request)))
    except ValueError as error:
        return Finding(name, "fail", str(error))
    return passes(name, _TOOL.name in text, "by its own chat template")


def _gguf_findings(file: Path) -> Iterator[Finding]:
    try:
        check_gguf(file)
        fields = _gguf_fields(file)
    except (ModelError, ValueError, OSError, IndexError) as error:
        yield Finding("weights and tokenizer", "fail", str(error))
        return
    architecture = str(fields.get("general.architecture", "unknown"))
    yield Finding("weights and tokenizer", "pass", f"{file}, {architecture}")
    template = str(fields.get("tokenizer.chat_template", ""))
    yield passes("chat template", bool(template), f"{len(template)} characters")
    yield passes("tools reach the prompt", "tools" in template, "the template names `tools`")
    tokens = set(fields.get("tokenizer.ggml.tokens", ()))
    for tag in [mark for mark in syntax().markup if mark in template]:
        yield Finding(f"tag {tag!r}", "pass", "one token" if tag in tokens else "several tokens")


def _gguf_fields(file: Path) -> dict[str, Any]:
    import gguf

    reader = gguf.GGUFReader(file)
    # A file that was cut off has fewer bytes than its tensors need.
    for tensor in reader.tensors:
        if tensor.data_offset + tensor.n_bytes > file.stat().st_size:
            raise ModelError(f"{file} is cut off within {tensor.name}; fetch or build it again")
    return {name: field.contents() for name, field in reader.fields.items()}
