"""Speculative decoding in figures: what was accepted, where answers part, and what replicates."""

from collections.abc import Sequence
from dataclasses import dataclass

SPREAD = 1.25
"""Ratios of one setting that lie further apart than this are not the same result."""


@dataclass(frozen=True)
class Acceptance:
    """What became of the draft model's tokens in one answer, or in several together."""

    steps: int = 0
    """How often the target model verified a draft, or wrote a token without one."""
    proposed: int = 0
    accepted: int = 0
    tokens: int = 0

    @property
    def rate(self) -> float | None:
        """The share of the proposed tokens that was accepted; None without any."""
        return self.accepted / self.proposed if self.proposed else None

    @property
    def length(self) -> float | None:
        """Tokens per step of the target model: 1 where nothing is accepted."""
        return self.tokens / self.steps if self.steps else None

    def __add__(self, other: "Acceptance") -> "Acceptance":
        return Acceptance(
            self.steps + other.steps,
            self.proposed + other.proposed,
            self.accepted + other.accepted,
            self.tokens + other.tokens,
        )


@dataclass(frozen=True)
class Setting:
    """How the cases are asked: without a draft and so many in flight, or with drafts of a size."""

    draft_tokens: int | None = None
    in_flight: int = 1

    @property
    def name(self) -> str:
        """`off`, `off, 8 in flight`, `3 draft tokens`."""
        if self.draft_tokens is not None:
            return f"{self.draft_tokens} draft tokens"
        return "off" if self.in_flight == 1 else f"off, {self.in_flight} in flight"


@dataclass(frozen=True)
class Asked:
    """One answer: its case, its seconds, its tokens, and what of them the draft model wrote."""

    node: str
    seconds: float
    ids: tuple[int, ...]
    error: str | None = None
    accepted: Acceptance | None = None


@dataclass(frozen=True)
class Pass:
    """The cases, asked once in one setting. `hung` says what gave no answer within the limit."""

    setting: Setting
    repeat: int
    seconds: float
    cpu_seconds: float
    """Of the server's processes: comparable where other programs take the processors as well."""
    answers: tuple[Asked, ...]
    hung: str | None = None


def acceptance(from_draft: Sequence[bool], draft_tokens: int, max_tokens: int) -> Acceptance:
    """Of one answer, by whether each of its tokens is the draft's.

    A step proposes `draft_tokens`, or as many as the answer may still have, and ends with a token
    of the target model's own; the last one may be cut short by the end of the answer.
    """
    starts = [i for i in range(len(from_draft)) if i == 0 or not from_draft[i - 1]]
    proposed = sum(min(draft_tokens, max_tokens - start) for start in starts)
    return Acceptance(len(starts), proposed, sum(from_draft), len(from_draft))


def first_difference(plain: Sequence[int], other: Sequence[int]) -> int | None:
    """Where two answers' tokens part, from 0; None if they are the same."""
    for at, (one, two) in enumerate(zip(plain, other, strict=False)):
        if one != two:
            return at
    return None if len(plain) == len(other) else min(len(plain), len(other))


def verdict(ratios: Sequence[float]) -> str:
    """What repeats say together: `faster`, `slower` or `does not replicate`, and of how many.

    A ratio above 1 is faster. On one side of 1 by chance alone are three repeats in a quarter of
    all benches, so more repeats say more.
    """
    if len(ratios) < 2:
        return "measured once: no repeat"
    together = max(ratios) <= SPREAD * min(ratios)
    if together and min(ratios) > 1:
        return f"faster in all {len(ratios)}"
    if together and max(ratios) < 1:
        return f"slower in all {len(ratios)}"
    return f"does not replicate in {len(ratios)}"
