"""The pictures of a run as SVG, for the page, for Allure and for files of their own."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from evals.judging.scoring import RATES, Rate
from evals.report import plots
from evals.report.summary import Summary
from evals.report.waterfall import bars_of, waterfall
from evals.results import Record

_RUNS = 20


def pictures(
    summary: Summary,
    records: Sequence[Record],
    earlier: Sequence[Summary] = (),
) -> dict[str, str]:
    """SVG by name: `rates-PROFILE`, `latency-PROFILE`, `waterfall-PROFILE` and `trend-PROFILE`.

    `earlier` are summaries of past runs, oldest first; without any there is no trend.
    """
    drawn = {}
    for name, profile in summary.profiles.items():
        rows = [_interval(rate.replace("_", " "), profile.rates[rate]) for rate in RATES]
        drawn[f"rates-{name}"] = plots.rate_rows(f"Rates of profile {name}, 95% intervals", rows)
        phases = list(_phases(record for record in records if record.profile == name))
        if phases:
            drawn[f"latency-{name}"] = plots.second_rows(f"Seconds of profile {name}", phases)
        mine = ((f"{r.case.node} ({r.lane})", r.observation) for r in records if r.profile == name)
        if bars := bars_of(mine):
            drawn[f"waterfall-{name}"] = waterfall(f"First answers of profile {name}", bars)
    runs = [run for run in earlier if run.run.id != summary.run.id]
    runs = [*runs[-(_RUNS - 1) :], summary]
    for name in summary.profiles:
        series = _trend(name, runs)
        if len(series[0][1]) > 1:
            drawn[f"trend-{name}"] = plots.rate_series(f"Rates of profile {name} by run", series)
    return drawn


def _interval(label: str, rate: Rate, *, comparable: bool = True) -> plots.Interval:
    return plots.Interval(
        label,
        rate.value,
        rate.low,
        rate.high,
        rate.n,
        threshold=rate.threshold,
        comparable=comparable,
    )


def _trend(profile: str, runs: Sequence[Summary]) -> list[tuple[str, list[plots.Interval]]]:
    """Each rate of a profile over the runs that have it; the last run is the one reported."""
    mine = [run for run in runs if profile in run.profiles]
    labels: list[str] = []
    for run in mine:
        label = f"{started(run):%m-%d %H:%M}"
        labels.append(label if label not in labels else f"{started(run):%m-%d %H:%M:%S}")
    same = [_graded(run) == _graded(runs[-1]) for run in mine]
    return [
        (
            rate.replace("_", " "),
            [
                _interval(label, run.profiles[profile].rates[rate], comparable=comparable)
                for label, run, comparable in zip(labels, mine, same, strict=True)
            ],
        )
        for rate in RATES
    ]


def _graded(run: Summary) -> tuple[str | None, str | None]:
    return run.fingerprint.suite, run.fingerprint.graders


def _phases(records: Iterable[Record]) -> Iterator[tuple[str, list[float]]]:
    """Seconds by lane and phase.

    The stock server sends a call as a whole, so only an answer has a first text worth a row.
    """
    times: dict[tuple[str, str], list[float]] = {}
    for record in records:
        seen = record.observation
        if seen.error:
            continue
        first = seen.first_token_seconds
        if first is not None and not seen.calls:
            times.setdefault((record.lane, "first text"), []).append(first)
        whole = "call" if seen.calls else "answer"
        times.setdefault((record.lane, whole), []).append(seen.seconds)
    for lane, phase in sorted(times, key=lambda key: (key[0], _PHASES.index(key[1]))):
        yield f"{lane}, {phase}", times[lane, phase]


_PHASES = ("first text", "answer", "call")


def started(summary: Summary) -> datetime:
    """When the run of a summary began."""
    return datetime.fromisoformat(summary.run.started)
