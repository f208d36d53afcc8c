"""Case files: every mistake is refused at its line, with what is allowed."""

import pytest

from evals.errors import CaseFileError
from evals.loading.casefile import find_case_files, read_cases
from evals.loading.entries import json_schema
from evals.yaml_text import Problems, read_yaml

TOOLS = """\
get_weather:
  description: Weather of a city.
  parameters:
    type: object
    properties:
      city: {type: string}
      days: {type: integer}
    required: [city]
get_cart: {}
"""
GOOD = """\
defaults: {tools: [get_weather, get_cart], tags: [demo]}
cases:
  - id: weather
    ask: Weather in Oslo?
    expect: {call: {name: get_weather, arguments: {city: Oslo}}}
  - id: words
    tools: []
    ask: Hello
    expect: {answer: {}}
"""


PROJECT = {"cases/tools/t.yaml": TOOLS}


def _read(project, text, name="a.yaml"):
    (project / "cases" / name).write_text(text)
    return read_cases(find_case_files([project / "cases"]), project)


def test_a_case_takes_over_the_defaults_of_its_file(project):
    weather, words = _read(project, GOOD)
    assert weather.node == "cases/a.yaml::weather"
    assert weather.line == 3
    assert weather.category == "a"
    assert [tool.name for tool in weather.tools] == ["get_weather", "get_cart"]
    assert weather.tags == ("demo",)
    assert words.tools == ()


@pytest.mark.parametrize("text", ["2026-01-02", "NO", "on", "yes", "12:30", "010", "1_000", "="])
def test_what_only_old_yaml_takes_for_more_stays_text(project, text):
    case = _read(project, GOOD.replace("Oslo}", f"{text}}}").replace("Weather in Oslo?", text))[0]
    assert case.question == text
    assert case.expect.call.arguments == {"city": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("-7", -7), ("0", 0), ("1.5", 1.5), ("1e3", 1000.0), ("true", True), ("~", None)],
)
def test_numbers_and_words_of_json_are_what_they_are(project, text, value):
    inline = "[{name: f, parameters: {type: object, properties: {x: {}}}}]"
    file = f"cases:\n  - {{id: a, ask: Go, tools: {inline}, expect: {{call: {{name: f, arguments: "
    (case,) = _read(project, f"{file}{{x: {text}}}}}}}}}\n")
    got = case.expect.call.arguments["x"]
    assert got == value
    assert type(got) is type(value)


MISTAKES = [
    ("    ask: Hello\n", "    ask: Hello\n    ask: Again\n", 9, "duplicate key 'ask'"),
    ("id: words", "id: weather", 6, "'weather' is taken by the case in line 3"),
    ("id: words", "id: Words!", 6, "lower-case letters, digits, - and _"),
    ("ask: Hello", "question: Hello", 8, "unknown key; did you mean ask? allowed here: "),
    ("    ask: Hello\n", "", 6, "exactly one of ask and messages"),
    ("{answer: {}}", "{}", 9, "exactly one of call, calls, any_of, some_call"),
    ("{answer: {}}", "{answer: {contain: [x]}}", 9, "contains, not_contains"),
    ("{answer: {}}", "{answer: {regex: Oh, no}}", 9, "a text with a comma needs quotes"),
    ("tools: []", "tools: [get_wether]", 7, "did you mean get_weather?"),
    ("tools: []", "max_tokens: '5'", 7, "a whole number, not '5'"),
    ("city: Oslo}", "city: 5}", 5, "not what the tool's own schema allows"),
    ("arguments: {city: Oslo}", "arguments: {city: Oslo, day: 1}", 5, "it has no parameter 'day'"),
    ("arguments: {city: Oslo}", "arguments: {city: {$regx: Oslo}}", 5, "$regx"),
    ("name: get_weather,", "name: get_time,", 5, "'get_time' is not an available tool"),
    ("cases:", "casess:", 2, "unknown key; did you mean cases? allowed here: "),
    ("city: Oslo}", "city: {$any_of: [Oslo, 5]}}", 5, "5 is not of type 'string'"),
    ("city: Oslo}", "city: {$ignore: true}, days: x}", 5, "'x' is not of type 'integer'"),
    ("    ask: Hello\n", "    <<: {ask: Hello}\n", 8, "unknown key; allowed here: "),
    ("ask: Hello", "ask: !greeting Hello", 8, "not YAML: could not determine a constructor"),
    ("ask: Hello", "ask: !!binary SGVsbG8=", 8, "is no JSON; write the value without a tag"),
    ("tools: []", "tools: &a [*a]", 7, "write it out"),
    ("tools: []", "tool_choice: {type: function, function: t}", 7, "names a tool of the case"),
    ("ask: Hello", "messages: [{role: user}]", 8, "a message of role user needs content"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), MISTAKES)
