"""What was looked at and what was found: one line of a table."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Result = Literal["pass", "fail", "cannot tell"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `said` may hold a server's text."""

    name: str
    result: Result
    said: str

    @property
    def passed(self) -> bool:
        """Whether all is well; what cannot be told is neither that nor a failure."""
        return self.result == "pass"


def passes(name: str, right: bool, said: str) -> Finding:
    """A finding that passes or fails."""
    return Finding(name, "pass" if right else "fail", said)


def table_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """A table for a terminal; control characters of a server's text are shown as escapes."""
    rows = list(findings)
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        said = "".join(c if c.isprintable() else repr(c)[1:-1] for c in row.said)
        yield f"{row.name:<{width}}  {row.result:<11}  {said}"
