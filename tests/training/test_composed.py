"""Composed tools: many, each under many names, and every call is one that its list asks for."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import jsonschema
import pytest

from evals.errors import ConfigError
from evals.training.catalogue import read_catalogue, split
from evals.training.dataset import digest
from evals.training.parts import Parts, read_parts
from evals.training.slots import number_word
from evals.training.unseen import KIND_KEY, KINDS, compose

TOOLS = Path(__file__).parents[2] / "cases" / "tools"
EXCHANGES = 4000


@pytest.fixture(scope="module")
def catalogues():
    return split(read_catalogue(TOOLS))


@pytest.fixture(scope="module")
def rows(catalogues):
    return compose(read_parts(held=False), catalogues[0], exchanges=EXCHANGES, seed=5)


@pytest.fixture(scope="module")
def held_rows(catalogues):
    parts = read_parts(held=True)
    return compose(parts, catalogues[1], exchanges=EXCHANGES, seed=5, held=True)


def asked(rows):
    """Each question with its row, its kind and the answer to it."""
    for row in rows:
        kinds = iter(row[KIND_KEY])
        for message, answer in zip(row["messages"], row["messages"][1:], strict=False):
            if message["role"] == "user":
                yield row, next(kinds), message["content"], answer


def test_hundreds_of_tools_from_dozens_of_domains():
    actions = read_parts(held=False).actions
    assert len(actions) >= 600
    assert len({action.thing.domain for action in actions}) >= 40


def test_the_same_seed_makes_the_same_rows(catalogues, rows):
    again = compose(read_parts(held=False), catalogues[0], exchanges=EXCHANGES, seed=5)
    other = compose(read_parts(held=False), catalogues[0], exchanges=EXCHANGES, seed=6)
    assert digest(again) == digest(rows) != digest(other)


def test_every_call_satisfies_the_schema_of_a_tool_on_offer(rows, held_rows):
    for row in [*rows, *held_rows]:
        offered = {t["function"]["name"]: t["function"] for t in row["tools"]}
        assert len(offered) == len(row["tools"]), "two tools of one name"
        for message in row["messages"]:
            for call in message.get("tool_calls", ()):
                function = call["function"]
                jsonschema.validate(
                    json.loads(function["arguments"]),
                    {**offered[function["name"]]["parameters"], "additionalProperties": False},
                )


def test_all_kinds_of_requests_are_there_and_call_or_do_not(rows):
    found: dict[str, Counter[bool]] = defaultdict(Counter)
    for _, kind, _, answer in asked(rows):
        found[kind][bool(answer.get("tool_calls"))] += 1
    assert set(found) == set(KINDS)
    for kind, counts in found.items():
        assert set(counts) == {kind in ("call", "parallel", "followed")}, kind
    calls = sum(counts[True] for counts in found.values())
    assert 0.55 < calls / sum(map(Counter.total, found.values())) < 0.7


def test_only_the_list_tells_what_a_tool_is_called(rows):
    """One wording about one thing goes to many names, in all spellings and in none that speak."""
    names = defaultdict(set)
    for _, kind, question, answer in asked(rows):
        if kind == "call":
            verb = question.split()[0].strip(",:").lower()
            names[verb].add(answer["tool_calls"][0]["function"]["name"])
    assert min(sorted(map(len, names.values()))[-8:]) >= 15
    every = {t["function"]["name"] for row in rows for t in row["tools"]}
    for spelling in (
        r"[a-z]+_[a-z]+",
        r"[a-z]+[A-Z]",
        r"[A-Z][a-z]+[A-Z]",
        r"\w+-\w+",
        r"\w+\.\w+",
    ):
        assert sum(bool(re.match(spelling, name)) for name in every) > 20, spelling
    assert sum(bool(re.fullmatch(r"[a-z]+_\d+", name)) for name in every) > 20


def test_schemas_have_what_schemas_have(rows):
    schemas = [json.dumps(t["function"]) for row in rows for t in row["tools"]]
    for part in ('"enum"', '"array"', '"boolean"', '"anyOf"', '"null"]', '"default"', '"number"'):
        assert sum(part in text for text in schemas) > 4, part
    for items in ('"string", "enum"', '"integer"', '"number"', '"object"'):
        assert sum(f'"items": {{"type": {items}' in text for text in schemas) > 4, items
    assert sum('"type": "integer", "enum"' in text for text in schemas) > 1
    assert sum(text.count('"type": "object"') > 1 for text in schemas) > 10
    assert sum('"description"' not in text for text in schemas) > 100
    assert {len(row["tools"]) for row in rows} >= {1, 2, 3, 4, 5, 6, 8}


def leaves(value):
    """Each value in it that is no object and no list."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


