"""Text that may go on: what can be told from it now, and what needs more of it."""

import re
from dataclasses import dataclass

_SPACE = re.compile(r"\s*")


class Incomplete(Exception):  # noqa: N818
    """What comes next decides; nothing is known before it is there."""


class BrokenCall(Exception):  # noqa: N818
    """A call goes wrong at position `at`. `cut`: because the text ends there."""

    def __init__(self, reason: str, at: int, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at
        self.cut = cut


@dataclass(frozen=True)
class Source:
    """Model text up to now. `final`: no more will come. `cut`: it was stopped by a limit.

    Every answer given here holds however the text goes on: else it is `Incomplete`.
    """

    text: str
    final: bool = False
    cut: bool = False

    def skip_space(self, position: int) -> int:
        """The first position from `position` on that is not white space; the end if final.

        Raises:
            Incomplete: the text so far ends in white space.

        """
        space = _SPACE.match(self.text, position)
        position = space.end() if space else position
        if position == len(self.text) and not self.final:
            raise Incomplete
        return position

    def has(self, literal: str, position: int) -> bool:
        """Whether `literal` stands at `position`.

        Raises:
            Incomplete: the text so far ends within what may become it.

        """
        if self.text.startswith(literal, position):
            return True
        rest = self.text[position : position + len(literal)]
        if not self.final and len(rest) < len(literal) and literal.startswith(rest):
            raise Incomplete
        return False

    def at_end(self, position: int) -> bool:
        """Whether the model itself ended its text at `position`."""
        return self.final and not self.cut and position == len(self.text)
