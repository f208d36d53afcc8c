"""Constrained decoding in `mlx_lm.server`: a grammar's mask as a logits processor of each request.

The server has no field for it; `install` wraps three of its functions, before it starts. What was
masked is counted: a grammar that never forbids anything proves nothing. One line per request goes
to the log file, `{"steps": …, "masked": …, "problem": null}`.
"""

import functools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.disk import append_line
from evals.formats.qwen_xml import CALL_CLOSE, CALL_OPEN
from evals.parsers.adaptive_xml import declared_tools
from evals.parsers.grammar import Marks, grammar


@dataclass
class Count:
    """Tokens of one answer that were written under the grammar.

    `masked` are those where the model's likeliest token was forbidden. `problem` says that the
    answer was "not constrained" or only "held loosely", and why.
    """

    steps: int = 0
    masked: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class GrammarCounts:
    """What the grammar of a constrained profile forbade in a run."""

    answers: int
    """Answers that were written under the grammar."""
    steps: int
    """Their tokens."""
    masked: int
    """Tokens where the model's likeliest one was forbidden: without any, the run says nothing."""
    problems: Mapping[str, int]
    """Answers by the reason for which they were not, or only loosely, constrained."""


class Constraint:
    """A logits processor of mlx_lm: forbids what the grammar does not allow next."""

    def __init__(self, matcher: Any, count: Count) -> None:
        self._matcher = matcher
        self._count = count
        self._seen: int | None = None

    def __call__(self, tokens: Any, logits: Any) -> Any:
        """`tokens` (n,): prompt and answer so far; `logits` (1, V) of the next token."""
        import mlx.core as mx
        import numpy as np

        if self._seen is not None and not self._matcher.is_stopped():
            self._matcher.consume_tokens([int(token) for token in tokens[self._seen :].tolist()])
        self._seen = tokens.shape[0]
        if self._matcher.is_stopped() or self._matcher.is_error():
            if self._matcher.is_error() and not self._count.problem:
                reason = self._matcher.get_error().splitlines()[0]
                self._count.problem = f"not constrained to its end: {reason}"
            return logits  # it is asked once more after the last token
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        known = np.unpackbits(bits, bitorder="little")[: logits.shape[-1]].astype(bool)
        # A model may have more rows than its tokenizer has tokens.
        allowed = np.pad(known, (0, logits.shape[-1] - len(known)))
        self._count.steps += 1
        if allowed.all():
            return logits
        self._count.masked += not allowed[int(mx.argmax(logits))]
        return mx.where(mx.array(allowed)[None], logits, -float("inf"))


@dataclass(frozen=True)
class _Wanted:
    """What a request asks of its answer, on its way from the handler to the generating thread."""

    tools: Any
    tool_choice: Any
    one_call: bool
    count: Count


def install(log: Path) -> None:
    """Constrain every chat request with tools of this process's server; counts go to `log`."""
    from mlx_lm import server

    make = functools.lru_cache(maxsize=1)(_vocabulary)  # takes a second
    _carry_choice(server.APIHandler)
    original: Any = server._make_logits_processors

    def processors(arguments: Any) -> list[Any]:
        found = list(original(arguments) or ())
        attached = getattr(arguments, "constrained", None)
        if attached is not None:
            wanted, tokenizer = attached
            thinking = arguments.initial_state == "reasoning"
            constraint = _constraint(wanted, make(tokenizer()), thinking)
            found += [constraint] if constraint else []
        return found

    def write(count: Count) -> None:
        append_line(log, json.dumps(asdict(count)))

    server._make_logits_processors = processors
    _keep_state(server.ResponseGenerator)
    _wrap_generate(server.ResponseGenerator, write)


def read_counts(log: Path) -> GrammarCounts:
    """What a server's log adds up to. Attached servers have none: no answer was constrained."""
    lines = log.read_text().splitlines() if log.exists() else []
    counts = [Count(**json.loads(line)) for line in lines]
    return GrammarCounts(
        answers=len(counts),
        steps=sum(count.steps for count in counts),
        masked=sum(count.masked for count in counts),
        problems=dict(Counter(count.problem for count in counts if count.problem)),
    )


def _carry_choice(handler: Any) -> None:
    original = handler.handle_chat_completions

    def handle(self: Any) -> Any:
        request = original(self)
        request.tool_choice = self.body.get("tool_choice")
        request.one_call = self.body.get("parallel_tool_calls") is False
        return request

    handler.handle_chat_completions = handle