def letters(text):
    return re.sub(r"[^a-z0-9]", "", str(text).lower())


def test_every_value_of_a_call_is_said(rows, held_rows):
    """In digits or in words, and an enum's member however the schema spells it."""
    attributes = read_parts(held=False).attributes.values()
    codes = {code: said for a in attributes for said, code in a.codes.items()}
    spoken = Counter()
    for _, _, question, answer in asked([*rows, *held_rows]):
        for call in answer.get("tool_calls", ()):
            for value in leaves(json.loads(call["function"]["arguments"])):
                if isinstance(value, bool):
                    continue
                said = [str(codes.get(value, value))]
                if isinstance(value, int) and value < 100:
                    said += [number_word(value), "a dozen"]
                assert any(letters(text) in letters(question) for text in said), (question, value)
                spoken[type(value), str(value) in question] += 1
    assert spoken[int, False] > 0.1 * spoken[int, True], "numbers in words"
    assert spoken[str, False] > 0.05 * spoken[str, True], "choices in another spelling"


def test_two_calls_of_one_tool_have_values_of_their_own(rows):
    twice = 0
    for _, kind, question, answer in asked(rows):
        calls = [call["function"] for call in answer.get("tool_calls", ())]
        if kind == "parallel" and len(calls) == 2 and calls[0]["name"] == calls[1]["name"]:
            assert calls[0]["arguments"] != calls[1]["arguments"], question
            twice += 1
    assert twice > 40


def test_a_row_that_lacks_a_required_value_asks_for_it(rows):
    replies = [answer["content"] for _, kind, _, answer in asked(rows) if kind == "ask_back"]
    assert len(replies) > 40
    assert all(
        re.search(r"Which|What is the|tell me|I need to know|I still need", r) for r in replies
    )


def test_numbers_are_spoken():
    spoken = {0: "zero", 12: "twelve", 19: "nineteen", 20: "twenty", 35: "thirty-five"}
    assert {number: number_word(number) for number in spoken} == spoken
    assert len({number_word(number) for number in range(100)}) == 100


def test_near_misses_are_on_offer(rows):
    near = [row for row in rows if len(row["tools"]) > 2]
    shared = 0
    for row in near:
        words = Counter(
            word
            for tool in row["tools"]
            for word in set(re.findall(r"[a-z]{4,}", json.dumps(tool["function"]["name"]).lower()))
        )
        shared += any(count > 1 for count in words.values())
    assert shared > 0.4 * len(near)


def test_tools_that_one_request_could_mean_are_not_on_offer_together(rows):
    actions = read_parts(held=False).actions
    visits = {a.verb.key: a for a in actions if a.thing.nouns[0] == "visit"}
    assert visits["listing"].rivals(visits["tally"])
    assert not visits["listing"].rivals(visits["cancel"])
    for row in rows:
        listed = [t["function"].get("description") for t in row["tools"]]
        told = [text for text in listed if text]
        assert len(told) == len(set(told))


def test_the_validation_has_things_and_wordings_that_training_never_has(rows, held_rows):
    training, validation = read_parts(held=False), read_parts(held=True)

    def words(parts: Parts):
        return {w for a in parts.actions for noun in a.thing.nouns for w in [noun]}

    assert not words(training) & words(validation)
    asks = {ask for action in training.actions for ask in action.verb.asks}
    assert not asks & {ask for action in validation.actions for ask in action.verb.asks}
    assert not {a.thing.domain for a in training.actions} & {
        a.thing.domain for a in validation.actions
    }


def test_no_whole_request_of_the_validation_is_in_the_training(rows, held_rows):
    trained = {q for _, kind, q, _ in asked(rows) if kind in ("call", "absent", "ask_back")}
    held = [q for _, kind, q, _ in asked(held_rows) if kind in ("call", "absent", "ask_back")]
    assert not trained & set(held)


def test_an_attribute_that_is_not_there_is_an_error():
    with pytest.raises(ConfigError, match="no attribute 'shoe_colour'"):
        read_parts(held=False).attribute("shoe_colour")
