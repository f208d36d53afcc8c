"""How far cases about unseen tools are from training data: names, parameters, wordings.

Zero is not wanted of words: `id` and `date` are everybody's. What matters is that no tool, no set
of parameters and no question is in the data, and how near the nearest is.
"""

import re
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from rapidfuzz import fuzz, process

from evals.case import Case, Tool
from evals.training.rows import Row

UNSEEN = "unseen-tools"
"""The category of the cases whose tools no training has."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def distance(rows: Sequence[Row], cases: Sequence[Case]) -> Iterator[str]:
    """Facts to print about `cases`, seen from the tools and questions in `rows`; none of none."""
    tools = {tool.name: tool for case in cases for tool in case.tools}
    if not tools or not rows:
        return
    trained = [Tool(**entry["function"]) for row in rows for entry in row.get("tools", ())]
    yield f"unseen tools: {len(cases)} cases with {len(tools)} tools"
    yield _names(list(tools), {tool.name for tool in trained})
    yield _parameters(list(tools.values()), trained)
    yield _wordings([case.question for case in cases], rows)


def name_words(name: str) -> str:
    """A name without its spelling and order: `get_cart`, `getCart` and `cart-get` are the same."""
    return " ".join(sorted(word.lower() for word in _WORD.findall(name)))


def _names(asked: Sequence[str], trained: set[str]) -> str:
    known = sorted({name_words(name) for name in trained})
    same = sorted(name for name in asked if name_words(name) in known)
    near = _nearest([name_words(name) for name in asked], known)
    listed = f" ({', '.join(same)})" if same else ""
    return f"  names: {len(same)} of {len(asked)} are in the data in any spelling{listed}; {near}"


def _parameters(asked: Sequence[Tool], trained: Sequence[Tool]) -> str:
    sets = {_keys(tool) for tool in trained}
    words = set().union(*sets)
    taking = [tool for tool in asked if _keys(tool)]
    same = sum(_keys(tool) in sets for tool in taking)
    own = {key for tool in taking for key in _keys(tool)}
    return (
        f"  parameters: {len(own & words)} of {len(own)} names are in the data, "
        f"and {same} of {len(taking)} tools' whole sets"
    )


def _keys(tool: Tool) -> frozenset[str]:
    properties: Any = tool.parameters.get("properties", {})
    return frozenset(name_words(key) for key in properties)


def _wordings(asked: Sequence[str], rows: Sequence[Row]) -> str:
    texts = {m["content"] for row in rows for m in row["messages"] if m["role"] == "user"}
    return f"  wordings: {_nearest(list(map(_plain, asked)), sorted(map(_plain, texts)))}"


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _nearest(asked: Sequence[str], known: Sequence[str]) -> str:
    """How like its nearest in `known` each of `asked` is, in the middle and at most."""
    found = [process.extractOne(text, known, scorer=fuzz.ratio, processor=None) for text in asked]
    scores = [near[1] for near in found]
    highest = max(range(len(asked)), key=scores.__getitem__)
    return (
        f"the nearest is {median(scores):.0f}% like in the middle and {scores[highest]:.0f}% at "
        f"most ({asked[highest]!r} and {found[highest][0]!r})"
    )
