"""Latency as the field measures it, out of the timings of answers; every figure has its interval.

| name | seconds, or tokens a second |
| --- | --- |
| `queue` | until a stream began; of lane `direct`, until the model was idle |
| `ttft` | time to first token: text of any kind; not where calls come as a whole |
| `ttfo` | time to first output: text of the answer or of a call |
| `itl` | inter-token latency: between each piece of text and the one before |
| `tpot` | time per output token: from the first to the end, by the tokens between |
| `e2el` | end-to-end latency: the whole response |
| `client`, `parse`, `tool` | what a client, reading here, and tools of an agent took |
| `prompt_rate` | tokens of the prompt a second that were not cached |
| `decode_rate` | tokens a second of one answer, after its prompt |

What a lane or a server does not show is left out. Times are of the run as it was: others were in
flight.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, stdev

from evals.observation import Observation, Timing
from evals.results import Record

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_Z = 1.959964
_MISSED = 0.025


@dataclass(frozen=True)
class Bounded:
    """A figure and its 95% interval; a bound is null where so few answers have none."""

    value: float
    """The figure."""
    low: float | None
    """The lower bound."""
    high: float | None
    """The upper bound."""

    @property
    def text(self) -> str:
        """`1.25 [0.98, 1.41]`; a bound that nothing shows is a question mark."""
        low, high = ("?" if x is None else brief_number(x) for x in (self.low, self.high))
        return f"{brief_number(self.value)} [{low}, {high}]"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a figure is spread over answers: the mean's interval is normal, the others' exact."""

    n: int
    """Values: answers, or of `itl` pieces of text."""
    mean: Bounded
    """The average."""
    p50: Bounded
    """The median."""
    p90: Bounded
    """90% are no more."""
    p95: Bounded
    """95% are no more."""
    p99: Bounded
    """99% are no more."""


@dataclass(frozen=True, kw_only=True)
class LaneLatency:
    """The latency of one lane."""

    answers: int
    """Whole answers; others are in no figure."""
    cached: float | None
    """The share of prompt tokens that came from the server's cache; null where nobody counts."""
    measures: Mapping[str, Spread]
    """Figures by name; those that nothing shows are not there."""


def lane_latency(records: Iterable[Record]) -> dict[str, LaneLatency]:
    """The latency of each lane, over all whole answers."""
    lanes: dict[str, list[Observation]] = {}
    for record in records:
        if not record.observation.error:
            lanes.setdefault(record.lane, []).append(record.observation)
    return {name: latency(seen) for name, seen in lanes.items()}


def latency(seen: Sequence[Observation]) -> LaneLatency:
    """The latency of these whole answers."""
    found = {name: [v for o in seen for v in values(o)] for name, values in _MEASURES.items()}
    used = [o.usage for o in seen if o.usage and o.usage.prompt]
    prompt = sum(usage.prompt for usage in used)
    return LaneLatency(
        answers=len(seen),
        cached=round(sum(usage.cached for usage in used) / prompt, 4) if prompt else None,
        measures={name: spread(values) for name, values in found.items() if values},
    )


def _one(
    read: Callable[[Observation, Timing], float | None],
) -> Callable[[Observation], list[float]]:
    def values(seen: Observation) -> list[float]:
        value = read(seen, seen.timing) if seen.timing else None
        return [] if value is None else [value]

    return values


def _tpot(seen: Observation, timing: Timing) -> float | None:
    rest = seen.usage.completion - 1 if seen.usage else 0
    first = timing.first_token
    return (seen.seconds - first) / rest if first is not None and rest > 0 else None


def _prompt_rate(seen: Observation, timing: Timing) -> float | None:
    new = seen.usage.prompt - seen.usage.cached if seen.usage else 0
    return new / timing.prompt if timing.prompt and new > 0 else None


def _decode_rate(_: Observation, timing: Timing) -> float | None:
    return timing.decoded / timing.decode if timing.decoded and timing.decode else None


_MEASURES: Mapping[str, Callable[[Observation], Sequence[float]]] = {
    "queue": _one(lambda _, t: t.queue),
    "ttft": _one(lambda _, t: t.first_token),
    "ttfo": _one(lambda _, t: t.first_output),
    "itl": lambda seen: seen.timing.gaps if seen.timing else (),
    "tpot": _one(_tpot),
    "e2el": lambda seen: [seen.seconds],
    "client": _one(lambda _, t: t.client),
    "parse": _one(lambda _, t: t.parse),
    "tool": _one(lambda _, t: t.tool or None),
    "prompt_rate": _one(_prompt_rate),
    "decode_rate": _one(_decode_rate),
}
RATES = ("prompt_rate", "decode_rate")
"""Measures in tokens a second; the others are in seconds."""


def spread(values: Sequence[float]) -> Spread:
    """How `values`, at least one, are spread."""
    ordered, n = sorted(values), len(values)
    mean = fmean(ordered)
    half = _Z * stdev(ordered) / math.sqrt(n) if n > 1 else None
    around = (None, None) if half is None else (mean - half, mean + half)
    return Spread(
        n=n,
        mean=_rounded(mean, *around),
        **{name: quantile(ordered, share) for name, share in QUANTILES.items()},
    )


def quantile(ordered: Sequence[float], share: float) -> Bounded:
    """The quantile of sorted values, by nearest rank, and its exact interval: two of the values."""
    n = len(ordered)
    low, high = _ranks(n, share)
    return _rounded(
        ordered[max(math.ceil(share * n), 1) - 1],
        None if low is None else ordered[low],
        None if high is None else ordered[high],
    )


@lru_cache(maxsize=4096)
def _ranks(n: int, share: float) -> tuple[int | None, int | None]:
    """Indices of the values that bound a quantile; each is missed with a chance of 2.5% at most.

    However the values are spread, the number of those below a quantile is binomial.
    """
    low = high = None
    below = 0.0  # the chance that no more than `k` values are below it
    for k in range(n + 1):
        odds = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        below += math.exp(odds + k * math.log(share) + (n - k) * math.log1p(-share))
        if below <= _MISSED and k < n:
            low = k
        if high is None and below >= 1 - _MISSED and k < n:
            high = k
            break
    return low, high


def _rounded(value: float, low: float | None, high: float | None) -> Bounded:
    """To a microsecond, or so many tokens a second: more digits would be noise."""
    return Bounded(
        round(value, 6),
        None if low is None else round(low, 6),
        None if high is None else round(high, 6),
    )


def brief_number(value: float) -> str:
    """Three significant digits, never with an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 6)}f}"
