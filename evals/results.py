"""What judging says: verdicts, and the record that keeps a whole case for every later reader."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from evals.case import Case
from evals.observation import Observation

RECORD_SCHEMA = 1


class Layer(StrEnum):
    """Who is to blame for a failed check."""

    MODEL = "model"
    TEMPLATE = "template"
    PARSER = "parser"
    SERVER = "server"
    CLIENT = "client"
    HARNESS = "harness"
    UNKNOWN = "unknown"
    """The lane left no evidence that tells the model from what is behind it."""


class Kind(StrEnum):
    """What went wrong; the classes of `summary.json`. The layer is a second, separate answer."""

    WRONG_TOOL = "wrong_tool"
    MISSING_CALL = "missing_call"
    SPURIOUS_CALL = "spurious_call"
    WRONG_VALUE = "wrong_value"
    WRONG_TYPE = "wrong_type"
    SCHEMA = "schema"
    WRONG_ANSWER = "wrong_answer"
    MALFORMED_CALL = "malformed_call"
    TRUNCATED = "truncated"
    FORMAT_MISMATCH = "format_mismatch"
    CORRUPT_NAME = "corrupt_name"
    INVALID_ARGUMENTS = "invalid_arguments"
    CHANGED_ARGUMENTS = "changed_arguments"
    LEAKED_MARKUP = "leaked_markup"
    LOST_CALL = "lost_call"
    INVENTED_CALL = "invented_call"
    CHANGED_CONTENT = "changed_content"
    FINISH_REASON = "finish_reason"
    STREAM_MISMATCH = "stream_mismatch"
    PROMPT_DRIFT = "prompt_drift"
    TOOL_CHOICE_IGNORED = "tool_choice_ignored"
    SERVER_ERROR = "server_error"
    HARNESS_ERROR = "harness_error"


class Status(StrEnum):
    """A record's outcome. `error`: nothing is known about the answer; it enters no rate."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
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
        """Made behind the model: conformance has no tolerance.

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
class Record:
    """Everything about one case in one lane of one profile: one line of `records.jsonl`."""

    case: Case
    profile: str
    lane: str
    repeat: int
    request: Mapping[str, Any]
    observation: Observation
    verdicts: tuple[Verdict, ...]
    scores: Scores | None
    """None exactly where the status is `error`."""
    status: Status
    plain: Observation | None = None
    """The plain lane's answer that a lane without token ids was judged with."""
    rendered_prompt_tokens: int | None = None
    call_format: str = "qwen3-coder-xml"
    asked_alone: bool = False
    """Stream and plain differed among other requests, so both were asked again, alone."""

    @property
    def key(self) -> str:
        """Names this record within its run: `<case id>[<profile>-<lane>]`, repeats with `#n`."""
        suffix = f"#{self.repeat}" if self.repeat else ""
        return f"{self.case.node}[{self.profile}-{self.lane}{suffix}]"

    def to_json(self) -> str:
        """One line; the same record always gives the same bytes."""
        data = {
            "schema": RECORD_SCHEMA,
            "case": self.case.model_dump(mode="json"),
            "profile": self.profile,
            "lane": self.lane,
            "repeat": self.repeat,
            "request": dict(self.request),
            "observation": self.observation.to_dict(),
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "scores": asdict(self.scores) if self.scores else None,
            "status": self.status,
            "plain": self.plain.to_dict() if self.plain else None,
            "rendered_prompt_tokens": self.rendered_prompt_tokens,
            "call_format": self.call_format,
            "asked_alone": self.asked_alone,
        }
        text = json.dumps(data, ensure_ascii=False, sort_keys=True)
        # A model can write half of a surrogate pair, which UTF-8 cannot; JSON has an escape for it.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The record that `to_json` wrote.

        Raises:
            ValueError: the line is not a record of this schema.
        """
        data = json.loads(line)
        if data.pop("schema", None) != RECORD_SCHEMA:
            raise ValueError(f"not a record of schema {RECORD_SCHEMA}")
        data["case"] = Case.model_validate(data["case"])
        data["observation"] = Observation.from_dict(data["observation"])
        data["verdicts"] = tuple(Verdict.from_dict(v) for v in data["verdicts"])
        data["scores"] = Scores(**data["scores"]) if data["scores"] else None
        data["status"] = Status(data["status"])
        data["plain"] = Observation.from_dict(data["plain"]) if data["plain"] else None
        return cls(**data)


def read_records(path: Path, say: Callable[[str], None] = print) -> Iterator[Record]:
    """The records of a run, in file order. A torn last line (a killed run) ends it, and is said.

    Raises:
        ValueError: a line before the last is not a record; the message has file and line.
    """
    # Not splitlines(): it would also part at line ends that may stand inside JSON text.
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            yield Record.from_json(line)
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                say(f"{path}:{number}: torn last line of a run that was killed; left out")
                return
            raise ValueError(f"{path}:{number}: not a record: {error}") from error


def write_records(records: Iterable[Record], path: Path) -> None:
    """Write `records` as the whole file at `path`."""
    path.write_text("".join(f"{record.to_json()}\n" for record in records), encoding="utf-8")
