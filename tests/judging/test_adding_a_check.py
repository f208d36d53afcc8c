"""A check is one value: verdicts, scores and the reference follow from it."""

import pytest
from builders import judge
from made_runs import called, case_of

from evals.judging import registry
from evals.judging.blame import Held
from evals.judging.checks import Finding
from evals.judging.evidence import Blame
from evals.judging.registry import Check
from evals.reference.pages import pages
from evals.results import Kind, Layer, Status


def _shouted(held: Held) -> Finding | None:
    text = held.answer.observation.content or ""
    return Finding(Kind.WRONG_ANSWER, "it is shouted") if text.isupper() else None


QUIET = Check(
    "quiet",
    "The text is not shouted.",
    applies=lambda held: bool(held.said.text),
    find=_shouted,
    layer=lambda held, finding: Blame(finding.kind, Layer.MODEL, "no model should"),
)


@pytest.mark.parametrize("counts", [True, False])
def test_a_check_is_added_as_one_value(monkeypatch: pytest.MonkeyPatch, counts: bool) -> None:
    check = Check(QUIET.name, QUIET.doc, QUIET.applies, QUIET.find, QUIET.layer, counts=counts)
    case = case_of("hello", expect={"answer": {}})
    loud, calm = (
        called(calls=(), finish_reason="stop", content=t, raw_text=t) for t in ("HI", "Hi")
    )
    assert judge(case, loud).status == Status.PASS
    monkeypatch.setattr(registry, "CHECKS", (*registry.CHECKS, check))
    found = judge(case, loud)
    assert (found.status, found.scores and found.scores.case) == (Status.FAIL, not counts)
    assert found.why == "wrong_answer (model): it is shouted; no model should"
    assert judge(case, calm).verdicts[-1].check == "quiet"
    assert judge(case, calm).status == Status.PASS
    assert "quiet" not in [verdict.check for verdict in judge(case_of("call"), called()).verdicts]
    row = f"| `quiet` | The text is not shouted. | {'answer' if counts else 'serving'} |"
    assert row in pages()["verdicts.md"]
