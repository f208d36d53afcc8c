"""The table of text × engine × version, as Markdown, as one HTML page, and for a terminal."""

import html
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from evals.escaping import escape_controls
from evals.report.conformance import OUTCOMES, Cell, Column, came_and_went

_HEAD = """\
# The same texts on every engine

Each text is what a model writes, to the letter: the replay cases of `cases/regressions/`, played by
a model whose weights are computed, plain and streamed, behind each engine's own parser, stream and
grammar ([how](engines.md#the-same-scripts-on-every-engine)). *right*: what the case expects came
out. *changed*: the ids show that the engine's grammar made the model write something else, right or
not. *wrong*: the text was played, and something else came out. *no answer*: an error. An engine
without evidence of the ids cannot show what it changed: it is then *wrong*, too. A dash: not asked.
Token counts and the fields around an answer, which reports judge as well, do not count here.

`make engines ENGINE=NAME` asks one engine again; `evals export conformance RUN` writes this page
from `docs/conformance/`, where the results are kept.
"""


def markdown(columns: Sequence[Column]) -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_summary(columns), *_matrix(columns), *_history(columns)]) + "\n"


def _summary(columns: Sequence[Column]) -> Iterator[str]:
    yield "| engine | version | evidence | texts | " + " | ".join(OUTCOMES) + " |"
    yield "| --- " * (4 + len(OUTCOMES)) + "|"
    for column in columns:
        counts = [str(column.count(outcome)) for outcome in OUTCOMES]
        told = [f"`{column.engine}`", column.version, column.evidence, str(len(column.cells))]
        yield f"| {' | '.join([*told, *counts])} |"
    yield ""


def _matrix(columns: Sequence[Column]) -> Iterator[str]:
    yield "## Text by text\n"
    yield f"| text | {' | '.join(f'{c.engine} {c.version}' for c in columns)} |"
    yield "| --- " * (1 + len(columns)) + "|"
    for node in _nodes(columns):
        cells = (column.cells.get(node) for column in columns)
        yield f"| {short(node)} | {' | '.join(cell.outcome if cell else '–' for cell in cells)} |"
    yield ""
    for column in columns:
        wrong = {node: cell for node, cell in column.cells.items() if cell.came}
        if wrong:
            yield f"## {column.engine} {column.version}: what came\n"
            yield from (f"* {short(node)}: {_told(cell)}" for node, cell in wrong.items())
            yield ""


def _history(columns: Sequence[Column]) -> Iterator[str]:
    for older, newer in pairwise(columns):
        if older.engine != newer.engine:
            continue
        yield f"## {newer.engine}: from {older.version} to {newer.version}\n"
        changes = came_and_went(older, newer)
        if not changes:
            yield "Nothing came and nothing went.\n"
        for node, before, after in changes:
            yield f"* {short(node)}: was {_told(before)}; is {_told(after)}"
        yield ""


def _told(cell: Cell) -> str:
    return f"{cell.outcome}: {code(cell.came)}" if cell.came else cell.outcome


def code(text: str) -> str:
    """Text as code, whatever backticks it has; a table or list goes on behind it."""
    return f"<code>{html.escape(escape_controls(text)).replace('|', '&#124;')}</code>"


def short(node: str) -> str:
    """The case's file and name: `big-integer::beyond-double`."""
    path, _, name = node.partition("::")
    return f"{PurePosixPath(path).stem}::{name}"


def _nodes(columns: Iterable[Column]) -> list[str]:
    return sorted({node for column in columns for node in column.cells})


def html_page(columns: Sequence[Column]) -> str:
    """The table as one HTML file; what came is shown where one points at a cell."""
    head = "".join(f"<th>{html.escape(f'{c.engine} {c.version}')}</th>" for c in columns)
    rows = [
        f"<tr><th>{html.escape(short(node))}</th>"
        + "".join(_html_cell(column.cells.get(node)) for column in columns)
        for node in _nodes(columns)
    ]
    return _HTML.format(head=head, rows="\n".join(rows))


def _html_cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td>–</td>"
    came = html.escape(escape_controls(cell.came), quote=True)
    return f'<td class="{cell.outcome.replace(" ", "-")}" title="{came}">{cell.outcome}</td>'


_HTML = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>The same texts on every engine</title>
<style>
body {{ font: 14px sans-serif; margin: 2em }} table {{ border-collapse: collapse }}
th {{ text-align: left; font-weight: normal }} th, td {{ padding: 2px 8px; border: 1px solid #ccc }}
.right {{ background: #e4f4e4 }} .changed {{ background: #fdf3d0 }}
.wrong, .no-answer {{ background: #f9dcdc }}
</style>
<h1>The same texts on every engine</h1>
<table><thead><tr><th>text</th>{head}</tr></thead><tbody>
{rows}
</tbody></table></html>
"""


def terminal_lines(columns: Sequence[Column]) -> Iterator[str]:
    """A line for each column: how many texts came out how."""
    for column in columns:
        counts = ", ".join(f"{column.count(outcome)} {outcome}" for outcome in OUTCOMES)
        yield f"{column.engine} {column.version}: {len(column.cells)} texts, {counts}"
