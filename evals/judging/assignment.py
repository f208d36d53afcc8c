"""The cheapest pairing of expected things with those that came."""

from collections.abc import Sequence

from scipy.optimize import linear_sum_assignment

_NEVER = 1 << 60


def assign(costs: Sequence[Sequence[int]]) -> dict[int, int]:
    """Row → column with the least total cost; surplus rows or columns stay alone."""
    if not costs or not costs[0]:
        return {}
    rows, columns = linear_sum_assignment(costs)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True)}


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
