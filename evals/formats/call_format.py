"""What a call format is: its tags, a strict reader for each way in which a call begins, its names.

A format's module has a `CallFormat` value and `evals.formats.registry` lists it. Everything that
asks about formats reads that list: the reader of model text, the checks for leaked markup, the
closed set of a profile's `call_format`, the replay profiles and the reference.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from evals.case import Tool
from evals.formats.reading import ReadCall
from evals.observation import Call

FENCE = "```"


@dataclass(frozen=True)
class Section:
    """Calls that were read, where reading goes on, and why they can be read in another way."""

    calls: Sequence[ReadCall]
    end: int
    ambiguous: Sequence[str] = ()


Reader = Callable[[str, int, Sequence[Tool]], Section | None]
"""Reads the calls whose opening tag begins at a position of the text; None: it is not this format.

Raises `Broken` where the format begins and is not kept to.
"""


@dataclass(frozen=True)
class Opening:
    """A tag with which calls of a format begin; several formats may share it.

    With `close`, its closing tag, what follows must be a call of one of the formats that share it:
    else it is malformed. `begins` says for that message what this format has behind the tag.
    Without, text that no reader takes is text.
    """

    tag: str
    read: Reader
    close: str = ""
    begins: str = ""


class Unwritable(ValueError):  # noqa: N818 (a call that a format cannot hold is not an error)
    """A call that would be cut or read differently in this format."""


@dataclass(frozen=True, eq=False)
class CallFormat:
    """How a family of models writes calls; each is equal to itself alone, and quick to look up."""

    name: str
    doc: str
    """What it looks like, for the reference."""
    openings: tuple[Opening, ...] = ()
    whole: Callable[[str, Sequence[Tool]], list[ReadCall]] | None = None
    """Reads a text that is nothing but calls without tags, of `tools` alone; [] if it is not."""
    markup: tuple[str, ...] = ()
    """Tags that have no place in an answer."""
    frame: tuple[str, ...] = ()
    """Patterns of control text around words and calls, which a server of this family drops."""
    closers: tuple[str, ...] = ()
    """Closing tags that are malformed where they stand without an opening one."""
    write: Callable[[Call], str] | None = None
    """The canonical text of a call with canonical arguments, for training data.

    Raises `Unwritable`.
    """
    template: str | None = None
    """The replay model's chat template, `evals/replay/templates/<template>.jinja`."""
    parsers: tuple[str, ...] = ()
    """Modules of `mlx_lm.tool_parsers` that parse it."""


class Broken(Exception):  # noqa: N818
    """Markup that begins a call and goes wrong; `end` is where reading goes on."""

    def __init__(self, reason: str, end: int, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.end = end
        self.cut = cut

    @classmethod
    def within(cls, body: str, start: int, reason: str, closer: str) -> Self:
        """Broken from `start` to the next `closer`, or to the end of the text."""
        close = body.find(closer, start) if closer else -1
        if close < 0:
            return cls(reason, len(body), cut=True)
        return cls(reason, close + len(closer))


def swallowed(
    values: Iterable[tuple[str, str]], begun: "re.Pattern[str]", closer: str
) -> list[str]:
    """Why keys and values could have been meant in another way: they hold the beginning of a call.

    A call that lacks a closing tag swallows what follows it, up to a tag that the next one has.
    """
    return [
        f"the value of {key} holds a call that is not closed there"
        for key, value in values
        if begun.search(value, value.rfind(closer) + 1)
    ]


def skip_space(body: str, position: int) -> int:
    """The first position from `position` on that is not white space."""
    while position < len(body) and body[position].isspace():
        position += 1
    return position
