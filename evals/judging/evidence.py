"""Evidence: how a response differs from what the model wrote, and what excuses that."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from evals.case import Case
from evals.formats.markup import TURN_TOKENS
from evals.formats.reading import ReadCall, Reading
from evals.formats.registry import NOT_KNOWN, THINK, syntax
from evals.json_text import to_text
from evals.judging.call_matching import match_calls
from evals.judging.checks import (
    Finding,
    Said,
    check_arguments,
    check_stream,
    leaked_marks,
    literal_calls,
    parse_arguments,
    show,
)
from evals.judging.ending import is_cut_off
from evals.judging.looks import apart, cut, one_line
from evals.judging.matching import match
from evals.judging.request_keys import stopped
from evals.judging.thoughts import changed_reasoning, moved_answer
from evals.observation import Call, Observation, Traits
from evals.results import Difference, Kind, Layer

LAYERS = {
    Kind.CHANGED_CONTENT: Layer.SERVER,
    Kind.FINISH_REASON: Layer.SERVER,
    Kind.STREAM_MISMATCH: Layer.SERVER,
    Kind.TOOL_CHOICE_IGNORED: Layer.SERVER,
    Kind.API_CONTRACT: Layer.SERVER,
    Kind.USAGE: Layer.SERVER,
    Kind.REQUEST_IGNORED: Layer.SERVER,
    Kind.STOPPED: Layer.HARNESS,
    Kind.PROMPT_DRIFT: Layer.TEMPLATE,
    Kind.TOOLS_NOT_IN_PROMPT: Layer.TEMPLATE,
    Kind.TEMPLATE_ERROR: Layer.TEMPLATE,
    Kind.SERVER_ERROR: Layer.SERVER,
    Kind.HARNESS_ERROR: Layer.HARNESS,
}


def layer_of(kind: Kind) -> Layer:
    """The layer that makes a response differ in this way from a valid call or a text."""
    return LAYERS.get(kind, Layer.PARSER)


@dataclass(frozen=True)
class Blame:
    """The final kind of a finding, whose fault it is, and why."""

    kind: Kind
    layer: Layer
    reason: str = ""


@dataclass(frozen=True)
class Evidence:
    """What is known about one response: how it reads raw, and how it differs from that."""

    case: Case
    response: Observation
    reading: Reading | None
    call_format: str
    traits: Traits
    """Those of the lane that the response came in."""
    raw_text: str = ""
    """What was read."""
    unended: bool | None = None
    """Whether the last token is not an end: the model would have written on. None: not known."""
    opens_thought: bool | None = None
    """Whether the prompt ends within a thought; None where it is not known."""
    distrusted: str | None = None
    """Why what came as evidence is none."""

    @cached_property
    def faithful(self) -> Finding | None:
        """How the response differs from the valid calls and the text that the model wrote."""
        return faithful_finding(self)

    @property
    def truncated(self) -> bool:
        """Whether the answer ran into max_tokens."""
        unended = self.unended
        if unended is None and self.reading is not None:
            unended = any(malformed.cut for malformed in self.reading.malformed)
        return is_cut_off(self.case, self.response, unended=unended)

    @property
    def unparsed(self) -> str | None:
        """Why a call that did not come may be the model's fault or the server's; None: it is told.

        Nobody said whether the server reads the format that it is written in.
        """
        reading = self.reading
        if self.call_format != NOT_KNOWN or reading is None or self.faithful is not None:
            return None
        if len(self.response.calls) >= len(reading.read):
            return None
        return (
            f"a call is written as {reading.format}, and nothing tells whether the server parses "
            "that; say it as call_format of the profile"
        )

    def excuse(self) -> Blame | None:
        """The model's own fault that explains why the response is not what the model meant."""
        reading = self.reading
        if reading is None:
            return None
        if self.truncated and (not reading.read or any(m.cut for m in reading.malformed)):
            return Blame(Kind.TRUNCATED, Layer.MODEL, "the answer was cut off at max_tokens")
        if word := stopped(self.case, reading):
            reason = f"the case's stop word {show(word)} cut the call off"
            return Blame(Kind.STOPPED, Layer.HARNESS, reason)
        if reading.malformed:
            first = reading.malformed[0]
            reason = f"malformed call, {first.reason}: {one_line(first.text)}"
            return Blame(Kind.MALFORMED_CALL, Layer.MODEL, reason)
        if len(self.response.calls) >= len(reading.read):
            return None
        for item in reading.read:
            if self.call_format not in (item.format, NOT_KNOWN):
                reason = f"the call is written as {item.format}, the server parses"
                return Blame(Kind.FORMAT_MISMATCH, Layer.MODEL, f"{reason} {self.call_format}")
            if item.unfit:
                reason = f"{', '.join(item.unfit)}: the value has a type that the schema forbids"
                return Blame(self._unfit_kind(reading), Layer.MODEL, reason)
            if self.case.tool(item.call.name) is None:
                reason = f"the model calls {show(item.call.name)}, which is not an available tool"
                return Blame(Kind.WRONG_TOOL, Layer.MODEL, reason)
        return None

    def _unfit_kind(self, reading: Reading) -> Kind:
        """A wrong type, where the value would be right after a change of type."""
        if not self.case.expect.alternatives:
            return Kind.WRONG_TYPE
        own = check_arguments(self.case, Said(reading.calls, ""))
        return Kind.WRONG_VALUE if own and own.kind == Kind.WRONG_VALUE else Kind.WRONG_TYPE

    def layer_of(self, finding: Finding) -> Layer:
        """The layer that makes the response differ in this way from what the model wrote."""
        named = self.reading is not None and self.reading.named
        if finding.kind == Kind.CHANGED_CONTENT and named:
            return Layer.PARSER  # it took a tag in the words for a call
        return layer_of(finding.kind)


