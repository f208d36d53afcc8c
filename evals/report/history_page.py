"""The table of text × release of a package: for a terminal, as Markdown, as one HTML page."""

import html
from collections.abc import Iterator

from evals.escaping import escape_controls
from evals.report.conformance_page import code, short
from evals.report.history import Matrix, Release, Span

_HEAD = """\
# The same texts on every release of {package}

What each release makes of the replayed cases, asked on {asked} with

```sh
{command}
```

*right*: what the case expects came. *wrong otherwise*: wrong, and not as the first time. *no
answer*: an error or nothing. *not bootable*: the release could not be asked. Releases that were
taken back from the package index are left out.
"""


def markdown(matrix: Matrix) -> str:
    """The page as Markdown; what came is told of the texts that the releases differ in."""
    head = _HEAD.format(package=matrix.package, asked=matrix.asked, command=matrix.command)
    return "\n".join([head, *_releases(matrix), *_changing(matrix), *_table(matrix)]) + "\n"


def _releases(matrix: Matrix) -> Iterator[str]:
    yield "| release | came | texts | right | beside it |"
    yield "| --- | --- | --: | --: | --- |"
    for release in matrix.releases:
        right = sum(cell.outcome == "right" for cell in release.cells.values())
        beside = release.beside or "what is installed with this suite"
        told = release.ended and f"not asked: {code(release.ended)}"
        cells = (release.version, release.day, str(len(release.cells)), str(right), told or beside)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _changing(matrix: Matrix) -> Iterator[str]:
    texts = matrix.changing()
    yield f"## What came and went: {len(texts)} of {len(matrix.texts)} texts\n"
    for text in texts:
        yield f"* {short(text)}"
        for span in matrix.spans(text):
            said = f": {_in_a_line(span.came)}" if span.came else ""
            yield f"    * {span.outcome} {when(span)}{said}"
    yield ""


def _table(matrix: Matrix) -> Iterator[str]:
    yield "## Text by text\n"
    yield f"| text | {' | '.join(release.version for release in matrix.releases)} |"
    yield "| --- " * (1 + len(matrix.releases)) + "|"
    for text in matrix.texts:
        yield f"| {short(text)} | {' | '.join(matrix.row(text))} |"


def _in_a_line(text: str) -> str:
    return code(text.replace("\n", "\\n"))


def when(span: Span) -> str:
    """`since 0.32.0 (and in the newest)`, `up to 0.31.3`, `from 0.31.0 to 0.31.3`, `in all`."""
    if span.open_start and span.open_end:
        return "in every release that was asked"
    if span.open_start:
        return f"up to {span.until}"
    if span.open_end:
        return f"since {span.since}"
    return f"in {span.since}" if span.since == span.until else f"from {span.since} to {span.until}"


def terminal_lines(matrix: Matrix) -> Iterator[str]:
    """The texts that differ, a mark for each release; then how many came out how."""
    marks = {"right": "+", "wrong": "-", "wrong otherwise": "~", "no answer": "!"}
    texts = matrix.changing()
    width = max((len(short(text)) for text in texts), default=0)
    for text in texts:
        row = "  ".join(marks.get(word, "?") for word in matrix.row(text))
        yield f"{short(text):<{width}}  {row}"
    yield "+ right, - wrong, ~ wrong otherwise, ! no answer, ? not asked; columns, oldest first:"
    for release in matrix.releases:
        right = sum(cell.outcome == "right" for cell in release.cells.values())
        yield f"{release.version}: {release.ended or f'{right} of {len(release.cells)} right'}"


def html_page(matrix: Matrix) -> str:
    """The table as one HTML file; what came is shown where one points at a cell."""
    title = html.escape(f"The same texts on every release of {matrix.package}")
    head = "".join(f"<th>{html.escape(release.version)}</th>" for release in matrix.releases)
    rows = []
    for text in matrix.texts:
        words = zip(matrix.releases, matrix.row(text), strict=True)
        cells = "".join(_html_cell(release, text, word) for release, word in words)
        rows.append(f"<tr><th>{html.escape(short(text))}</th>{cells}</tr>")
    return _HTML.format(title=title, head=head, rows="\n".join(rows), asked=matrix.asked)


def _html_cell(release: Release, text: str, word: str) -> str:
    cell = release.cells.get(text)
    came = escape_controls(cell.came if cell else release.ended)
    return f'<td class="{word.replace(" ", "-")}" title="{html.escape(came)}">{word}</td>'


_HTML = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px sans-serif; margin: 2em }} table {{ border-collapse: collapse }}
th {{ text-align: left; font-weight: normal }} th, td {{ padding: 2px 8px; border: 1px solid #ccc }}
.right {{ background: #e4f4e4 }} .wrong-otherwise {{ background: #fdf3d0 }}
.wrong, .no-answer {{ background: #f9dcdc }} .not-bootable {{ color: #666 }}
</style>
<h1>{title}</h1>
<p>Asked on {asked}. Point at a cell to read what came.</p>
<table><thead><tr><th>text</th>{head}</tr></thead><tbody>
{rows}
</tbody></table></html>
"""
