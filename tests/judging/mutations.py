"""Ways of changing a right answer, and the right answers to change.

A `Right` is a response with the model text behind it. Mutations of the response alone leave the
text as it was, as a broken parser or server would; `ALIKE` change both, as a model that is wrong
behind a faithful server; `HARMLESS` change the bytes and not what is said.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.case import Case, ExpectedAnswer
from evals.formats.call_format import Unwritable
from evals.formats.registry import find_format
from evals.json_text import to_text
from evals.loading.case_check import perfect_answer
from evals.loading.casefile import find_case_files, read_cases
from evals.observation import Call, Observation, Usage

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Right:
    """A right answer: its raw text is `observation.raw_text`."""

    case: Case
    observation: Observation
    call_format: str


def glm(call: Call) -> str:
    pairs = "".join(
        f"<arg_key>{key}</arg_key><arg_value>{v if isinstance(v, str) else to_text(v)}</arg_value>"
        for key, v in json.loads(call.arguments).items()
    )
    return f"<tool_call>{call.name}{pairs}</tool_call>"


def mistral(call: Call) -> str:
    return f"[TOOL_CALLS]{call.name}[ARGS]{call.arguments}"


def kimi(call: Call, number: int) -> str:
    begin, inner, end = ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>")
    return f"{begin}functions.{call.name}:{number}{inner}{call.arguments}{end}"


def gemma_value(value: Any) -> str:
    if isinstance(value, str):
        return f'<|"|>{value}<|"|>'
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{gemma_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(gemma_value, value)) + "]"
    return to_text(value)


def written(calls: Sequence[Call], call_format: str) -> str:
    """The calls as a model of that family writes them.

    Raises:
        Unwritable: a value cannot stand in this format.
    """
    if write := find_format(call_format).write:
        return "\n".join(map(write, calls))
    if any(tag in call.arguments for tag in ("<", "[", "'") for call in calls):
        raise Unwritable("the simple writers here do not escape")
    if call_format == "glm":
        return "".join(map(glm, calls))
    if call_format == "mistral":
        return "".join(map(mistral, calls))
    if call_format == "gemma":
        bodies = (f"call:{c.name}{gemma_value(json.loads(c.arguments))}" for c in calls)
        return "".join(f"<|tool_call>{body}<tool_call|>" for body in bodies)
    if call_format == "kimi":
        inner = "".join(kimi(call, number) for number, call in enumerate(calls))
        return f"<|tool_calls_section_begin|>{inner}<|tool_calls_section_end|>"
    arguments = (
        ", ".join(f"{key}={value!r}" for key, value in json.loads(call.arguments).items())
        for call in calls
    )
    named = ", ".join(f"{c.name}({a})" for c, a in zip(calls, arguments, strict=True))
    return f"<|tool_call_start|>[{named}]<|tool_call_end|>"


CALL_FORMATS = ("qwen3-coder-xml", "hermes-json", "glm", "mistral", "kimi", "gemma", "pythonic")
FRAMES = (
    "{}",
    "Well: {}. That is all.",
    "# Answer\n\n1. `{}`\n2. naïve — “quoted” 🙂\n",
    "{} < b && c",
)
"""Sentences around the words that a case wants."""


@functools.cache
def rights() -> tuple[Right, ...]:
    """Right answers of all cases that are asked as they are, calls in changing formats."""
    return tuple(rights_of(read_cases(find_case_files([ROOT / "cases"]), ROOT)))


def rights_of(cases: Iterable[Case]) -> Iterator[Right]:
    """Right answers of these cases."""
    for number, case in enumerate(cases):
        if case.tool_choice != "auto":
            continue
        case = case.model_copy(update={"known_defects": (), "profiles": ()})
        if case.expect.needs_answer:
            yield from _right_words(case)
        elif case.expect.needs_call and case.expect.alternatives and not case.expect.extra:
            yield from _right_calls(case, number)


def _right_calls(case: Case, number: int) -> Iterator[Right]:
    perfect = perfect_answer(case)
    if perfect is None:
        return
    for call_format in ("qwen3-coder-xml", CALL_FORMATS[1 + number % (len(CALL_FORMATS) - 1)]):
        calls = tuple(replace(c, id=f"call_{i}") for i, c in enumerate(perfect.calls))
        try:
            raw = written(calls, call_format)
        except Unwritable:
            continue
        yield Right(case, _response(raw, calls=calls, finish_reason="tool_calls"), call_format)


def _right_words(case: Case) -> Iterator[Right]:
    perfect = perfect_answer(case)
    assert perfect is not None
    for frame in FRAMES:
        text = frame.format(perfect.content)
        yield Right(case, _response(text, content=text, finish_reason="stop"), "qwen3-coder-xml")


def _response(raw: str, **changes: Any) -> Observation:
    return Observation("server", status=200, usage=Usage(80, 20), raw_text=raw, **changes)


Mutant = Observation
Mutation = Callable[[Right], Iterator[Mutant]]


# --- one value, changed -------------------------------------------------------------------------


def changed_values(value: Any) -> Iterator[Any]:
    """Other values of the same type."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
        yield -value - 3
    elif isinstance(value, str):
        yield value + "x"
        others = (value[:-1], value[1:], value.swapcase(), value * 2)
        yield from (other for other in dict.fromkeys(others) if other != value)
    elif isinstance(value, list) and value:
        yield value[1:]
        yield [*value, value[-1]]
        if value != value[::-1]:
            yield value[::-1]
        for new in changed_values(value[0]):
            yield [new, *value[1:]]
    elif isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            for new in changed_values(value[key]):
                yield {**value, key: new}