def attempted_call(case: Case, reading: Reading) -> bool:
    """Whether the model began a call; a tag that the question itself has may just be quoted."""
    tags = [tag for tag in syntax().markup if tag in case.question]
    return bool(reading.read) or any(
        not any(malformed.text.startswith(tag) for tag in tags) for malformed in reading.malformed
    )


def changed_behind(
    case: Case, traits: Traits, observation: Observation, plain: Observation | None
) -> tuple[Finding, Blame] | None:
    """How a stream or a client's view differs from the plain response, and who did it."""
    if plain is None or not traits.needs_plain:
        return None
    if traits.through_client:
        return changed_by_client(case, observation, plain)
    finding = check_stream(observation, plain)
    return (finding, Blame(finding.kind, Layer.SERVER)) if finding else None


def changed_by_client(
    case: Case, seen: Observation, response: Observation
) -> tuple[Finding, Blame] | None:
    """How what reached the tools differs from the response that the client got.

    A call of a tool that is not there, or with arguments that are no object, can reach no tool:
    what the client does with one is no change.
    """
    sound = [call for call in response.calls if _can_reach_a_tool(case, call)]
    reads = [ReadCall(call, "hermes-json") for call in sound]
    salvaged = len(sound) < len(response.calls)
    finding = _compare_calls(case, reads, seen.calls, salvaged=salvaged)
    if not finding and not response.calls and _text(response) != _text(seen):
        finding = _changed_text(response.content, seen.content)
    return (finding, Blame(finding.kind, Layer.CLIENT)) if finding else None


def _can_reach_a_tool(case: Case, call: Call) -> bool:
    return case.tool(call.name) is not None and not isinstance(parse_arguments(call), ValueError)


def same_calls(case: Case, reading: Reading, response: Observation) -> bool:
    """Whether the response has the calls of the reading, sound or not."""
    return _compare_calls(case, reading.read, response.calls) is None


def _text(observation: Observation) -> str:
    return (observation.content or "").strip()


def _changed_text(written: str | None, delivered: str | None) -> Finding:
    shown = apart(cut(to_text(written)), cut(to_text(delivered)))
    difference = Difference("$.content", *shown, "wrong")
    return Finding(Kind.CHANGED_CONTENT, "the text is not what was written", (difference,))


def faithful_finding(evidence: Evidence) -> Finding | None:
    """How the response differs from the valid calls and the text that the model wrote."""
    reading = evidence.reading
    if reading is None or reading.ambiguous:
        return None
    case, response = evidence.case, evidence.response
    # A server may make a call of malformed markup: it is none of those that were read.
    mended = [call for call in response.calls if _in_malformed(call, reading)]
    names = {call.name for call in reading.calls}
    delivered = [call for call in response.calls if call not in mended or call.name in names]
    all_came = not mended and len(delivered) >= len(reading.read)
    reads = [item for item in reading.read if item.format == evidence.call_format or all_came]
    unsound = [item for item in reads if item.unfit or case.tool(item.call.name) is None]
    excused = bool(reading.malformed) or len(reads) < len(reading.read)
    finding = _compare_calls(case, reads, delivered, unsound=unsound, salvaged=excused)
    if finding or excused or unsound or (evidence.traits.through_client and reading.calls):
        return finding
    return (
        changed_reasoning(evidence.raw_text, reading, response)
        or moved_answer(reading, response, evidence.opens_thought)
        or _compare_text(case, reading, response)
    )


def _in_malformed(call: Call, reading: Reading) -> bool:
    """Whether the name of a call that came stands in malformed markup."""
    return any(call.name and call.name in malformed.text for malformed in reading.malformed)


