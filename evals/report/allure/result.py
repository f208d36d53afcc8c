"""A record as an Allure test: plain values, nothing is written.

One test per case, profile, lane and repeat. Its history goes by the case's node, so that it
survives edits of the question; model and quantisation are shown and are no part of it. Text of a
model comes only into attachments of plain text or JSON, the message, the trace and code blocks of
the description, with its control characters made visible.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evals.escaping import escape_controls
from evals.observation import Observation
from evals.report.evidence_view import (
    as_json,
    curl_line,
    response_value,
    transcript,
)
from evals.report.github.markdown import block
from evals.report.summary import ProfileServed
from evals.report.text import expected_text, response_text, what_happened
from evals.results import Record, Status, Verdict

TEXT = "text/plain"
JSON = "application/json"
_STATUS = {
    Status.PASS: "passed",
    Status.FAIL: "failed",
    Status.ERROR: "broken",
    Status.KNOWN: "skipped",
}
DEFECT = "known defect"
"""The label that names the known defect of a test: its public issue, and what is wrong."""
_LONGEST_TITLE = 120
_LONGEST_MESSAGE = 1000
_LONGEST_SIDE = 10_000
_LONGEST_TOLD = 2_000


@dataclass(frozen=True)
class Attachment:
    """A file of a step; `type` is its media type."""

    name: str
    content: str
    type: str = TEXT


@dataclass(frozen=True)
class Step:
    """A part of a test. `status` is one of Allure's; `message` says why it is not `passed`."""

    name: str
    status: str = "passed"
    message: str = ""
    attachments: tuple[Attachment, ...] = ()
    steps: tuple["Step", ...] = ()
    timed: bool = False
    """Whether the test's time is this step's; all others take none."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a test; an `excluded` one is no part of what its history goes by."""

    name: str
    value: str
    excluded: bool = False


@dataclass(frozen=True)
class Test:
    """What Allure shows of a record; `start` and `stop` are in milliseconds since the epoch."""

    name: str
    full_name: str
    title_path: tuple[str, ...]
    description: str
    status: str
    message: str
    trace: str
    known: bool
    expected: str
    """What the case expects, for Allure's difference; empty where nothing failed."""
    actual: str
    """What came, in the form of what was expected."""
    parameters: tuple[Parameter, ...]
    labels: tuple[tuple[str, str], ...]
    tags: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    """Name and URL of public issues."""
    steps: tuple[Step, ...]
    start: int | None
    stop: int | None


def allure_test(record: Record, served: ProfileServed, url: str) -> Test:
    """The test that `record` makes.

    `served` is what served the profile; `url` is the server's base, for `curl`.
    """
    case = record.case
    start, stop = _times(record.observation)
    return Test(
        name=_title(record),
        full_name=case.node,
        title_path=tuple(case.path.split("/")),
        description=_description(record),
        status=_STATUS[record.status],
        message=escape_controls(_message(record))[:_LONGEST_MESSAGE],
        trace=what_happened(record) if record.status != Status.PASS else "",
        known=record.status == Status.KNOWN,
        **_sides(record),
        parameters=parameters(record, served),
        labels=tuple(_labels(record)),
        tags=tuple(dict.fromkeys([*case.tags, case.tier, *["critical"] * case.critical])),
        links=tuple(_links(record)),
        steps=tuple(_steps(record, url)),
        start=start,
        stop=stop,
    )


def _sides(record: Record) -> dict[str, str]:
    if record.status not in (Status.FAIL, Status.KNOWN):
        return {"expected": "", "actual": ""}
    seen = record.observation
    calls = ", ".join(f"{call.name}({call.arguments})" for call in seen.calls)
    texts = {"expected": expected_text(record), "actual": calls or seen.content or "(nothing)"}
    return {name: escape_controls(text)[:_LONGEST_SIDE] for name, text in texts.items()}


def _times(observation: Observation) -> tuple[int | None, int | None]:
    if observation.started is None:
        return None, None
    start = observation.started * 1000
    return round(start), round(start + observation.seconds * 1000)


def _title(record: Record) -> str:
    """The question in one line; the case's id where there is none."""
    question = escape_controls(" ".join(record.case.question.split())) or record.case.id
    if len(question) > _LONGEST_TITLE:
        question = f"{question[:_LONGEST_TITLE]}…"
    return f"{question} (repeat {record.repeat + 1})" if record.repeat else question


def _description(record: Record) -> str:
    """Markdown: what is expected, what came, in code blocks, and where the case stands.

    Of what came up to 2,000 characters each; the files of a test that failed have all of it.
    """
    case, seen = record.case, record.observation
    tools = ", ".join(f"`{tool.name.replace('`', '')}`" for tool in case.tools) or "none"
    parts = [f"Expected:\n\n{block(expected_text(record), language='')}"]
    told = (("The model wrote", record.model_text), ("Response", response_text(seen)))
    parts += [
        f"{title}:\n\n{block(text, language='', longest=_LONGEST_TOLD)}"
        for title, text in told
        if text is not None
    ]
    parts += [f"Available tools: {tools}", f"Case: `{case.path}:{case.line}`, `{case.id}`"]
    if defect := record.known_defect:
        parts.append(f"Known defect:\n\n{block(defect.reason, language='')}")
    return "\n\n".join(parts)


