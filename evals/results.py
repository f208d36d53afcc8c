"""Answers, what judging says of them, and the records that keep both for every later reader."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self

from pydantic_core import from_json, to_json

from evals.case import Case, KnownDefect, Tool
from evals.observation import AGENT, DIRECT, SERVER, STREAM, Observation, Traits

RECORD_SCHEMA = 3
RECORDS = "records.jsonl"
"""The file in a run's folder that holds the records."""


class Layer(StrEnum):
    """Who is to blame for a failed check."""

    MODEL = "model"
    """The model wrote it wrong: the wrong tool, value or type, or a malformed call."""
    TEMPLATE = "template"
    """The prompt is not what it should be."""
    PARSER = "parser"
    """The model wrote a valid call, and the response lost or changed it."""
    SERVER = "server"
    """Finish reason, text, stream or transport are at odds with the answer."""
    CLIENT = "client"
    """The agent's tools got something else than the server sent."""
    HARNESS = "harness"
    """This suite could not ask."""
    UNKNOWN = "unknown"
    """The lane left no evidence that tells the model from what is behind it."""


class Kind(StrEnum):
    """What went wrong; the classes of `summary.json`. The layer is a second, separate answer."""

    WRONG_TOOL = "wrong_tool"
    """Another tool was called than expected, or one that is not an available tool."""
    MISSING_CALL = "missing_call"
    """A call was expected, and there is none, or there are too few."""
    SPURIOUS_CALL = "spurious_call"
    """There is a call where an answer was expected, or there are too many."""
    FORBIDDEN_CALL = "forbidden_call"
    """A tool was called that the case says must not be."""
    WRONG_VALUE = "wrong_value"
    """An argument has another value than expected, is missing, or was not expected."""
    WRONG_TYPE = "wrong_type"
    """A value of the wrong type: `"5"` in place of `5`; it would match after a change of type."""
    SCHEMA = "schema"
    """The arguments do not satisfy the schema that the tool declares."""
    WRONG_ANSWER = "wrong_answer"
    """The answer is empty, lacks a text that it must have, or has one that it must not have."""
    MALFORMED_CALL = "malformed_call"
    """The model began a call and did not keep to its format."""
    TRUNCATED = "truncated"
    """The answer was cut off at `max_tokens`."""
    FORMAT_MISMATCH = "format_mismatch"
    """The model wrote a well-formed call in another format than the server parses."""
    CORRUPT_NAME = "corrupt_name"
    """A tool's name is not the one that was written, such as `todoread</function`."""
    INVALID_ARGUMENTS = "invalid_arguments"
    """The arguments in the response are not a strict JSON object."""
    CHANGED_ARGUMENTS = "changed_arguments"
    """Arguments are not the ones that were written."""
    LEAKED_MARKUP = "leaked_markup"
    """Markup of calls or of reasoning is in the text of the answer."""
    LOST_CALL = "lost_call"
    """A valid call was written, or the finish reason announces one, and there is none."""
    INVENTED_CALL = "invented_call"
    """There is a call that nobody wrote."""
    CHANGED_CONTENT = "changed_content"
    """The text of the answer is not the one that was written."""
    FINISH_REASON = "finish_reason"
    """The finish reason does not fit the answer, such as `stop` with a call."""
    STREAM_MISMATCH = "stream_mismatch"
    """The stream and the plain response differ, also when both are asked alone."""
    ANOTHER_ORDER = "another_order"
    """The calls are the right ones, in another order than expected or written."""
    API_CONTRACT = "api_contract"
    """A field that the API requires is missing, such as the `id` of a call, or cannot be used."""
    USAGE = "usage"
    """The token counts are missing though asked for, or cannot be true."""
    PROMPT_DRIFT = "prompt_drift"
    """The server's prompt has more or fewer tokens than the one rendered here."""
    TOOLS_NOT_IN_PROMPT = "tools_not_in_prompt"
    """Available tools are not in the prompt, so the model never saw them."""
    TOOL_CHOICE_IGNORED = "tool_choice_ignored"
    """The response is not what `tool_choice` asked for."""
    TEMPLATE_ERROR = "template_error"
    """No answer came back, and the chat template rejects the request here, too."""
    REQUEST_IGNORED = "request_ignored"
    """The response is not what `parallel_tool_calls`, `stop`, `response_format` or `strict` asked
    for."""
    STOPPED = "stopped"
    """A stop word of the case itself cut a call off."""
    SERVER_ERROR = "server_error"
    """No whole response came back: a status other than 200, a timeout, a cut stream."""
    HARNESS_ERROR = "harness_error"
    """This suite could not ask: the model's process did not answer."""


