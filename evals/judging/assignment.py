"""The cheapest pairing of expected things with those that came."""

from collections import deque
from collections.abc import Sequence

_NEVER = 1 << 60
MOST_CELLS = 100_000
"""With more pairs than that to choose from, `assign` takes too long: hours for an answer of
thousands of calls. `assign_equal` is for those."""


def assign(costs: Sequence[Sequence[int]]) -> dict[int, int]:
    """Row → column with the least total cost; surplus rows or columns stay alone."""
    if not costs or not costs[0]:
        return {}
    if len(costs) == len(costs[0]) == 1:  # nothing to choose, as in most cases
        return {0: 0}
    if len(costs) > len(costs[0]):
        turned = [list(column) for column in zip(*costs, strict=True)]
        return {row: column for column, row in sorted(assign(turned).items())}
    columns = len(costs[0])
    paired: list[int | None] = [None] * columns
    row_prices, column_prices = [0] * len(costs), [0] * columns
    for row in range(len(costs)):
        _pair(row, costs, paired, row_prices, column_prices)
    return dict(sorted((row, c) for c, row in enumerate(paired) if row is not None))


def assign_equal(wanted: Sequence[str], got: Sequence[str]) -> dict[int, int]:
    """Wanted → got: equal texts first, then what is left as it came; in time by their number."""
    places: dict[str, deque[int]] = {}
    for j, text in enumerate(got):
        places.setdefault(text, deque()).append(j)
    pairs = {i: places[text].popleft() for i, text in enumerate(wanted) if places.get(text)}
    taken = set(pairs.values())
    left = (j for j in range(len(got)) if j not in taken)
    alone = (i for i in range(len(wanted)) if i not in pairs)
    return dict(sorted({**pairs, **dict(zip(alone, left, strict=False))}.items()))


def _pair(
    start: int,
    costs: Sequence[Sequence[int]],
    paired: list[int | None],
    row_prices: list[int],
    column_prices: list[int],
) -> None:
    """Give row `start` a column, moving earlier rows along the cheapest path to a free one.

    The Hungarian algorithm: with prices kept so that no cell is below the sum of its row's and its
    column's, and every pair is at it, each step is a shortest path.
    """
    columns = range(len(paired))
    left = dict.fromkeys(columns, _NEVER * _NEVER)
    came: dict[int, int | None] = dict.fromkeys(columns)
    reached: list[int] = []
    row: int | None = start
    column: int | None = None
    while row is not None:
        for other, least in left.items():
            reduced = costs[row][other] - row_prices[row] - column_prices[other]
            if reduced < least:
                left[other], came[other] = reduced, column
        column = min(left, key=left.__getitem__)
        step = left.pop(column)
        row_prices[start] += step
        for seen in reached:
            row_prices[_row(paired, seen)] += step
            column_prices[seen] -= step
        left = {other: least - step for other, least in left.items()}
        reached.append(column)
        row = paired[column]
    while column is not None:
        before = came[column]
        paired[column] = start if before is None else paired[before]
        column = before


def _row(paired: Sequence[int | None], column: int) -> int:
    row = paired[column]
    assert row is not None
    return row


def assign_in_order(costs: Sequence[Sequence[int]]) -> dict[int, int]:
    """As `assign`, where rows and columns keep their order; there are at least as many columns."""
    columns = len(costs[0]) if costs else 0
    best: list[list[tuple[int, tuple[int, ...]]]] = [[(0, ())] * (columns + 1)]
    for row, cells in enumerate(costs):
        line: list[tuple[int, tuple[int, ...]]] = []
        for column in range(columns + 1):
            # The cheapest way to pair all rows up to this one with the columns before `column`.
            choices = line[-1:]
            if column > row:
                cost, taken = best[row][column - 1]
                choices = [*choices, (cost + cells[column - 1], (*taken, column - 1))]
            line.append(min(choices, default=(_NEVER, ())))
        best.append(line)
    return dict(enumerate(best[-1][-1][1]))
