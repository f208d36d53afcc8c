"""Plain text for people: one failing case as a story, and a run as a table."""

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.escaping import escape_controls
from evals.expect import Alternative
from evals.json_text import to_text
from evals.judging.scoring import RATES, Rate
from evals.observation import Observation
from evals.parsers.constraint import GrammarCounts
from evals.report.comparison import ProfileChange, compare_profiles, p_text
from evals.report.latency import LaneLatency
from evals.report.problems import problems
from evals.report.sides import Fault, faults
from evals.report.summary import ProfileFigures, RepeatFigures, ServerDeath, Summary
from evals.request import as_curl
from evals.results import Record, Status, Verdict

_LONGEST = 2000
_MOST_FAILED = 200
"""Lines on failed cases in the terminal."""


def _shown(text: str) -> str:
    visible = escape_controls(text)
    if len(visible) > _LONGEST:
        visible = f"{visible[:_LONGEST]}… ({len(visible)} characters)"
    return "\n".join(f"    {line}" for line in visible.splitlines() or [""])


def failure_story(record: Record, url: str = "http://127.0.0.1:PORT/v1") -> str:
    """What happened, and the curl line that repeats it."""
    curl = escape_controls(as_curl(record.request, url))
    return f"{what_happened(record)}\nrepeat it\n    {curl}"


def what_happened(record: Record) -> str:
    """Who is to blame, first, for pytest shows one line; asked, expected, written, made of it."""
    parts = [
        *map(_blame, record.failed),
        f"{record.case.path}:{record.case.line}: {record.key}",
        f"asked\n{_shown(record.case.question)}",
        f"expected\n{_shown(expected_text(record))}",
    ]
    if (written := record.model_text) is not None:
        parts.append(f"the model wrote\n{_shown(written)}")
    parts.append(f"the {record.lane} lane gave\n{_shown(response_text(record.observation))}")
    return "\n".join(parts)


def _blame(verdict: Verdict) -> str:
    head = f"{verdict.kind or 'failed'} (layer: {verdict.layer or 'unknown'}): {verdict.reason}"
    differences = [
        f"    {d.path}: expected {d.expected}, got {d.got} ({d.how})" for d in verdict.differences
    ]
    return escape_controls("\n".join([head, *differences]))


def expected_text(record: Record) -> str:
    """What the case expects, in one line per alternative."""
    expect = record.case.expect
    lines = [_way_text(way) for way in expect.ways]
    if expect.some_call:
        lines = ["some call, whichever"]
    text = "\nor ".join(lines)
    if expect.extra:
        text += "\nother calls may come beside it"
    if expect.not_call:
        text += f"\nno call of {', '.join(expect.not_call)}"
    return text.lstrip("\n")


def _way_text(way: Alternative) -> str:
    calls = ", ".join(f"{call.name}({to_text(call.arguments)})" for call in way.wanted)
    if way.answer is None:
        return calls
    said = way.answer.model_dump(exclude_defaults=True)
    parts = [f"{_ANSWER_KEYS[key]} {to_text(value)}" for key, value in said.items()]
    wanted = " and ".join(parts)
    if calls:
        return f"{calls}, and text beside it" + (f" that {wanted}" if wanted else "")
    return "an answer without a call" + (f" that {wanted}" if wanted else "")


_ANSWER_KEYS = {
    "contains": "contains",
    "not_contains": "does not contain",
    "any_of": "contains one of",
    "regex": "matches",
    "numbers": "has the numbers",
}


def response_text(observation: Observation) -> str:
    """What came back, as a few lines."""
    if observation.error:
        return f"error: {observation.error}"
    lines = [f"finish_reason: {observation.finish_reason}"]
    lines += [f"call: {call.name}({call.arguments})" for call in observation.calls]
    if observation.content:
        lines.append(f"content: {observation.content}")
    return "\n".join(lines)


