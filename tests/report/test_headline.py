"""What the first screen says of a bad night: whose fault, in which lanes, and what is missing."""

from dataclasses import replace

import pytest
from made_runs import BIG, PRINT, RUN, answer_of, called, case_of, summary_with, write_run

from evals.config import Config
from evals.observation import Observation
from evals.report.comparison import compare
from evals.report.github.markdown import code, job_summary
from evals.report.headline import headline, served_lines
from evals.report.summarize import summarize
from evals.report.summary import ProfileServed
from evals.results import Prompt

NAMES = [f"c-{n}" for n in range(8)]
CUT = "the server closed the connection <b>without</b> a `response`"


def good(name, lane="server", **changes):
    return answer_of(case_of(name), called(lane=lane, **changes))


def unseen(name):
    """The model was not shown the tool, and so it wrote no call."""
    text = {"calls": (), "content": "I cannot.", "raw_text": "I cannot.", "finish_reason": "stop"}
    return answer_of(case_of(name), called(**text), prompt=Prompt(unseen_tools=("get_message",)))


def silent(name, lane="server", error=CUT):
    return answer_of(case_of(name), Observation(lane, None, error=error))


def streamed(name, got):
    seen = called(got, lane="stream", raw_text=None, token_ids=None)
    return answer_of(case_of(name), seen, plain=called())


def summary_of(records):
    return summarize(records, Config(), PRINT, RUN)


@pytest.fixture
def night(tmp_path):
    """The first screen and the job summary of `now` against a night of these answers."""

    def night(now, before=None):
        was = write_run(tmp_path / "before", before or [good(name) for name in NAMES])
        summary = write_run(tmp_path / "now", now)
        comparison = compare(was, summary)
        return headline(summary, now, comparison), job_summary(summary, now, comparison)

    return night


def test_a_prompt_without_the_tools_is_the_templates_fault_and_nothing_behind_the_model(night):
    screen, page = night([unseen(name) for name in NAMES])
    (fault,) = screen.faults
    assert fault.side.name == "the prompt, before the model: its chat template"
    assert "look at the chat template" in fault.advice
    assert "wrote it right" not in page
    assert "**the prompt, before the model: its chat template**: 8 newly failing cases" in page


def test_a_fault_of_one_lane_is_said_to_be_in_that_lane_alone(night):
    both = [*map(good, NAMES), *(streamed(name, BIG) for name in NAMES)]
    worse = [*map(good, NAMES), *(streamed(name, 1) for name in NAMES)]
    screen, page = night(worse, before=both)
    (fault,) = screen.faults
    assert fault.lanes == ("stream",)
    assert "; only in lane stream; " in page


def test_a_fault_of_every_lane_names_none(night):
    screen, page = night([unseen(name) for name in NAMES])
    assert screen.faults[0].where == ""
    assert "only in lane" not in page


def test_what_most_cases_without_an_answer_met_is_quoted_as_text_that_cannot_act(night):
    now = [silent("c-0", error="timeout"), *(silent(name) for name in NAMES[1:7]), good("c-7")]
    screen, page = night(now)
    (fault,) = screen.faults
    assert fault.said == CUT
    assert f": {code(CUT)}; begin with" in page


def test_streams_that_all_end_early_while_plain_answers_came_are_no_dead_server():
    cut = "stream ended without finish reason, after 3 events"
    now = [*map(good, NAMES), *(silent(name, "stream", cut) for name in NAMES)]
    (fault,) = headline(summary_of(now), now).faults
    assert (fault.lanes, fault.said) == (("stream",), cut)
    assert fault.advice.startswith("Other lanes got answers. If the server stayed up, look at ")
    everywhere = [silent(name, lane, cut) for name in NAMES for lane in ("server", "stream")]
    (fault,) = headline(summary_of(everywhere), everywhere).faults
    assert fault.advice.startswith("Read the server's log")


@pytest.mark.parametrize(
    ("silent_ones", "told"),
    [(0, ""), (2, ", 2 of them got no answer"), (3, ", all without an answer")],
)
def test_cases_without_an_answer_are_counted_among_those_that_fail(silent_ones, told):
    wrong = [unseen(name) for name in NAMES[silent_ones:3]]
    now = [*(silent(name) for name in NAMES[:silent_ones]), *wrong, good("c-7")]
    worse = headline(summary_of(now), now).worse
    assert worse == f"Not compared with an earlier run; 3 cases fail{told}"


def test_cases_that_were_not_asked_make_no_worse_unsure(night):
    screen, _ = night([good(name) for name in NAMES[:5]])
    assert screen.worse.endswith("fixed of 5 cases; 3 of its cases were not asked now")
    assert screen.tone == "unsure"


def test_answers_that_take_much_longer_are_said_and_are_no_verdict(night):
    screen, page = night([good(name, seconds=2.1) for name in NAMES])
    assert screen.slower == (
        "default, lane server: answers take 3.0 times as long, p50 of e2el 0.700 → 2.10 s",
    )
    assert "- slower: default, lane server: answers take 3.0 times as long" in page
    assert screen.tone == "fine"


@pytest.mark.parametrize("seconds", [0.2, 0.7, 1.0])
def test_a_little_longer_is_not_said(night, seconds):
    screen, _ = night([good(name, seconds=seconds) for name in NAMES])
    assert screen.slower == ()


def test_a_quantisation_that_is_not_known_is_left_out_of_what_served():
    summary = summary_with({})
    served = {"p": ProfileServed(model="m", quantization="unknown", engine="vllm")}
    named = replace(summary, fingerprint=replace(summary.fingerprint, profiles=served))
    assert list(served_lines(replace(named, profiles={"p": None}))) == [
        "p: m on vllm (version unknown)"
    ]
