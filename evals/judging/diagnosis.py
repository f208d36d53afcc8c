"""Diagnosis: who is to blame, from what the model wrote and what came out.

The raw model text, rebuilt from the generated token ids, is read strictly (`evals.formats`). What
that reading says the model meant is held against the response, and both against the case:

* The response is right: nothing failed. If the server mended what the model had got wrong, a
  passed `faithful` says so.
* The response is wrong and so is what the model wrote: a miss, layer `model`.
* The response differs from a valid call: a violation, layer `parser`, whatever the case expects.
  A call is valid if it keeps to its format, its tool is available and each value has a type that
  the schema allows. What a server does with any other call is not a violation.
* There is no raw text, or the server reads a form that no reader here has: layer `unknown`, but
  for faults that no model text excuses.
* The text can be read in more than one way: layer `unknown`.

A well-formed call in another format than the server parses is `format_mismatch`, layer `model`: the
template in the prompt asks for the server's format, and a parser does not break a format that it
never claimed. A call that a server drops because of one badly typed value is the model's
`wrong_type`, or its `wrong_value` where no change of type would make it right.

A tag that an answer merely names, in code marks or as a word of a sentence, is no call and no leak;
what a server makes of it, or leaves out for it, is the parser's fault. Where an answer is expected,
a call that the model wrote is `spurious_call`, whatever the server did with it.

A lost call without raw text is a violation of layer `unknown` and has no scores: the response
contradicts itself, and nothing tells what the model wrote.

A prompt without the tools says nothing about the model either: the one failed verdict is `prompt`,
layer `template`. Token ids of which there are more or fewer than the response counts are no
evidence.

A response that ignores `tool_choice` says nothing about the model. It gets the one failed verdict
`tool_choice`, and the checks of what the case expects are left out, as are its scores.
"""

from dataclasses import replace

from evals.formats.model_text import read_model_text
from evals.formats.reading import Reading
from evals.formats.registry import OTHER
from evals.judging import registry
from evals.judging.blame import Held, by_kind, verdict
from evals.judging.checks import (
    Finding,
    Said,
    check_markup,
    check_tool_name,
    match_expected,
    show,
)
from evals.judging.contract import check_contract
from evals.judging.ending import FINISH_REASONS
from evals.judging.evidence import Evidence, attempted_call, changed_behind, changed_by_client
from evals.judging.usage import distrusted, unreadable_usage
from evals.observation import PLAIN, Observation, Traits
from evals.patterns import PatternTimeout, time_limit
from evals.results import KNOWN_DEFECT, Answer, Judgement, Kind, Scores, Status, Verdict

_NO_SCORES = Scores(None, None, None, None)


def judge(answer: Answer) -> Judgement:
    """Judge one answer. Pure; never raises, whatever the model or the server wrote.

    A pattern of the case that takes too long on the answer is the harness's error, not a verdict.

    Its plain answer is the evidence for lanes without token ids; above temperature 0 it is another
    sample, and not used.
    """
    try:
        with time_limit():
            return _judge(answer)
    except PatternTimeout as error:
        case = answer.case
        reason = f"{case.path}:{case.line}: {error} on this answer; write one that cannot backtrack"
        return _without_answer(answer, Finding(Kind.HARNESS_ERROR, reason))


def _judge(answer: Answer) -> Judgement:
    if broken := registry.broken_answer(answer):
        return _without_answer(answer, broken)
    plain = None if answer.case.temperature > 0 else answer.plain
    if plain is not None and (broken := registry.broken_response(PLAIN, plain)):
        if not _gives_no_answer(answer, PLAIN.name):
            said = f"the plain answer that it is judged with did not come back: {broken.reason}"
            return _without_answer(answer, replace(broken, reason=said))
        plain = None
    held = _hold(answer, plain)
    judged = [(c, _told(c, c.judge(held), held)) for c in registry.CHECKS if c.applies(held)]
    right = all(found.passed for check, found in judged if check.counts)
    verdicts = tuple(found for _, found in judged)
    if not held.of_model or any(found.is_unexplained_loss for found in verdicts):
        return _with_known_defect(answer, verdicts, _NO_SCORES)
    return _with_known_defect(answer, verdicts, Scores(*_scores(held), right))


def _hold(answer: Answer, plain: Observation | None) -> Held:
    if not answer.traits.over_http:
        return _hold_model_text(answer, plain)
    received = answer.observation.received if answer.traits.through_client else None
    return _hold_client(answer, received) if received else _hold_response(answer, plain)


def _told(check: registry.Check, found: Verdict, held: Held) -> Verdict:
    """The verdict, with what the agent library said where it refused the answer."""
    refused = held.answer.observation.refused
    if found.passed or not check.counts or not refused:
        return found
    return replace(found, reason=f"{found.reason}; the agent library refused it: {show(refused)}")


def _hold_model_text(answer: Answer, plain: Observation | None) -> Held:
    """The model alone: a call counts in whichever format it is."""
    seen = answer.observation
    reading = (_read(answer, seen.raw_text) if seen.raw_text is not None else None) or Reading()
    response = replace(seen, content=reading.text, calls=reading.calls)
    evidence = Evidence(answer.case, response, reading, answer.call_format, answer.traits)
    said = Said(reading.calls, reading.text)
    return Held(answer, plain, said, evidence, behind=None, changed=None)


