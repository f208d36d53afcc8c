"""The cheapest pairing of expected things with those that came."""

from collections.abc import Sequence

from scipy.optimize import linear_sum_assignment


def assign(costs: Sequence[Sequence[int]]) -> dict[int, int]:
    """Row → column with the least total cost; surplus rows or columns stay alone."""
    if not costs or not costs[0]:
        return {}
    rows, columns = linear_sum_assignment(costs)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True)}
