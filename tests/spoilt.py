"""Right responses to be spoilt: what a correct server sends for a raw model text, both ways.

A token of theirs is a character: `decode` gives the raw text back, as a tokenizer would.
"""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scripted_server import Answer, respond

END = 0x110000
Spoil = Callable[["Response"], None]


def decode(ids: Sequence[int]) -> str:
    """The text of these ids; the end token has none."""
    return "".join(chr(i) for i in ids if i != END)


def ids_of(raw: str) -> list[int]:
    """The tokens of a whole answer, with its end."""
    return [*map(ord, raw), END]


class Response:
    """A correct answer to a request: the body of a plain one, and the chunks of a stream.

    A test changes either; `raw_plain` and `raw_stream` take the place of the whole.
    """

    def __init__(
        self,
        raw: str,
        calls: Sequence[tuple[str, str]] = (),
        content: str | None = None,
        reasoning: str | None = None,
        prompt: int = 100,
    ) -> None:
        self.raw, self.content, self.reasoning = raw, content, reasoning
        self.calls = [
            {"id": f"id-{i}", "type": "function", "function": {"name": name, "arguments": text}}
            for i, (name, text) in enumerate(calls)
        ]
        self.finish = "tool_calls" if calls else "stop"
        self.ids = ids_of(raw)
        self.prompt, self.completion = prompt, len(self.ids)
        self.raw_plain: bytes | None = None
        self.raw_stream: bytes | None = None
        self.make()

    def make(self) -> None:
        """The body and the chunks of what there is by now."""
        self.make_plain()
        self.make_chunks()

    @property
    def usage(self) -> dict[str, Any]:
        total = self.prompt + self.completion
        counts = {"prompt_tokens": self.prompt, "completion_tokens": self.completion}
        return {**counts, "total_tokens": total}

    def make_plain(self) -> None:
        self.message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.reasoning:
            self.message["reasoning"] = self.reasoning
        if self.calls:
            self.message["tool_calls"] = copy.deepcopy(self.calls)
        entries = [{"id": i, "token": "", "logprob": 0.0, "top_logprobs": []} for i in self.ids]
        self.choice: dict[str, Any] = {
            "index": 0,
            "message": self.message,
            "logprobs": {"content": entries},
            "finish_reason": self.finish,
        }
        self.plain: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [self.choice],
            "usage": self.usage,
        }

    def make_chunks(self) -> None:
        self.chunks = [self.chunk({"role": "assistant", "content": ""})]
        if self.reasoning:
            self.chunks.append(self.chunk({"reasoning": self.reasoning}))
        if self.content:
            self.chunks.append(self.chunk({"content": self.content}))
        for index, call in enumerate(copy.deepcopy(self.calls)):
            whole = call["function"]["arguments"]
            call["function"]["arguments"] = ""
            self.chunks.append(self.chunk({"tool_calls": [{"index": index, **call}]}))
            half = len(whole) // 2
            for part in (whole[:half], whole[half:]):
                fragment = {"index": index, "function": {"arguments": part}}
                self.chunks.append(self.chunk({"tool_calls": [fragment]}))
        self.last = self.chunk({}, self.finish)
        self.counted = {**self.chunk({}), "choices": [], "usage": self.usage}
        self.chunks += [self.last, self.counted]
        self.done = True

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return {**head, "choices": [choice]}

    def before_last(self, *chunks: dict[str, Any]) -> None:
        """Put chunks before the finish reason."""
        at = next(i for i, chunk in enumerate(self.chunks) if chunk is self.last)
        self.chunks[at:at] = chunks

    def bodies(self) -> list[dict[str, Any]]:
        """The plain body and all chunks."""
        return [self.plain, *self.chunks]

    def choices(self) -> Iterator[dict[str, Any]]:
        """Every choice of them."""
        for body in self.bodies():
            yield from body["choices"]

    def fragments(self) -> Iterator[dict[str, Any]]:
        """The entries of `tool_calls` in the stream."""
        for chunk in self.chunks:
            for choice in chunk["choices"]:
                yield from choice["delta"].get("tool_calls") or ()

    def entries(self) -> Iterator[dict[str, Any]]:
        """Those that begin a call, in both."""
        yield from self.message.get("tool_calls") or ()
        yield from (fragment for fragment in self.fragments() if "name" in fragment["function"])

    def plain_bytes(self) -> bytes:
        return json.dumps(self.plain).encode() if self.raw_plain is None else self.raw_plain

    def stream_bytes(self) -> bytes:
        if self.raw_stream is not None:
            return self.raw_stream
        sent = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in self.chunks)
        return sent + (b"data: [DONE]\n\n" if self.done else b"")


def answering(response: Response, bodies: list[dict[str, Any]]) -> Answer:
    """Answers plain or as a stream, as the latest of `bodies`, the requests, asks for."""

    def answer(handler: Any) -> None:
        streamed = bodies[-1].get("stream")
        kind = "text/event-stream" if streamed else "application/json"
        body = response.stream_bytes() if streamed else response.plain_bytes()
        respond(body, kind=kind)(handler)

    return answer
