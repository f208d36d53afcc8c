"""The latency of two runs, side by side, and whether one is slower by more than chance."""

from collections.abc import Iterator, Mapping

from evals.report.latency import LaneLatency, Spread

Latency = Mapping[str, LaneLatency]
_SHOWN = ("ttft", "ttfo", "tpot", "e2el")
_GATED = ("ttft", "ttfo", "e2el")


def latency_lines(profile: str, before: Latency, after: Latency) -> Iterator[str]:
    """Median and p95 of each lane in both runs; nothing where one of them does not tell."""
    for lane, name, x, y in _both(before, after, _SHOWN):
        yield (
            f"latency {profile} {lane} {name}: p50 {x.p50.text} → {y.p50.text} s, "
            f"p95 {x.p95.text} → {y.p95.text} s (n={x.n}, {y.n})"
        )


def slower(profile: str, before: Latency, after: Latency, factor: float) -> list[str]:
    """Where p95 is more than `factor` times what it was, and that is not chance, as sentences.

    Not chance: both 95% intervals are known, and they lie apart.
    """
    return [
        f"{profile}: p95 of {name} in lane {lane} is {y.p95.text} s and was {x.p95.text} s: more "
        f"than {factor:g} times, and their 95% intervals lie apart"
        for lane, name, x, y in _both(before, after, _GATED)
        if y.p95.value > factor * x.p95.value
        and x.p95.high is not None
        and y.p95.low is not None
        and y.p95.low > x.p95.high
    ]


def _both(
    before: Latency, after: Latency, names: tuple[str, ...]
) -> Iterator[tuple[str, str, Spread, Spread]]:
    for lane in after:
        if lane in before:
            x, y = before[lane].measures, after[lane].measures
            yield from ((lane, name, x[name], y[name]) for name in names if name in x and name in y)
