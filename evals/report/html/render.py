"""`report.html`: a run as one file that needs no network, no server and no other file.

Pure: summaries and records in, text out. The figures are part of the page; its script shows the
list of cases and each case from JSON, and sets text only, never markup. A content security policy
allows that one script and nothing else.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evals.report import plots
from evals.report.html.figures import Compared, figures
from evals.report.html.record import earlier_record, page_record
from evals.report.summary import Summary
from evals.results import Record
from evals.stored import whole

PAGE = Path(__file__).with_name("page")
LARGEST = 9_000_000
"""Bytes of a page, about; texts are cut shorter until it holds."""
_LIMITS = (20_000, 6_000, 2_000, 600)
MOST_LISTED = 2_000
"""Answers that a page lists, those that failed first; with texts cut short it may be fewer."""
_HOPELESS = 24_000_000
"""So many characters, at most, will not be few enough: the page need not be made to see that."""
_WORST = ("error", "violation", "miss", "known", "pass")


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

    def render(listed: Sequence[int], limit: int) -> str:
        return template.render(
            **known,
            listed=len(listed),
            answers=len(records),
            data=_data(whole(records, listed), compared, limit),
            script=script,
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=plots.STYLE + (PAGE / "report.css").read_text(encoding="utf-8"),
        )

    worst_first = sorted(range(len(records)), key=lambda n: _WORST.index(records[n].outcome))
    listed = worst_first[:MOST_LISTED]
    for limit in _LIMITS:
        if len(listed) * limit < _HOPELESS and len(text := render(listed, limit)) < LARGEST:
            return text
    while len(text := render(listed, _LIMITS[-1])) >= LARGEST and len(listed) > 1:
        listed = listed[: len(listed) // 2]
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


def _data(records: Iterable[Record], compared: Compared | None, limit: int) -> dict[str, Any]:
    changes = _changes(compared)
    before = compared.records if compared else {}
    listed, earlier = [], {}
    for record in records:
        change = changes.get((record.profile, record.case.node), "")
        listed.append(page_record(record, limit, change))
        if change and record.key in before:
            earlier[record.key] = earlier_record(before[record.key], limit)
    run = compared.comparison.before if compared else ""
    return {"records": listed, "before": earlier, "before_run": run}


def _changes(compared: Compared | None) -> dict[tuple[str, str], str]:
    """`newly failing` or `fixed` by profile and case."""
    profiles = compared.comparison.profiles if compared else ()
    return {
        (profile.name, case): what
        for profile in profiles
        for what, cases in (("newly failing", profile.newly_failing), ("fixed", profile.fixed))
        for case in cases
    }