def retyped_values(value: Any) -> Iterator[Any]:
    """The same of another type, or what an encoder makes of it."""
    if isinstance(value, str):
        yield [value]
        yield {"value": value}
        yield None
        yield to_text(value)
        if (escaped := value.replace("&", "&amp;").replace("<", "&lt;")) != value:
            yield escaped
        if value.strip() != value:
            yield value.strip()
    else:
        yield [value]
        if value is not None:  # in XML null and "null" are written alike
            yield to_text(value)
            yield None


def each_argument(
    values: Callable[[Any], Iterator[Any]], right: Right
) -> Iterator[tuple[Call, ...]]:
    """All calls, with one argument of one call changed."""
    calls = right.observation.calls
    for i, call in enumerate(calls):
        arguments = json.loads(call.arguments)
        for key, value in arguments.items():
            for new in values(value):
                if new == value and type(new) is type(value):
                    continue
                text = to_text({**arguments, key: new})
                yield (*calls[:i], replace(call, arguments=text), *calls[i + 1 :])


def each_call(
    change: Callable[[Right, Call], Iterator[Call]], right: Right
) -> Iterator[tuple[Call, ...]]:
    """All calls, with one of them changed."""
    calls = right.observation.calls
    for i, call in enumerate(calls):
        for new in change(right, call):
            yield (*calls[:i], new, *calls[i + 1 :])


# --- the response alone -------------------------------------------------------------------------


def value_changed(right: Right) -> Iterator[Mutant]:
    for calls in each_argument(changed_values, right):
        yield replace(right.observation, calls=calls)


def value_retyped(right: Right) -> Iterator[Mutant]:
    for calls in each_argument(retyped_values, right):
        yield replace(right.observation, calls=calls)


def argument_lost_or_added(right: Right) -> Iterator[Mutant]:
    for calls in each_call(_other_keys, right):
        yield replace(right.observation, calls=calls)


def _other_keys(right: Right, call: Call) -> Iterator[Call]:
    arguments = json.loads(call.arguments)
    for key in arguments:
        kept = {k: v for k, v in arguments.items() if k != key}
        yield replace(call, arguments=to_text(kept))
        yield replace(call, arguments=to_text({**kept, f"{key}_": arguments[key]}))
    yield replace(call, arguments=to_text({**arguments, "invented": 1}))


