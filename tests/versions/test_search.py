"""The search along a row of versions: what came, what went, what came and went."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.versions.search import Change, came_back, changes, next_version, untested


def searched(history):
    """Ask a row of versions as the search wants it; a version is a dict, or None: not bootable."""
    known = {}
    while (place := next_version(len(history), known)) is not None:
        assert place not in known
        known[place] = history[place]
    return known


def row(text):
    """`rrwx-`: one text, a letter for what came of it in each version; `-`: not bootable."""
    return [None if letter == "-" else {"t": letter} for letter in text]


@pytest.mark.parametrize(
    ("history", "found"),
    [
        pytest.param("rrrrrwww", [Change("t", 4, 5)], id="came"),
        pytest.param("wwrrrrrr", [Change("t", 1, 2)], id="went"),
        pytest.param("rrrwwrrw", [Change("t", 2, 3), Change("t", 4, 5), Change("t", 6, 7)], id="3"),
        pytest.param("rrr-wwww", [Change("t", 2, 4, (3,))], id="unbootable in between"),
        pytest.param("--rrwww-", [Change("t", 3, 4)], id="unbootable at the ends"),
        pytest.param("rrrr", [], id="nothing"),
        pytest.param("rw", [Change("t", 0, 1)], id="two versions"),
        pytest.param("----", [], id="none can be asked"),
    ],
)
def test_what_is_found_is_there(history, found):
    known = searched(row(history))
    assert [change for change in changes(known) if change in found] == changes(known)
    assert bool(changes(known)) == bool(found)


@given(st.integers(2, 300), st.data())
def test_one_change_is_found_with_as_few_versions_as_halving_takes(size, data):
    at = data.draw(st.integers(1, size - 1))
    known = searched(row("r" * at + "w" * (size - at)))
    assert changes(known) == [Change("t", at - 1, at)]
    assert len(known) <= 2 + math.ceil(math.log2(size - 1))


@given(st.lists(st.sampled_from(["r", "w", "x", None]), min_size=1, max_size=40))
def test_every_change_between_versions_that_were_asked_is_narrowed_down(letters):
    history = [letter and {"t": letter} for letter in letters]
    known = searched(history)
    for change in changes(known):
        assert untested(change.before, change.after, known) == []
        assert all(history[place] is None for place in change.between)
        assert change.after - change.before == 1 + len(change.between)
        assert history[change.before] != history[change.after]
    bootable = [letter for letter in letters if letter]
    if bootable and bootable[0] != bootable[-1]:
        assert changes(known)


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=2, max_size=12))
def test_several_texts_share_the_versions(rows):
    history = [{f"t{i}": value for i, value in enumerate(values)} for values in rows]
    known = searched(history)
    for text in ("t0", "t1", "t2"):
        alone = searched([{text: seen[text]} for seen in history])
        first, last = history[0][text], history[-1][text]
        assert (first != last) <= any(change.text == text for change in changes(known))
        assert all(place < len(history) for place in alone)


@pytest.mark.parametrize(
    ("history", "back"),
    [("rrww", False), ("rwr", True), ("wxw", True), ("rwx", False), ("", False)],
)
def test_an_outcome_that_is_seen_again_came_and_went(history, back):
    assert came_back("t", dict(enumerate(row(history)))) == back


def test_the_gap_in_which_most_texts_change_comes_first():
    known = {0: {"a": 1, "b": 1}, 10: {"a": 2, "b": 1}, 20: {"a": 3, "b": 2}}
    assert next_version(21, known) == 15