def print_summary(summary: Summary, records: Sequence[Record], console: Console) -> None:
    """The run as a table, what broke, the failed cases, and the gate."""
    for name, profile in summary.profiles.items():
        console.print(_rates_table(name, profile))
        if profile.tools:
            console.print(_training_table(profile))
        for line in _counts(profile):
            console.print(Text(line))
    if len(summary.profiles) > 1:
        console.print(_side_by_side(summary))
    for line in _failed(records):
        console.print(Text(line), soft_wrap=True)
    for line in _known_no_more(records):
        console.print(Text(line, "bold"), soft_wrap=True)
    for line in (*_slowest(records), *_deaths(summary.run.deaths)):
        console.print(Text(line), soft_wrap=True)
    for line in _whose_fault(summary, records):
        console.print(Text(line, "bold"), soft_wrap=True)
    console.print(Text(f"gate: {summary.gate_text}", "bold"))
    for reason in summary.gate.reasons if summary.is_gated else ():
        console.print(Text(f"  {reason}"), soft_wrap=True)


def _rates_table(name: str, profile: ProfileFigures) -> Table:
    table = Table(title=f"profile {name}", box=box.SIMPLE, title_justify="left")
    for heading in ("", "all", *profile.lanes, "threshold"):
        table.add_column(heading, justify="left" if not heading else "right")
    counts = [f"n={part.scored}" for part in (profile, *profile.lanes.values())]
    table.add_row("answers", *counts, "")
    for what, rate in profile.rates.items():
        parts = [rate, *(lane.rates[what] for lane in profile.lanes.values())]
        limit = "" if rate.threshold is None else f"{rate.threshold:.2f}"
        table.add_row(what.replace("_", " "), *map(_rate_text, parts), limit)
    return table


TRAINING = {"trained": "tools of its training", "unseen": "tools it never saw"}
"""What the parts of `ProfileFigures.tools` are called in reports."""


def _training_table(profile: ProfileFigures) -> Table:
    """A rate on tools that the model was trained on says nothing about others, nor their mean."""
    table = Table(title="by the tools of a case", box=box.SIMPLE, title_justify="left")
    table.add_column("")
    for part in profile.tools:
        table.add_column(TRAINING[part], justify="right")
    for what in profile.rates:
        cells = [_rate_text(part.rates[what]) for part in profile.tools.values()]
        table.add_row(what.replace("_", " "), *cells)
    return table


def _side_by_side(summary: Summary) -> Table:
    """All profiles in one table; the last column compares each with the first, case by case."""
    first, changes = compare_profiles(summary)
    paired = {change.name: change_text(change) for change in changes}
    table = Table(title="profiles side by side", box=box.SIMPLE, title_justify="left")
    headings = [*RATES, "violations", "errors"]
    table.add_column("")
    for heading in headings:
        table.add_column(heading.replace("_", " "), justify="right")
    table.add_column(f"against {first}, case by case")
    for name, profile in summary.profiles.items():
        values = [profile.rates[rate].value for rate in RATES]
        table.add_row(
            name,
            *("-" if value is None else f"{value:.3f}" for value in values),
            str(profile.violation_count),
            str(profile.errors),
            paired.get(name, "" if name == first else "no case in common"),
        )
    return table


def change_text(change: ProfileChange) -> str:
    """`3 fixed, 0 broken of 258, p = 0.2500`: the p-value is Holm-adjusted."""
    return (
        f"{len(change.fixed)} fixed, {len(change.newly_failing)} broken of {change.pairs}, "
        f"{p_text(change.adjusted)}"
    )


def _rate_text(rate: Rate) -> str:
    if rate.value is None:
        return "-"
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}] n={rate.n}"


def _counts(profile: ProfileFigures) -> Iterator[str]:
    for what, counts in (("violations", profile.violations), ("misses", profile.misses)):
        text = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        yield f"{what}: {sum(counts.values())}{f' ({text})' if text else ''}"
    yield f"errors: {profile.errors}, known defects: {profile.known}"
    for case in profile.batching_changed:
        yield f"batching changed a greedy answer: {case}: stream and plain agree when asked alone"
    if profile.repeats:
        yield _repeats(profile.repeats)
    if profile.grammar:
        yield _grammar(profile.grammar)
    for lane, latency in profile.latency.items():
        yield _latency(lane, latency)
    tokens = profile.prompt_tokens
    if tokens.total:
        share = tokens.cached / tokens.total
        yield f"prompt tokens: {tokens.total}, {share:.0%} from the server's prompt cache"


