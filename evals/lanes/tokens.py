"""The model's own tokenizer and template, for raw text and for the prompt as it should be."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.errors import ModelError

Decode = Callable[[Sequence[int]], str | None]
"""Generated token ids, with the end token or without, to the text of the model.

None where an id is none of the tokenizer's: such ids are no evidence of anything.
"""


class TemplateError(ValueError):
    """The chat template rejects a request, or breaks on it; the message has its words."""


def load_tokenizer(model: Path | str) -> Any:
    """The tokenizer of a model folder or hub name, as mlx_lm.server loads it; takes seconds.

    Raises:
        ModelError: there is none, or it cannot be loaded.
    """
    from mlx_lm import utils

    load: Any = utils.load_tokenizer
    try:
        config = Path(model) / "config.json"
        ends = json.loads(config.read_text()).get("eos_token_id") if config.exists() else None
        return load(Path(model) if config.exists() else str(model), eos_token_ids=ends)
    except Exception as error:  # whatever transformers and the hub client raise
        raise ModelError(f"the tokenizer of {model} cannot be loaded: {error}") from error


def decoder(tokenizer: Any) -> Decode:
    """A `Decode` that keeps special tokens as text and leaves out one end token at the end."""
    ends = frozenset(tokenizer.eos_token_ids)
    highest = max(tokenizer.get_vocab().values())

    def decode(ids: Sequence[int]) -> str | None:
        if not all(0 <= token <= highest for token in ids):
            return None
        kept = list(ids[:-1]) if ids and ids[-1] in ends else list(ids)
        text = tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    return decode


def token_texts(decode: Decode, ids: Sequence[int]) -> tuple[str, ...]:
    """The text of each id, as it reads after the id before it; the end token has none.

    Where a character takes several ids, the text is the last one's, and the others' are empty.
    """
    texts: list[str] = []
    start, before = 0, ""
    for end in range(1, len(ids) + 1):
        text = decode(ids[start:end]) or ""
        # Not whole yet: a character has at most four bytes, and the window one id more.
        if text.endswith("\ufffd") and end < len(ids) and end - start <= 4:
            texts.append("")
            continue
        texts.append(text[len(before) :])
        start, before = end - 1, decode(ids[end - 1 : end]) or ""
    return tuple(texts)


def render(tokenizer: Any, request: Mapping[str, Any]) -> list[int]:
    """The prompt of a request, rendered here: as many ids as the server's `usage.prompt_tokens`.

    It does to the messages what the server does: text parts joined, null content emptied, and
    arguments of earlier calls given to the template as values.

    Raises:
        ValueError: the messages are not usable, or the template refuses them.
    """
    return [int(token) for token in _apply_template(tokenizer, request, tokenize=True)]


def render_text(tokenizer: Any, request: Mapping[str, Any]) -> str:
    """The prompt of a request as text, special tokens included.

    Raises:
        ValueError: as of `render`.
    """
    return str(_apply_template(tokenizer, request, tokenize=False))


def _apply_template(tokenizer: Any, request: Mapping[str, Any], *, tokenize: bool) -> Any:
    try:
        messages = [_for_template(message) for message in request["messages"]]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"a message has no form that a template takes: {error!r}") from error
    try:
        return tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tools=copy.deepcopy(request.get("tools")),
            tokenize=tokenize,
            **request.get("chat_template_kwargs", {}),
        )
    except Exception as error:  # a template can raise anything
        raise TemplateError(f"the chat template fails: {error}") from error


def _for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(dict(message))
    content = result.get("content")
    if isinstance(content, list):
        result["content"] = "".join(part["text"] for part in content)
    elif content is None:
        result["content"] = ""
    for call in result.get("tool_calls") or ():
        function = call.get("function") or {}
        arguments = function.get("arguments")
        if arguments and isinstance(arguments, str):
            function["arguments"] = json.loads(arguments)
    return result