def test_each_mistake_is_named_at_its_line(project, old, new, line, message):
    with pytest.raises(CaseFileError) as error:
        _read(project, GOOD.replace(old, new))
    lines = str(error.value).splitlines()
    assert any(text.startswith(f"cases/a.yaml:{line}: ") and message in text for text in lines), (
        lines
    )


def test_the_mistakes_of_all_files_come_together(project):
    (project / "cases" / "b.yaml").write_text("cases: [\n")
    with pytest.raises(CaseFileError) as error:
        _read(project, GOOD.replace("ask: Hello", "aks: Hello"))
    assert "cases/a.yaml:" in str(error.value)
    assert "cases/b.yaml:2: not YAML" in str(error.value)


def test_a_case_that_its_perfect_answer_fails_is_refused(project):
    text = GOOD.replace("{answer: {}}", "{answer: {contains: [sun], not_contains: [sun]}}")
    with pytest.raises(CaseFileError, match="its own perfect answer fails"):
        _read(project, text)


def test_sound_cases_of_less_common_schemas_are_taken(project):
    text = """\
cases:
  - id: contains
    ask: Go
    tools:
      - name: f
        parameters:
          type: object
          properties:
            tags: {type: array, items: {type: string}}
            code: {type: string, pattern: "^a.*z$"}
            price: {type: number, multipleOf: 0.01}
          additionalProperties: true
    expect:
      call:
        name: f
        arguments: {tags: {$contains: urgent}, code: {$contains: m}, price: 19.99, more: 1}
  - id: odata
    ask: Go
    tools: [{name: g, parameters: {type: object, properties: {$filter: {type: string}}}}]
    expect: {call: {name: g, arguments: {$filter: x}}}
  - id: words
    ask: Go
    expect: {answer: {not_contains: [answer]}}
"""
    assert [case.id for case in _read(project, text)] == ["contains", "odata", "words"]


def test_repeats_at_temperature_zero_are_refused(project):
    with pytest.raises(CaseFileError, match="one answer"):
        _read(project, GOOD.replace("ask: Hello", "ask: Hello\n    repeat: 3"))


def test_the_schema_names_every_key():
    assert '"ask"' in json_schema()
    assert '"known_defects"' in json_schema()


def test_a_case_adds_its_known_defects_to_those_of_the_file(project):
    text = """
defaults:
  known_defects: [{profiles: [one], reason: of the file}]
cases:
  - {id: none-of-its-own, ask: Go, expect: {answer: {}}}
  - id: both
    ask: Go
    known_defects: [{profiles: [two], reason: its own}]
    expect: {answer: {}}
  - id: other
    ask: Go
    known_defects: [{profiles: [one], reason: its own}]
    expect: {answer: {}}
  - {id: cleared, ask: Go, known_defects: [], expect: {answer: {}}}
"""

    def told(case, profile):
        defect = case.defect(profile, "server")
        return defect and defect.reason

    seen = {case.id: [told(case, name) for name in ("one", "two")] for case in _read(project, text)}
    assert seen == {
        "none-of-its-own": ["of the file", None],
        "both": ["of the file", "its own"],
        "other": ["its own", None],
        "cleared": [None, None],
    }


@pytest.mark.parametrize(
    "said",
    [
        "{any_of: [[{name: get_cart}], {answer: {}}]}\n    tool_choice: required",
        "{any_of: [[{name: get_cart}], {answer: {}}]}\n    tool_choice: none",
        "{some_call: true}\n    tool_choice: {type: function, function: {name: get_cart}}",
        "{not_call: [get_cart]}\n    tool_choice: required",
        "{answer: {numbers: [3, 450]}}",
    ],
)
def test_what_some_answer_satisfies_is_taken(project, said):
    text = GOOD.replace("{answer: {}}", said).replace("    tools: []\n", "")
    assert len(_read(project, text)) == 2


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Fix it # later", "Fix it"),
        ("Fix it ## later", "Fix it"),
        ("'Fix #5'", "Fix #5"),
        ("Fix#5", "Fix#5"),
        ("low #for-now", "low"),
    ],
)
def test_a_comment_that_is_meant_as_one_is_none_of_the_text(tmp_path, written, meant):
    file = tmp_path / "a.yaml"
    file.write_text(f"ask: {written}\nrepeat: 3 #5\n")
    problems = Problems()
    document = read_yaml(file, tmp_path, problems)
    problems.check()
    assert document
    assert document.data == {"ask": meant, "repeat": 3}
