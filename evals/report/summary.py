"""`summary.json`: the contract for CI and later comparisons (schema 1).

```
{"schema": 1,
 "run": {"id", "started", "seconds", "tier",
         "whole",                                   true if all of the suite was asked
         "missing": [KEY],                          what was to be asked and has no record
         "ended": null | text,                      what ended the run before its end
         "baseline": null | path,                   what the gate compares with
         "asked": {"profiles", "lanes", "repeat", "temperature", "max_tokens"},
         "shard": null | {"part": "1/4", "suite"},  suite: digest of what was dealt out
         "merged": [run ID]},                       of a run that `evals merge` made
 "gate": {"passed": bool, "reasons": [text]},
 "fingerprint": {...},
 "profiles": {NAME: {
   "scored", "errors", "known",                     counts of answers (case × lane × repeat)
   "rates": {"discrimination" | "tool_name" | "arguments" | "case":
             {"value", "n", "low", "high", "threshold"}},    n: cases
   "lanes": {LANE: {"scored", "errors", "rates"}}, "categories": {CATEGORY: {...}},
   "violations": {KIND: count},                     made behind the model
   "misses": {KIND: count},                         the model's own
   "prompt_tokens": {"total", "cached"},
   "grammar": null | {"answers", "steps", "masked", "problems": {REASON: count}},
   "batching_changed": [ID],                        answers that differed among others, not alone
   "repeats": null | {"cases", "k", "pass_at_k", "pass_hat_k", "distinct", "independent", "flaky"},
   "cases": {ID: {LANE: "pass" | "fail" | "error" | "known"}}}}}
```
A case's id is its pytest node id without the bracket.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals.config import Config
from evals.judging.scoring import (
    GateResult,
    ProfileScore,
    Rate,
    check_gate,
    check_rates,
    score,
    score_repeats,
)
from evals.results import Record, Status

SCHEMA = 1


def summarize(
    records: Sequence[Record],
    config: Config,
    fingerprint: Mapping[str, Any],
    run: Mapping[str, Any],
    grammars: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The summary of a run's records. A part of a suite has figures, but its gate cannot pass.

    `grammars` has what the grammars of constrained profiles counted, by profile.
    """
    profiles = _in_order(group(records, lambda record: record.profile), run.get("asked"))
    reasons: list[str] = []
    if not records:
        reasons.append("no answer was judged")
    if run.get("ended"):
        reasons.append(f"the run did not come to its end: {run['ended']}")
    if missing := run.get("missing"):
        reasons.append(f"{len(missing)} question(s) have no answer: {_first(missing)}")
    if shard := run.get("shard"):
        reasons.append(f"this is shard {shard['part']}; `evals merge` gates the whole")
    elif not run.get("whole", True) and not reasons:
        reasons.append("only a part of the suite was run; the gate is for the whole")
    if run.get("whole"):
        asked = (run.get("asked") or {}).get("profiles", ())
        reasons += [f"{name}: no case was asked" for name in asked if name not in profiles]
    entries = {}
    for name, mine in profiles.items():
        gate = config.gate(name)
        figures = score(mine, gate.thresholds())
        result: GateResult = check_gate(
            name, figures, on=gate.on, violations=gate.violations, critical=mine
        )
        reasons += result.reasons
        for category, limits in gate.categories.items():
            part = [record for record in mine if record.case.category == category]
            reasons += check_rates(f"{name}/{category}", score(part, limits.thresholds()), gate.on)
        entries[name] = {**_profile(figures, mine), "grammar": (grammars or {}).get(name)}
    return {
        "schema": SCHEMA,
        "run": dict(run),
        "gate": {"passed": not reasons, "reasons": reasons},
        "fingerprint": dict(fingerprint),
        "profiles": entries,
    }


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
    profiles: Mapping[str, list[Record]], asked: Mapping[str, Any] | None
) -> dict[str, list[Record]]:
    """`profiles` as they were asked for: the first is the one that others are compared with."""
    named = [name for name in (asked or {}).get("profiles", ()) if name in profiles]
    return {name: profiles[name] for name in [*named, *profiles]}


def _profile(figures: ProfileScore, records: Sequence[Record]) -> dict[str, Any]:
    return {
        **_figures(figures),
        "known": figures.known,
        "lanes": {
            lane: _figures(score(mine)) for lane, mine in group(records, lambda r: r.lane).items()
        },
        "categories": {
            category: _figures(score(mine))
            for category, mine in sorted(group(records, lambda r: r.case.category).items())
        },
        "violations": dict(figures.violations),
        "misses": dict(figures.misses),
        "prompt_tokens": _prompt_tokens(records),
        "batching_changed": [
            record.case.node
            for record in records
            if record.asked_alone and record.plain and not record.differs_from_plain
        ],
        "repeats": _repeats(records),
        "cases": _cases(records),
    }


def _figures(figures: ProfileScore) -> dict[str, Any]:
    return {
        "scored": figures.scored,
        "errors": figures.errors,
        "rates": {name: _rate(rate) for name, rate in figures.rates.items()},
    }


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "value": None if rate.value is None else round(rate.value, 4),
        "n": rate.n,
        "low": round(rate.low, 4),
        "high": round(rate.high, 4),
        "threshold": rate.threshold,
    }


def _repeats(records: Sequence[Record]) -> dict[str, Any] | None:
    repeats = score_repeats(records)
    return {**asdict(repeats), "independent": repeats.independent} if repeats else None


def _prompt_tokens(records: Iterable[Record]) -> dict[str, int]:
    used = [record.observation.usage for record in records if record.observation.usage]
    return {"total": sum(u.prompt for u in used), "cached": sum(u.cached for u in used)}


_WORST = (Status.ERROR, Status.FAIL, Status.KNOWN, Status.PASS)


def _cases(records: Iterable[Record]) -> dict[str, dict[str, str]]:
    """The outcome by case and lane; of repeats, the worst."""
    outcomes: dict[str, dict[str, str]] = defaultdict(dict)
    for record in records:
        lanes = outcomes[record.case.node]
        before = Status(lanes.get(record.lane, Status.PASS))
        lanes[record.lane] = min(before, record.status, key=_WORST.index).value
    return {node: dict(sorted(lanes.items())) for node, lanes in sorted(outcomes.items())}


def write_summary(summary: Mapping[str, Any], folder: Path) -> Path:
    """`summary.json` in the run's folder."""
    path = folder / "summary.json"
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    return path
