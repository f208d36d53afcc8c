"""How an answer ends: its finish reason, and whether it was cut off at max_tokens."""

import json

from evals.case import Case
from evals.judging.checks import Finding, show
from evals.judging.contract import choices_of, chunks_of, part_of
from evals.observation import Observation
from evals.results import Kind

FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call")
"""Those of OpenAI's API; strict clients refuse any other."""


def is_cut_off(case: Case, observation: Observation, *, unended: bool | None = None) -> bool:
    """Whether the answer ran into max_tokens: `length` says so, and usage does not contradict it.

    A server may count the end token or not, so one token less is no contradiction; 0 tokens are no
    count at all. Without `length` it did so where all of max_tokens are used and the answer has no
    end: what the model wrote shows that (`unended`); where that is not known, the last call breaks
    off.
    """
    used = observation.usage.completion if observation.usage else 0
    if observation.finish_reason == "length":
        return not used or used + 1 >= case.max_tokens
    breaks_off = _breaks_off(observation) if unended is None else unended
    return used >= case.max_tokens and breaks_off


def _breaks_off(observation: Observation) -> bool:
    """Whether the arguments of the last call are the beginning of JSON."""
    text = observation.calls[-1].arguments.rstrip() if observation.calls else ""
    try:
        json.loads(text or "{}")
    except json.JSONDecodeError as error:
        return error.pos >= len(text) or error.msg.startswith("Unterminated string")
    except (ValueError, RecursionError):
        return False
    return False


def check_finish_reason(case: Case, observation: Observation, *, cut_off: bool) -> Finding | None:
    """`tool_calls` exactly with calls, `stop` for an answer, `length` at max_tokens alone.

    A call that `tool_choice` names may end with `stop`, too, as OpenAI's own do.
    """
    reason, used = observation.finish_reason, observation.usage
    tokens = f"{used.completion if used else None} of {case.max_tokens} tokens"
    if cut_off and reason == "length":
        return Finding(Kind.TRUNCATED, "the answer was cut off at max_tokens")
    if cut_off:
        said = f"finish_reason is {reason}, not length, of an answer cut off after {tokens}"
        return Finding(Kind.FINISH_REASON, said)
    if reason == "length":
        return Finding(Kind.FINISH_REASON, f"finish_reason is length after {tokens}")
    if reason == "tool_calls" and not observation.calls:
        return Finding(Kind.LOST_CALL, "finish_reason is tool_calls, but there is no call")
    wanted = "tool_calls" if observation.calls else "stop"
    named = isinstance(case.tool_choice, dict) and wanted == "tool_calls" and reason == "stop"
    if reason != wanted and not named:
        return Finding(Kind.FINISH_REASON, f"finish_reason is {reason}, not {wanted}")
    return None


def late_finish(observation: Observation) -> Finding | None:
    """A finish reason that is not the last word of a stream: clients stop reading there."""
    finish: str | None = None
    for choice in (choice for chunk in chunks_of(observation) for choice in choices_of(chunk)):
        delta, reason = part_of(choice, "delta"), choice.get("finish_reason") or None
        spoken = ("content", "reasoning", "reasoning_content", "tool_calls", "refusal")
        if finish and any(delta.get(name) for name in spoken):
            said = f"finish_reason {finish} came before the end of the answer"
            return Finding(Kind.FINISH_REASON, said)
        if finish and reason and reason != finish:
            said = f"the stream has two finish reasons, {finish} and {show(reason)}"
            return Finding(Kind.FINISH_REASON, said)
        finish = finish or (str(reason) if reason else None)
    return None
