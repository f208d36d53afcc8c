"""All call formats, and what follows from them: names, tags, and which reader takes which tag."""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evals.errors import ConfigError, unknown_name
from evals.formats.call_format import CallFormat, Opening
from evals.formats.foreign import FOREIGN
from evals.formats.function_gemma import FUNCTION_GEMMA
from evals.formats.gemma import GEMMA
from evals.formats.glm import GLM
from evals.formats.hermes_json import HERMES_JSON
from evals.formats.json_fence import JSON_FENCE
from evals.formats.kimi import KIMI
from evals.formats.kimi_k3 import KIMI_K3
from evals.formats.longcat import LONGCAT
from evals.formats.markup import SPECIAL
from evals.formats.minicpm import MINICPM
from evals.formats.minimax import MINIMAX
from evals.formats.mistral import MISTRAL
from evals.formats.muse_spark import MUSE_SPARK
from evals.formats.pythonic import PYTHONIC
from evals.formats.qwen_xml import BARE_FUNCTION, QWEN_XML

OTHER = CallFormat("other", doc="a form that no reader here knows: the model's text tells nothing")
"""For a server whose parser reads some other form: what the model wrote is then no evidence."""

NOT_KNOWN = "unknown"
"""The format of a server that runs already, where nothing tells which one its parser reads."""

FORMATS: tuple[CallFormat, ...] = (
    QWEN_XML,
    HERMES_JSON,
    JSON_FENCE,
    MISTRAL,
    PYTHONIC,
    GLM,
    KIMI,
    GEMMA,
    KIMI_K3,
    MINIMAX,
    MINICPM,
    LONGCAT,
    FUNCTION_GEMMA,
    MUSE_SPARK,
    *FOREIGN,
    BARE_FUNCTION,
    OTHER,
)
"""Of formats that share a tag, the first whose reader takes the text has it."""
THINK = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
)
"""Tags around reasoning: opening and closing."""
NEVER_IN_PROMPT = frozenset({"<|channel>thought"})
"""Opening tags that no prompt ends in: the text itself has them, or it has no thought."""


@dataclass(frozen=True)
class Syntax:
    """The tags of all formats together."""

    markup: tuple[str, ...]
    """Text that belongs to calls and reasoning and has no place in an answer."""
    closers: tuple[str, ...]
    tagged: tuple[str, ...]
    """The tags with which calls begin, but for those that other text may have, too."""
    openings: Mapping[str, tuple[Opening, ...]]
    frame: re.Pattern[str] | None
    """Control text around words and calls that a server drops."""
    marker: re.Pattern[str]
    """Finds the next tag with which calls begin."""
    marks: re.Pattern[str]
    """Finds the next piece of markup, or of any family's special tokens."""


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
    markup |= dict.fromkeys(tag for pair in THINK for tag in pair)
    frame = [tag for format_ in formats for tag in format_.frame]
    return Syntax(
        markup=tuple(markup),
        closers=tuple(dict.fromkeys(tag for format_ in formats for tag in format_.closers)),
        tagged=tuple(tag for tag in openings if tag in markup),
        openings=openings,
        frame=re.compile("|".join(frame)) if frame else None,
        marker=re.compile(_any_of(openings)),
        marks=re.compile("|".join([_any_of(markup), *SPECIAL]), re.DOTALL),
    )


def _any_of(tags: Iterable[str]) -> str:
    """A pattern of any of the tags, the longest first."""
    return "|".join(map(re.escape, sorted(tags, key=len, reverse=True)))


def format_of_parser(parser: str) -> CallFormat:
    """The format that a module of `mlx_lm.tool_parsers` parses; `OTHER` where no reader has it."""
    return next((format_ for format_ in FORMATS if parser in format_.parsers), OTHER)


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