def _compare_calls(
    case: Case,
    reads: Sequence[ReadCall],
    delivered: Sequence[Call],
    *,
    unsound: Sequence[ReadCall] = (),
    salvaged: bool = False,
) -> Finding | None:
    """The worst difference between calls that were written and calls that were delivered."""
    got = [(call.name, parse_arguments(call)) for call in delivered]
    expected = literal_calls([item.call for item in reads])
    pairs = match_calls(expected, got, "any", case.tools, matchers=False)
    findings: list[Finding] = []
    for item, pair in zip(reads, pairs.calls, strict=True):
        if item in unsound:
            continue
        if pair.index is None:
            written = f"{item.call.name}({item.call.arguments})"
            findings.append(Finding(Kind.LOST_CALL, f"the call {one_line(written)} was lost"))
        elif not pair.name_ok:
            reason = f"the name {show(item.call.name)} became {show(got[pair.index][0])}"
            findings.append(Finding(Kind.CORRUPT_NAME, reason))
        else:
            findings += _compare_arguments(case, item, delivered[pair.index])
    if pairs.extra and not salvaged:
        names = ", ".join(show(got[i][0]) for i in pairs.extra)
        findings.append(Finding(Kind.INVENTED_CALL, f"nobody wrote the call of {names}"))
    indices = [pair.index for pair in pairs.calls if pair.index is not None]
    if indices != sorted(indices):
        names = ", ".join(show(got[i][0]) for i in sorted(indices))
        reason = f"the calls came in another order than they were written: {names}"
        findings.append(Finding(Kind.ANOTHER_ORDER, reason))
    return min(findings, key=lambda finding: _SEVERITY.index(finding.kind), default=None)


_SEVERITY = (
    Kind.LOST_CALL,
    Kind.CORRUPT_NAME,
    Kind.INVALID_ARGUMENTS,
    Kind.CHANGED_ARGUMENTS,
    Kind.INVENTED_CALL,
    Kind.ANOTHER_ORDER,
)


def _compare_arguments(case: Case, item: ReadCall, delivered: Call) -> list[Finding]:
    value = parse_arguments(delivered)
    if isinstance(value, ValueError):
        reason = f"the arguments are {value}: {one_line(delivered.arguments)}"
        return [Finding(Kind.INVALID_ARGUMENTS, reason)]
    written = parse_arguments(item.call)
    if isinstance(written, ValueError):
        return []
    said = {
        key: other
        for key, other in item.either.items()
        if key in value and match({key: other}, {key: value[key]}, matchers=False).ok
    }
    written = {**written, **said}
    tool = case.tool(item.call.name)
    compared = match(written, value, schema=tool and tool.parameters, matchers=False)
    if compared.ok:
        return []
    differences = tuple(
        Difference(x.path, *apart(x.expected, x.got), x.how) for x in compared.wrong
    )
    first = differences[0]
    reason = f"{first.path} was written as {cut(first.expected)} and became {cut(first.got)}"
    return [Finding(Kind.CHANGED_ARGUMENTS, reason, differences)]


_THOUGHT = re.compile("|".join(re.escape(tag) for pair in THINK for tag in pair))


def _dense(text: str) -> str:
    """A text without white space and tags of thoughts."""
    return "".join(_THOUGHT.sub("", text).split())


def _without_special_tokens(case: Case, text: str) -> str:
    """A text without the tokens around turns that it uses: many servers do not decode them."""
    used = set(leaked_marks(case, text))
    tokens = (found.group() for found in re.finditer("|".join(TURN_TOKENS), text))
    for token in used.intersection(tokens):
        text = text.replace(token, "")
    return text.strip()


def _compare_text(case: Case, reading: Reading, response: Observation) -> Finding | None:
    written, delivered = reading.text.strip(), _text(response)
    for word in case.stop:  # it ends the answer, and is not part of it
        written = written.partition(word)[0].strip()
    # The opening <think> may be in the prompt: then the raw text does not show where thought ends.
    if delivered in (written, _THOUGHT.sub("", written).strip()):
        return None
    if delivered == _without_special_tokens(case, written):
        return None
    wholes = (f"{response.reasoning}{delivered}", f"{delivered}{response.reasoning}")
    if response.reasoning and _dense(written) in map(_dense, wholes):
        return None
    # Words may name </think>, and there was no thought.
    named = (f"{reading.reasoning}{closing}{reading.text}".strip() for _, closing in THINK)
    if reading.reasoning is not None and response.reasoning is None and delivered in named:
        return None
    marks = [m for m in leaked_marks(case, delivered) if m not in written]
    if marks:
        return Finding(Kind.LEAKED_MARKUP, f"{marks[0]} is in the text: {show(delivered)}")
    return _changed_text(written, response.content and delivered)
