"""The checks of an answer: each a value, all in one tuple.

To add one, write what it finds (beside those of `evals.judging.checks`) and put a `Check` into
`CHECKS`: verdicts, scores and the reference follow.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from evals.case import Case
from evals.formats.registry import NOT_KNOWN
from evals.judging.blame import (
    Expected,
    Held,
    blame_expected,
    blame_finish_reason,
    blame_markup,
    by_kind,
    hidden_call,
    verdict,
    written_text,
)
from evals.judging.checks import (
    Finding,
    Said,
    answers_wanted,
    check_answer,
    check_arguments,
    check_call_or_answer,
    check_markup,
    check_schema,
    check_tool_name,
    match_expected,
    show,
)
from evals.judging.contract import check_contract
from evals.judging.ending import check_finish_reason, late_finish
from evals.judging.evidence import Blame, same_calls
from evals.judging.matched import how_answered, how_chosen, how_matched, how_named
from evals.judging.request_keys import asks, check_request_keys
from evals.judging.usage import check_prompt, check_usage
from evals.observation import Observation, Traits
from evals.results import Answer, Kind, Layer, Verdict, passed


def _nothing(held: Held) -> str:
    return ""


def _by_kind(held: Held, finding: Finding) -> Blame:
    return by_kind(finding)


@dataclass(frozen=True)
class Check:
    """One thing that is held against every answer that it applies to."""

    name: str
    doc: str
    """What holds where it passes, as one sentence for the reference."""
    applies: Callable[[Held], bool]
    find: Callable[[Held], Finding | None]
    """What is wrong; None where it passes."""
    layer: Callable[[Held, Finding], Blame] = _by_kind
    """Whose fault that is, and what it is then called."""
    counts: bool = True
    """Whether it is about the answer, and so about `Scores.case`; else it is about the serving."""
    note: Callable[[Held], str] = _nothing
    """What is to be said where it passes."""

    def judge(self, held: Held) -> Verdict:
        """The verdict on an answer that the check applies to."""
        finding = self.find(held)
        if finding is None:
            return passed(self.name, self.note(held))
        return verdict(self.name, finding, self.layer(held, finding))


def broken_answer(answer: Answer) -> Finding | None:
    """That an answer says nothing about the model, for the response is no answer."""
    broken = broken_response(answer.traits, answer.observation)
    if broken and answer.prompt.error and answer.observation.status is not None:
        reason = f"{broken.reason}; rendered here, too, {show(answer.prompt.error)}"
        return Finding(Kind.TEMPLATE_ERROR, reason)
    return broken


def broken_response(traits: Traits, observation: Observation) -> Finding | None:
    """That an observation says nothing about the model; None if it does."""
    if observation.unasked:
        return Finding(Kind.HARNESS_ERROR, observation.error or "this suite could not ask")
    if not traits.over_http:
        if observation.error or observation.raw_text is None:
            reason = observation.error or "there is no raw model text"
            return Finding(Kind.HARNESS_ERROR, reason)
        return None
    if observation.error or observation.status not in (200, None):
        reason = observation.error or f"HTTP status {observation.status}"
        return Finding(Kind.SERVER_ERROR, reason)
    return None


def _expected(
    name: str,
    doc: str,
    applies: Callable[[Case, Said], bool],
    find: Callable[[Case, Said], Finding | None],
    note: Callable[[Case, Said], str] = lambda _case, _said: "",
    *,
    of_choice: bool = False,
) -> Check:
    expected = Expected(name, doc, applies, find, of_choice)

    def finding(held: Held) -> Finding | None:
        found = find(held.case, held.said)
        return hidden_call(held.evidence) if of_choice and found is None else found

    return Check(
        name,
        doc,
        lambda held: held.of_model and applies(held.case, held.said),
        finding,
        lambda held, found: blame_expected(expected, held, found),
        note=lambda held: note(held.case, held.said),
    )


def _always(case: Case, said: Said) -> bool:
    return True


def _answers(case: Case, said: Said) -> bool:
    return bool(answers_wanted(case, said))


def _calls(case: Case, said: Said) -> bool:
    return bool(not case.expect.needs_answer and said.calls)


def _calls_rightly(case: Case, said: Said) -> bool:
    if not _calls(case, said):
        return False
    match = match_expected(case, said)
    return bool(match.allowed) or any(c.name_ok for c in match.calls)


def _shows_protocol(held: Held) -> bool:
    """Whether the response itself is seen, with its finish reason and what `tool_choice` did."""
    traits, received = held.answer.traits, held.answer.observation.received
    return traits.over_http and (not traits.through_client or received is not None)


def _finish_applies(held: Held) -> bool:
    return _shows_protocol(held) or (
        not held.answer.traits.over_http and held.of_model and held.evidence.truncated
    )


def _client_applies(held: Held) -> bool:
    seen = held.answer.observation.received or held.plain
    return held.answer.traits.through_client and seen is not None


def _changed(held: Held) -> Finding | None:
    return held.changed[0] if held.changed else None


def _blame_client(held: Held, finding: Finding) -> Blame:
    return held.changed[1] if held.changed else Blame(finding.kind, Layer.CLIENT)


def _faithful_applies(held: Held) -> bool:
    return held.answer.traits.over_http and held.evidence.reading is not None


def _note_faithful(held: Held) -> str:
    reading, evidence = held.evidence.reading, held.evidence
    if reading is None:
        return ""
    if reading.ambiguous:
        return f"not judged, ambiguous: {reading.ambiguous[0]}"
    if reading.malformed:
        if not _calls(held.case, held.said) or not match_expected(held.case, held.said).ok:
            return ""  # what came is broken, too
        return f"the server mended a malformed call, {reading.malformed[0].reason}"
    if not same_calls(held.case, reading, evidence.response):
        return f"the model wrote otherwise: {written_text(reading)}"
    return ""


def _format_applies(held: Held) -> bool:
    reading = held.evidence.reading
    alone = not held.answer.traits.over_http and held.of_model
    return alone and reading is not None and bool(reading.read)


def _foreign_format(held: Held) -> Finding | None:
    reading, parsed = held.evidence.reading, held.answer.call_format
    if parsed == NOT_KNOWN:
        return None
    foreign = (
        next((r.format for r in reading.read if r.format != parsed), None) if reading else None
    )
    reason = f"the call is written as {foreign}, the server parses {parsed}"
    return Finding(Kind.FORMAT_MISMATCH, reason) if foreign else None


def _stream_applies(held: Held) -> bool:
    traits = held.answer.traits
    return traits.needs_plain and not traits.through_client and held.plain is not None


def _finish(held: Held) -> Finding | None:
    response, cut_off = held.evidence.response, held.evidence.truncated
    return late_finish(response) or check_finish_reason(held.case, response, cut_off=cut_off)


def _contract_applies(held: Held) -> bool:
    """Whether the fields around the answer were kept."""
    response = held.evidence.response
    return held.answer.traits.over_http and bool(response.body or response.events)


def _usage_applies(held: Held) -> bool:
    return _contract_applies(held) or (_shows_protocol(held) and bool(held.evidence.response.usage))


def _usage(held: Held) -> Finding | None:
    plain = held.plain if _shows_protocol(held) and held.answer.traits.needs_plain else None
    return check_usage(held.case, held.evidence.response, plain)


def _prompt_applies(held: Held) -> bool:
    answer = held.answer
    response, rendered = held.evidence.response, answer.rendered_prompt_tokens
    # What is no count of any prompt does not tell one prompt from another.
    known = rendered is not None and response.usage is not None and _usage(held) is None
    return (answer.traits.over_http and known) or held.unseen is not None


def _drift(held: Held) -> Finding | None:
    rendered = held.answer.rendered_prompt_tokens
    response = held.evidence.response
    drift = None if rendered is None else check_prompt(response, rendered)
    return held.unseen or drift


def _choice_applies(held: Held) -> bool:
    asked = held.case.tool_choice != "auto" and _shows_protocol(held)
    return asked or held.ignored is not None


def _note_choice(held: Held) -> str:
    untold = "this lane has no tool_choice; what the case expects is not judged"
    return "" if _shows_protocol(held) else untold


def _played(held: Held) -> str | None:
    seen = held.answer.observation.raw_text
    return held.plain.raw_text if seen is None and held.plain else seen


def _script_applies(held: Held) -> bool:
    script = held.case.replay
    return script is not None and script.text is not None and _played(held) is not None


def _note_script(held: Held) -> str:
    """Where the engine made the model write something else: a grammar does so by design."""
    script, played = held.case.replay, _played(held) or ""
    if script is None or script.text is None or script.text.startswith(played):
        return ""
    pairs = enumerate(zip(script.text, played, strict=False))
    place = next((i for i, (was, now) in pairs if was != now), len(script.text))
    was, now = (json.dumps(text[place : place + 40]) for text in (script.text, played))
    return f"the engine changed the script at character {place}, from {was} to {now}"


CHECKS: tuple[Check, ...] = (
    Check(
        "response",
        "A complete response came back.",
        lambda held: True,
        lambda held: broken_response(held.answer.traits, held.answer.observation),
    ),
    _expected(
        "call_or_answer",
        "There is a call where one must come, and none where an answer must.",
        _always,
        check_call_or_answer,
        how_chosen,
        of_choice=True,
    ),
    _expected(
        "answer",
        "The answer has the text that it must have, and no other.",
        _answers,
        check_answer,
        how_answered,
    ),
    _expected(
        "tool_name",
        "The tools called are those expected, and none that must not be.",
        _calls,
        check_tool_name,
        how_named,
    ),
    _expected(
        "arguments",
        "All arguments are those expected.",
        _calls_rightly,
        check_arguments,
        how_matched,
    ),
    _expected(
        "schema", "The arguments satisfy the schema of the tool.", _calls_rightly, check_schema
    ),
    Check(
        "finish_reason",
        "The finish reason fits the answer, which is not cut off, and ends it.",
        _finish_applies,
        _finish,
        blame_finish_reason,
    ),
    Check(
        "markup",
        "No markup of calls or of reasoning is in the text.",
        lambda held: True,
        lambda held: check_markup(held.case, held.evidence.response),
        blame_markup,
    ),
    Check(
        "faithful",
        "The response says what the model wrote.",
        _faithful_applies,
        lambda held: held.evidence.faithful,
        lambda held, finding: Blame(finding.kind, held.evidence.layer_of(finding)),
        note=_note_faithful,
    ),
    Check(
        "client",
        "What reached the tools of the agent is what the response says.",
        _client_applies,
        _changed,
        _blame_client,
    ),
    Check(
        "script",
        "A replayed script was played; what the engine's grammar changed of it is said, no fault.",
        _script_applies,
        lambda held: None,
        counts=False,
        note=_note_script,
    ),
    Check(
        "format",
        "The model alone writes calls in the format that the server parses.",
        _format_applies,
        _foreign_format,
        lambda held, finding: Blame(finding.kind, Layer.MODEL),
    ),
    Check(
        "stream",
        "The stream says what the plain response says.",
        _stream_applies,
        _changed,
        counts=False,
    ),
    Check(
        "contract",
        "Clients can read the response: it has the fields that the API requires.",
        _contract_applies,
        lambda held: check_contract(held.evidence.response),
        counts=False,
    ),
    Check(
        "usage",
        "The token counts are there where they were asked for, and can be true.",
        _usage_applies,
        _usage,
        counts=False,
    ),
    Check(
        "prompt",
        "The server's prompt has the tools, and as many tokens as the one rendered here.",
        _prompt_applies,
        _drift,
        counts=False,
    ),
    Check(
        "tool_choice",
        "The response is what `tool_choice` asked for.",
        _choice_applies,
        lambda held: held.ignored if _shows_protocol(held) else None,
        counts=False,
        note=_note_choice,
    ),
    Check(
        "request",
        "The response is what `parallel_tool_calls`, `stop`, `response_format` and `strict` ask "
        "for.",
        lambda held: held.answer.traits.over_http and asks(held.case),
        lambda held: check_request_keys(held.case, held.said),
        counts=False,
    ),
)
"""Every check, in the order of a record's verdicts."""
