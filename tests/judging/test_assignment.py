"""The cheapest pairing, held against every possible one."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from evals.judging.assignment import assign

COST = st.sampled_from([0, 1, 2, 5, 1000, 1001, 1 << 40])
TABLES = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda size: st.lists(
        st.lists(COST, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
    )
)


@given(TABLES)
def test_no_pairing_is_cheaper(costs):
    pairs = assign(costs)
    rows, columns = range(len(costs)), range(len(costs[0]))
    few, many = sorted((rows, columns), key=len)
    assert len(pairs) == len(set(pairs.values())) == len(few)
    turned = len(rows) > len(columns)
    least = min(
        sum(costs[b][a] if turned else costs[a][b] for a, b in zip(few, order, strict=False))
        for order in permutations(many, len(few))
    )
    assert sum(costs[row][column] for row, column in pairs.items()) == least


def test_nothing_is_paired_with_nothing():
    assert assign([]) == assign([[]]) == {}
