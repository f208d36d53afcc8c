"""The reader of raw model text: strict, and independent of any server.

A server's parser may be forgiving; this one says what the model meant where that is certain, and
names every piece of markup that does not keep to its format.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evals.case import Tool
from evals.formats import registry
from evals.formats.call_format import FENCE, Broken, Opening, Section, skip_space
from evals.formats.reading import Malformed, ReadCall, Reading
from evals.formats.registry import THINK, Syntax


@dataclass
class _Found:
    """What has been read so far."""

    read: list[ReadCall] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


def read_model_text(raw: str, tools: Sequence[Tool]) -> Reading:
    """Read raw model text, without its end token, strictly. Never raises.

    Formats are those of `evals.formats.registry`. Those without tags count only for names of
    `tools`: else an example in an answer were a call.
    """
    syntax = registry.syntax()
    # Before all else, for a value of such a call may hold any tag.
    if calls := _whole(raw, tools):
        return Reading(read=tuple(calls))
    reasoning, body = _split_reasoning(raw, syntax)
    if reasoning is not None and (calls := _whole(body, tools)):
        return Reading(read=tuple(calls), reasoning=reasoning)
    found = _Found()
    if reasoning and any(tag in reasoning for tag in syntax.tagged):
        found.ambiguous.append("a call stands inside the reasoning")
    _read_tagged(body, tools, syntax, found)
    text = "".join(found.text)
    _note_closers(text, syntax, found)
    return Reading(
        read=tuple(found.read),
        text=text,
        reasoning=reasoning,
        malformed=tuple(found.malformed),
        ambiguous=tuple(found.ambiguous),
    )


def _whole(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    """Calls of declared tools without tags, where they are the whole text; else nothing."""
    readers = (format_.whole for format_ in registry.FORMATS if format_.whole)
    return next((calls for read in readers if (calls := read(text, tools))), [])


def _split_reasoning(raw: str, syntax: Syntax) -> tuple[str | None, str]:
    """Reasoning at the start of the text, and the rest; its opening tag may be in the prompt."""
    start = raw.lstrip()
    first_call = min((raw.find(tag) for tag in syntax.tagged if tag in raw), default=len(raw))
    for opening, closing in THINK:
        if start.startswith(opening):
            thought, _, rest = start.removeprefix(opening).partition(closing)
            return thought, rest
        thought, found, rest = raw[:first_call].partition(closing)
        # Within a code block it is part of what is shown there.
        if found and opening not in raw[:first_call] and thought.count(FENCE) % 2 == 0:
            return thought, rest + raw[first_call:]
    return None, raw


def _read_tagged(body: str, tools: Sequence[Tool], syntax: Syntax, found: _Found) -> None:
    position = 0
    while marker := syntax.marker.search(body, position):
        start, openings = marker.start(), syntax.openings[marker.group()]
        found.text.append(body[position:start])
        try:
            section = _read_section(body, start, tools, openings)
        except Broken as broken:
            found.malformed.append(Malformed(body[start : broken.end], broken.reason, broken.cut))
            position = broken.end
            continue
        if section is None:  # no call after all
            position = marker.end()
            found.text.append(marker.group())
            continue
        found.read += section.calls
        found.ambiguous += section.ambiguous
        position = section.end
    found.text.append(body[position:])


def _read_section(
    body: str, start: int, tools: Sequence[Tool], openings: Sequence[Opening]
) -> Section | None:
    """The calls that begin with the tag at `start`, in the first format that takes them."""
    sections = (opening.read(body, start, tools) for opening in openings)
    section = next((section for section in sections if section is not None), None)
    closed = next((opening for opening in openings if opening.close), None)
    if section is None and closed is not None:
        begins = " or ".join(opening.begins for opening in openings if opening.begins)
        inside = skip_space(body, start + len(closed.tag))
        empty = body.startswith(closed.close, inside)
        reason = f"{closed.tag} is " + ("empty" if empty else f"not followed by {begins}")
        raise Broken.within(body, inside, reason, closed.close)
    return section


def _note_closers(text: str, syntax: Syntax, found: _Found) -> None:
    """Closing tags in the text, which opened nowhere."""
    for closer in syntax.closers:
        if closer in text and found.read:
            found.ambiguous.append(f"{closer} is left over after a call")
        elif closer in text and not found.malformed:
            found.malformed.append(Malformed(closer, f"{closer} without its opening tag"))
