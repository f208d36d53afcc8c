"""Several cases from one: values in place of names, stable ids, and enough speed."""

import time

import pytest

from evals.errors import CaseFileError
from evals.loading.casefile import find_case_files, read_cases

TOOLS = """
get_weather:
  parameters:
    type: object
    properties: {city: {type: string}, days: {type: integer}}
    required: [city]
"""
HEAD = "defaults: {tools: [get_weather]}\ncases:\n"
TEMPLATE = """\
  - id: weather
    vars: [{city: Oslo}, {city: São Paulo}, {city: Rome, id: capital}]
    matrix: {days: [1, 2]}
    ask: Weather in {{city}} for {{ days }} days, and what is \\{{city}}?
    expect: {call: {name: get_weather, arguments: {city: "{{city}}", days: "{{days}}"}}}
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "cases" / "tools").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cases" / "tools" / "t.yaml").write_text(TOOLS)
        (tmp_path / "cases" / "a.yaml").write_text(HEAD + text)
        return read_cases(find_case_files([tmp_path / "cases"]), tmp_path)

    return read


def test_each_row_and_combination_is_a_case_with_its_own_values(read):
    cases = read(TEMPLATE)
    assert len(cases) == 6
    assert cases[0].question == "Weather in Oslo for 1 days, and what is {{city}}?"
    assert cases[1].expect.call.arguments == {"city": "Oslo", "days": 2}
    assert [case.id for case in cases[:2]] == ["weather-oslo-1", "weather-oslo-2"]


def test_ids_stay_the_same_when_rows_are_moved_or_added(read):
    one = TEMPLATE.replace("    matrix: {days: [1, 2]}\n", "").replace("{{ days }}", "3")
    one = one.replace(', days: "{{days}}"', "")
    moved = one.replace(
        "[{city: Oslo}, {city: São Paulo},", "[{city: Bonn}, {city: São Paulo}, {city: Oslo},"
    )
    ids = {case.expect.call.arguments["city"]: case.id for case in read(one)}
    after = {case.expect.call.arguments["city"]: case.id for case in read(moved)}
    assert ids["Oslo"] == "weather-oslo"
    assert ids["Rome"] == "weather-capital"
    assert ids.items() <= after.items()


def test_names_stand_in_messages_tools_and_keys(read):
    (case,) = read(
        """\
  - id: all
    vars: [{key: city, name: get_weather, place: {a: [1]}}]
    messages: [{role: user, content: "Use {{name}} for {{place}}"}]
    tools: [{name: "{{name}}", parameters: {properties: {"{{key}}": {type: object}}}}]
    expect: {call: {name: "{{name}}", arguments: {"{{key}}": "{{place}}"}}}
"""
    )
    assert case.question == 'Use get_weather for {"a": [1]}'
    assert case.expect.call.arguments == {"city": {"a": [1]}}
    assert case.tools[0].parameters["properties"] == {"city": {"type": "object"}}


def test_braces_of_a_case_without_values_are_text(read):
    (case,) = read("  - {id: a, ask: 'What is {{x}}?', expect: {answer: {}}}\n")
    assert case.question == "What is {{x}}?"


def test_a_template_runs_no_code_and_fills_once(read):
    (case,) = read(
        "  - {id: a, vars: [{x: '{{y}} {% raw %} ${z}', id: b}], "
        "ask: '{{x}}', expect: {answer: {}}}\n"
    )
    assert case.question == "{{y}} {% raw %} ${z}"
    with pytest.raises(CaseFileError, match=r"unknown name {{x.__class__}}"):
        read("  - {id: a, vars: [{x: 1}], ask: '{{x}} {{x.__class__}}', expect: {answer: {}}}\n")


def test_a_number_is_text_where_only_text_may_stand_and_a_number_among_arguments(read):
    (case,) = read(
        """\
  - id: all
    vars: [{days: 3, place: 7}]
    messages: [{role: user, content: "{{days}}"}]
    tools: [{name: f, parameters: {properties: {answer: {type: object}, content: {}}}}]
    expect:
      any_of:
        - call: {name: f, arguments: {answer: {contains: "{{days}}"}, content: "{{place}}"}}
          answer: {contains: ["{{days}}"], regex: "{{place}}"}
        - answer: {numbers: ["{{days}}", "{{place}}"]}
"""
    )
    call, answer = case.expect.any_of[0].call, case.expect.any_of[0].answer
    assert case.question == "3"
    assert call.arguments == {"answer": {"contains": 3}, "content": 7}
    assert (answer.contains, answer.regex) == (("3",), "7")
    assert case.expect.any_of[1].answer.numbers == (3, 7)


def test_five_thousand_cases_are_checked_in_less_than_five_seconds_of_cpu(read):
    cities = ", ".join(f"town{i}" for i in range(1000))
    text = TEMPLATE.replace(
        "vars: [{city: Oslo}, {city: São Paulo}, {city: Rome, id: capital}]", ""
    )
    text = text.replace("{days: [1, 2]}", f"{{city: [{cities}], days: [1, 2, 3, 4, 5]}}")

    def seconds() -> float:
        start = time.process_time()
        cases = read(text)
        spent = time.process_time() - start
        assert len({case.node for case in cases}) == 5000
        return spent

    # A neighbour on the same core makes each second longer: one quiet run of three is enough.
    assert any(seconds() < 5 for _ in range(3))
