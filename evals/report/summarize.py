"""Records → Summary: rates, counts and the gate of a run."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from evals.config import Config
from evals.judging.scoring import (
    ProfileScore,
    Rate,
    check_gate,
    check_rates,
    score,
    score_repeats,
)
from evals.parsers.constraint import GrammarCounts
from evals.report.latency import lane_latency
from evals.report.summary import (
    Cases,
    Fingerprint,
    GateOutcome,
    LaneFigures,
    ProfileFigures,
    ProfileServed,
    PromptTokens,
    RepeatFigures,
    RunInfo,
    ServerDeath,
    Summary,
)
from evals.results import Record, Status


def summarize(
    records: Sequence[Record],
    config: Config,
    fingerprint: Fingerprint,
    run: RunInfo,
    grammars: Mapping[str, GrammarCounts] | None = None,
) -> Summary:
    """The summary of a run's records. A part of a suite has figures, but its gate cannot pass.

    `grammars` has what the grammars of constrained profiles counted, by profile.
    """
    profiles = _in_order(group(records, lambda record: record.profile), run.asked.profiles)
    reasons = [*_incomplete(run, records), *_not_asked(run, profiles)]
    for name, mine in profiles.items():
        reasons += _gate_reasons(name, mine, config)
    return Summary(
        run=run,
        gate=GateOutcome(passed=not reasons, reasons=tuple(reasons)),
        fingerprint=fingerprint,
        profiles={
            name: _profile(
                score(mine, config.gate(name).thresholds()),
                mine,
                (grammars or {}).get(name),
                fingerprint.profiles.get(name, ProfileServed()).trained_tools,
            )
            for name, mine in profiles.items()
        },
    )


def _incomplete(run: RunInfo, records: Sequence[Record]) -> list[str]:
    """Why the records are not those of a whole run."""
    reasons = []
    if not records:
        reasons.append("no answer was judged")
    if run.ended:
        reasons.append(f"the run did not come to its end: {run.ended}")
    if run.missing_shards:
        reasons.append(f"without a record: {run.missing_shards}")
    if run.missing:
        reasons.append(f"{len(run.missing)} question(s) have no answer: {_first(run.missing)}")
    reasons += death_lines(run.deaths)
    if run.shard:
        reasons.append(f"this is shard {run.shard.part}; `evals merge` gates the whole")
    elif not run.whole and not reasons:
        reasons.append("only a part of the suite was run; the gate is for the whole")
    return reasons


def death_lines(deaths: Sequence[ServerDeath]) -> list[str]:
    """That the server died, how often and of what, in sentences; none if it never did."""
    if not deaths:
        return []
    hows = ", ".join(dict.fromkeys(death.how for death in deaths))
    lines = [f"the server died and was restarted {len(deaths)} time(s): {hows}"]
    killers = dict.fromkeys(death.killer for death in deaths if death.killer)
    lines += [f"the server dies of {killer}: it is not asked again" for killer in killers]
    for death in deaths:
        if len(death.in_flight) == 1 and death.in_flight[0] not in killers:
            lines.append(f"the server died once while {death.in_flight[0]} alone was asked")
    return lines


def _not_asked(run: RunInfo, profiles: Mapping[str, Sequence[Record]]) -> list[str]:
    asked = run.asked.profiles if run.whole else ()
    return [f"{name}: no case was asked" for name in asked if name not in profiles]


def _gate_reasons(name: str, records: Sequence[Record], config: Config) -> list[str]:
    """What of a profile, or of a category of it, does not hold its gate."""
    gate = config.gate(name)
    figures = score(records, gate.thresholds())
    result = check_gate(name, figures, on=gate.on, violations=gate.violations, critical=records)
    reasons = [*result.reasons]
    for category, limits in gate.categories.items():
        part = [record for record in records if record.case.category == category]
        reasons += check_rates(f"{name}/{category}", score(part, limits.thresholds()), gate.on)
    return reasons


def _first(keys: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(keys) - shown} more" if len(keys) > shown else ""
    return ", ".join(keys[:shown]) + more


def group(records: Iterable[Record], by: Callable[[Record], str]) -> dict[str, list[Record]]:
    """Records by a name, in order of first appearance."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[by(record)].append(record)
    return dict(groups)


def _in_order(
    profiles: Mapping[str, list[Record]], asked: Sequence[str]
) -> dict[str, list[Record]]:
    """`profiles` as they were asked for: the first is the one that others are compared with."""
    named = [name for name in asked if name in profiles]
    return {name: profiles[name] for name in [*named, *profiles]}


def _profile(
    figures: ProfileScore,
    records: Sequence[Record],
    grammar: GrammarCounts | None,
    trained: Sequence[str] | None,
) -> ProfileFigures:
    return ProfileFigures(
        scored=figures.scored,
        errors=figures.errors,
        rates=_rates(figures),
        known=figures.known,
        lanes=_figures(group(records, lambda record: record.lane)),
        categories=_figures(dict(sorted(group(records, lambda r: r.case.category).items()))),
        tools={} if trained is None else _figures(by_training(records, trained)),
        violations=dict(figures.violations),
        misses=dict(figures.misses),
        prompt_tokens=_prompt_tokens(records),
        batching_changed=tuple(
            record.case.node
            for record in records
            if record.asked_alone and record.plain and not record.differs_from_plain
        ),
        repeats=_repeats(records),
        cases=_cases(records),
        latency=lane_latency(records),
        grammar=grammar,
    )


def by_training(records: Iterable[Record], trained: Iterable[str]) -> dict[str, list[Record]]:
    """Records by whether the training had all tools of the case: `trained`, else `unseen`."""
    names = frozenset(trained)

    def kind(record: Record) -> str:
        return "trained" if {tool.name for tool in record.case.tools} <= names else "unseen"

    return dict(sorted(group(records, kind).items()))


def _figures(groups: Mapping[str, Sequence[Record]]) -> dict[str, LaneFigures]:
    parts = {name: score(mine) for name, mine in groups.items()}
    return {
        name: LaneFigures(scored=part.scored, errors=part.errors, rates=_rates(part))
        for name, part in parts.items()
    }


def _rates(figures: ProfileScore) -> dict[str, Rate]:
    return {name: _rounded(rate) for name, rate in figures.rates.items()}


def _rounded(rate: Rate) -> Rate:
    """To four digits: more would only make noise in a baseline's differences."""
    value = None if rate.value is None else round(rate.value, 4)
    return replace(rate, value=value, low=round(rate.low, 4), high=round(rate.high, 4))


def _repeats(records: Sequence[Record]) -> RepeatFigures | None:
    repeats = score_repeats(records)
    return RepeatFigures(**asdict(repeats), independent=repeats.independent) if repeats else None


def _prompt_tokens(records: Iterable[Record]) -> PromptTokens:
    used = [record.observation.usage for record in records if record.observation.usage]
    return PromptTokens(total=sum(u.prompt for u in used), cached=sum(u.cached for u in used))


_WORST = (Status.ERROR, Status.FAIL, Status.KNOWN, Status.PASS)


def _cases(records: Iterable[Record]) -> Cases:
    """The outcome by case and lane; of repeats, the worst."""
    outcomes: dict[str, dict[str, Status]] = defaultdict(dict)
    for record in records:
        lanes = outcomes[record.case.node]
        before = lanes.get(record.lane, Status.PASS)
        lanes[record.lane] = min(before, record.status, key=_WORST.index)
    return {node: dict(sorted(lanes.items())) for node, lanes in sorted(outcomes.items())}
