"""`report.html`: a run as one file that needs no network, no server and no other file.

Pure: summaries and records in, text out. The figures are part of the page; its script shows the
list of cases and each case from JSON, and sets text only, never markup. A content security policy
allows that one script and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from pydantic_core import to_json

from evals.report import plots
from evals.report.html.figures import Compared, figures
from evals.report.html.record import earlier_record, one_line, page_record
from evals.report.nights import History
from evals.report.pictures import started
from evals.report.summary import Summary
from evals.report.worst_first import changed, worst_first
from evals.results import Record
from evals.stored import whole

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = Path(__file__).with_name("page")
LARGEST = 9_000_000
"""Bytes of a page, about; texts are cut shorter until it holds."""
_DATA = Markup("<!-- records -->")
"""Where the template has the page's data: markup, which no text of a run is."""
_LIMITS = (20_000, 6_000, 2_000, 600)
MOST_LISTED = 2_000
"""Answers that a page lists, some of each kind of failure first; fewer where texts are long."""


def page(
    summary: Summary,
    records: Sequence[Record],
    *,
    earlier: Sequence[Summary] = (),
    compared: Compared | None = None,
) -> list[str]:
    """The page of one run, in pieces: a whole one takes several times its size to put together.

    `earlier` are summaries of past runs, oldest first: they make the trend and cases' history.
    """
    template = _environment().get_template("report.html.jinja")
    history = History.of(summary, earlier)
    known = figures(summary, records, earlier, compared)
    script = (PAGE / "report.js").read_text(encoding="utf-8")

    def around(listed: int) -> list[str]:
        text = template.render(
            **known,
            listed=listed,
            answers=len(records),
            data=_DATA,
            script=script,
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=plots.STYLE + (PAGE / "report.css").read_text(encoding="utf-8"),
        )
        return text.split(_DATA)

    order = worst_first(records, known["first"], compared.comparison if compared else None)
    room = LARGEST - sum(map(len, around(0)))
    for limit, count in _tries(min(len(records), MOST_LISTED)):
        data = _data(whole(records, order[:count]), compared, history, limit, room)
        if data is not None:
            before, after = around(count)
            return [before, *data, after]
    raise AssertionError("the last try lists none")


def _tries(most: int) -> Iterator[tuple[int, int]]:
    """Lengths of texts, and how many answers are listed: first as they are, at last none."""
    yield from ((limit, most) for limit in _LIMITS)
    while most:
        most //= 2
        yield _LIMITS[-1], most


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["one_line"] = one_line
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    return environment


def _data(
    records: Iterable[Record],
    compared: Compared | None,
    history: History,
    limit: int,
    room: int,
) -> list[str] | None:
    """JSON for the page's script, in pieces; None where it would take more than `room` characters.

    Each record is text at once: as values all of them are large.
    """
    changes = changed(compared.comparison if compared else None)
    before = compared.records if compared else {}
    listed, earlier = list[str](), list[str]()
    for record in records:
        change = changes.get((record.profile, record.case.node), "")
        listed.append(_json({**page_record(record, limit, change), **_past(record, history)}))
        if change and record.key in before:
            was = _json(earlier_record(before[record.key], limit))
            earlier.append(f"{_json(record.key)}:{was}")
            room -= len(earlier[-1]) + 1
        room -= len(listed[-1]) + 1
        if room < 0:
            return None
    run = _json(compared.comparison.before if compared else "")
    nights = _json([[past.run.id, f"{started(past):%m-%d %H:%M}"] for past in history.runs])
    told = f'],"before":{{{",".join(earlier)}}},"before_run":{run},"nights":{nights}}}'
    return ['{"records":[', *_between(listed), told]


def _between(parts: Iterable[str]) -> Iterator[str]:
    """`parts` with commas between them."""
    for number, part in enumerate(parts):
        yield f",{part}" if number else part


def _past(record: Record, history: History) -> dict[str, str]:
    """A letter for each earlier run, and the same in words."""
    place = record.profile, record.case.node, record.lane
    return {"past": history.marks(*place), "since": history.told(*place, record.status)}


def _json(value: Any) -> str:
    """JSON without `<`, `>`, `&` and `'`, which could end the script."""
    try:
        text = to_json(value).decode()
    except ValueError:  # half of a surrogate pair
        text = json.dumps(value, separators=(",", ":"))
    for character in "<>&'":
        text = text.replace(character, rf"\u{ord(character):04x}")
    return text