class Status(StrEnum):
    """A record's outcome. `error`: nothing is known about the answer; it enters no rate."""

    PASS = "pass"
    """Every check passed."""
    FAIL = "fail"
    """At least one check failed."""
    ERROR = "error"
    """No whole answer came back; it enters no rate, and the run does not pass its gate."""
    KNOWN = "known"
    """Failed as a known defect of this profile says it would; enters no rate and no count."""


@dataclass(frozen=True)
class Difference:
    """One place where a value is not what was expected. `path` is a JSON path such as `$.city`."""

    path: str
    expected: str
    got: str
    how: str
    """`wrong`, `missing`, `extra`, or what would make it match: `coerced`, `nfc`."""


_BEHIND = frozenset({Layer.TEMPLATE, Layer.PARSER, Layer.SERVER, Layer.CLIENT})


@dataclass(frozen=True)
class Verdict:
    """One check's answer. A failed one has a kind and a layer; `reason` is one plain sentence."""

    check: str
    passed: bool
    reason: str = ""
    kind: Kind | None = None
    layer: Layer | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def is_violation(self) -> bool:
        """Made downstream of the model: conformance has no tolerance.

        A call that the response announces and does not have is one even without evidence of what
        the model wrote: it may have been malformed, but a server that drops calls cannot pass.
        """
        return not self.passed and (self.layer in _BEHIND or self.is_unexplained_loss)

    @property
    def is_miss(self) -> bool:
        """The model's own fault: counted, and gated on a threshold."""
        own = self.layer in (Layer.MODEL, Layer.UNKNOWN)
        return not self.passed and own and not self.is_unexplained_loss

    @property
    def is_unexplained_loss(self) -> bool:
        """A lost call that nothing tells the reason of; it says nothing about the model."""
        return not self.passed and self.kind == Kind.LOST_CALL and self.layer == Layer.UNKNOWN

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The verdict whose `asdict` is `data`."""
        values = dict(data)
        values["kind"] = Kind(data["kind"]) if data.get("kind") else None
        values["layer"] = Layer(data["layer"]) if data.get("layer") else None
        values["differences"] = tuple(Difference(**d) for d in data.get("differences") or ())
        return cls(**values)


@lru_cache(maxsize=256)
def passed(check: str, reason: str = "") -> Verdict:
    """The verdict of a check that passed; nearly all of a run are alike, and shared."""
    return Verdict(check, True, reason)


@dataclass(frozen=True)
class Scores:
    """The four answers that rates are made of; None where the case does not ask for it.

    All are None where the response ignored `tool_choice`: it then says nothing about the model.
    """

    discrimination: bool | None
    tool_name: bool | None
    arguments: bool | None
    case: bool | None


@dataclass(frozen=True)
class Prompt:
    """What the model's own template makes of the request, rendered on this machine."""

    without_tools: int | None = None
    """Tokens of the prompt without the tools; None where there are none, or it is not known."""
    unseen_tools: tuple[str, ...] = ()
    """Available tools whose names the prompt does not show."""
    opens_thought: bool | None = None
    """Whether it ends within a thought; None where it is not known."""
    error: str | None = None
    """Why the template rejects the request."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The prompt whose `asdict` is `data`."""
        return cls(**{**data, "unseen_tools": tuple(data.get("unseen_tools") or ())})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back to one question, with everything that it is judged by."""

    case: Case
    profile: str
    traits: Traits
    """What the lane that asked can do and show."""
    repeat: int = 0
    request: Mapping[str, Any]
    """The body that was sent."""
    in_order: bool = True
    """Whether `request` has its keys in the order in which they were sent, which the prompt depends
    on; records of schemas 1 and 2 sorted them."""
    observation: Observation
    plain: Observation | None = None
    """The plain lane's answer that a lane without token ids is judged with."""
    rendered_prompt_tokens: int | None = None
    prompt: Prompt = Prompt()
    """What else is known of the prompt."""
    call_format: str = "qwen3-coder-xml"
    asked_alone: bool = False
    """It differed from the plain answer among other requests, so both were asked again, alone."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages that answered, of those by which a known defect is told apart."""

    @property
    def lane(self) -> str:
        """The name of the lane that asked."""
        return self.traits.name

    @property
    def key(self) -> str:
        """Names this answer within its run: `<case id>[<profile>-<lane>]`, repeats with `#n`."""
        suffix = f"#{self.repeat}" if self.repeat else ""
        return f"{self.case.node}[{self.profile}-{self.lane}{suffix}]"

    @property
    def written(self) -> Observation | None:
        """The observation with the raw model text: this one, what it was made of, or the plain."""
        seen = (self.observation, self.observation.received, self.plain)
        return next((o for o in seen if o is not None and o.raw_text is not None), None)

    @property
    def model_text(self) -> str | None:
        """What the model wrote; None where nothing shows it."""
        return self.written.raw_text if self.written else None

    @property
    def known_defect(self) -> KnownDefect | None:
        """The known defect of the case that applies to this profile and lane."""
        return self.case.defect(self.profile, self.lane, self.packages)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """All that is said about one answer.

    Raises:
        ValueError: there are no verdicts, or scores of an answer with an error, or none of another.
    """

    verdicts: tuple[Verdict, ...]
    scores: Scores | None
    """None exactly where the status is `error`."""
    status: Status

    def __post_init__(self) -> None:
        if not self.verdicts:
            raise ValueError("a judgement without verdicts")
        if (self.scores is None) != (self.status == Status.ERROR):
            raise ValueError(f"status {self.status} with scores {self.scores}")

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The verdicts that did not pass."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)

    @property
    def cause(self) -> Verdict | None:
        """The failed verdict that explains the others: a violation, else the first that failed."""
        violations = (verdict for verdict in self.failed if verdict.is_violation)
        return next(violations, next(iter(self.failed), None))

    @property
    def why(self) -> str:
        """`lost_call (parser): the call …`; it can hold a model's text. Empty if nothing failed."""
        return f"{self.cause.kind} ({self.blame}): {self.cause.reason}" if self.cause else ""

    @property
    def outcome(self) -> str:
        """`pass`, `violation`, `miss`, `known` or `error`."""
        if self.status != Status.FAIL or self.cause is None:
            return str(self.status)
        return "violation" if self.cause.is_violation else "miss"

    @property
    def blame(self) -> Layer | None:
        """The layer of the cause; None where nothing failed."""
        return (self.cause.layer or Layer.UNKNOWN) if self.cause else None

    @property
    def defect_gone(self) -> str | None:
        """What is to be said of a known defect that no longer fails; None of any other answer."""
        gone = (v.reason for v in self.verdicts if v.check == KNOWN_DEFECT and v.passed)
        return next(gone, None)

    @property
    def differs_from_plain(self) -> bool:
        """Whether a stream is not what the plain answer says."""
        return any(v.kind == Kind.STREAM_MISMATCH for v in self.failed)


