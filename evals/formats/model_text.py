"""The reader of raw model text: strict, and independent of any server.

A server's parser may be forgiving; this one says what the model meant where that is certain, and
names every piece of markup that does not keep to its format.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from evals.case import Tool
from evals.formats import registry
from evals.formats.call_format import FENCE, Broken, Section, skip_space
from evals.formats.naming import CodeMarks, is_named
from evals.formats.reading import Malformed, ReadCall, Reading
from evals.formats.registry import NEVER_IN_PROMPT, THINK, Syntax


@dataclass
class _Found:
    """What has been read so far."""

    read: list[ReadCall] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Given:
    """What the text is read by."""

    tools: Sequence[Tool]
    told: str
    examples: bool
    syntax: Syntax


def read_model_text(
    raw: str, tools: Sequence[Tool], *, told: str = "", examples: bool = False
) -> Reading:
    """Read raw model text, without its end token, strictly. Never raises.

    Formats are those of `evals.formats.registry`. Those without tags count only for names of
    `tools`: else an example in an answer were a call.

    A tag that the text merely names is text; `told` is what the model was told, which it may quote.
    With `examples` a whole call that stands among words in code marks, or in a closed thought, is
    one that is shown; without, the former is a call and the latter is ambiguous.
    """
    given = _Given(tools, told, examples, registry.syntax())
    # Before all else, for a value of such a call may hold any tag.
    if calls := _whole(raw, tools):
        return Reading(read=tuple(calls))
    reasoning, body = _split_reasoning(raw, given)
    if reasoning is not None and (calls := _whole(body, tools)):
        return Reading(read=tuple(calls), reasoning=reasoning)
    found = _Found()
    if reasoning:
        _note_thought(reasoning, given, found)
    _read_tagged(body, given, found)
    text = "".join(found.text)
    _note_closers(text, given, found)
    frame = given.syntax.frame
    return Reading(
        read=tuple(found.read),
        text=frame.sub("", text) if frame else text,
        reasoning=reasoning,
        malformed=tuple(found.malformed),
        ambiguous=tuple(found.ambiguous),
        named=tuple(found.named),
    )


def _whole(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    """Calls of declared tools without tags, where they are the whole text; else nothing."""
    readers = (format_.whole for format_ in registry.FORMATS if format_.whole)
    return next((calls for read in readers if (calls := read(text, tools))), [])


def _split_reasoning(raw: str, given: _Given) -> tuple[str | None, str]:
    """Reasoning at the start of the text, and the rest; its opening tag may be in the prompt."""
    start = raw.lstrip()
    tagged = given.syntax.tagged
    first_call = min((raw.find(tag) for tag in tagged if tag in raw), default=len(raw))
    for opening, closing in THINK:
        if start.startswith(opening):
            thought, _, rest = start.removeprefix(opening).partition(closing)
            return thought, rest
        place = raw.find(closing, 0, first_call)
        if place < 0 or opening in raw[:first_call] or opening in NEVER_IN_PROMPT:
            continue
        # Within a code block it is part of what is shown there.
        shown = raw[:place].count(FENCE) % 2 or CodeMarks(raw).around(place)
        if not shown and not is_named(raw, place, place + len(closing), given.told):
            return raw[:place], raw[place + len(closing) :]
    return None, raw


def _note_thought(reasoning: str, given: _Given, found: _Found) -> None:
    """Calls and tags in a thought: a call there may have been meant, a tag is only named."""
    inside = _Found()
    _read_tagged(reasoning, given, inside)
    if inside.read and not given.examples:
        found.ambiguous.append("a call stands inside the reasoning")
    found.named += [tag for tag in given.syntax.tagged if tag in reasoning]


def _read_tagged(body: str, given: _Given, found: _Found) -> None:
    position, marks = 0, CodeMarks(body)
    while marker := given.syntax.marker.search(body, position):
        start, tag = marker.start(), marker.group()
        found.text.append(body[position:start])
        shown = tag != FENCE and marks.shows(start)
        named = shown or is_named(body, start, marker.end(), given.told)
        section = None
        try:
            if not (shown and given.examples):
                section = _read_section(body, marker, given, named)
        except Broken as broken:
            if not named:
                part = Malformed(body[start : broken.end], broken.reason, broken.cut)
                found.malformed.append(part)
                position = broken.end
                continue
        if section is None:  # no call after all
            # Behind white space that is a part of a tag may another tag begin.
            position = start + 1 if tag[0].isspace() else marker.end()
            found.text.append(body[start:position])
            found.named += [tag] if named and tag in given.syntax.tagged else []
            continue
        if given.examples and body[start : section.end].strip() in given.told:
            found.text.append(body[start : section.end])
            found.ambiguous.append("the text quotes a call that the model was told of")
            position = section.end
            continue
        found.read += section.calls
        found.ambiguous += section.ambiguous
        position = section.end
    found.text.append(body[position:])


def _read_section(body: str, marker: "re.Match[str]", given: _Given, named: bool) -> Section | None:
    """The calls that begin with a tag, in the first format that takes them."""
    start, openings = marker.start(), given.syntax.openings[marker.group()]
    sections = (opening.read(body, start, given.tools) for opening in openings)
    section = next((section for section in sections if section is not None), None)
    closed = next((opening for opening in openings if opening.close), None)
    if section is None and closed is not None and not named:
        begins = " or ".join(opening.begins for opening in openings if opening.begins)
        inside = skip_space(body, start + len(closed.tag))
        empty = body.startswith(closed.close, inside)
        reason = f"{closed.tag} is " + ("empty" if empty else f"not followed by {begins}")
        raise Broken.within(body, inside, reason, closed.close)
    return section


def _note_closers(text: str, given: _Given, found: _Found) -> None:
    """Closing tags in the text, which opened nowhere."""
    marks = CodeMarks(text)
    # Nothing else stands behind the call: so no value of it goes on there.
    last = found.text[-1]
    for tag in given.syntax.closers:
        last = last.replace(tag, "")
    repeated = bool(found.read) and not last.strip()
    for closer in given.syntax.closers:
        if not _used(closer, text, marks, given.told):
            continue
        if repeated and closer in found.text[-1]:
            found.malformed.append(Malformed(closer, f"{closer} once more behind a call"))
        elif found.read:
            found.ambiguous.append(f"{closer} is left over after a call")
        elif not found.malformed:
            found.malformed.append(Malformed(closer, f"{closer} without its opening tag"))


def _used(tag: str, text: str, marks: CodeMarks, told: str) -> bool:
    """Whether the tag stands in the text otherwise than named."""
    places = [found.start() for found in re.finditer(re.escape(tag), text)]
    return any(
        not marks.around(place) and not is_named(text, place, place + len(tag), told)
        for place in places
    )
