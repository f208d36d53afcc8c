"""A run as GitHub's Markdown: the summary of a CI job.

Text of models and cases stands in code alone, behind a fence that it does not have, so it can make
no link, image, mention, HTML or heading.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from evals.escaping import escape_controls
from evals.report.comparison import Comparison, compare_profiles, p_text
from evals.report.headline import Headline, headline, served_lines
from evals.report.nights import History
from evals.report.problems import Problem, Why, counts_by_layer, problems
from evals.report.summary import Summary
from evals.report.text import TRAINING, change_text, what_happened
from evals.results import Record

_LONGEST_LINE = 300
_LISTED = 40
_NAMED = 10
_LONGEST_STORY = 6000
_MARKS = re.compile(r"([\\`*_\[\]<>&|~!#])")


def plain(text: str) -> str:
    """`text` inside a line of Markdown, shown as it is. For text of our own, such as reasons."""
    return _MARKS.sub(r"\\\1", " ".join(escape_controls(text).split()))


def code(text: str) -> str:
    """`text` in a code span, on one line, cut at 300 characters. Not for a table's cell."""
    line = " ".join(escape_controls(text).split())
    if len(line) > _LONGEST_LINE:
        line = f"{line[:_LONGEST_LINE]}…"
    fence = "`" * (_longest_run(line) + 1)
    space = " " if not line or line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{space}{line or '(empty)'}{space}{fence}"


def block(text: str, language: str = "text", longest: int | None = None) -> str:
    """`text` in a fenced code block, cut at `longest` characters."""
    visible = escape_controls(text)
    if longest is not None and len(visible) > longest:
        visible = f"{visible[:longest]}… ({len(visible)} characters)"
    fence = "`" * max(3, _longest_run(visible) + 1)
    return f"{fence}{language}\n{visible}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def job_summary(
    summary: Summary,
    records: Sequence[Record],
    comparison: Comparison | None = None,
    notes: Sequence[str] = (),
    earlier: Sequence[Summary] = (),
    same_texts: Mapping[str, bool] | None = None,
) -> str:
    """The run for people who come from a CI job: a line for each failed case, newly failing first.

    `notes` are said beside the comparison, such as why there is none. `earlier` are the runs before
    this one, oldest first: from them each line says since when. `same_texts`: see `headline`.
    """
    found = problems(records, comparison)
    history = History.of(summary, earlier)
    lines = [f"## {_headline(summary)}", ""]
    lines += [f"- {plain(reason)}" for reason in summary.gate.reasons]
    lines += ["", *_first(summary, headline(summary, records, comparison, earlier, same_texts))]
    lines += ["", *_compared(comparison, notes)]
    lines += _listed(found, Why.NEW, history)
    lines += _story(found)
    for why in (Why.ERROR, Why.VIOLATION, Why.MISS):
        lines += _listed(found, why, history)
    lines += _changed(comparison)
    lines += _rates(summary, records)
    lines += _layers(records)
    if gone := [record.defect_gone for record in records if record.defect_gone]:
        lines += ["", f"### Known defects that no longer fail ({len(gone)})", ""]
        lines += [f"- {plain(reason)}" for reason in gone[:_LISTED]]
    lines += ["", plain(_about(summary)), ""]
    return "\n".join(lines)


def _headline(summary: Summary) -> str:
    if not summary.is_gated:
        return "Tool calling: a part of the suite, without a gate"
    return f"Tool calling: gate {'passed' if summary.gate.passed else 'FAILED'}"


def _first(summary: Summary, first: Headline) -> Iterator[str]:
    """Worse or not, whose fault, what next, what else is not as it was, and what answered."""
    yield f"- **{plain(first.worse)}**"
    if first.nights:
        yield f"- whole cases right, earlier runs first: {plain(first.nights)}"
    if first.deaths:
        yield f"- {plain(first.deaths)}"
    for fault in first.faults:
        said = f": {code(fault.said)}" if fault.said else ""
        notes = "".join(f"; {plain(note)}" for note in fault.notes)
        cases = f"{fault.counted(new=first.new)} ({plain(fault.what)})"
        yield (
            f"- **{plain(fault.side.name)}**: {cases}{said}{notes}; "
            f"begin with {code(fault.first.case.node)}"
        )
    for advice in first.advice:
        yield f"- next: {plain(advice)}"
    for line in first.slower:
        yield f"- slower: {plain(line)}"
    if first.differs:
        yield f"- also changed: {code('; '.join(first.differs))}"
    for line in served_lines(summary):
        yield f"- served: {plain(line)}"


def _compared(comparison: Comparison | None, notes: Sequence[str]) -> list[str]:
    lines = [plain(note) for note in notes]
    for profile in comparison.profiles if comparison else ():
        verdict = "**regression**" if profile.is_regression else "no significant regression"
        lines.append(
            f"- {plain(f'{profile.name} against {comparison.before}' if comparison else '')}: "
            f"{verdict}, {len(profile.newly_failing)} newly failing, {len(profile.fixed)} fixed "
            f"of {profile.pairs} cases, {p_text(profile.adjusted)}"
        )
    return lines