KNOWN_DEFECT = "known_defect"
"""The verdict that a known defect of the case no longer fails; it is no check of the answer."""


@dataclass(frozen=True, kw_only=True)
class Record(Answer, Judgement):
    """An answer with its judgement: one line of `records.jsonl`."""

    @classmethod
    def of(cls, answer: Answer, judgement: Judgement) -> Self:
        """The record of an answer (or of a record that is judged again)."""
        return cls(
            **{name: getattr(answer, name) for name in _OF_ANSWER},
            **{name: getattr(judgement, name) for name in _OF_JUDGEMENT},
        )

    def to_json(self) -> str:
        """One line; the same record always gives the same bytes.

        Nothing is sorted: a request with its keys in another order renders to another prompt.
        """
        data = {**vars(self), "schema": RECORD_SCHEMA, "request": dict(self.request)}
        data["packages"] = dict(self.packages)
        if not self.packages:
            del data["packages"]
        try:
            return to_json(data, inf_nan_mode="constants").decode()
        except ValueError:  # a model can write half of a surrogate pair, which UTF-8 cannot
            data["case"] = self.case.model_dump(mode="json")
            text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=vars)
            return text.encode("utf-8", "backslashreplace").decode("utf-8")

    @classmethod
    def from_json(cls, line: str, known: Self | None = None) -> Self:
        """The record that `to_json` wrote, today or under schema 1 or 2.

        Of a record that is `known` but for its evidence, that alone is read.

        Raises:
            ValueError: the line is not a record of a schema that is read.
        """
        data = _read(line)
        schema = data.pop("schema", None)
        if schema == 1:  # it knew four lanes, by name
            data["traits"] = asdict(_LANES_OF_SCHEMA_1[data.pop("lane")])
        elif schema == 2:
            data["traits"].pop("own_prompt", None)
        elif schema != RECORD_SCHEMA:
            raise ValueError(f"not a record of schema {RECORD_SCHEMA}, 2 or 1")
        evidence = {
            "request": data["request"],
            "observation": Observation.from_dict(data["observation"]),
            "plain": Observation.from_dict(data["plain"]) if data["plain"] else None,
            "prompt": Prompt.from_dict(data.get("prompt") or {}),
        }
        if known is not None:
            return replace(known, **evidence)
        data.setdefault("in_order", schema == RECORD_SCHEMA)
        data["case"] = _case(json.dumps(data["case"]))
        data["traits"] = Traits(**data["traits"])
        data["verdicts"] = tuple(map(_verdict, data["verdicts"]))
        data["scores"] = Scores(**data["scores"]) if data["scores"] else None
        data["status"] = Status(data["status"])
        return cls(**{**data, **evidence})