def _latency(lane: str, latency: LaneLatency) -> str:
    """`latency server, s: e2el p50 1.2 [1.1, 1.3] p95 …`: where the time can be seen."""
    parts = [
        f"{name} p50 {spread.p50.text} p95 {spread.p95.text}"
        for name in ("ttft", "ttfo", "e2el")
        if (spread := latency.measures.get(name))
    ]
    return f"latency {lane}, s, n={latency.answers}: {'; '.join(parts)}"


def _grammar(grammar: GrammarCounts) -> str:
    counts = f"{grammar.steps} tokens of {grammar.answers} answers"
    if grammar.masked:
        text = f"grammar: {grammar.masked} of {counts} were forced"
    else:
        text = f"grammar: MASKED NOTHING in {counts}; this run says nothing about it"
    return text + "".join(
        f"\ngrammar: {count} answers were {reason}" for reason, count in grammar.problems.items()
    )


def _repeats(repeats: RepeatFigures) -> str:
    k = repeats.k
    text = (
        f"repeats of {repeats.cases} cases: pass@{k} {repeats.pass_at_k:.3f}, "
        f"pass^{k} {repeats.pass_hat_k:.3f}, {repeats.distinct:.1f} different answers a case"
    )
    if not repeats.independent:
        text += "; NOT independent: every repeat gave the same answer"
    return text + "".join(f"\nflaky: {case}" for case in repeats.flaky)


def _whose_fault(summary: Summary, records: Sequence[Record]) -> Iterator[str]:
    """`whose fault: downstream of the model: 6 cases (parser: lost call 6)`, as in report.html."""
    lanes = {lane for profile in summary.profiles.values() for lane in profile.lanes}
    if found := list(faults(problems(records), {}, lanes)):
        parts = (f"{fault.side.name}: {_fault_text(fault)}" for fault in found)
        yield f"whose fault: {'; and '.join(parts)}"


def _fault_text(fault: Fault) -> str:
    said = "".join(f", {note}" for note in fault.notes)
    first = escape_controls(fault.first.case.node)
    return f"{fault.counted()} ({fault.what}){said}, begin with {first}"


def _known_no_more(records: Iterable[Record]) -> Iterator[str]:
    for record in records:
        if record.defect_gone:
            yield f"KNOWN DEFECT NO LONGER SEEN: {record.key}: {record.defect_gone}"


def _failed(records: Iterable[Record]) -> Iterator[str]:
    """Failed cases, errors and violations first; profiles and lanes that fail alike share a line.

    `fail cases/a.yaml::b[default-server,stream]: lost_call (parser): …`
    """
    alike: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    urgency: dict[tuple[str, str, str], int] = {}
    for record in records:
        if record.status not in (Status.FAIL, Status.ERROR):
            continue
        line = record.status.value, record.case.node, record.why
        repeat = f"#{record.repeat}" if record.repeat else ""
        alike.setdefault(line, {}).setdefault(record.profile, []).append(f"{record.lane}{repeat}")
        urgency[line] = ("error", "violation", "miss").index(record.outcome)
    for line in sorted(alike, key=urgency.__getitem__)[:_MOST_FAILED]:
        status, node, why = line
        where = "; ".join(f"{profile}-{','.join(lanes)}" for profile, lanes in alike[line].items())
        yield escape_controls(f"{status} {node}[{where}]: {why}").replace("\n", " ")[:400]
    if len(alike) > _MOST_FAILED:
        yield f"and {len(alike) - _MOST_FAILED} more; the report has all of them"


def _asked_again(records: Sequence[Record]) -> Iterator[str]:
    times = sum(record.observation.retries for record in records)
    if times:
        seconds = sum(record.observation.waited_seconds for record in records)
        yield f"asked again, as Retry-After said: {times} times, after {seconds:.1f} s of waiting"


def _deaths(deaths: Sequence[ServerDeath]) -> Iterator[str]:
    """Each death of the server, and the end of its log."""
    for death in deaths:
        asked = ", ".join(death.in_flight) or "no case"
        yield escape_controls(f"server of {death.profile} {death.how}; in flight: {asked}")
        yield from (f"    {line}" for line in escape_controls(death.log).splitlines())


def _slowest(records: Sequence[Record], count: int = 5) -> Iterator[str]:
    slow = sorted(records, key=lambda record: -record.observation.seconds)[:count]
    if slow:
        yield from _asked_again(records)
        yield "slowest: " + ", ".join(f"{r.observation.seconds:.1f} s {r.case.id}" for r in slow)
