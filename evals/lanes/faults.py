"""Errors that a server reports in a response which says that all is well; pure."""

from collections.abc import Mapping
from typing import Any

from evals.escaping import excerpt, one_line
from evals.json_text import to_text


def reported_error(body: Mapping[str, Any]) -> str | None:
    """The error in the JSON body of a completion or of a chunk, quoted; None where it has none.

    `error` may stand beside the choices or in one of them. Some servers send the error alone, and
    name it by `object`.
    """
    if body.get("object") == "error":
        return one_line(excerpt(to_text(body)))
    choices = body.get("choices")
    places = [body, *(choices if isinstance(choices, list) else ())]
    errors = [place["error"] for place in places if isinstance(place, dict) and place.get("error")]
    return one_line(excerpt(to_text(errors[0]))) if errors else None