def _keep_state(generator: Any) -> None:
    original = generator._tokenize

    def tokenize(self: Any, tokenizer: Any, request: Any, arguments: Any) -> Any:
        prompt, segments, types, state, vision = original(self, tokenizer, request, arguments)
        arguments.initial_state = state  # "reasoning" where the prompt ends within a thought
        return prompt, segments, types, state, vision

    generator._tokenize = tokenize


def _wrap_generate(generator: Any, write: Callable[[Count], None]) -> None:
    original = generator.generate

    def generate(self: Any, request: Any, generation: Any, *arguments: Any, **options: Any) -> Any:
        if request.request_type != "chat" or not request.tools:
            return original(self, request, generation, *arguments, **options)
        count = Count()
        wanted = _Wanted(request.tools, request.tool_choice, request.one_call, count)
        generation.constrained = (wanted, lambda: self.model_provider.tokenizer)
        context, responses = original(self, request, generation, *arguments, **options)
        return context, _counted(responses, count, write)

    generator.generate = generate


def _counted(responses: Iterable[Any], count: Count, write: Callable[[Count], None]) -> Any:
    try:
        yield from responses
    finally:
        write(count)


def _constraint(
    wanted: _Wanted, vocabulary: tuple[Any, Marks], thinking: bool
) -> Constraint | None:
    """The processor for an answer; None, or a looser one, where the count's problem says why."""
    reason = ""
    for choose in (_no_tools, _unsupported, _all_tools):
        loose: Collection[str] = ()
        try:
            loose = choose(wanted, vocabulary)
            matcher = _matcher(wanted, vocabulary, thinking=thinking, loose=loose)
        except Exception as error:
            # Whatever a request holds: raised here, it would end the server's generating thread.
            reason = reason or _first_line(error)
            continue
        if loose:
            wanted.count.problem = f"held loosely: {', '.join(loose)}: {reason}"
        return Constraint(matcher, wanted.count) if matcher is not None else None
    wanted.count.problem = f"not constrained: {reason}"
    return None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), repr(error))


def _no_tools(wanted: _Wanted, vocabulary: tuple[Any, Marks]) -> Collection[str]:
    return ()


def _all_tools(wanted: _Wanted, vocabulary: tuple[Any, Marks]) -> Collection[str]:
    return [tool.name for tool in declared_tools(wanted.tools)]


def _unsupported(wanted: _Wanted, vocabulary: tuple[Any, Marks]) -> Collection[str]:
    """The tools whose own grammar cannot be made; one of them must not loosen the others."""
    tokenizer, marks = vocabulary
    names = []
    for tool in declared_tools(wanted.tools):
        try:
            lark = grammar([tool], None, marks)
            _prepared(tokenizer, lark or "")
        except Exception:  # as above
            names.append(tool.name)
    return names


def _matcher(
    wanted: _Wanted, vocabulary: tuple[Any, Marks], *, thinking: bool, loose: Collection[str]
) -> Any | None:
    """The matcher of an answer's grammar; None where nothing is to be constrained.

    Raises:
        ValueError: llguidance, or the grammar, cannot hold a schema.
    """
    tokenizer, marks = vocabulary
    lark = grammar(
        declared_tools(wanted.tools),
        wanted.tool_choice,
        marks,
        one_call=wanted.one_call,
        thinking=thinking,
        loose=loose,
    )
    return None if lark is None else _prepared(tokenizer, lark).deep_copy()


@functools.lru_cache(maxsize=128)
def _prepared(tokenizer: Any, lark: str) -> Any:
    """A matcher to copy: twenty tools take 0.4 s to prepare, and a copy takes no time."""
    import llguidance

    compiled = llguidance.LLMatcher.grammar_from_lark(lark)
    matcher = llguidance.LLMatcher(tokenizer, compiled, log_level=0)
    if matcher.is_error():
        raise ValueError(matcher.get_error())
    return matcher


def _vocabulary(tokenizer: Any) -> tuple[Any, Marks]:
    """The tokenizer of mlx_lm as llguidance sees it, and how it spells the tags."""
    import llguidance

    backend = tokenizer._tokenizer.backend_tokenizer
    view = llguidance.LLTokenizer(backend.to_str(), eos_token=sorted(tokenizer.eos_token_ids))

    def mark(text: str | None) -> str:
        ids = tokenizer.encode(text, add_special_tokens=False)
        special = len(ids) == 1 and view.is_special_token(ids[0])
        return f"<[{ids[0]}]>" if special else json.dumps(text)

    thoughts = (tokenizer.think_start, tokenizer.think_end) if tokenizer.has_thinking else ()
    return view, Marks(mark(CALL_OPEN), mark(CALL_CLOSE), *map(mark, thoughts))