def _read(line: str) -> Any:
    try:
        return from_json(line)  # in half of json's time
    except ValueError:  # half of a surrogate pair, or no JSON at all
        return json.loads(line)


@lru_cache(maxsize=16)
def _case(text: str) -> Case:
    """The case of this JSON; its lanes and repeats follow one another, and share it."""
    data = json.loads(text)
    return Case.model_validate(
        {**data, "tools": [_tool(json.dumps(t)) for t in data.get("tools", ())]}
    )


@lru_cache(maxsize=1024)
def _tool(text: str) -> Tool:
    """The tool of this JSON; many cases have the same ones."""
    return Tool.model_validate_json(text)


def _verdict(data: Mapping[str, Any]) -> Verdict:
    """The verdict of this JSON."""
    told = data["passed"] and not (data.get("kind") or data.get("differences"))
    return passed(data["check"], data["reason"]) if told else Verdict.from_dict(data)


_AGENT_OF_OLD = replace(AGENT, has_token_ids=False, needs_plain=True)
_LANES_OF_SCHEMA_1 = {lane.name: lane for lane in (SERVER, STREAM, DIRECT, _AGENT_OF_OLD)}

_OF_ANSWER = [field.name for field in fields(Answer)]
_OF_JUDGEMENT = [field.name for field in fields(Judgement)]
