"""Prompts of the copying model: rendered here, or asked of the engine that renders them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.replay.layout import Player
from evals.replay.tokenizer import fetch_ranks
from evals.replay.vocabulary import FULL

Post = Callable[[str, Mapping[str, Any]], Any]
"""POST a body to a path of the server's root, such as `/tokenize`; the JSON that comes back."""


def player_of(folder: Path, downloads: Path, distance: int) -> Player:
    """How to play scripts on the copying model in `folder`, with prompts rendered on this machine.

    `downloads` keeps the vocabulary, by which ids in scripts are read.
    """
    encode = encoder(folder)
    template = _template(folder)
    return Player(
        distance=distance,
        encode=encode,
        render=lambda body: encode(template(body)),
        text_of=lambda ids: text_of(ids, downloads),
    )


def encoder(folder: Path) -> Callable[[str], list[int]]:
    """The ids of a text, special tokens in it included, by the tokenizer of a model folder."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def rendered_by_vllm(post: Post) -> Callable[[Mapping[str, Any]], list[int]]:
    """VLLM tells a prompt's ids at /tokenize."""
    keys = ("model", "messages", "tools", "chat_template_kwargs")

    def render(body: Mapping[str, Any]) -> list[int]:
        asked = {key: body[key] for key in keys if key in body}
        return list(post("/tokenize", {**asked, "add_generation_prompt": True})["tokens"])

    return render


def rendered_by_llama_cpp(
    post: Post, encode: Callable[[str], list[int]]
) -> Callable[[Mapping[str, Any]], list[int]]:
    """llama.cpp tells a prompt's text at /apply-template."""
    keys = ("messages", "tools", "tool_choice", "chat_template_kwargs")

    def render(body: Mapping[str, Any]) -> list[int]:
        asked = {key: body[key] for key in keys if key in body}
        return encode(post("/apply-template", asked)["prompt"])

    return render


def _template(folder: Path) -> Callable[[Mapping[str, Any]], str]:
    import jinja2.sandbox  # no cheap import, and settings are read by every command

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    # As transformers does: jinja's own writes < and > as escapes.
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    template = environment.from_string((folder / "chat_template.jinja").read_text(encoding="utf-8"))

    def render(body: Mapping[str, Any]) -> str:
        return template.render(
            messages=[_for_template(message) for message in body["messages"]],
            tools=body.get("tools"),
            add_generation_prompt=True,
            **body.get("chat_template_kwargs", {}),
        )

    return render


def _for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    """Text parts joined, and the arguments of earlier calls as values: as servers do it."""
    result = json.loads(json.dumps(message))
    if isinstance(content := result.get("content"), list):
        result["content"] = "".join(part["text"] for part in content)
    for call in result.get("tool_calls") or ():
        arguments = call["function"].get("arguments")
        if isinstance(arguments, str):
            call["function"]["arguments"] = json.loads(arguments or "{}")
    return dict(result)


def text_of(ids: Sequence[int], downloads: Path) -> str:
    """The text of ids of Qwen3's own vocabulary.

    Raises:
        ValueError: an id that the vocabulary does not have, or bytes that are no UTF-8.
    """
    tokens = {rank: token for token, rank in fetch_ranks(downloads).items()}
    tokens.update((number, token.encode()) for number, token, _ in FULL.added())
    if unknown := [number for number in ids if number not in tokens]:
        raise ValueError(f"ids without a token: {unknown}")
    return b"".join(tokens[number] for number in ids).decode()
