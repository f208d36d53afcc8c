"""Start `mlx_lm.server` with a parser of this package; neither it nor the model folder is changed.

    python -m evals.parsers.launcher --parser adaptive_xml -- --model PATH --port 8080

`--parser` is `adaptive_xml`, or the name of one of mlx_lm's own parsers (`qwen3_coder`,
`json_tools`, …), which is then used whatever the chat template looks like. All behind `--` goes to
the server. With `--grammar LOG` answers are constrained, too: see `evals.parsers.constraint`; with
`--accepted LOG` it notes what a draft model wrote: see `evals.parsers.accepted`. For
its own parser it does three things, all before the server starts:

1. It registers a module under `mlx_lm.tool_parsers`, whose start and end are marks of its own.
2. It sets `tool_parser_type` for every model that the server loads.
3. It wraps `ResponseGenerator.generate`: the parser reads the text of each response on its way
   from the model to the server, and puts the two marks where it has found a call. The server finds
   calls by these marks alone, and its own code makes the response.

So text around calls stays text, and a value may hold anything: the server never sees the model's
own tags. Token ids, counts and log probabilities are untouched. A token whose text is held back
waits for the next one, so that the last piece of text has a token to travel with.
"""

import argparse
import importlib
import secrets
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.errors import unknown_name
from evals.parsers import accepted, constraint
from evals.parsers.adaptive_xml import AdaptiveXmlParser, declared_tools
from evals.parsers.events import Content, ParserEvent, as_call
from evals.parsers.names import OWN, parser_names

# Characters of the private use area, drawn at each start: no text of a model holds them by accident
# or on purpose, and no stop word of a request is a part of them.
START = "".join(chr(0xE000 + secrets.randbelow(0x1900)) for _ in range(8))
END = START[::-1]


class Delivery:
    """The way of one response's calls from the parser to the server's formatter."""

    def __init__(self) -> None:
        self._calls: deque[dict[str, Any]] = deque()

    def text(self, events: Iterable[ParserEvent]) -> str:
        """Text for the server: content as it is, each call as a pair of marks."""
        parts = []
        for event in events:
            if isinstance(event, Content):
                parts.append(event.text)
            else:
                self._calls.append(as_call(event))
                parts.append(START + END)
        return "".join(parts)

    def next_call(self, _text: str, _tools: Any) -> dict[str, Any]:
        """The call that the next pair of marks stands for; a tool parser for the server."""
        if not self._calls:
            raise ValueError("the text has marks of a call that the parser did not find")
        return self._calls.popleft()


def rewritten(
    responses: Iterable[Any], parser: AdaptiveXmlParser, delivery: Delivery
) -> Iterator[Any]:
    """The server's responses, one per token, with their text read by `parser`.

    They are `mlx_lm.server.Response`; only `text` and `finish_reason` are looked at.
    """
    held = None
    for response in responses:
        if response.finish_reason == "stop":
            # The server drops the text of this response: what is left goes with the one before.
            tail = delivery.text(parser.finish())
            if held is not None:
                yield replace(held, text=held.text + tail)
            held = response
            continue
        events = parser.feed(response.text)
        if response.finish_reason is not None:
            events = [*events, *parser.finish(cut=True)]
        if held is not None:
            yield held
        held = replace(response, text=delivery.text(events))
        if not parser.pending:
            yield held
            held = None
    if held is not None:
        yield held


def install(name: str) -> None:
    """Make every model that this process's server loads use the parser `name`.

    Raises:
        ValueError: there is no such parser; the message says which there are.

    """
    from mlx_lm import server

    if name in OWN:
        _register(name)
        _wrap_generate(server.ResponseGenerator)
    elif name not in (known := parser_names()[1:]):
        raise ValueError(f"--parser: {unknown_name('parser', name, known)}")
    _set_type(server.ModelProvider, name)


def _register(name: str) -> None:
    module: Any = types.ModuleType(f"mlx_lm.tool_parsers.{name}")
    module.tool_call_start, module.tool_call_end = START, END
    module.parse_tool_call = importlib.import_module(f"evals.parsers.{name}").parse_tool_call
    sys.modules[module.__name__] = module


def _set_type(provider: Any, name: str) -> None:
    original = provider.__init__

    def initialise(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        self._tokenizer_config["tool_parser_type"] = name

    provider.__init__ = initialise


def _wrap_generate(generator: Any) -> None:
    original = generator.generate

    def generate(self: Any, request: Any, *arguments: Any, **options: Any) -> tuple[Any, Any]:
        context, responses = original(self, request, *arguments, **options)
        if request.request_type != "chat":
            return context, responses
        delivery = Delivery()
        context.tool_parser = delivery.next_call
        thinking = context.initial_state == "reasoning"
        parser = AdaptiveXmlParser(declared_tools(request.tools), thinking=thinking)
        return context, rewritten(responses, parser, delivery)

    generator.generate = generate


def main(arguments: Sequence[str] | None = None) -> None:
    """The command: see the module."""
    command = argparse.ArgumentParser(
        prog="python -m evals.parsers.launcher",
        description="Start mlx_lm.server with another tool parser.",
    )
    command.add_argument("--parser", help="adaptive_xml, or one of mlx_lm's")
    command.add_argument("--grammar", type=Path, metavar="LOG", help="constrain; counts go to LOG")
    command.add_argument(
        "--accepted", type=Path, metavar="LOG", help="note a draft's tokens in LOG"
    )
    command.add_argument("server", nargs="*", metavar="-- ARGUMENT", help="of mlx_lm.server")
    options = command.parse_args(arguments)
    try:
        if options.parser:
            install(options.parser)
    except ValueError as error:
        command.error(str(error))
    if options.grammar:
        constraint.install(options.grammar)
    if options.accepted:
        accepted.install(options.accepted)
    server: Any = importlib.import_module("mlx_lm.server")
    sys.argv = ["mlx_lm.server", *options.server]
    grammar = ", grammar" if options.grammar else ""
    print(f"tool parser: {options.parser or 'stock'}{grammar}", file=sys.stderr, flush=True)
    server.main()


if __name__ == "__main__":
    main()
