"""Rates on tools of the model's training and on others, told apart wherever rates are shown."""

import io
from dataclasses import replace

import builders
from made_runs import PRINT, RUN, called, case_of
from rich.console import Console

from evals.case import Tool
from evals.config import Config
from evals.report.github.markdown import job_summary
from evals.report.html.figures import figures
from evals.report.summarize import summarize
from evals.report.summary import ProfileServed
from evals.report.text import print_summary

KNOWN = case_of("known")
OTHER = case_of("other")
OTHER = OTHER.model_copy(update={"tools": (*OTHER.tools, Tool(name="never_seen"))})


def run_of(trained):
    records = [builders.record(KNOWN, called()), builders.record(OTHER, called(got=1, wrote=1))]
    served = {"default": ProfileServed(trained_tools=trained)}
    return summarize(records, Config(), replace(PRINT, profiles=served), RUN), records


TRAINED = tuple(tool.name for tool in KNOWN.tools)


def test_a_case_with_one_unseen_tool_is_counted_apart():
    parts = run_of(TRAINED)[0].profiles["default"].tools
    assert list(parts) == ["trained", "unseen"]
    assert [(part.scored, part.rates["case"].value) for part in parts.values()] == [(1, 1), (1, 0)]


def test_nothing_is_said_where_the_training_is_not_known():
    assert run_of(None)[0].profiles["default"].tools == {}


def test_terminal_page_and_job_summary_show_both():
    summary, records = run_of(TRAINED)
    out = io.StringIO()
    print_summary(summary, records, Console(file=out, width=200))
    shown = [out.getvalue(), job_summary(summary, records, None)]
    shown.append(str(figures(summary, records, [], None)["profiles"][0]["rows"]))
    for text in shown:
        assert "tools of its training" in text
        assert "tools it never saw" in text
    unknown, records = run_of(None)
    out = io.StringIO()
    print_summary(unknown, records, Console(file=out, width=200))
    assert "training" not in out.getvalue()