def _message(record: Record) -> str:
    """One sentence whose beginning the categories go by."""
    if record.status == Status.PASS:
        return f"known defect no longer seen: {record.defect_gone}" if record.defect_gone else ""
    return f"{'known defect' if record.status == Status.KNOWN else record.outcome}: {record.why}"


def parameters(record: Record, served: ProfileServed) -> tuple[Parameter, ...]:
    """Where a case was asked, and of what, as far as it is known."""
    counted = [Parameter("profile", record.profile), Parameter("lane", record.lane)]
    if record.repeat:
        counted.append(Parameter("repeat", str(record.repeat + 1)))
    shown = (("model", served.model), ("quantisation", served.quantization))
    excluded = (Parameter(name, escape_controls(told), True) for name, told in shown if told)
    return (*counted, *excluded)


def _labels(record: Record) -> Iterator[tuple[str, str]]:
    case = record.case
    yield "epic", case.path.split("/")[0]
    yield "feature", case.category
    yield "story", case.id
    yield "severity", "critical" if case.critical else "normal"
    yield "parentSuite", record.profile
    yield "suite", case.category
    yield "subSuite", record.lane
    if record.cause:
        yield "layer", str(record.blame)
        yield "kind", str(record.cause.kind)
    if defect := record.known_defect:
        issue = f"{_issue(defect.link)}: " if defect.link else ""
        yield DEFECT, escape_controls(" ".join(f"{issue}{defect.reason}".split()))


def _links(record: Record) -> Iterator[tuple[str, str]]:
    defect = record.known_defect
    urls = [record.case.link, defect.link if defect else None]
    for url in dict.fromkeys(url for url in urls if url):
        yield _issue(url), url


def _issue(url: str) -> str:
    """`owner/name#12` of an issue on GitHub; any other address as it is."""
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)/(?:issues|pull)/(\d+)", url)
    return f"{found[1]}#{found[2]}" if found else url


# --- steps -------------------------------------------------------------------------------------


def _has_files(record: Record) -> bool:
    """Whether its evidence lies beside it. Most tests pass: their files would be most of a report.

    What passed is in `report.html` and the records of the run.
    """
    return record.status != Status.PASS or bool(record.defect_gone)


def _steps(record: Record, url: str) -> Iterator[Step]:
    """Request → what the model wrote → response → checks; of a passed test the checks alone."""
    if _has_files(record):
        yield _request(record, url)
        yield from _model_wrote(record)
        yield _response(record.observation)
    yield _checks(record.verdicts)


def _request(record: Record, url: str) -> Step:
    request = Attachment("request", as_json(record.request), JSON)
    return Step(
        "request", attachments=(request, Attachment("curl", curl_line(record.request, url)))
    )


def _model_wrote(record: Record) -> Iterator[Step]:
    if evidence := record.written:
        here = evidence is record.observation
        name = "model wrote" if here else "model wrote (seen in the plain request)"
        yield Step(name, attachments=tuple(_written(evidence)))


def _written(observation: Observation) -> Iterator[Attachment]:
    yield Attachment("raw model text", escape_controls(observation.raw_text or ""))
    if observation.token_ids is not None:
        yield Attachment("tokens", tokens_table(observation.token_ids, observation.token_texts))


def tokens_table(ids: Sequence[int], texts: Sequence[str] | None) -> str:
    """A line for each token: its place, its id, and its text in JSON's quotes, borders visible."""
    lines = ["place       id  text"]
    for place, token in enumerate(ids):
        text = as_json(texts[place]) if texts and place < len(texts) else ""
        lines.append(f"{place:5} {token:8}  {text}".rstrip())
    return "\n".join(lines)


def _response(observation: Observation) -> Step:
    attachments = [Attachment("response", as_json(response_value(observation)), JSON)]
    if observation.events:
        attachments.append(Attachment("SSE transcript", escape_controls(transcript(observation))))
    if observation.server_log:
        note = "Logged while this request was in flight; others in flight log here, too."
        log = escape_controls(observation.server_log)
        attachments.append(Attachment("server log", f"{note}\n\n{log}"))
    status = "broken" if observation.error else "passed"
    error = escape_controls(observation.error or "")
    return Step("response", status, error, tuple(attachments), timed=True)


def _checks(verdicts: Sequence[Verdict]) -> Step:
    """A step for each that has something to say; the others passed, and stand in one."""
    steps = [_check(v) for v in verdicts if v.reason or not v.passed]
    if silent := [v.check for v in verdicts if v.passed and not v.reason]:
        steps.append(Step(f"passed: {', '.join(silent)}"))
    failed = [verdict for verdict in verdicts if not verdict.passed]
    message = f"{len(failed)} of {len(verdicts)} failed" if failed else ""
    return Step("checks", "failed" if failed else "passed", message, steps=tuple(steps))


def _check(verdict: Verdict) -> Step:
    if verdict.passed:
        return Step(f"{verdict.check}: {escape_controls(verdict.reason)[:_LONGEST_MESSAGE]}")
    diff = [Attachment("argument diff", _diff(verdict))] if verdict.differences else []
    name = f"{verdict.check}: {verdict.kind} (layer: {verdict.layer})"
    return Step(name, "failed", escape_controls(verdict.reason), tuple(diff))


def _diff(verdict: Verdict) -> str:
    parts = [
        f"{d.path}  ({d.how})\n  - expected {d.expected}\n  + got      {d.got}"
        for d in verdict.differences
    ]
    return escape_controls("\n".join(parts))