def _hold_response(answer: Answer, plain: Observation | None) -> Held:
    """A response, in the light of what the model wrote."""
    case, traits, seen = answer.case, answer.traits, answer.observation
    changed = changed_behind(case, traits, seen, plain)
    # Where a later layer changed the response, the plain one's text is evidence for that one only.
    known = seen if traits.has_token_ids else None if changed else plain
    evidence = _evidence(answer, seen, known, traits)
    behind = None
    if changed and plain is not None:
        behind = _evidence(answer, plain, plain, PLAIN)
    return Held(answer, plain, Said.of(seen), evidence, behind, changed)


def _hold_client(answer: Answer, received: Observation) -> Held:
    """What reached the tools of a client, in the light of the response that the client got.

    Where the client changed nothing, the response is what is judged: what it refused rightly is as
    wrong as it is in lane server.
    """
    case, seen = answer.case, answer.observation
    changed = changed_by_client(case, seen, received)
    if seen.refused and _is_unreadable(received):
        changed = None
    evidence = _evidence(answer, received, received, PLAIN)
    said = Said.of(seen if changed else received)
    return Held(answer, None, said, evidence, evidence if changed else None, changed)


def _is_unreadable(received: Observation) -> bool:
    """Whether a client is right to refuse the response, whatever its calls are."""
    odd_end = received.finish_reason not in (None, *FINISH_REASONS)
    return bool(check_contract(received)) or unreadable_usage(received) or odd_end


def _evidence(
    answer: Answer, response: Observation, known: Observation | None, traits: Traits
) -> Evidence:
    """What is known of a response, where `known` has what the model wrote."""
    distrust = distrusted(known)
    raw = known.raw_text if known and not distrust else None
    texts = known.token_texts if known and raw is not None else None
    return Evidence(
        case=answer.case,
        response=response,
        reading=None if raw is None else _read(answer, raw),
        call_format=answer.call_format,
        traits=traits,
        raw_text=raw or "",
        unended=bool(texts[-1]) if texts else None,
        opens_thought=answer.prompt.opens_thought,
        distrusted=distrust,
    )


def _read(answer: Answer, raw: str) -> Reading | None:
    """What the model's text says; None where no reader has the form that the server parses."""
    if answer.call_format == OTHER.name and answer.traits.over_http:
        return None
    case = answer.case
    return read_model_text(raw, case.tools, told=case.told, examples=case.expect.needs_answer)


def _without_answer(answer: Answer, broken: Finding) -> Judgement:
    """An error, but where a known defect says that the server gives no whole answer."""
    known = _gives_no_answer(answer, answer.lane)
    blame = by_kind(broken)
    return Judgement(
        verdicts=(verdict("response", broken, blame),),
        scores=_NO_SCORES if known else None,
        status=Status.KNOWN if known else Status.ERROR,
    )


def _gives_no_answer(answer: Answer, lane: str) -> bool:
    defect = answer.case.defect(answer.profile, lane, answer.packages)
    return defect is not None and defect.no_answer


def _with_known_defect(answer: Answer, verdicts: tuple[Verdict, ...], scores: Scores) -> Judgement:
    failed = any(not found.passed for found in verdicts)
    status = Status.FAIL if failed else Status.PASS
    if defect := answer.known_defect:
        if failed:
            status = Status.KNOWN
        else:
            reason = (
                f"THE KNOWN DEFECT NO LONGER FAILS: {defect.reason} ({defect.link}). "
                f"Remove it from known_defects of {answer.case.node}."
            )
            verdicts = (*verdicts, Verdict(KNOWN_DEFECT, True, reason))
    return Judgement(verdicts=verdicts, scores=scores, status=status)


def _scores(held: Held) -> tuple[bool | None, bool | None, bool | None]:
    """Discrimination, tool name and arguments; `case` needs all verdicts."""
    case, evidence, said = held.case, held.evidence, held.said
    if case.expect.needs_answer:
        announced = held.answer.traits.over_http and evidence.response.finish_reason == "tool_calls"
        claimed = bool(said.calls) or announced
        attempted = evidence.reading is not None and attempted_call(case, evidence.reading)
        marked = bool(check_markup(case, replace(evidence.response, content=said.text)))
        return not (claimed or attempted or marked), None, None
    # Where both are right, there is nothing to tell apart.
    chosen = bool(said.calls) if case.expect.needs_call else None
    if not said.calls:
        asked = False if chosen is False else None
        return chosen, asked, asked
    right = check_tool_name(case, said) is None
    if not case.expect.alternatives:
        return chosen, right, None
    found = match_expected(case, said)
    names = sorted(call.name for i, call in enumerate(said.calls) if i not in found.allowed)
    same = names == sorted(call.expected.name for call in found.calls)
    barred = any(call.name in (case.expect.not_call or ()) for call in said.calls)
    return chosen, same and not barred, found.ok
