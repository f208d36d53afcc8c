"""Diagnosis: who is to blame, from what the model wrote and what came out.

The raw model text, rebuilt from the generated token ids, is read strictly (`evals.formats`). What
that reading says the model meant is held against the response, and both against the case:

* The response is right: nothing failed. If the server mended what the model had got wrong, a
  passed `faithful` says so.
* The response is wrong and so is what the model wrote: a miss, layer `model`.
* The response differs from a sound call: a violation, layer `parser`, whatever the case expects.
  A call is sound if it keeps to its format, its tool is on offer and each value has a type that the
  schema allows. What a server does with any other call is no violation.
* There is no raw text: layer `unknown`, but for faults that no model text excuses.
* The text can be read in more than one way: layer `unknown`.

A well-formed call in another format than the server parses is `format_mismatch`, layer `model`: the
template in the prompt asks for the server's format, and a parser does not break a format that it
never claimed. A call that a server drops because of one badly typed value is the model's
`wrong_type`.

A lost call without raw text is a violation of layer `unknown` and has no scores: the response
contradicts itself, and nothing tells what the model wrote.

A response that ignores `tool_choice` says nothing about the model. It gets the one failed verdict
`tool_choice`, and the checks of what the case expects are left out, as are its scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evals.case import Case
from evals.formats.model_text import read_model_text
from evals.formats.reading import Reading
from evals.judging.checks import (
    Answer,
    Finding,
    check_finish_reason,
    check_markup,
    check_prompt,
    check_tool_choice,
    expectation,
    leaked_marks,
    match_expected,
    show,
)
from evals.judging.evidence import (
    LAYERS,
    Blame,
    Evidence,
    attempted_call,
    changed_behind,
    faithful_finding,
    layer_of,
    same_calls,
)
from evals.observation import Observation
from evals.results import Kind, Layer, Scores, Status, Verdict

NOT_OF_THE_MODEL = frozenset({"prompt", "tool_choice", "stream"})
"""Checks that do not count for `Scores.case`: they are about the serving, not about the answer."""


@dataclass(frozen=True)
class Judgement:
    """All that is said about one observation; the scores are None where the status is error."""

    verdicts: tuple[Verdict, ...]
    scores: Scores | None
    status: Status

    @property
    def cause(self) -> Verdict | None:
        """The failed verdict that explains the others."""
        return cause(self.verdicts)


def judge(
    case: Case,
    observation: Observation,
    *,
    profile: str = "default",
    plain: Observation | None = None,
    rendered_prompt_tokens: int | None = None,
    call_format: str = "qwen3-coder-xml",
) -> Judgement:
    """Judge one observation. Pure; never raises, whatever the model or the server wrote.

    `plain` is the same case's observation in lane `server`: the evidence for lanes `stream` and
    `agent`, which carry no token ids; above temperature 0 it is another sample, and not used.
    `rendered_prompt_tokens` is the length of the prompt rendered
    here. `call_format` is the format that the server parses, one of
    `evals.formats.reading.FORMATS`.
    """
    if broken := _broken(observation):
        return _without_answer(case, profile, observation.lane, broken)
    if case.temperature > 0:
        plain = None  # another sample, and so no evidence
    if plain is not None and (broken := _broken(plain)):
        if not _gives_no_answer(case, profile, plain.lane):
            reason = f"the plain answer that it is judged with did not come back: {broken.reason}"
            return _without_answer(case, profile, observation.lane, replace(broken, reason=reason))
        plain = None
    if observation.lane == "direct":
        verdicts, scores = _judge_direct(case, observation, call_format)
    else:
        verdicts, scores = _judge_response(case, observation, plain, call_format)
        if rendered_prompt_tokens is not None and observation.usage is not None:
            verdicts.append(_verdict("prompt", check_prompt(observation, rendered_prompt_tokens)))
    verdicts = sorted(verdicts, key=lambda verdict: _ORDER.index(verdict.check))
    if scores is None or any(verdict.is_unexplained_loss for verdict in verdicts):
        scores = Scores(None, None, None, None)
    else:
        right = all(v.passed for v in verdicts if v.check not in NOT_OF_THE_MODEL)
        scores = replace(scores, case=right)
    return _with_known_defect(case, profile, observation.lane, verdicts, scores)


_ORDER = (
    "response",
    "call_or_answer",
    "answer",
    "tool_name",
    "arguments",
    "schema",
    "finish_reason",
    "markup",
    "faithful",
    "format",
    "stream",
    "prompt",
    "tool_choice",
    "known_defect",
)


def cause(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The failed verdict to name first: a violation if there is one, else the first that failed."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    violations = [verdict for verdict in failed if verdict.is_violation]
    return next(iter(violations or failed), None)


def _broken(observation: Observation) -> Verdict | None:
    """The verdict on an observation that says nothing about the model; None if it does."""
    if observation.lane == "direct":
        if observation.error or observation.raw_text is None:
            reason = observation.error or "there is no raw model text"
            return Verdict("response", False, reason, Kind.HARNESS_ERROR, Layer.HARNESS)
        return None
    if observation.error or observation.status not in (200, None):
        reason = observation.error or f"HTTP status {observation.status}"
        return Verdict("response", False, reason, Kind.SERVER_ERROR, Layer.SERVER)
    return None


def _without_answer(case: Case, profile: str, lane: str, broken: Verdict) -> Judgement:
    """An error, but where a known defect says that the server gives no whole answer."""
    if _gives_no_answer(case, profile, lane):
        return Judgement((broken,), Scores(None, None, None, None), Status.KNOWN)
    return Judgement((broken,), None, Status.ERROR)


def _gives_no_answer(case: Case, profile: str, lane: str) -> bool:
    defect = case.defect(profile, lane)
    return defect is not None and defect.no_answer


def _with_known_defect(
    case: Case, profile: str, lane: str, verdicts: list[Verdict], scores: Scores
) -> Judgement:
    failed = any(not verdict.passed for verdict in verdicts)
    status = Status.FAIL if failed else Status.PASS
    if defect := case.defect(profile, lane):
        if failed:
            status = Status.KNOWN
        else:
            reason = (
                f"THE KNOWN DEFECT NO LONGER FAILS: {defect.reason} ({defect.link}). "
                f"Remove it from known_defects of {case.node}."
            )
            verdicts = [*verdicts, Verdict("known_defect", True, reason)]
    return Judgement(tuple(verdicts), scores, status)


def _judge_direct(
    case: Case, observation: Observation, call_format: str
) -> tuple[list[Verdict], Scores | None]:
    """The model alone: every fault is its own, and a call counts in whichever format it is."""
    reading = read_model_text(observation.raw_text or "", case.tools)
    answer = Answer(reading.calls, reading.text)
    evidence = Evidence(case, replace(observation, calls=answer.calls), reading, call_format)
    verdicts = [Verdict("response", True)]
    if check_tool_choice(case, answer):
        return [*verdicts, Verdict("tool_choice", True, _UNTOLD)], None
    excuse = evidence.excuse()
    for check, finding in expectation(case, answer).items():
        if check == "call_or_answer" and finding is None:
            finding = _hidden_call(evidence)
        blame = Blame(_own_kind(finding.kind), Layer.MODEL) if finding else None
        if finding and excuse and (check == "call_or_answer" or finding.kind == Kind.MISSING_CALL):
            blame = excuse
        verdicts.append(_verdict(check, finding, blame))
    if evidence.truncated:
        verdicts.append(_verdict("finish_reason", check_finish_reason(case, observation)))
    if reading.read:
        foreign = next((r.format for r in reading.read if r.format != call_format), None)
        reason = f"the call is written as {foreign}, the server parses {call_format}"
        finding = Finding(Kind.FORMAT_MISMATCH, reason) if foreign else None
        verdicts.append(_verdict("format", finding, Blame(Kind.FORMAT_MISMATCH, Layer.MODEL)))
    return verdicts, _scores(evidence, answer)


def _judge_response(
    case: Case, observation: Observation, plain: Observation | None, call_format: str
) -> tuple[list[Verdict], Scores | None]:
    """A response in lane server, stream or agent, in the light of what the model wrote."""
    served = observation if observation.lane == "server" else plain
    raw = served.raw_text if served else None
    reading = None if raw is None else read_model_text(raw, case.tools)
    changed = changed_behind(case, observation, plain)
    # Where a later layer changed the response, the model's text is evidence for the plain one only.
    evidence = Evidence(case, observation, None if changed else reading, call_format)
    behind = Evidence(case, served, reading, call_format) if changed and served else None
    answer = Answer.of(observation)
    ignored = check_tool_choice(case, answer)

    verdicts = [Verdict("response", True)]
    if ignored is None:
        verdicts += _judge_expected(evidence, behind, changed)
    if case.tool_choice != "auto":
        verdicts += _judge_tool_choice(observation.lane, ignored)
    verdicts += _judge_conformance(evidence, changed)
    if observation.lane == "stream" and plain is not None:
        verdicts.append(_verdict("stream", changed[0] if changed else None))
    return verdicts, None if ignored else _scores(evidence, answer)


def _judge_expected(
    evidence: Evidence, behind: Evidence | None, changed: tuple[Finding, Blame] | None
) -> Iterator[Verdict]:
    """What the case expects. `behind` is the evidence of the response before it was changed."""
    faithful = faithful_finding(evidence)
    for check, finding in expectation(evidence.case, Answer.of(evidence.response)).items():
        if check == "call_or_answer" and finding is None:
            finding = _hidden_call(evidence)
        blame = None
        if finding and behind and changed:
            blame = _blame_behind(check, finding, behind, changed)
        elif finding:
            blame = _blame(check, finding, evidence, faithful)
        yield _verdict(check, finding, blame)


def _judge_tool_choice(lane: str, ignored: Finding | None) -> Iterator[Verdict]:
    if lane in ("server", "stream"):
        yield _verdict("tool_choice", ignored)
    elif ignored:
        yield Verdict("tool_choice", True, _UNTOLD)


_UNTOLD = "this lane has no tool_choice; what the case expects is not judged"


def _judge_conformance(
    evidence: Evidence, changed: tuple[Finding, Blame] | None
) -> Iterator[Verdict]:
    """What has to hold whatever the case expects."""
    faithful = faithful_finding(evidence)
    agent = evidence.response.lane == "agent"
    if not agent:
        finding = check_finish_reason(evidence.case, evidence.response)
        blame = _blame_finish_reason(finding, evidence, faithful) if finding else None
        yield _verdict("finish_reason", finding, blame)
    finding = check_markup(evidence.case, evidence.response)
    yield _verdict("markup", finding, _blame_markup(finding, evidence) if finding else None)
    if changed and agent:
        yield _verdict("faithful", *changed)
    elif evidence.reading is not None:
        yield _faithful_verdict(evidence.reading, evidence, faithful)


def _verdict(check: str, finding: Finding | None, blame: Blame | None = None) -> Verdict:
    if finding is None:
        return Verdict(check, True)
    if blame is None:
        blame = Blame(finding.kind, LAYERS.get(finding.kind, Layer.MODEL))
    reason = f"{finding.reason}; {blame.reason}" if blame.reason else finding.reason
    return Verdict(check, False, reason, blame.kind, blame.layer, finding.differences)


def _own_kind(kind: Kind) -> Kind:
    """A strange name that the model itself wrote was corrupted by nobody."""
    return Kind.WRONG_TOOL if kind == Kind.CORRUPT_NAME else kind


def _hidden_call(evidence: Evidence) -> Finding | None:
    """A call where an answer was expected, which did not come out as a call."""
    case, response = evidence.case, evidence.response
    if case.expect.alternatives or response.calls:
        return None
    if evidence.reading is None:
        if response.finish_reason == "tool_calls":
            return Finding(Kind.LOST_CALL, "an answer was expected, and a call was lost")
        return None
    if attempted_call(case, evidence.reading):
        return Finding(Kind.SPURIOUS_CALL, "an answer was expected, and the model began a call")
    return None


def _blame(check: str, finding: Finding, evidence: Evidence, faithful: Finding | None) -> Blame:
    """Who made a check of `expectation` fail."""
    reading, excuse = evidence.reading, evidence.excuse()
    if finding.kind == Kind.INVALID_ARGUMENTS:
        if evidence.truncated:
            return Blame(Kind.TRUNCATED, Layer.MODEL, "the answer was cut off at max_tokens")
        return Blame(finding.kind, Layer.PARSER)
    if reading is None:
        return _blame_without_text(finding, evidence)
    if reading.ambiguous:
        return Blame(finding.kind, Layer.UNKNOWN, f"ambiguous: {reading.ambiguous[0]}")
    written = expectation(evidence.case, Answer(reading.calls, reading.text))
    if faithful and written.get(check, finding) is None:
        return Blame(faithful.kind, layer_of(faithful.kind), f"the model wrote {_said(reading)}")
    if excuse and (check == "call_or_answer" or finding.kind == Kind.MISSING_CALL):
        return excuse
    if own := written.get(check):
        return Blame(_own_kind(own.kind), Layer.MODEL)
    return excuse or Blame(finding.kind, Layer.UNKNOWN)


def _blame_without_text(finding: Finding, evidence: Evidence) -> Blame:
    if finding.kind == Kind.MISSING_CALL and not evidence.response.calls:
        if evidence.truncated:
            return Blame(Kind.TRUNCATED, Layer.MODEL, "the answer was cut off at max_tokens")
        if evidence.response.finish_reason == "tool_calls":
            return Blame(Kind.LOST_CALL, Layer.UNKNOWN, "finish_reason is tool_calls")
    return Blame(finding.kind, Layer.UNKNOWN)


def _blame_behind(
    check: str, finding: Finding, behind: Evidence, changed: tuple[Finding, Blame]
) -> Blame:
    """Blame for a response that is not the plain one: the plain one may be as wrong."""
    plain = expectation(behind.case, Answer.of(behind.response)).get(check, finding)
    if plain is None:
        return changed[1]
    return _blame(check, plain, behind, faithful_finding(behind))


def _blame_finish_reason(finding: Finding, evidence: Evidence, faithful: Finding | None) -> Blame:
    if finding.kind == Kind.TRUNCATED:
        return Blame(finding.kind, Layer.MODEL)
    if finding.kind == Kind.FINISH_REASON:
        return Blame(finding.kind, Layer.SERVER)
    reading = evidence.reading
    if reading is None:
        return Blame(finding.kind, Layer.UNKNOWN)
    if reading.ambiguous:  # a call that is unsound either way is the model's all the same
        return evidence.excuse() or Blame(finding.kind, Layer.UNKNOWN)
    if faithful and faithful.kind == Kind.LOST_CALL:
        return Blame(finding.kind, Layer.PARSER)
    return evidence.excuse() or Blame(Kind.FINISH_REASON, Layer.SERVER)


def _blame_markup(finding: Finding, evidence: Evidence) -> Blame:
    reading = evidence.reading
    if reading is None or reading.ambiguous:
        return Blame(finding.kind, Layer.UNKNOWN)
    if excuse := evidence.excuse():
        return excuse
    if leaked_marks(evidence.case, reading.text):
        return Blame(Kind.MALFORMED_CALL, Layer.MODEL, "the model wrote it outside any call")
    return Blame(finding.kind, Layer.PARSER)


def _said(reading: Reading) -> str:
    calls = [f"{call.name}({call.arguments})" for call in reading.calls]
    return show(", ".join(calls) or reading.text)


def _faithful_verdict(reading: Reading, evidence: Evidence, faithful: Finding | None) -> Verdict:
    if faithful:
        return _verdict("faithful", faithful, Blame(faithful.kind, layer_of(faithful.kind)))
    if reading.ambiguous:
        return Verdict("faithful", True, f"not judged, ambiguous: {reading.ambiguous[0]}")
    if reading.malformed and evidence.response.calls:
        reason = f"the server mended a malformed call, {reading.malformed[0].reason}"
        return Verdict("faithful", True, reason)
    if not same_calls(evidence.case, reading, evidence.response):
        return Verdict("faithful", True, f"the model wrote otherwise: {_said(reading)}")
    return Verdict("faithful", True)


def _scores(evidence: Evidence, answer: Answer) -> Scores:
    """Scores without `case`, which needs all verdicts."""
    case = evidence.case
    if not case.expect.alternatives:
        claimed = bool(answer.calls) or evidence.response.finish_reason == "tool_calls"
        attempted = evidence.reading is not None and attempted_call(case, evidence.reading)
        marked = bool(check_markup(case, replace(evidence.response, content=answer.text)))
        return Scores(not (claimed or attempted or marked), None, None, False)
    if not answer.calls:
        return Scores(False, False, False, False)
    found = match_expected(case, answer)
    names = sorted(call.name for call in answer.calls)
    same = names == sorted(call.expected.name for call in found.calls)
    return Scores(True, same, found.ok, False)
