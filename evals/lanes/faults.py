"""Errors that a server reports in a response which says that all is well; pure."""

from collections.abc import Mapping
from typing import Any

from evals.escaping import excerpt, one_line
from evals.json_text import to_text

_BROKEN_OFF = ("error", "abort")
"""Finish reasons of an answer that the server itself broke off."""


def reported_error(body: Mapping[str, Any]) -> str | None:
    """The error in the JSON body of a completion or of a chunk, quoted; None where it has none.

    `error` may stand beside the choices or in one of them. Some servers send the error alone, and
    name it by `object`; some say nothing but that the answer finished with one.
    """
    if body.get("object") == "error":
        return one_line(excerpt(to_text(body)))
    choices = body.get("choices")
    places = [body, *(choices if isinstance(choices, list) else ())]
    errors = [place["error"] for place in places if isinstance(place, dict) and place.get("error")]
    if errors:
        return one_line(excerpt(to_text(errors[0])))
    ends = [place.get("finish_reason") for place in places[1:] if isinstance(place, dict)]
    return next((f"finish_reason is {end}" for end in ends if end in _BROKEN_OFF), None)
