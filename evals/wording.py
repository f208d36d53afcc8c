"""Mistakes that a model of a file's format finds, in words: what is wrong and what is allowed."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from evals.yaml_text import Document, Problems

_WANTED = {
    "string_type": "it must be text; put it in quotes",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "bool_type": "it must be true or false",
    "dict_type": "it must be a mapping",
    "model_type": "it must be a mapping",
    "model_attributes_type": "it must be a mapping",
    "tuple_type": "it must be a list, such as [a, b]",
    "list_type": "it must be a list, such as [a, b]",
    "missing": "it is missing; add it",
}
_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}
_OF_OTHERS = {
    "conversations": "messages",
    "conversation": "messages",
    "question": "ask",
    "prompt": "ask",
    "input": "ask",
    "query": "ask",
    "functions": "tools",
    "args": "arguments",
    "parameters": "arguments",
    "input_schema": "parameters",
}
"""What other suites call our keys."""
_PATTERNS = {
    "^https://": "it must be a link that begins with https://",
    "^[a-z0-9][a-z0-9_-]*$": "it may have lower-case letters, digits, - and _, and begins with a "
    "letter or digit",
    "^(smoke|full)$": "choose from smoke, full",
}


def add_validation(
    error: ValidationError,
    document: Document,
    base: Sequence[str | int],
    model: type[BaseModel],
    problems: Problems,
) -> None:
    """Note every mistake of a value that `model` refused, which stands at `base`."""
    noted: set[tuple[Any, ...]] = set()
    for detail in error.errors(include_url=False):
        inside = _in_document(detail["loc"], base, document)
        other = detail["type"] == "string_type" and isinstance(detail["input"], dict)
        if inside in noted or other:  # refused by every branch of a union: one is enough
            continue
        noted.add(inside)
        problems.add_at(document, (*base, *inside), sentence(detail, inside, model))


def _in_document(
    place: Sequence[str | int], base: Sequence[str | int], document: Document
) -> tuple[str | int, ...]:
    """The part of a place that stands in the file: names of branches are none."""
    found: list[str | int] = []
    for number, part in enumerate(place):
        last = number == len(place) - 1
        if (*base, *found, part) in document.lines or (last and _is_key(part)):
            found.append(part)
    return tuple(found)


def _is_key(part: str | int) -> bool:
    """Whether it can be a key that is missing, and no name of a type such as `tuple[Tool, ...]`."""
    branches = ("str", "int", "float", "bool", "calls", "alternative", "Tool")
    return isinstance(part, str) and part not in branches and not any(c in part for c in "[(-")


def sentence(detail: Any, place: Sequence[str | int], model: type[BaseModel]) -> str:
    """A mistake that pydantic found at `place` of a value of `model`, in our words."""
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind == "extra_forbidden":
        key = str(place[-1]) if place else ""
        return _unknown_key(key, place, model, empty=detail["input"] is None)
    if kind == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ")
    said = (
        ""
        if kind == "missing" or isinstance(detail["input"], dict)
        else f", not {_short(detail['input'])}"
    )
    if kind in _WANTED:
        return _WANTED[kind] + said
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"it must be {words} {context[key]}{said}"
    if kind in ("literal_error", "enum"):
        choices = str(context["expected"]).replace(" or ", ", ").replace("'", "")
        return f"choose from {choices}{said}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"it must match {context['pattern']}") + said
    if kind in ("too_short", "string_too_short"):
        return "it must not be empty"
    return f"it is not what is wanted here{said}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _unknown_key(
    key: str, place: Sequence[str | int], model: type[BaseModel], *, empty: bool
) -> str:
    """Of a key without a value, too, what it may be: the end of `{ask: Well, why}`."""
    allowed = list(_model_at(place[:-1], model).model_fields)
    close = get_close_matches(key, allowed, n=1) or [
        name for name in [_OF_OTHERS.get(key)] if name in allowed
    ]
    meant = f"did you mean {close[0]}? " if close else ""
    quotes = "; within {…} a text with a comma needs quotes" if empty and not close else ""
    return f"unknown key; {meant}allowed here: {', '.join(allowed)}{quotes}"


def _model_at(place: Sequence[str | int], model: type[BaseModel]) -> type[BaseModel]:
    """The model of what stands at `place` in a value of `model`."""
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            inside = list(_models(model.model_fields[part].annotation))
            if inside:
                model = inside[-1]
    return model


def _models(annotation: Any) -> Sequence[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def meant(name: str, known: Mapping[str, Any]) -> str:
    """What was meant by a name that is none of `known`, or which there are."""
    if close := get_close_matches(name, known, n=3):
        return f"did you mean {' or '.join(close)}?"
    return f"there are: {', '.join(sorted(known)) or 'none, without a tools folder'}"
