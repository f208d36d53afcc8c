"""Whether a tag in a text is used or merely named, as in "`<tool_call>` opens a call".

A tag is named in code marks, in quotes, and as a word of a sentence that speaks of such tags. Who
reads it otherwise takes an explanation of calls for one.
"""

import re
from dataclasses import dataclass, field

_FENCED = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n.*?^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)(`{1,2})(?!`)[^`\n]+(?:`[^`\n]+)*?(?<!`)\1(?!`)")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "«": "»", "(": ")", "*": "*", "_": "_"}
_CODE = ("<code>", "</code>")
_BEFORE = re.compile(
    r"(?:[\w,;:)\"'”’»>|`] |(?:\.\.\.|…) ?|^\s*(?:[-*•]|\d+[.)]) +)\Z", re.MULTILINE
)
_AFTER = re.compile(r"(?:'s\b|[.,;:!?)]+(?=\s|\Z)| [\w(“\"'`<|–—-]|\.\.\.|…|[ \t]*(?:\n|\Z))")
_TOPIC = re.compile(
    r"\b(?:tags?|tokens?|markers?|markup|mark-up|delimiters?|syntax|xml|chat templates?|models?"
    r"|tool calls?|special|writes?|emits?|wrapped|opens|closes)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CodeMarks:
    """The parts of a text that stand in code fences and in single code marks."""

    text: str
    fences: tuple[tuple[int, int], ...] = field(init=False)
    inline: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        fences = tuple(found.span() for found in _FENCED.finditer(self.text))
        inline = tuple(
            found.span()
            for found in _INLINE.finditer(self.text)
            if not any(start <= found.start() < end for start, end in fences)
        )
        object.__setattr__(self, "fences", fences)
        object.__setattr__(self, "inline", inline)

    def around(self, place: int) -> tuple[int, int] | None:
        """The part in code marks that `place` is inside of; None outside."""
        spans = (*self.fences, *self.inline)
        return next((span for span in spans if span[0] < place < span[1]), None)

    def shows(self, place: int) -> bool:
        """Whether what stands at `place` is shown among words, and is not all that is said."""
        span = self.around(place)
        if span is None:
            return False
        return bool(self.text[: span[0]].strip() or self.text[span[1] :].strip())


def is_named(text: str, start: int, end: int, told: str = "") -> bool:
    """Whether the tag from `start` to `end` is a word of the sentence around it.

    `told` is what the model was told: it may speak of a tag that stands there.
    """
    if start and end < len(text) and _QUOTES.get(text[start - 1]) == text[end]:
        return True
    if text.endswith(_CODE[0], 0, start) and text.startswith(_CODE[1], end):
        return True
    if not _AFTER.match(text, end):
        return False
    if text[start:end] in told:
        return True
    line = text[text.rfind("\n", 0, start) + 1 : start]
    stop = text.find("\n", end)
    rest = text[end : stop if stop >= 0 else len(text)]
    spoken = _TOPIC.search(re.sub(r"<[^<>\s]*>", " ", f"{line} {rest}"))
    return bool(spoken and _BEFORE.search(line))
