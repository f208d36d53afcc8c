"""`docs/findings.md`: the known defects of the stock server, from the replay run that shows them.

A case file is one finding. The page holds nothing that changes from run to run, so that a test can
tell whether it is what the cases and the server of today say.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from evals.case import Case, KnownDefect
from evals.engines.registry import MLX_LM
from evals.escaping import escape_controls
from evals.json_text import to_text
from evals.report.history import Matrix
from evals.report.summarize import group
from evals.report.text import expected_text, response_text
from evals.results import Record, Status

_LONGEST = 1200
_COMMAND = "evals export findings"
_STALE = "the page is not what it should be"
_ANYTHING = '{"$ignore": true}'
_HEAD = """\
# Findings{of}

What {subject} of text that models write:
{count} defects. Each section has the model's text to the letter, what the server makes of it, what
is right, who is hurt, and one command that repeats it on any machine, without a GPU and without
weights: a model that plays recorded text takes the place of the real one, and the server is
untouched.

`{command}` writes this page from the cases in `cases/regressions/` and their last run;
`make test-replay` plays the cases again and fails if {stale}. In what is
expected, `…` stands for any value. A command prints each case in full; that its gate fails says
only that a part of the suite was asked. *Judged* names the failure and the layer to blame, as a
report does: `parser` or `server` where the model's text is sound, `model` where it has a slip that
a good server survives or reports.
{changed}"""


@dataclass(frozen=True)
class Page:
    """Whose findings they are: an engine's, in a version, seen in these profiles.

    `root` leads from the page's folder to the project's. `history` is what its releases make of the
    same texts.
    """

    version: str
    profiles: frozenset[str]
    engine: str = MLX_LM.name
    title: str = MLX_LM.title
    root: str = "../"
    history: Matrix | None = None

    @property
    def head(self) -> Mapping[str, str]:
        """What the head of the page says of it."""
        if self.engine == MLX_LM.name:
            made = f"the stock `{self.title}` {self.version} and its tool parsers make"
            return {"of": "", "subject": made, "command": _COMMAND, "stale": _STALE, "changed": ""}
        return {
            "of": f": {self.title}",
            "subject": f"{self.title} ({self.version}), its tool parser and its grammar make",
            "command": f"{_COMMAND} --engine {self.engine}",
            "stale": "other ones than these are wrong",
            "changed": _CHANGED,
        }


_CHANGED = """
Where an engine's grammar constrains calls, the model cannot write everything that its text says:
then the section says where the token ids leave the text, and what comes after that place is the
grammar's choice. Where it goes on without an end, the case was cut at `max_tokens`.
"""


def findings_page(records: Iterable[Record], page: Page) -> str:
    """The page as Markdown; records of other profiles are left out.

    A defect that the run does not show is not on the page.
    """
    seen = [r for r in records if r.profile in page.profiles and r.status == Status.KNOWN]
    seen.sort(key=lambda record: (record.case.path, record.case.line, record.lane))
    files = group(seen, lambda record: record.case.path)
    contents = _contents(files, page)
    sections = ["\n".join(_section(path, mine, page)) for path, mine in files.items()]
    head = _HEAD.format(count=len(files), **page.head)
    return "\n".join([head, *contents, "", *sections])


def _contents(files: Mapping[str, Sequence[Record]], page: Page) -> list[str]:
    lines = [
        f"{number}. [{_name(path)}](#{_name(path)}): {'; '.join(_reasons(mine))}"
        for number, (path, mine) in enumerate(files.items(), start=1)
    ]
    if page.history is None:
        return lines
    asked, at = page.history.asked, f"{page.root.removeprefix('../')}versions"
    lines += ["", _SINCE.format(asked=asked, package=page.history.package, at=at), ""]
    lines += ["| text | since | until |", "| --- | --- | --- |"]
    for path, mine in files.items():
        for text in group(mine, lambda record: f"{record.case.node}[{record.profile}]"):
            since = page.history.wrong_since(text, page.version)
            name = text.partition("::")[2].partition("[")[0]
            until = f"in {page.version}, the newest that was asked"
            told = f"{since} | {until}" if since else "not asked | not asked"
            lines.append(f"| [{_name(path)}](#{_name(path)})::{name} | {told} |")
    return lines


_SINCE = """\
The releases of {package} were asked the same texts on {asked}, by the model that copies scripts
([the table]({at}/{package}.md)). *Since*: the first release from which on something wrong came,
in whatever way, without a break. Defects that were mended are in that table alone."""


def not_asked(
    cases: Iterable[Case], records: Iterable[Record], profiles: Collection[str]
) -> list[Case]:
    """The replay cases with a known defect in `profiles` that `records` have no answer to."""
    asked = {
        record.case.node
        for record in records
        if record.status != Status.ERROR and record.profile in profiles
    }
    return [
        case
        for case in cases
        if case.replay and case.node not in asked
        if any({*defect.profiles} & {*profiles} for defect in case.known_defects)
    ]


def _name(path: str) -> str:
    return PurePosixPath(path).stem


def _defects(records: Sequence[Record]) -> list[KnownDefect]:
    """The defects that the records show, each once."""
    found = (record.known_defect for record in records)
    return list(dict.fromkeys(defect for defect in found if defect is not None))


def _reasons(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(_inline(defect.reason) for defect in _defects(records)))


def _section(path: str, records: Sequence[Record], page: Page) -> Iterator[str]:
    defects = _defects(records)
    links = dict.fromkeys(link for link in (d.link for d in defects) if link)
    if page.engine == MLX_LM.name:  # a case's own link tells of the stock server
        links.update(dict.fromkeys(r.case.link for r in records if r.case.link))
    hurts = dict.fromkeys(_inline(defect.hurts) for defect in defects if defect.hurts)
    profile = records[0].profile
    yield f"## {_name(path)}\n"
    yield f"{_sentence('; '.join(_reasons(records)))}\n"
    yield f"* Who is hurt: {'; '.join(hurts)}."
    yield f"* Public issue: {', '.join(f'<{link}>' for link in links) or 'none known'}"
    yield f"* Cases: [`{path}`]({page.root}{path})\n"
    yield _block(f'make eval PROFILES={profile} ARGS="-k {_name(path)} -v"', "sh")
    for lanes in group(records, lambda record: record.case.node).values():
        yield from _case(lanes)


def _case(lanes: Sequence[Record]) -> Iterator[str]:
    """One case, from its records in one or several lanes, of which the plain one comes first."""
    first = lanes[0]
    yield f"### {first.case.id}\n"
    yield from _asked(first.case)
    yield f"The model writes:\n\n{_block(_written(first))}"
    if changed := _changed(first):
        yield f"But {_inline(changed)}.\n"
    yield f"Seen{_judged(first)}:\n\n{_block(_short(response_text(first.observation)))}"
    for other in lanes[1:]:
        if _answer(other) != _answer(first):
            yield f"Seen in a stream:\n\n{_block(_short(response_text(other.observation)))}"
    yield f"Expected:\n\n{_block(expected_text(first).replace(_ANYTHING, '…'))}"


def _asked(case: Case) -> Iterator[str]:
    """What of the request matters beyond the question: tools with parameters, tool_choice."""
    names = {call.name for calls in case.expect.alternatives for call in calls}
    schemas = [
        f"{tool.name}: {to_text(tool.parameters['properties'])}"
        for tool in case.tools
        if tool.name in names and tool.parameters.get("properties")
    ]
    if schemas:
        yield f"Parameters of the tool:\n\n{_block(chr(10).join(schemas), 'text')}"
    if case.tool_choice != "auto":
        yield f"The request has `tool_choice: {_inline(to_text(case.tool_choice))}`.\n"
    if earlier := [m for m in case.messages if m.get("tool_calls")]:
        functions = [call["function"] for message in earlier for call in message["tool_calls"]]
        yield f"An earlier turn has this call:\n\n{_block(to_text(functions), 'json')}"


def _written(record: Record) -> str:
    """What the script says; of a script of ids, the text that came of them."""
    replay = record.case.replay
    return (replay and replay.text) or record.model_text or ""


def _changed(record: Record) -> str:
    """Where an engine's grammar changed what is written."""
    return next((v.reason for v in record.verdicts if v.check == "script"), "")


def _judged(record: Record) -> str:
    blamed = record.cause
    return f" (judged `{blamed.kind}`, layer `{blamed.layer}`)" if blamed else ""


def _answer(record: Record) -> Mapping[str, object]:
    """What a user gets; how many bytes came before a connection closed changes with each run."""
    o = record.observation
    calls = [(call.name, call.arguments) for call in o.calls]
    if o.error:
        return {"error": True}
    return {"calls": calls, "content": o.content, "finish_reason": o.finish_reason}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _block(text: str, language: str = "text") -> str:
    """A code block; its fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{escape_controls(text)}\n{fence}\n"


def _inline(text: str) -> str:
    """One line in which Markdown and HTML show every character as it is."""
    line = escape_controls(" ".join(text.split()))
    return re.sub(r"([\\`*<\[\]])", r"\\\1", line)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
