"""Evidence: how an engine gives up what the model wrote, beside what its parser made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Evidence:
    """A way to the generated token ids, or to the raw text, of a plain response.

    `body` is what a request must ask for; `ids` and `text` read the response, and give None where
    it has none.
    """

    name: str
    doc: str
    body: Mapping[str, Any] = field(default_factory=dict)
    ids: Callable[[Mapping[str, Any]], Ids | None] = lambda completion: None
    text: Callable[[Mapping[str, Any]], str | None] = lambda completion: None


def _choice(completion: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _whole(values: object) -> Ids | None:
    """Only if every one is an id: with some missing, they would tell of another text."""
    if not isinstance(values, list) or not values:
        return None
    return tuple(values) if all(type(value) is int for value in values) else None


def _of_logprobs(completion: Mapping[str, Any]) -> Ids | None:
    logprobs = _choice(completion).get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    return _whole([entry.get("id") if isinstance(entry, dict) else None for entry in content])


def _verbose(completion: Mapping[str, Any]) -> Mapping[str, Any]:
    found = completion.get("__verbose")
    return found if isinstance(found, dict) else {}


def _of_verbose(completion: Mapping[str, Any]) -> Ids | None:
    return _whole(_verbose(completion).get("tokens"))


def _text_of_verbose(completion: Mapping[str, Any]) -> str | None:
    content = _verbose(completion).get("content")
    return content if isinstance(content, str) else None


def _of_token_ids(completion: Mapping[str, Any]) -> Ids | None:
    choice = _choice(completion)
    provider = choice.get("provider_specific_fields")
    inner = provider.get("token_ids") if isinstance(provider, dict) else None
    return _whole(choice.get("token_ids") or inner)


LOGPROBS = Evidence(
    "logprobs",
    "ids: `logprobs: true` returns the id of every generated token",
    {"logprobs": True},
    _of_logprobs,
)
VERBOSE = Evidence(
    "verbose",
    "ids and raw text: `verbose: true, return_tokens: true`; its logprobs lose tokens inside a "
    "character",
    {"verbose": True, "return_tokens": True},
    _of_verbose,
    _text_of_verbose,
)
TOKEN_IDS = Evidence(
    "token_ids",
    "ids: `return_token_ids: true`",
    {"return_token_ids": True},
    _of_token_ids,
)
NONE = Evidence("none", "none: what is lost behind the model cannot be told from a miss")
EVIDENCE = (LOGPROBS, VERBOSE, TOKEN_IDS, NONE)
