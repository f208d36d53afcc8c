"""`report.html`: a run as one file that needs no network, no server and no other file.

Pure: summaries and records in, text out. The figures are part of the page; its script shows the
list of cases and each case from JSON, and sets text only, never markup. A content security policy
allows that one script and nothing else.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evals.report import plots
from evals.report.html.figures import Compared, figures
from evals.report.html.record import earlier_record, page_record
from evals.report.summary import Summary
from evals.results import Record

PAGE = Path(__file__).with_name("page")
LARGEST = 9_000_000
"""Bytes of a page, about; texts are cut shorter until it holds."""
_LIMITS = (20_000, 6_000, 2_000, 600)


def page(
    summary: Summary,
    records: Sequence[Record],
    *,
    earlier: Sequence[Summary] = (),
    compared: Compared | None = None,
) -> str:
    """The page of one run; `earlier` are summaries of past runs for the trend, oldest first."""
    template = _environment().get_template("report.html.jinja")
    known = figures(summary, records, earlier, compared)
    script = (PAGE / "report.js").read_text(encoding="utf-8")
    for limit in _LIMITS:
        text = template.render(
            **known,
            data=_data(records, compared, limit),
            script=script,
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=plots.STYLE + (PAGE / "report.css").read_text(encoding="utf-8"),
        )
        if len(text) < LARGEST:
            break
    return text


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment


def _data(records: Sequence[Record], compared: Compared | None, limit: int) -> dict[str, Any]:
    changes = _changes(compared)
    before = compared.records if compared else {}
    return {
        "records": [
            page_record(record, limit, changes.get((record.profile, record.case.node), ""))
            for record in records
        ],
        "before": {
            record.key: earlier_record(before[record.key], limit)
            for record in records
            if record.key in before and (record.profile, record.case.node) in changes
        },
        "before_run": compared.comparison.before if compared else "",
    }


def _changes(compared: Compared | None) -> dict[tuple[str, str], str]:
    """`newly failing` or `fixed` by profile and case."""
    profiles = compared.comparison.profiles if compared else ()
    return {
        (profile.name, case): what
        for profile in profiles
        for what, cases in (("newly failing", profile.newly_failing), ("fixed", profile.fixed))
        for case in cases
    }
