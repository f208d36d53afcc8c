"""Blame: who made a check fail, from what the model wrote and what came out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from evals.case import Case
from evals.formats.reading import Reading
from evals.judging.checks import (
    Finding,
    Said,
    check_markup,
    check_tool_choice,
    leaked_marks,
    show,
    shown_calls,
)
from evals.judging.contract import legacy_call
from evals.judging.evidence import LAYERS, Blame, Evidence, attempted_call
from evals.judging.thoughts import call_in_reasoning, closes_nothing
from evals.judging.usage import check_tools_seen
from evals.observation import Observation
from evals.results import Answer, Kind, Layer, Verdict


@dataclass(frozen=True)
class Held:
    """An answer as checks look at it: what was said, and all that is known of how it came to be."""

    answer: Answer
    plain: Observation | None
    """The plain answer, where it is evidence."""
    said: Said
    """The calls and the text that are held against the case."""
    evidence: Evidence
    behind: Evidence | None
    """The evidence of the plain response, where a later layer changed it."""
    changed: tuple[Finding, Blame] | None
    """How that layer changed it."""

    @property
    def case(self) -> Case:
        """The case that was asked."""
        return self.answer.case

    @cached_property
    def ignored(self) -> Finding | None:
        """That the response ignored `tool_choice`, and so says nothing about the model."""
        return check_tool_choice(self.case, Said.of(self.evidence.response))

    @cached_property
    def unseen(self) -> Finding | None:
        """That the model never saw the tools, whose fault the answer then is not."""
        return check_tools_seen(self.answer, self.evidence.response)

    @property
    def of_model(self) -> bool:
        """Whether the answer says anything about the model."""
        return self.ignored is None and self.unseen is None


@dataclass(frozen=True)
class Expected:
    """A part of what a case expects, to be held against the response and what the model wrote."""

    name: str
    doc: str
    applies: Callable[[Case, Said], bool]
    find: Callable[[Case, Said], Finding | None]
    of_choice: bool = False
    """Whether it is about there being a call at all."""

    def of(self, case: Case, said: Said, otherwise: Finding | None) -> Finding | None:
        """What is wrong with `said`; `otherwise` where the check does not apply to it."""
        return self.find(case, said) if self.applies(case, said) else otherwise


def by_kind(finding: Finding) -> Blame:
    """The layer that a kind always is the fault of; the model where there is none."""
    return Blame(finding.kind, LAYERS.get(finding.kind, Layer.MODEL))


def verdict(check: str, finding: Finding, blame: Blame) -> Verdict:
    """The verdict of a check that failed."""
    reason = f"{finding.reason}; {blame.reason}" if blame.reason else finding.reason
    return Verdict(check, False, reason, blame.kind, blame.layer, finding.differences)


def blame_expected(expected: Expected, held: Held, finding: Finding) -> Blame:
    """Who made a part of what the case expects fail."""
    if not held.answer.traits.over_http:
        return _blame_model(expected, held, finding)
    if not (held.behind and held.changed):
        return _blame(expected, finding, held.evidence)
    # The plain response may be as wrong as the one that was made of it.
    plain = expected.of(held.case, Said.of(held.behind.response), finding)
    return held.changed[1] if plain is None else _blame(expected, plain, held.behind)


def _blame_model(expected: Expected, held: Held, finding: Finding) -> Blame:
    """The model alone: every fault is its own."""
    excuse = held.evidence.excuse()
    if finding.kind == Kind.SPURIOUS_CALL:
        return Blame(finding.kind, Layer.MODEL, excuse.reason if excuse else "")
    if excuse and (expected.of_choice or finding.kind == Kind.MISSING_CALL):
        return excuse
    return Blame(_own_kind(finding.kind), Layer.MODEL)


def _own_kind(kind: Kind) -> Kind:
    """A strange name that the model itself wrote was corrupted by nobody."""
    return Kind.WRONG_TOOL if kind == Kind.CORRUPT_NAME else kind


def hidden_call(evidence: Evidence) -> Finding | None:
    """A call where an answer was expected, which did not come out as a call."""
    case, response = evidence.case, evidence.response
    if not case.expect.needs_answer or response.calls:
        return None
    if evidence.reading is None:
        if response.finish_reason == "tool_calls":
            return Finding(Kind.LOST_CALL, "an answer was expected, and a call was lost")
        return None
    if attempted_call(case, evidence.reading):
        return Finding(Kind.SPURIOUS_CALL, "an answer was expected, and the model began a call")
    return None


def _blame(expected: Expected, finding: Finding, evidence: Evidence) -> Blame:
    """Who made a response fail, of which `evidence` tells what the model wrote."""
    reading, excuse, faithful = evidence.reading, evidence.excuse(), evidence.faithful
    if finding.kind == Kind.INVALID_ARGUMENTS:
        if evidence.truncated:
            return Blame(Kind.TRUNCATED, Layer.MODEL, "the answer was cut off at max_tokens")
        return Blame(finding.kind, Layer.PARSER)
    if reading is None:
        return _blame_without_text(finding, evidence)
    if reading.ambiguous:
        lost = _misplaced_call(finding, evidence)
        return lost or Blame(finding.kind, Layer.UNKNOWN, f"ambiguous: {reading.ambiguous[0]}")
    written = Said(reading.calls, reading.text)
    own = expected.of(evidence.case, written, None)
    if faithful and expected.of(evidence.case, written, finding) is None:
        return Blame(
            faithful.kind, evidence.layer_of(faithful), f"the model wrote {written_text(reading)}"
        )
    if finding.kind == Kind.SPURIOUS_CALL and expected.of_choice:
        return Blame(finding.kind, Layer.MODEL, excuse.reason if excuse else "")
    if own and own.kind == Kind.WRONG_TOOL:
        return Blame(own.kind, Layer.MODEL)
    if excuse and (expected.of_choice or finding.kind == Kind.MISSING_CALL):
        return excuse
    if own:
        return Blame(_own_kind(own.kind), Layer.MODEL)
    return excuse or Blame(finding.kind, Layer.UNKNOWN, evidence.unparsed or "")


def _blame_without_text(finding: Finding, evidence: Evidence) -> Blame:
    if finding.kind == Kind.MISSING_CALL and not evidence.response.calls:
        if evidence.truncated:
            return Blame(Kind.TRUNCATED, Layer.MODEL, "the answer was cut off at max_tokens")
        if lost := _misplaced_call(finding, evidence):
            return lost
        if evidence.response.finish_reason == "tool_calls":
            return Blame(Kind.LOST_CALL, Layer.UNKNOWN, "finish_reason is tool_calls")
    if finding.kind == Kind.CORRUPT_NAME and any(not c.name for c in evidence.response.calls):
        return Blame(finding.kind, Layer.SERVER, "no text of a model excuses a call without a name")
    return Blame(finding.kind, Layer.UNKNOWN, evidence.distrusted or "")


def _misplaced_call(finding: Finding, evidence: Evidence) -> Blame | None:
    """A call that is missing, and stands where no client looks for it."""
    if finding.kind != Kind.MISSING_CALL or evidence.response.calls:
        return None
    if legacy_call(evidence.response):
        return Blame(Kind.LOST_CALL, Layer.SERVER, "a call is in the field function_call")
    if call_in_reasoning(evidence.case, evidence.response):
        return Blame(Kind.LOST_CALL, Layer.UNKNOWN, "a call is in the reasoning")
    return None


def blame_finish_reason(held: Held, finding: Finding) -> Blame:
    """Who made the finish reason wrong."""
    evidence = held.evidence
    if finding.kind == Kind.TRUNCATED:
        return Blame(finding.kind, Layer.MODEL)
    if finding.kind == Kind.FINISH_REASON:
        return Blame(finding.kind, Layer.SERVER)
    if held.changed and held.behind and held.behind.response.calls:
        return held.changed[1]  # the plain response has the call that is lost here
    reading = evidence.reading
    if reading is None:
        return Blame(finding.kind, Layer.UNKNOWN)
    if reading.ambiguous:  # a call that is unsound either way is the model's all the same
        return evidence.excuse() or Blame(finding.kind, Layer.UNKNOWN)
    if evidence.faithful and evidence.faithful.kind == Kind.LOST_CALL:
        return Blame(finding.kind, Layer.PARSER)
    if finding.kind == Kind.LOST_CALL and evidence.unparsed:
        return evidence.excuse() or Blame(finding.kind, Layer.UNKNOWN, evidence.unparsed)
    cut_by_parser = reading.named and not reading.attempted
    layer = Layer.PARSER if cut_by_parser else Layer.SERVER
    return evidence.excuse() or Blame(Kind.FINISH_REASON, layer)


def blame_markup(held: Held, finding: Finding) -> Blame:
    """Who left markup in the text: a later layer, where the plain answer has none."""
    if held.behind and held.changed:
        if check_markup(held.case, held.behind.response) is None:
            return Blame(finding.kind, held.changed[1].layer)
        return _blame_markup(held.behind, finding)
    return _blame_markup(held.evidence, finding)


def _blame_markup(evidence: Evidence, finding: Finding) -> Blame:
    reading = evidence.reading
    if reading is None or reading.ambiguous:
        return Blame(finding.kind, Layer.UNKNOWN)
    if excuse := evidence.excuse():
        return excuse
    if leaked_marks(evidence.case, reading.text):
        return Blame(finding.kind, Layer.MODEL, "the model wrote it outside any call")
    marks = leaked_marks(evidence.case, evidence.response.content or "")
    if evidence.opens_thought is False and closes_nothing(evidence.raw_text, reading, marks):
        return Blame(finding.kind, Layer.MODEL, "the model closes a thought that nobody opened")
    return Blame(finding.kind, Layer.PARSER)


def written_text(reading: Reading) -> str:
    """The calls that the model wrote, else its text, in one line."""
    return shown_calls(reading.calls) if reading.calls else show(reading.text)