def arguments_broken(right: Right) -> Iterator[Mutant]:
    def broken(right: Right, call: Call) -> Iterator[Call]:
        text = call.arguments
        for new in (
            text[:-1],
            text + "}",
            to_text(text),
            "",
            "null",
            f"[{text}]",
            text + text,
            "NaN",
        ):
            yield replace(call, arguments=new)

    for calls in each_call(broken, right):
        yield replace(right.observation, calls=calls)


def name_changed(right: Right) -> Iterator[Mutant]:
    def renamed(right: Right, call: Call) -> Iterator[Call]:
        name = call.name
        others = [tool.name for tool in right.case.tools if tool.name != name]
        for new in (
            f"{name}</function",
            name[1:],
            name + "\n",
            name.upper(),
            f'"{name}"',
            *others[:2],
        ):
            if new != name:
                yield replace(call, name=new)

    for calls in each_call(renamed, right):
        yield replace(right.observation, calls=calls)


def call_lost(right: Right) -> Iterator[Mutant]:
    seen = right.observation
    for i in range(len(seen.calls)):
        calls = (*seen.calls[:i], *seen.calls[i + 1 :])
        yield replace(seen, calls=calls, finish_reason="tool_calls" if calls else "stop")
    if seen.calls:
        yield replace(seen, calls=())
        yield replace(seen, calls=(), content=seen.raw_text, finish_reason="stop")


def call_invented(right: Right) -> Iterator[Mutant]:
    seen = right.observation
    for tool in right.case.tools[:2]:
        made = Call(tool.name, "{}", "call_9")
        yield replace(seen, calls=(*seen.calls, made), finish_reason="tool_calls")
    if not seen.calls and right.case.tools:
        made = Call(right.case.tools[0].name, "{}", "call_9")
        yield replace(seen, calls=(made,), content=None, finish_reason="tool_calls")
    if seen.calls:
        yield replace(seen, calls=(*seen.calls, replace(seen.calls[-1], id="call_9")))


def finish_reason_wrong(right: Right) -> Iterator[Mutant]:
    seen = right.observation
    for reason in ("stop", "tool_calls", "length", "function_call", None):
        if reason != seen.finish_reason:
            yield replace(seen, finish_reason=reason)


def markup_leaked(right: Right) -> Iterator[Mutant]:
    seen = right.observation
    if seen.calls:
        yield replace(seen, content=seen.raw_text)
        yield replace(seen, content="</tool_call>")
        return
    for mark in ("<think>", "</think>", "<tool_call>", "</function>", "[TOOL_CALLS]"):
        yield replace(seen, content=f"{seen.content}{mark}")
        yield replace(seen, content=f"{mark}\n{seen.content}")


def words_changed(right: Right) -> Iterator[Mutant]:
    """The text of an answer, cut, doubled, escaped or mangled on its way."""
    seen, text = right.observation, right.observation.content
    if seen.calls or not text:
        return
    middle = len(text) // 2
    words = text.split()
    for new in (
        text[:-1].rstrip(),
        text[1:].lstrip(),
        text[:middle],
        text[middle:],
        text[:middle] + text[middle + 1 :],
        text + text,
        text + " And more.",
        "No. " + text,
        "",
        None,
        " ".join([*words[1:], words[0]]),
        json.dumps(text),
        text.swapcase(),
        text.replace("<", "&lt;"),
        text.encode().decode("latin-1"),
        text.replace(" ", "  "),
        text.replace("\n", " "),
    ):
        if (new or "").strip() != text.strip():
            yield replace(seen, content=new)


