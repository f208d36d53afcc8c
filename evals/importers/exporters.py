"""Cases in the forms of other suites: BFCL's rows and promptfoo's configuration.

What a form cannot say is listed. Read back by `evals import`, a case expects the same.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.case import Case, ExpectedCall, Tool
from evals.errors import ConfigError, unknown_name
from evals.importers.promptfoo import OWN
from evals.request import tool_schema

_TO_BFCL = {"object": "dict", "number": "float"}


@dataclass
class Exported:
    """Texts by the path of their file, and what is not in them: node and reason."""

    files: dict[str, str] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    count: int = 0


class CannotSayError(Exception):
    """Why a case has no place in a form."""


def to_bfcl(cases: Iterable[Case]) -> Exported:
    """Rows of questions and possible answers, as `BFCL_v4_….json` has them."""
    result = Exported()
    rows: dict[str, list[str]] = {}
    for case in cases:
        try:
            kind, row, truth = _bfcl_row(case)
        except CannotSayError as error:
            result.listed.append(f"{case.node}: {error}")
            continue
        result.count += 1
        rows.setdefault(f"BFCL_v4_{kind}.json", []).append(_line(row))
        if truth is not None:
            answer = _line({"id": row["id"], "ground_truth": truth})
            rows.setdefault(f"possible_answer/BFCL_v4_{kind}.json", []).append(answer)
    result.files = {name: "\n".join(lines) + "\n" for name, lines in rows.items()}
    return result


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _bfcl_row(case: Case) -> tuple[str, dict[str, Any], list[Any] | None]:
    expect = case.expect
    row = {
        "id": case.id,
        "question": [[dict(message) for message in case.messages]],
        "function": [_function(tool) for tool in case.tools],
    }
    if expect.some_call:
        return "live_relevance", row, None
    if expect.not_call or expect.any_of or expect.extra or expect.order == "given":
        raise CannotSayError("BFCL has one set of calls, in any order, or none")
    calls = expect.alternatives[0] if expect.alternatives else ()
    if not calls:
        if expect.answer and expect.answer.model_dump(exclude_defaults=True):
            raise CannotSayError("BFCL does not judge the words of an answer")
        return "irrelevance", row, None
    if expect.answer:
        raise CannotSayError("BFCL has no words beside a call")
    several = len(calls) > 1
    more = len(case.tools) > 1
    kind = {
        (False, False): "simple_python",
        (False, True): "multiple",
        (True, False): "parallel",
        (True, True): "parallel_multiple",
    }[several, more]
    return kind, row, [{call.name: _possibles(call, case)} for call in calls]


def _function(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": _bfcl_schema(tool.parameters),
    }


def _bfcl_schema(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    result = {key: value for key, value in schema.items() if not key.startswith("$")}
    if isinstance(result.get("type"), str):
        result["type"] = _TO_BFCL.get(result["type"], result["type"])
    if isinstance(result.get("properties"), Mapping):
        result["properties"] = {k: _bfcl_schema(v) for k, v in result["properties"].items()}
    if "items" in result:
        result["items"] = _bfcl_schema(result["items"])
    return result


def _possibles(call: ExpectedCall, case: Case) -> dict[str, Any]:
    arguments = call.arguments
    if arguments.keys() & {"$partial", "$literal"}:
        raise CannotSayError("BFCL says all arguments of a call")
    given = {key: _possible(value) for key, value in arguments.items()}
    tool = case.tool(call.name)
    declared = (tool.parameters.get("properties") or {}) if tool else {}
    return {
        key: given[key]
        for key in [*[k for k in declared if k in given], *(given.keys() - declared)]
    }


def _possible(value: Any) -> list[Any]:
    if isinstance(value, Mapping) and set(value) == {"$optional"}:
        return [*_possible(value["$optional"]), ""]
    if isinstance(value, Mapping) and set(value) == {"$any_of"}:
        return [_plain(one) for one in value["$any_of"]]
    return [_plain(value)]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) <= {"$text", "ignore"} and "$text" in value:
            return value["$text"]
        if any(key.startswith("$") for key in value):
            raise CannotSayError(f"BFCL has no matcher {next(iter(value))}")
        return {key: _possible(inner) for key, inner in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def to_promptfoo(cases: Iterable[Case]) -> Exported:
    """One `promptfooconfig.yaml`, which is JSON, and so YAML too.

    The assertions that promptfoo has without code stand in each test; the expectation to the letter
    is in its `metadata`, where `evals import promptfoo` finds it.
    """
    result = Exported()
    tests = []
    for case in cases:
        tests.append(_promptfoo_test(case))
        result.count += 1
        if any(call.arguments for calls in case.expect.alternatives for call in calls):
            said = (
                "arguments are in metadata alone: promptfoo has no assertion on them without code"
            )
            result.listed.append(f"{case.node}: {said}")
    config = {
        "description": "Exported by toolcall-evals",
        "prompts": ["{{messages}}"],
        "providers": ["openai:chat:default_model"],
        "tests": tests,
    }
    result.files = {"promptfooconfig.yaml": json.dumps(config, indent=2, ensure_ascii=False) + "\n"}
    return result


def _promptfoo_test(case: Case) -> dict[str, Any]:
    messages = [dict(message) for message in case.messages]
    expect = case.expect.model_dump(mode="json", exclude_unset=True)
    options = {"tools": [tool_schema(tool) for tool in case.tools]} if case.tools else {}
    return {
        "description": case.id,
        "vars": {"messages": json.dumps(messages, ensure_ascii=False)},
        "options": options,
        "assert": list(_assertions(case)),
        "metadata": {OWN: {"id": case.id, "messages": messages, "expect": expect}},
    }


def _assertions(case: Case) -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if case.expect.needs_call:
        found.append({"type": "is-valid-openai-tools-call"})
    if len(case.expect.alternatives) == 1 and case.expect.needs_call:
        names = [call.name for call in case.expect.alternatives[0]]
        found.append({"type": "tool-call-f1", "value": names, "threshold": 1})
    answer = case.expect.answer
    if answer is not None:
        found += [{"type": "icontains", "value": text} for text in answer.contains]
        found += [{"type": "not-icontains", "value": text} for text in answer.not_contains]
        if answer.any_of:
            found.append({"type": "icontains-any", "value": list(answer.any_of)})
    return found


FORMS: Mapping[str, Callable[[Iterable[Case]], Exported]] = {
    "bfcl": to_bfcl,
    "promptfoo": to_promptfoo,
}
"""The forms by name."""


def exported(form: str, cases: Iterable[Case]) -> Exported:
    """`cases` in the form of this name.

    Raises:
        ConfigError: there is none of this name, or none of the cases can be said in it.
    """
    if form not in FORMS:
        raise ConfigError(unknown_name("form", form, list(FORMS)))
    result = FORMS[form](cases)
    if not result.count:
        raise ConfigError("\n".join([*result.listed[:20], f"no case can be said in {form}'s form"]))
    return result
