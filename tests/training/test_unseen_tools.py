"""The cases whose tools are said to be in no training data: they are in none."""

import re
from itertools import product
from pathlib import Path

import pytest

from evals.loading.casefile import find_case_files, read_cases
from evals.training.catalogue import read_catalogue
from evals.training.distance import distance
from evals.training.parts import plural, read_parts
from evals.training.recipe import Data, dataset

ROOT = Path(__file__).parents[2]
CATEGORY = "unseen-tools"
WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def words(name: str) -> frozenset[str]:
    """A tool's name without its spelling: `get_cart`, `getCart` and `cart-get` are the same."""
    return frozenset(word.lower() for word in WORD.findall(name))


def keys(parameters) -> frozenset[str]:
    return frozenset(" ".join(sorted(words(key))) for key in parameters["properties"])


@pytest.fixture(scope="module")
def catalogue():
    return read_catalogue(ROOT / "cases" / "tools")


@pytest.fixture(scope="module")
def cases():
    return read_cases(find_case_files([ROOT / "cases"]), ROOT)


@pytest.fixture(scope="module")
def unseen(cases):
    return {tool.name: tool for c in cases if c.category == CATEGORY for tool in c.tools}


def test_there_are_enough_of_them(cases, unseen):
    assert sum(case.category == CATEGORY for case in cases) >= 60
    assert len(unseen) >= 25
    asked = {
        call.name
        for case in cases
        if case.category == CATEGORY
        for calls in case.expect.alternatives
        for call in calls
    }
    assert len(asked) >= 25, "tools that are only on offer prove little"


def test_no_name_is_in_the_training_in_any_spelling(catalogue, unseen):
    trained = set()
    for tool in catalogue.tools:
        first, *rest = (word.lower() for word in WORD.findall(tool.name))
        for verb in (first, *catalogue.synonyms["verbs"].get(first, [])):
            trained.add(words("_".join([verb, *rest])))
    assert not [name for name in unseen if words(name) in trained]


def test_no_set_of_parameters_is_in_the_training_under_any_name(catalogue, unseen):
    trained = set()
    for tool in catalogue.tools:
        names = tool.schema["function"]["parameters"]["properties"]
        others = [(name, *catalogue.synonyms["parameters"].get(name, [])) for name in names]
        for chosen in product(*others):
            trained.add(keys({"properties": dict.fromkeys(chosen)}))
    taking = {name: tool for name, tool in unseen.items() if tool.parameters["properties"]}
    assert not [name for name, tool in taking.items() if keys(tool.parameters) in trained]


def test_no_description_is_in_the_training(catalogue, unseen):
    trained = {tool.schema["function"]["description"] for tool in catalogue.tools}
    assert not [name for name, tool in unseen.items() if tool.description in trained]


def test_no_other_case_has_such_a_tool(cases, unseen):
    shared = [
        (case.node, tool.name)
        for case in cases
        if case.category != CATEGORY
        for tool in case.tools
        if tool.name in unseen
    ]
    assert not shared


@pytest.mark.parametrize("held", [False, True], ids=["training", "validation"])
def test_no_composed_tool_can_have_the_name_of_one(unseen, held):
    asked = {words(name) for name in unseen}
    for action in read_parts(held=held).actions:
        nouns = [form for noun in action.thing.nouns for form in (noun, plural(noun))]
        for verb, noun in product(action.verb.names, nouns):
            assert words(f"{verb} {noun}") not in asked, f"{verb} {noun}"


def test_the_distance_from_the_data_is_told_and_finds_what_is_in_it(cases):
    rows, _ = dataset(ROOT / "cases" / "tools", Data(catalogue=50, composed=200))
    chosen = [case for case in cases if case.category == CATEGORY and case.tools]
    head, names, parameters, _ = distance(rows, chosen)
    assert head.startswith(f"unseen tools: {len(chosen)} cases with ")
    assert names.startswith("  names: 0 of ")
    assert parameters.endswith("tools' whole sets")
    planted = {
        "messages": [{"role": "user", "content": chosen[0].question}],
        "tools": [{"function": {"name": chosen[0].tools[0].name}}],
    }
    _, found, _, near = distance([*rows, planted], chosen)
    assert found.startswith("  names: 1 of ")
    assert chosen[0].tools[0].name in found
    assert "100% at most" in near
    assert not list(distance(rows, [])) + list(distance([], chosen))