def answer_moved_to_reasoning(right: Right) -> Iterator[Mutant]:
    seen, text = right.observation, right.observation.content
    if not seen.calls and text:
        yield replace(seen, content=None, reasoning=text)
        yield replace(seen, content="", reasoning=text)
        begin, end = text[: len(text) // 2], text[len(text) // 2 :]
        if begin.strip() and end.strip():
            yield replace(seen, content=begin, reasoning=end)
            yield replace(seen, content=end, reasoning=begin)


def reasoning_invented(right: Right) -> Iterator[Mutant]:
    yield replace(right.observation, reasoning="Nobody thought this.")


RESPONSE_ALONE: tuple[Mutation, ...] = (
    value_changed,
    value_retyped,
    argument_lost_or_added,
    arguments_broken,
    name_changed,
    call_lost,
    call_invented,
    finish_reason_wrong,
    markup_leaked,
    words_changed,
    answer_moved_to_reasoning,
    reasoning_invented,
)


# --- text and response alike --------------------------------------------------------------------


def _both(right: Right, calls: Sequence[Call]) -> Iterator[Mutant]:
    try:
        raw = written(calls, right.call_format)
    except Unwritable:
        return
    yield replace(right.observation, calls=tuple(calls), raw_text=raw)


def literal(right: Right) -> bool:
    """Whether the case wants these very values: then each other value is wrong."""
    sets = right.case.expect.alternatives
    return len(sets) == 1 and "$" not in to_text([call.arguments for call in sets[0]])


def model_value_wrong(right: Right) -> Iterator[Mutant]:
    if literal(right):
        for calls in each_argument(changed_values, right):
            yield from _both(right, calls)


def model_arguments_wrong(right: Right) -> Iterator[Mutant]:
    def keys(right: Right, call: Call) -> Iterator[Call]:
        arguments = json.loads(call.arguments)
        wanted = next(
            c.arguments for s in right.case.expect.alternatives for c in s if c.name == call.name
        )
        for key in arguments:
            if not isinstance(wanted.get(key), Mapping):
                kept = {k: v for k, v in arguments.items() if k != key}
                yield replace(call, arguments=to_text(kept))
        yield replace(call, arguments=to_text({**arguments, "invented": "one"}))

    for calls in each_call(keys, right):
        yield from _both(right, calls)


def model_tool_wrong(right: Right) -> Iterator[Mutant]:
    def others(right: Right, call: Call) -> Iterator[Call]:
        wanted = {c.name for s in right.case.expect.alternatives for c in s}
        for tool in right.case.tools:
            if tool.name not in wanted:
                yield replace(call, name=tool.name, arguments="{}")
        # What a tool does not declare is text in XML, whatever it looks like.
        texts = {k: v for k, v in json.loads(call.arguments).items() if isinstance(v, str)}
        yield replace(call, name="nowhere", arguments=to_text(texts))

    for calls in each_call(others, right):
        yield from _both(right, calls)


def model_call_missing_or_double(right: Right) -> Iterator[Mutant]:
    calls = right.observation.calls
    if len(calls) > 1:
        yield from _both(right, calls[1:])
        yield from _both(right, calls[:-1])
    if calls:
        yield from _both(right, [*calls, replace(calls[0], id="call_9")])


def model_speaks(right: Right) -> Iterator[Mutant]:
    if right.observation.calls:
        for text in ("I shall do that.", "Which one?", "", "Done, see `list[0]` < 3."):
            yield replace(
                right.observation, calls=(), content=text, raw_text=text, finish_reason="stop"
            )


def model_calls(right: Right) -> Iterator[Mutant]:
    if not right.observation.calls:
        for tool in right.case.tools:
            call = Call(tool.name, "{}", "call_0")
            yield replace(
                right.observation,
                content=None,
                calls=(call,),
                finish_reason="tool_calls",
                raw_text=written([call], right.call_format),
            )


def model_words_wrong(right: Right) -> Iterator[Mutant]:
    """Answers that lack what the case wants, or have what it forbids."""
    seen, wanted = right.observation, right.case.expect.answer or ExpectedAnswer()
    if seen.calls:
        return
    texts = ["", "  \n"]
    for part in wanted.contains:
        texts.append(re.sub(re.escape(part), "~", seen.content or "", flags=re.IGNORECASE))
    if wanted.any_of:
        texts.append("~")
    texts += [f"{seen.content} {part}" for part in wanted.not_contains]
    for text in texts:
        yield replace(seen, content=text, raw_text=text)


def model_cut_off(right: Right) -> Iterator[Mutant]:
    """The whole budget used, and the text ends within the call."""
    seen, raw = right.observation, right.observation.raw_text or ""
    used = Usage(80, right.case.max_tokens)
    if len(seen.calls) == 1 and right.call_format == "qwen3-coder-xml":
        for cut in (len(raw) // 3, len(raw) // 2, len(raw) - 13):
            yield replace(
                seen, calls=(), content="", raw_text=raw[:cut], finish_reason="length", usage=used
            )
    elif not seen.calls:
        yield replace(seen, finish_reason="length", usage=used)


def model_call_malformed(right: Right) -> Iterator[Mutant]:
    """A call that does not keep to its format, and that the server drops."""
    seen, raw = right.observation, right.observation.raw_text or ""
    if len(seen.calls) != 1 or right.call_format != "qwen3-coder-xml":
        return
    for text in (raw.replace("<function=", "<fun="), raw.replace("</function>\n", "", 1)):
        yield replace(seen, calls=(), content="", raw_text=text, finish_reason="stop")


ALIKE: tuple[Mutation, ...] = (
    model_value_wrong,
    model_arguments_wrong,
    model_tool_wrong,
    model_call_missing_or_double,
    model_speaks,
    model_calls,
    model_words_wrong,
    model_cut_off,
    model_call_malformed,
)


# --- harmless -----------------------------------------------------------------------------------


def nothing_changed(right: Right) -> Iterator[Mutant]:
    yield right.observation


def json_rewritten(right: Right) -> Iterator[Mutant]:
    def rewritten(right: Right, call: Call) -> Iterator[Call]:
        value = json.loads(call.arguments)
        for text in (
            json.dumps(value, indent=2, ensure_ascii=False),
            json.dumps(value, separators=(",", ":"), ensure_ascii=False),
            json.dumps(value, ensure_ascii=True),
            json.dumps(_reversed(value), ensure_ascii=False),
            json.dumps(_with_fractions(value), ensure_ascii=False),
            f" {call.arguments}\n",
            call.arguments.replace("/", "\\/"),
        ):
            yield replace(call, arguments=text)

    for calls in each_call(rewritten, right):
        yield replace(right.observation, calls=calls)


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


def _with_fractions(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_fractions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_fractions(item) for item in value]
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return float(value) if whole else value


def envelope_changed(right: Right) -> Iterator[Mutant]:
    seen = right.observation
    renamed = tuple(replace(call, id=f"chatcmpl-tool-{i}") for i, call in enumerate(seen.calls))
    yield replace(seen, calls=renamed)
    yield replace(seen, seconds=9.5, started=1.0, server_log="busy")
    yield replace(seen, usage=Usage(80, 21))
    if seen.calls:
        yield replace(seen, content="")
        yield replace(seen, content="\n")
    else:
        yield replace(seen, content=f"\n{seen.content} \n")
        yield replace(seen, raw_text=f"{seen.raw_text}\n")


def thought_before(right: Right) -> Iterator[Mutant]:
    seen, thought = right.observation, "First this, then that."
    raw = f"<think>\n{thought}\n</think>\n\n{seen.raw_text}"
    yield replace(seen, raw_text=raw, reasoning=thought)


def words_before_a_call(right: Right) -> Iterator[Mutant]:
    seen = right.observation
    if seen.calls and right.call_format in ("qwen3-coder-xml", "hermes-json"):
        yield replace(seen, content="Let me see.", raw_text=f"Let me see.\n{seen.raw_text}")


HARMLESS: tuple[Mutation, ...] = (
    nothing_changed,
    json_rewritten,
    envelope_changed,
    thought_before,
    words_before_a_call,
)
