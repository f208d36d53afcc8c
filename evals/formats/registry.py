"""All call formats, and what follows from them: names, tags, and which reader takes which tag."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from evals.errors import ConfigError, unknown_name
from evals.formats.call_format import CallFormat, Opening
from evals.formats.gemma import GEMMA
from evals.formats.glm import GLM
from evals.formats.hermes_json import HERMES_JSON
from evals.formats.json_fence import JSON_FENCE
from evals.formats.kimi import KIMI
from evals.formats.mistral import MISTRAL
from evals.formats.pythonic import PYTHONIC
from evals.formats.qwen_xml import BARE_FUNCTION, QWEN_XML

FORMATS: tuple[CallFormat, ...] = (
    QWEN_XML,
    HERMES_JSON,
    JSON_FENCE,
    BARE_FUNCTION,
    MISTRAL,
    PYTHONIC,
    GLM,
    KIMI,
    GEMMA,
)
"""Of formats that share a tag, the first whose reader takes the text has it."""
THINK = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
"""Tags around reasoning: opening and closing."""


@dataclass(frozen=True)
class Syntax:
    """The tags of all formats together."""

    markup: tuple[str, ...]
    """Text that belongs to calls and reasoning and has no place in an answer."""
    closers: tuple[str, ...]
    tagged: tuple[str, ...]
    """The tags with which calls begin, but for those that other text may have, too."""
    openings: Mapping[str, tuple[Opening, ...]]
    marker: re.Pattern[str]
    """Finds the next tag with which calls begin."""


def syntax() -> Syntax:
    """The tags of all formats."""
    return _syntax(FORMATS)


@functools.lru_cache(maxsize=4)
def _syntax(formats: tuple[CallFormat, ...]) -> Syntax:
    openings: dict[str, tuple[Opening, ...]] = {}
    for format_ in formats:
        for opening in format_.openings:
            openings[opening.tag] = (*openings.get(opening.tag, ()), opening)
    markup = dict.fromkeys(tag for format_ in formats for tag in format_.markup)
    longest_first = sorted(openings, key=len, reverse=True)
    return Syntax(
        markup=tuple({**markup, **dict.fromkeys(tag for pair in THINK for tag in pair)}),
        closers=tuple(dict.fromkeys(tag for format_ in formats for tag in format_.closers)),
        tagged=tuple(tag for tag in openings if tag in markup),
        openings=openings,
        marker=re.compile("|".join(map(re.escape, longest_first))),
    )


def format_names() -> list[str]:
    """The names of all formats."""
    return [format_.name for format_ in FORMATS]


def find_format(name: str) -> CallFormat:
    """The format of this name.

    Raises:
        ConfigError: there is none; the message has those that there are, and the one most like it.
    """
    found = next((format_ for format_ in FORMATS if format_.name == name), None)
    if found is None:
        raise ConfigError(unknown_name("call format", name, format_names()))
    return found


def replayed_formats() -> list[CallFormat]:
    """The formats that the replay model has a chat template for."""
    return [format_ for format_ in FORMATS if format_.template]
