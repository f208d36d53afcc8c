"""How requests to one server are worded: the model's name, the key, what it takes or refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from evals.engines.evidence import LOGPROBS, Evidence
from evals.escaping import without_key
from evals.request import MODEL

T = TypeVar("T")


@dataclass(frozen=True)
class Dialect:
    """What changes of a request on its way to one server; the plain value is mlx_lm's.

    `ends_streams`: whether its streams have `[DONE]` behind the last chunk.
    `key` is sent as a bearer token to this server alone; it is in no text of this value.
    """

    model: str = MODEL
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    omit: tuple[str, ...] = ()
    evidence: Evidence = LOGPROBS
    ends_streams: bool = True
    key: str | None = field(default=None, repr=False)

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request as this server takes it, in its own order; a plain one asks for evidence."""
        evidence = {} if body.get("stream") else self.evidence.body
        worded = {**body, **evidence, **self.extra_body, "model": self.model}
        ours = () if body.get("stream") or "logprobs" in evidence else ("logprobs",)
        return {key: value for key, value in worded.items() if key not in (*self.omit, *ours)}

    def all_headers(self) -> dict[str, str]:
        """The headers of every request, the key among them."""
        bearer = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return {**bearer, **self.headers}

    def without(self, *names: str) -> "Dialect":
        """The same with these keys left out of requests."""
        return replace(self, omit=(*self.omit, *names))

    def hide(self, value: T) -> T:
        """`value` with the key taken out of all its text: a server may repeat it in an error."""
        return _hidden(value, self.key) if self.key else value


def _hidden(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return without_key(value, key)
    if isinstance(value, tuple | list):
        return type(value)(_hidden(item, key) for item in value)
    if isinstance(value, Mapping):
        return {_hidden(name, key): _hidden(item, key) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changes = {f.name: _hidden(getattr(value, f.name), key) for f in fields(value) if f.init}
        return replace(value, **changes)
    return value