def _listed(found: Sequence[Problem], why: Why, history: History) -> list[str]:
    mine = [problem for problem in found if problem.why == why]
    if not mine:
        return []
    lines = ["", f"### {why.capitalize()} ({len(mine)})", ""]
    lines += [f"- {problem_line(problem, history)}" for problem in mine[:_LISTED]]
    if len(mine) > _LISTED:
        lines.append(f"- and {len(mine) - _LISTED} more; report.html has all")
    return lines


def problem_line(problem: Problem, history: History | None = None) -> str:
    """A case, where it failed, why, and what it did in the runs before, as one line."""
    record = problem.record
    lanes = ", ".join(problem.lanes)
    line = f"{code(record.case.node)} {plain(f'{record.profile}, {lanes}')}: {code(problem.reason)}"
    if history is None:
        return line
    before = history.told(record.profile, record.case.node, record.lane, record.status)
    return f"{line}; {plain(before)}" if before else line


def _story(found: Sequence[Problem]) -> Iterator[str]:
    """The first case whole, folded: what the model wrote, what came of it, and who is to blame."""
    if found:
        first = found[0].record
        yield from ("", "<details><summary>the first of them, whole</summary>", "")
        yield block(what_happened(first), longest=_LONGEST_STORY)
        yield from ("", "</details>")


def _changed(comparison: Comparison | None) -> Iterator[str]:
    """By name what is not as it was in the run that this one is compared with."""
    if comparison is None:
        return
    cases = [
        (f"{what}, {profile.name}", getattr(profile, what))
        for profile in comparison.profiles
        for what in ("fixed", "new", "removed")
    ]
    if not comparison.notes and not any(names for _, names in cases):
        return
    yield from ("", f"### What else is not as in {plain(comparison.before)}", "")
    yield from (f"- {code(note)}" for note in comparison.notes[:_LISTED])
    if len(comparison.notes) > _LISTED:
        yield f"- and {len(comparison.notes) - _LISTED} more"
    for what, names in cases:
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield f"- {plain(what)} ({len(names)}): {', '.join(map(code, names[:_NAMED]))}{more}"


def _rates(summary: Summary, records: Sequence[Record]) -> Iterator[str]:
    yield from ("", "### Rates", "")
    yield "| profile | rate | value | 95% interval | cases | threshold |"
    yield "|---|---|--:|--:|--:|--:|"
    for name, profile in summary.profiles.items():
        for what, rate in profile.rates.items():
            cells = (
                plain(name),
                what.replace("_", " "),
                "-" if rate.value is None else f"{rate.value:.3f}",
                "-" if rate.value is None else f"{rate.low:.3f} to {rate.high:.3f}",
                str(rate.n),
                "" if rate.threshold is None else f"{rate.threshold:.2f}",
            )
            yield f"| {' | '.join(cells)} |"
    yield from _by_training(summary)
    for name, profile in summary.profiles.items():
        yield ""
        counts = Counter(record.outcome for record in records if record.profile == name)
        yield plain(
            f"{name}: {profile.scored} answers, {counts['violation']} with a violation, "
            f"{counts['miss']} with a miss, {profile.errors} errors, {profile.known} known defects"
        )
    if len(summary.profiles) > 1:
        yield from _side_by_side(summary)


def _by_training(summary: Summary) -> Iterator[str]:
    """The whole case on tools of the model's training and on others, where that is known."""
    for name, profile in summary.profiles.items():
        for part, figures in profile.tools.items():
            rate = figures.rates["case"]
            value = "-" if rate.value is None else f"{rate.value:.3f}"
            bounds = f"{rate.low:.3f} to {rate.high:.3f}"
            yield ""
            yield plain(f"{name}, {TRAINING[part]}: case {value}, {bounds}, {rate.n} cases")


def _side_by_side(summary: Summary) -> Iterator[str]:
    first, changes = compare_profiles(summary)
    for change in changes:
        yield ""
        yield plain(f"{change.name} against {first}, case by case: {change_text(change)}")


def _layers(records: Sequence[Record]) -> list[str]:
    rows = [
        f"| {plain(profile)} | {layer} | {plain(kind)} | {count} |"
        for profile, layer, kind, count in counts_by_layer(records)
    ]
    if not rows:
        return []
    head = ["| profile | layer | what broke | answers |", "|---|---|---|--:|"]
    return ["", "### What broke, by layer", "", *head, *rows]


def _about(summary: Summary) -> str:
    run = summary.run
    return f"Run {run.id}, {run.seconds:.0f} s; suite {summary.fingerprint.suite}"
