"""The order of asking: prompts that begin alike follow one another, and none is moved far."""

import builders
from hypothesis import given
from hypothesis import strategies as st

from evals.running.questions import WINDOW, Question, asking_order


def group_of(number: int, tool: str, words: int = 1) -> list[Question]:
    tools = [{"name": tool}] if tool else []
    case = builders.case(id=f"c{number}", ask="word " * words, tools=tools, expect={"answer": {}})
    return [Question(case, "server"), Question(case, "stream")]


def told(groups, in_flight):
    return [group[0].case.id for group in asking_order(groups, in_flight)]


def test_as_many_first_tools_as_may_be_in_flight_take_turns():
    tools = "aaaabbbcc"
    groups = [group_of(number, tool) for number, tool in enumerate(tools)]
    order = [tools[int(name[1:])] for name in told(groups, 2)]
    assert order == ["a", "b", "a", "b", "a", "b", "a", "c", "c"]


def test_of_one_tool_the_longest_prompt_comes_first():
    groups = [group_of(number, "a", words) for number, words in enumerate((1, 9, 3))]
    assert told(groups, 1) == ["c1", "c2", "c0"]


@given(st.lists(st.sampled_from("abc "), max_size=90), st.integers(1, 3))
def test_every_group_is_asked_once_and_stays_near_its_place(tools, in_flight):
    groups = [group_of(number, tool.strip()) for number, tool in enumerate(tools)]
    order = [int(name[1:]) for name in told(groups, in_flight)]
    assert sorted(order) == list(range(len(groups)))
    assert all(abs(place - number) < WINDOW * in_flight for place, number in enumerate(order))
