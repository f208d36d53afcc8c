"""Keys of a request that an answer can be held against: what the server took and did not do."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema.exceptions import SchemaError

from evals import schema as schemas
from evals.case import Case
from evals.formats.reading import Reading
from evals.json_text import parse_strict
from evals.judging.checks import Finding, Said, parse_arguments, schema_problem, show
from evals.results import Kind


def asks(case: Case) -> bool:
    """Whether a case sets a key that its answer is held against."""
    strict = any(tool.strict for tool in case.tools)
    return strict or bool(
        case.parallel_tool_calls is False or case.stop or _format(case) is not None
    )


def check_request_keys(case: Case, said: Said) -> Finding | None:
    """The response is what `parallel_tool_calls`, `stop`, `response_format`, `strict` ask for."""
    reason = next(_ignored(case, said), None)
    return Finding(Kind.REQUEST_IGNORED, f"server ignores {reason}") if reason else None


def _ignored(case: Case, said: Said) -> Iterator[str]:
    if case.parallel_tool_calls is False and len(said.calls) > 1:
        names = ", ".join(call.name for call in said.calls)
        yield f"parallel_tool_calls: false: it gives {len(said.calls)} calls: {names}"
    for word in case.stop:
        if word in said.text:
            yield f"stop: {show(word)} is in the text: {show(said.text)}"
    wanted = None if said.calls else _format(case)
    if wanted and (problem := _format_problem(wanted, said.text)):
        yield f"response_format: {problem}"
    for call in said.calls:
        tool = case.tool(call.name)
        arguments = parse_arguments(call)
        if tool is None or not tool.strict or isinstance(arguments, ValueError):
            continue
        if problem := schema_problem(tool, arguments):
            yield f"strict: {tool.name}: {problem}"


def _format(case: Case) -> Mapping[str, Any] | None:
    """The format of an answer, where it is one that can be checked."""
    given = case.response_format
    return given if given and given.get("type") in ("json_object", "json_schema") else None


def _format_problem(wanted: Mapping[str, Any], text: str) -> str | None:
    try:
        value = parse_strict(text)
    except ValueError as error:
        return f"the answer is not JSON ({error}): {show(text)}"
    if wanted["type"] == "json_object":
        return None if isinstance(value, dict) else f"the answer is not a JSON object: {show(text)}"
    schema = (wanted.get("json_schema") or {}).get("schema", {})
    try:
        found = next(iter(schemas.Validator(schema).iter_errors(value)), None)
    except (SchemaError, ValueError, TypeError, RecursionError):
        return None
    return f"{found.json_path}: {show(found.message)}" if found else None


def stopped(case: Case, reading: Reading) -> str | None:
    """The stop word that a begun call runs into; None where none does."""
    cut = [malformed.text for malformed in reading.malformed if malformed.cut]
    return next((word for word in case.stop if any(word in text for text in cut)), None)
