"""The registry of matchers: one value more is known everywhere."""

import json
from pathlib import Path

import pytest

from evals.errors import CaseFileError
from evals.judging import matchers
from evals.judging.comparison import Matcher, compare
from evals.judging.matchers import check_matchers
from evals.judging.matching import match
from evals.judging.schema_values import Found
from evals.loading.case_check import perfect_answer
from evals.loading.casefile import read_cases
from evals.loading.entries import json_schema
from evals.reference.pages import pages

CASES = """
defaults:
  tools:
    - name: go
      parameters: {{type: object, properties: {{to: {{type: string}}}}}}
cases:
  - id: anywhere-else
    ask: Go anywhere but to Paris.
    expect:
      call: {{name: go, arguments: {{to: {to}}}}}
"""


def read(folder: Path, to: str):
    file = folder / "go.yaml"
    file.write_text(CASES.format(to=to))
    return read_cases([file], folder)


def _compare_not(expected, got, place):
    same = all(leaf.ok for leaf in compare(expected["$not"], got, place))
    yield place.leaf("wrong" if same else "matcher", expected, got)


NOT = Matcher(
    "$not",
    form="{$not: Paris, but: Lyon}",
    doc="anything else",
    compare=_compare_not,
    problems=lambda expected, path, check: check(expected["$not"], f"{path}.$not"),
    examples=lambda expected, where, inner: (
        inner.of(expected["but"], where) if "but" in expected else Found()
    ),
    options=("but",),
)


@pytest.fixture
def with_not(monkeypatch):
    monkeypatch.setattr(matchers, "MATCHERS", (*matchers.MATCHERS, NOT))


def test_without_it_the_name_is_unknown(tmp_path):
    assert not match({"$not": "Paris"}, "Lyon").ok
    with pytest.raises(
        CaseFileError, match=r"unknown matcher \$not .*choose from \$any_of.*\$literal: "
    ):
        read(tmp_path, "{$not: Paris}")


@pytest.mark.usefixtures("with_not")
def test_comparison_knows_a_new_matcher():
    assert match({"$not": "Paris"}, "Lyon").ok
    assert not match({"$not": "Paris"}, "Paris").ok
    assert not match([{"$not": {"$regex": "^P"}}], ["Pau"]).ok
    assert match({"to": {"$any_of": [1, {"$not": "Paris"}]}}, {"to": "Lyon"}).ok
    assert not match({"$not": "Paris"}, "Lyon", matchers=False).ok


@pytest.mark.usefixtures("with_not")
def test_checks_of_case_files_know_a_new_matcher(tmp_path):
    assert check_matchers({"$not": {"$regex": "("}})[0].startswith("$.$not: $regex:")
    assert check_matchers({"$not": "Paris", "or": 1}) == ["$: $not takes no 'or'"]
    assert "$literal, $not)" in check_matchers({"$nor": 1})[0]
    (case,) = read(tmp_path, "{$not: Paris}")
    assert perfect_answer(case) is None


@pytest.mark.usefixtures("with_not")
def test_examples_of_a_new_matcher_are_tried(tmp_path):
    (case,) = read(tmp_path, "{$not: Paris, but: Lyon}")
    answer = perfect_answer(case)
    assert json.loads(answer.calls[0].arguments) == {"to": "Lyon"}
    with pytest.raises(CaseFileError, match="even its own perfect answer fails"):
        read(tmp_path, "{$not: Paris, but: Paris}")
    with pytest.raises(CaseFileError, match="not what the tool's own schema allows"):
        read(tmp_path, "{$not: Paris, but: 5}")


@pytest.mark.usefixtures("with_not")
def test_reference_and_schema_show_a_new_matcher():
    assert "| `{$not: Paris, but: Lyon}` | anything else |" in pages()["case-format.md"]
    assert "{$not: Paris, but: Lyon}: anything else" in json_schema()
