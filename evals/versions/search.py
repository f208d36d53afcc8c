"""Where the outcome of a text changes along a row of versions, with as few of them as it takes.

A version is an index into the row, oldest first. What was seen of one is the outcome of each text,
as any value that can be compared; None of a version that could not be asked.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Outcomes = Mapping[str, Hashable]
Known = Mapping[int, Outcomes | None]


@dataclass(frozen=True)
class Change:
    """Between two versions that were asked something else came of a text.

    `between` are those in the middle of them that could not be asked: it may have been there.
    """

    text: str
    before: int
    after: int
    between: tuple[int, ...] = ()


def next_version(size: int, known: Known) -> int | None:
    """The version to ask next: the middle of the gap in which the most texts change; None: done.

    Both ends come first, then the nearest that can be asked where an end cannot.
    """
    asked = _asked(known)
    for ends in (range(size), range(size - 1, -1, -1)):
        end = next((i for i in ends if known.get(i, {}) is not None), None)
        if end is not None and end not in known:
            return end
    gaps: Counter[tuple[int, int]] = Counter()
    for before, after in pairwise(asked):
        if untested(before, after, known):
            gaps[before, after] = sum(1 for _ in _differing(before, after, known))
    gaps = +gaps  # those in which something changes
    if not gaps:
        return None
    before, after = max(gaps, key=lambda gap: (gaps[gap], gap[1] - gap[0], -gap[0]))
    left = untested(before, after, known)
    return left[len(left) // 2] if len(left) % 2 else left[len(left) // 2 - 1]


def changes(known: Known) -> list[Change]:
    """Every change that was seen, by text and then by version."""
    found = [
        Change(text, before, after, tuple(i for i in range(before + 1, after) if i in known))
        for before, after in pairwise(_asked(known))
        for text in _differing(before, after, known)
    ]
    return sorted(found, key=lambda change: (change.text, change.before))


def untested(before: int, after: int, known: Known) -> Sequence[int]:
    """The versions between two that nothing is known of."""
    return [i for i in range(before + 1, after) if i not in known]


def came_back(text: str, known: Known) -> bool:
    """Whether an outcome of the text is seen again behind another one: it came and went."""
    row = [seen[text] for i in _asked(known) if (seen := known[i]) and text in seen]
    runs = [row[0], *(after for before, after in pairwise(row) if after != before)] if row else []
    return len(runs) > len({*runs})


def _asked(known: Known) -> list[int]:
    return sorted(i for i, seen in known.items() if seen is not None)


def _differing(before: int, after: int, known: Known) -> list[str]:
    old, new = known[before] or {}, known[after] or {}
    return [text for text in old if text in new and old[text] != new[text]]
