"""A record as the plain values that the page's script shows: an entry of its list, and the case."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from evals.case import Case
from evals.escaping import escape_controls
from evals.observation import Observation
from evals.report import evidence_view as view
from evals.report.text import expected_text, response_text
from evals.results import Kind, Record, Verdict

Show = Callable[[str], Any]
"""Makes text fit for the page: a string, or where it is cut `{"text": ..., "length": whole}`."""
_TITLE = 160


def page_record(record: Record, limit: int, change: str = "") -> dict[str, Any]:
    """All that the page shows of `record`, each text cut at `limit` characters.

    `change` says what a comparison found of its case: `newly failing`, `fixed` or nothing.
    """
    show = _shower(limit)
    return {
        **list_entry(record),
        "change": change,
        **_asked(record, show),
        **_answered(record, show),
    }


def earlier_record(record: Record, limit: int) -> dict[str, Any]:
    """What the other run of a comparison has to say of the same question."""
    show = _shower(limit)
    entry = list_entry(record)
    return {
        **{name: entry[name] for name in ("outcome", "layer", "kind", "reason")},
        "written": _written(record, show),
        "response": show(response_text(record.observation)),
    }


def _shower(limit: int) -> Show:
    def show(text: str) -> str | dict[str, Any]:
        seen = view.shown(text, limit)
        return {"text": seen.text, "length": seen.length} if seen.cut else seen.text

    return show


def list_entry(record: Record) -> dict[str, Any]:
    """What the list shows and what its filters go by; all are short texts or numbers."""
    case, blamed = record.case, record.cause
    reason = blamed.reason if blamed else ""
    return {
        "id": record.key,
        "title": one_line(case.question) or case.id,
        "profile": record.profile,
        "lane": record.lane,
        "category": case.category,
        "outcome": record.outcome,
        "layer": str(record.blame or ""),
        "kind": str(blamed.kind or "") if blamed else "",
        "reason": one_line(reason, 400),
        "expected": expected_form(case),
        "got": got_form(record),
        "tags": [*case.tags, *["critical"] * case.critical],
        "seconds": round(record.observation.seconds, 3),
    }


def one_line(text: str, limit: int = _TITLE) -> str:
    """The beginning of `text` as one printable line."""
    line = escape_controls(" ".join(text[: 4 * limit].split()))
    return f"{line[:limit]}…" if len(line) > limit else line


def expected_form(case: Case) -> str:
    """`call` or `answer`; `call` where both are right."""
    return "answer" if case.expect.needs_answer else "call"


def got_form(record: Record) -> str:
    """`call`, `answer`, `lost call`, `error` or, where a response is no evidence, `unclear`.

    It goes by the score, so that the matrix of expected and got says the same as the rate.
    """
    if record.scores is None:
        return "error"
    if any(not v.passed and v.kind == Kind.LOST_CALL for v in record.verdicts):
        return "lost call"
    if record.scores.discrimination is None:
        return "unclear"
    expected = expected_form(record.case)
    other = "answer" if expected == "call" else "call"
    return expected if record.scores.discrimination else other


def _asked(record: Record, show: Show) -> dict[str, Any]:
    case = record.case
    defect = record.known_defect
    return {
        "place": f"{case.path}:{case.line}",
        "repeat": record.repeat,
        "messages": [
            {"role": str(m.get("role")), "text": show(_message_text(m))} for m in case.messages
        ],
        "tools": [tool.name for tool in case.tools],
        "expects": show(expected_text(record)),
        "links": list(_links(case.link, defect.link if defect else None)),
        "defect": escape_controls(defect.reason) if defect else "",
        "request": show(view.as_json(record.request)),
    }


def _message_text(message: dict[str, Any]) -> str:
    content = message.get("content")
    calls = message.get("tool_calls")
    parts = [content if isinstance(content, str) else view.as_json(content)] if content else []
    return "\n".join([*parts, *([view.as_json(calls)] if calls else [])])


def _links(*urls: str | None) -> Iterator[str]:
    """Addresses on the web; anything else in their place is not made a link."""
    yield from dict.fromkeys(url for url in urls if url and url.startswith("https://"))


def _answered(record: Record, show: Show) -> dict[str, Any]:
    seen = record.observation
    return {
        "written": _written(record, show),
        "response": show(response_text(seen)),
        "whole": show(view.as_json(view.response_value(seen))),
        "transcript": show(view.transcript(seen)) if seen.events else "",
        "log": show(seen.server_log or ""),
        "checks": [_check(verdict) for verdict in record.verdicts],
        "facts": dict(_facts(record)),
    }


def _written(record: Record, show: Show) -> dict[str, Any] | None:
    """The raw model text with its tokens; a list of ids and one of texts, as many as are shown."""
    source = record.written
    if source is None:
        return None
    text = show(source.raw_text or "")
    pieces = view.token_pieces(source) if isinstance(text, str) else []
    return {
        "text": text,
        "ids": [token for token, _ in pieces],
        "texts": [piece for _, piece in pieces] if source.token_texts else [],
        "plain": source is record.plain,
    }


def _check(verdict: Verdict) -> dict[str, Any] | str:
    """Of one that passed and has nothing to say, its name: most are."""
    if verdict.passed and not verdict.reason:
        return verdict.check
    differences = [
        [escape_controls(part) for part in (d.path, d.expected[:2000], d.got[:2000], d.how)]
        for d in verdict.differences[:200]
    ]
    return {
        "check": verdict.check,
        "passed": verdict.passed,
        "kind": str(verdict.kind or ""),
        "layer": str(verdict.layer or ""),
        "reason": escape_controls(verdict.reason[:2000]),
        "differences": differences,
    }


def _facts(record: Record) -> Iterable[tuple[str, str]]:
    """The small things about an answer, in the order in which they are shown."""
    seen = record.observation
    yield "HTTP status", "none" if seen.status is None else str(seen.status)
    yield "finish reason", one_line(str(seen.finish_reason))
    yield "seconds", _seconds(seen)
    if seen.usage:
        tokens = f"{seen.usage.prompt} in the prompt ({seen.usage.cached} from the cache)"
        yield "tokens", f"{tokens}, {seen.usage.completion} written"
    if record.rendered_prompt_tokens is not None:
        yield "prompt rendered here", f"{record.rendered_prompt_tokens} tokens"
    yield "call format", record.call_format
    if seen.retries:
        waited = f"{seen.retries} times, after {seen.waited_seconds:.1f} s"
        yield "asked again, as Retry-After said", waited
    if record.asked_alone:
        yield "asked again, alone", "stream and plain differed among other requests"


def _seconds(seen: Observation) -> str:
    first = seen.first_token_seconds
    return f"{seen.seconds:.2f}" + (f", first text after {first:.2f}" if first is not None else "")
