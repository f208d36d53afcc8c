"""Token counts: whether those of a response can be true, and what they say of its prompt."""

from collections.abc import Iterator, Mapping
from typing import Any

from evals.case import Case
from evals.judging.checks import Finding, check_stream, show
from evals.judging.contract import chunks_of, completion_of
from evals.observation import Observation
from evals.results import Answer, Kind

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def check_usage(
    case: Case, observation: Observation, plain: Observation | None = None
) -> Finding | None:
    """The counts are there where the request asks for them, and can be true.

    `plain` is another response to the same request, which was made of the same prompt.
    """
    if odd := _odd_usage(observation):
        return Finding(Kind.USAGE, odd)
    if observation.usage is None:
        if not observation.events:  # a plain response need not have any
            return None
        return Finding(Kind.USAGE, "the request asks for usage, and the stream has none")
    problems = (
        *_missing_counts(observation),
        *_impossible_counts(case, observation),
        *(_other_counts(observation, plain) if plain else ()),
    )
    return Finding(Kind.USAGE, problems[0]) if problems else None


def unreadable_usage(observation: Observation) -> bool:
    """Whether strict clients cannot read the counts: no object, or one that is no whole number."""
    if _odd_usage(observation):
        return True
    usage = (completion_of(observation) or {}).get("usage") or {}
    return any(not isinstance(usage.get(name, 0), int | None) for name in _COUNTS)


def _odd_usage(observation: Observation) -> str | None:
    """That `usage` is there and is no object."""
    bodies = [completion_of(observation) or {}, *chunks_of(observation)]
    odd = [body["usage"] for body in bodies if not isinstance(body.get("usage"), Mapping | None)]
    return f"usage is {show(odd[0])}, not an object" if odd else None


def _missing_counts(observation: Observation) -> Iterator[str]:
    bodies = [completion_of(observation) or {}, *chunks_of(observation)]
    found = [body["usage"] for body in bodies if isinstance(body.get("usage"), Mapping)]
    if not found:
        return
    counts: Mapping[str, Any] = found[-1]
    for name in _COUNTS:
        if not _is_count(counts.get(name)):
            yield f"usage: `{name}` is {show(counts.get(name))}"
            return
    prompt, completion, total = (counts[name] for name in _COUNTS)
    if total < prompt + completion:  # some count in it what they count nowhere else: thoughts
        yield f"usage: total_tokens is {total}, less than {prompt} + {completion}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _impossible_counts(case: Case, observation: Observation) -> Iterator[str]:
    used = observation.usage
    assert used is not None
    words = _least_words(case)
    if used.prompt == 0:
        yield "usage: the prompt has 0 tokens"
    elif used.cached < 0:
        yield f"usage: {used.cached} tokens of the prompt were cached"
    elif used.cached > used.prompt:
        rest = "only the part that is not cached is counted"
        yield f"usage: {used.cached} of {used.prompt} tokens of the prompt were cached: {rest}"
    elif 2 * used.prompt < words:
        rest = "a part of the prompt is not counted"
        yield f"usage: {used.prompt} tokens for a question of {words} words: {rest}"
    said = observation.calls or observation.content or observation.reasoning
    spoken = f"{observation.content or ''} {observation.reasoning or ''}".split()
    if used.completion == 0 and said:
        yield "usage: the answer has 0 tokens"
    elif 2 * used.completion < len(spoken):
        rest = "a part of it is not counted"
        yield f"usage: {used.completion} tokens for an answer of {len(spoken)} words: {rest}"
    # A server may count the end token beside max_tokens.
    if used.completion > case.max_tokens + 1:
        yield f"usage: {used.completion} tokens of an answer, at most {case.max_tokens} asked for"


def _other_counts(observation: Observation, plain: Observation) -> Iterator[str]:
    one, other = plain.usage, observation.usage
    if one is None or other is None:
        return
    if one.prompt != other.prompt:
        said = f"the plain response to the same prompt has {one.prompt}"
        yield f"usage: the prompt has {other.prompt} tokens, {said}"
    if one.completion != other.completion and check_stream(observation, plain) is None:
        said = f"the plain response with the same answer has {one.completion}"
        yield f"usage: the answer has {other.completion} tokens, {said}"


def _least_words(case: Case) -> int:
    """Words of the last question: any prompt with it has at least about as many tokens."""
    return len(case.question.split())


def distrusted(observation: Observation | None) -> str | None:
    """Why the token ids of a response are no evidence: there are more or fewer than were used."""
    if observation is None or observation.token_ids is None or observation.usage is None:
        return None
    ids, used = len(observation.token_ids), observation.usage.completion
    if used in (0, ids):  # 0 is no count at all
        return None
    return f"the response has {ids} token ids of {used} tokens, which is no evidence"


def check_tools_seen(answer: Answer, observation: Observation) -> Finding | None:
    """The tools are in the prompt: rendered here, and as the server counts it."""
    prompt, rendered, used = answer.prompt, answer.rendered_prompt_tokens, observation.usage
    if prompt.unseen_tools:
        names = ", ".join(map(show, prompt.unseen_tools))
        reason = f"the chat template leaves out {names}, which the model cannot know of"
        return Finding(Kind.TOOLS_NOT_IN_PROMPT, reason)
    bare = prompt.without_tools
    if used is None or bare is None or rendered in (None, bare) or used.prompt != bare:
        return None
    reason = (
        f"the server's prompt has {bare} tokens, as many as one without the tools; with them it "
        f"has {rendered}"
    )
    return Finding(Kind.TOOLS_NOT_IN_PROMPT, reason)


def check_prompt(observation: Observation, rendered: int) -> Finding | None:
    """The server's prompt has as many tokens as the one rendered here."""
    usage = observation.usage
    if usage is None or usage.prompt == rendered:
        return None
    reason = f"the server's prompt has {usage.prompt} tokens, rendered here it has {rendered}"
    return Finding(Kind.PROMPT_DRIFT, reason)
