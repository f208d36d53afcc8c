"""What is taken from a version's run: what came, whatever its ids say."""

from dataclasses import replace

from builders import case, observation, record

from evals.report.conformance import Cell
from evals.results import Kind, Layer, Verdict
from evals.versions.step import by_its_script, by_what_came

ASKED = record(case(), observation(content="yes"))
LEFT = Verdict("script", True, "the ids leave the script at character 0")
UNFAITHFUL = Verdict(
    "faithful", False, "nobody wrote it", kind=Kind.INVENTED_CALL, layer=Layer.PARSER
)
WRONG = Verdict("answer", False, "it should say no", kind=Kind.WRONG_VALUE, layer=Layer.MODEL)


def checks(*verdicts):
    kept = by_its_script(replace(ASKED, verdicts=verdicts))
    return [verdict.check for verdict in kept.verdicts]


def test_ids_that_are_not_those_of_the_script_blame_nobody():
    assert checks(LEFT, UNFAITHFUL, WRONG) == ["script", "answer"]
    assert checks(UNFAITHFUL, WRONG) == ["faithful", "answer"]


def test_a_text_is_right_or_wrong_by_what_came():
    assert by_what_came(Cell("changed")) == Cell("right")
    assert by_what_came(Cell("changed", "nothing")) == Cell("wrong", "nothing")
    assert by_what_came(Cell("no answer", "404")) == Cell("no answer", "404")
