"""The code of mlx_lm.server's HTTP handler without a socket and a model: pieces of text go in.

Marks of calls and thoughts, the parser and the response are the server's own; only the tokens come
from a list. The launcher's parser is put in as the launcher does it.
"""

import contextlib
import importlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from mlx_lm import server
from mlx_lm.generate import make_text_state_machine

from evals.lanes.server import read_response
from evals.lanes.stream import accumulate, read_events
from evals.observation import Observation
from evals.parsers import launcher
from evals.parsers.names import OWN


@dataclass(frozen=True)
class Setting:
    """A parser of `mlx_lm.tool_parsers` or the launcher's, and marks in its models' vocabulary."""

    parser: str
    think: tuple[str, str] | None = ("<think>", "</think>")
    structural: tuple[str, ...] = ()


_OPTIONS = SimpleNamespace(
    num_draft_tokens=0,
    max_tokens=9,
    temp=0.0,
    top_p=1.0,
    top_k=0,
    min_p=0.0,
    allowed_origins=["*"],
)


def respond(
    pieces: Iterable[str],
    tools: Sequence[Any],
    setting: Setting,
    *,
    stream: bool = False,
    thinking: bool = False,
    cut: bool = False,
) -> Observation:
    """What the server makes of a text in these pieces. `cut`: a limit ended it, not the model."""
    body = {
        "messages": [{"role": "user", "content": "?"}],
        "tools": list(tools),
        "stream": stream,
        "max_tokens": 9,
    }
    output = _post(json.dumps(body).encode(), pieces, setting, thinking, cut)
    _, _, answer = output.partition(b"\r\n\r\n")
    return accumulate(read_events([(0.0, answer)])) if stream else read_response(answer, 0.0)


def _post(body: bytes, pieces: Iterable[str], setting: Setting, thinking: bool, cut: bool) -> bytes:
    class Generator:
        cli_args = _OPTIONS

        def generate(self, *_: Any, **__: Any) -> tuple[Any, Iterator[Any]]:
            return _context(setting, thinking), _responses(list(pieces), cut)

    if setting.parser in OWN:
        launcher._wrap_generate(Generator)

    handler: Any = object.__new__(server.APIHandler)
    vars(handler).update(
        created=0,
        system_fingerprint="",
        response_generator=Generator(),
        rfile=io.BytesIO(body),
        wfile=io.BytesIO(),
        headers={"Content-Length": str(len(body))},
        path="/v1/chat/completions",
        request_version="HTTP/1.0",
        requestline="POST",
        client_address=("", 0),
        log_message=lambda *_: None,
    )
    with contextlib.suppress(Exception):  # the real server drops the connection
        handler.do_POST()
    return bytes(handler.wfile.getvalue())


def _context(setting: Setting, thinking: bool) -> Any:
    if setting.parser in OWN:
        launcher._register(setting.parser)
    parser = importlib.import_module(f"mlx_lm.tool_parsers.{setting.parser}")
    start, end = setting.think or (None, None)
    tokenizer = SimpleNamespace(
        has_thinking=setting.think is not None,
        think_start=start,
        think_end=end,
        has_tool_calling=True,
        tool_call_start=parser.tool_call_start,
        tool_call_end=parser.tool_call_end,
        structural_markers=setting.structural,
        response_transitions={},
    )
    return server.GenerationContext(
        has_tool_calling=True,
        has_thinking=tokenizer.has_thinking,
        tool_parser=parser.parse_tool_call,
        text_sm=make_text_state_machine(tokenizer),
        initial_state="reasoning" if thinking else "normal",
        prompt=[0],
        prompt_cache_count=0,
    )


def _responses(pieces: Sequence[str], cut: bool) -> Iterator[Any]:
    for number, piece in enumerate(pieces):
        last = cut and number == len(pieces) - 1
        yield server.Response(piece, number, 0.0, "length" if last else None, ())
    if not cut or not pieces:
        yield server.Response("", len(pieces), 0.0, "length" if cut else "stop", ())


def essence(seen: Observation) -> tuple[Any, ...]:
    """What a user gets of a response; ids of calls are random and left out."""
    calls = [(call.name, call.arguments) for call in seen.calls]
    return calls, seen.content or "", seen.reasoning or "", seen.finish_reason, seen.error
