"""Numbers from records: rates with intervals, counts of violations and misses, and the gate.

A rate counts records that were scored; errors and known defects are in none. Its interval is
Wilson's at 95%. One question in several lanes or asked several times is not several independent
questions, so a rate's `n` counts cases, and a case counts with its mean over lanes and repeats.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean

from evals.results import Kind, Record, Scores, Status

RATES: Mapping[str, Callable[[Scores], bool | None]] = {
    "discrimination": lambda scores: scores.discrimination,
    "tool_name": lambda scores: scores.tool_name,
    "arguments": lambda scores: scores.arguments,
    "case": lambda scores: scores.case,
}

# The names under which summary.json counts misses; values, types and schema are all arguments.
_WRONG_ARGUMENTS = {Kind.WRONG_VALUE, Kind.WRONG_TYPE, Kind.SCHEMA}


@dataclass(frozen=True)
class Rate:
    """A share of n cases with its 95% Wilson interval; `value` is None where n is 0."""

    value: float | None
    """The share, from 0 to 1; null where no case asks for it."""
    n: int
    """Cases that it is a share of."""
    low: float
    """The interval's lower bound."""
    high: float
    """The interval's upper bound."""
    threshold: float | None = None
    """What the gate wants of it; None where nothing."""

    @classmethod
    def of(cls, successes: float, n: int, threshold: float | None = None) -> "Rate":
        """The rate of `successes` among `n`; fractional successes come from repeated cases."""
        if n == 0:
            return cls(None, 0, 0.0, 1.0, threshold)
        low, high = wilson(successes, n)
        return cls(successes / n, n, low, high, threshold)


@dataclass(frozen=True)
class ProfileScore:
    """The figures of one profile, or of one lane or category of it."""

    scored: int
    errors: int
    known: int
    rates: Mapping[str, Rate]
    violations: Mapping[str, int]
    misses: Mapping[str, int]
    violated: int
    """Answers with a violation; one may have several kinds."""


@dataclass(frozen=True)
class GateResult:
    """Whether the run passes, and each reason why not."""

    passed: bool
    reasons: tuple[str, ...] = ()


def wilson(successes: float, n: int) -> tuple[float, float]:
    """The 95% Wilson score interval of a share."""
    z = 1.959963984540054
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return (0.0 if share == 0 else middle - half), (1.0 if share == 1 else middle + half)


def score(records: Iterable[Record], thresholds: Mapping[str, float] | None = None) -> ProfileScore:
    """The figures of `records`, which are of one profile."""
    records = list(records)
    scored = [record for record in records if record.scores and record.status != Status.KNOWN]
    failed = [record for record in scored if record.status == Status.FAIL]
    return ProfileScore(
        scored=len(scored),
        errors=sum(record.status == Status.ERROR for record in records),
        known=sum(record.status == Status.KNOWN for record in records),
        rates={
            name: _rate(scored, get, (thresholds or {}).get(name)) for name, get in RATES.items()
        },
        violations=_violations(failed),
        misses=_misses(failed),
        violated=sum(any(v.is_violation for v in record.verdicts) for record in failed),
    )


def _rate(
    records: Sequence[Record], get: Callable[[Scores], bool | None], threshold: float | None
) -> Rate:
    answers: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        assert record.scores is not None
        answer = get(record.scores)
        if answer is not None:
            answers[record.case.node].append(answer)
    return Rate.of(
        sum(sum(values) / len(values) for values in answers.values()), len(answers), threshold
    )


def _violations(records: Iterable[Record]) -> dict[str, int]:
    """A record counts once for each kind of violation, however many checks it fails."""
    counts: Counter[str] = Counter()
    for record in records:
        kinds = {verdict.kind for verdict in record.verdicts if verdict.is_violation}
        counts.update(kind.value for kind in kinds if kind)
    return {name: counts[name] for name in sorted(counts)}


def _misses(records: Iterable[Record]) -> dict[str, int]:
    """A record counts once for each kind of miss."""
    counts: Counter[str] = Counter()
    for record in records:
        kinds = {verdict.kind for verdict in record.verdicts if verdict.is_miss and verdict.kind}
        counts.update({miss_name(kind) for kind in kinds})
    return {name: counts[name] for name in sorted(counts)}


def miss_name(kind: Kind) -> str:
    """The name under which a miss of this kind is counted: some kinds are counted together."""
    return "wrong_arguments" if kind in _WRONG_ARGUMENTS else kind.value


def check_gate(
    profile: str,
    figures: ProfileScore,
    *,
    on: str = "low",
    violations: int = 0,
    critical: Iterable[Record] = (),
) -> GateResult:
    """Whether a profile's figures hold its thresholds; every broken one is a reason."""
    reasons: list[str] = []
    if figures.errors:
        reasons.append(
            f"{profile}: {figures.errors} incomplete response(s); "
            "a run with errors proves nothing about the model"
        )
    if not figures.scored:
        reasons.append(f"{profile}: no case was scored")
    found = sum(figures.violations.values())
    if found > violations:
        kinds = ", ".join(f"{count} {kind}" for kind, count in figures.violations.items())
        several = f" in {figures.violated} answer(s)" if figures.violated < found else ""
        reasons.append(
            f"{profile}: {found} violation(s){several}, at most {violations} allowed: {kinds}"
        )
    if figures.scored:
        reasons += check_rates(profile, figures, on)
    reasons += [
        f"{profile}: critical case failed: {record.key}"
        for record in critical
        if record.case.critical and record.status == Status.FAIL
    ]
    return GateResult(not reasons, tuple(reasons))


def check_rates(what: str, figures: ProfileScore, on: str) -> list[str]:
    """A reason for each rate of `figures` that does not hold its threshold."""
    reasons = [_short_of(what, name, rate, on) for name, rate in figures.rates.items()]
    return [reason for reason in reasons if reason]


def _short_of(profile: str, name: str, rate: Rate, on: str) -> str | None:
    if rate.threshold is None:
        return None
    if rate.value is None:
        return f"{profile}: {name} has a threshold of {rate.threshold:.3f} but no case asks for it"
    reached = rate.low if on == "low" else rate.value
    if reached >= rate.threshold:
        return None
    what = "lower bound" if on == "low" else "value"
    figures = f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}], n={rate.n}"
    if on == "low" and rate.value >= rate.threshold:
        return (
            f"{profile}: {name} {figures}: not enough cases to tell whether it holds "
            f"{rate.threshold:.3f} (the {what} is below it)"
        )
    return f"{profile}: {name} {figures}: the {what} is below {rate.threshold:.3f}"


@dataclass(frozen=True)
class Repeats:
    """What repeated questions tell; `k` is the least number of attempts, cases those repeated."""

    cases: int
    k: int
    pass_at_k: float
    pass_hat_k: float
    distinct: float
    """Different answers a case, on average; 1.0 says that the attempts were one and the same."""
    flaky: tuple[str, ...]
    """Cases that passed sometimes and failed sometimes, as `<case id>[<lane>]`."""

    @property
    def independent(self) -> bool:
        """Whether any repeat differed: without that, k attempts prove no more than one."""
        return self.distinct > 1.0


def score_repeats(records: Iterable[Record]) -> Repeats | None:
    """The figures of cases that were asked more than once; None if there are none."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.status == Status.KNOWN:
            continue
        if record.scores is not None and record.scores.case is not None:
            groups[record.case.node, record.lane].append(record)
    repeated = {key: group for key, group in groups.items() if len(group) > 1}
    if not repeated:
        return None
    passes = {key: sum(bool(r.scores and r.scores.case) for r in g) for key, g in repeated.items()}
    k = min(len(group) for group in repeated.values())
    sizes = {key: len(group) for key, group in repeated.items()}
    return Repeats(
        cases=len(repeated),
        k=k,
        pass_at_k=fmean(pass_at_k(sizes[key], passes[key], k) for key in repeated),
        pass_hat_k=fmean(pass_hat_k(sizes[key], passes[key], k) for key in repeated),
        distinct=fmean(len({_sample(r) for r in group}) for group in repeated.values()),
        flaky=tuple(
            f"{node}[{lane}]"
            for (node, lane), passed in sorted(passes.items())
            if 0 < passed < sizes[node, lane]
        ),
    )


def _sample(record: Record) -> tuple[object, ...]:
    """What makes two answers the same; call ids are random and do not count."""
    seen = record.observation
    calls = tuple((call.name, call.arguments) for call in seen.calls)
    return seen.token_ids, seen.content, calls


def pass_at_k(n: int, passed: int, k: int) -> float:
    """The chance that at least one of k attempts passes, unbiased from n attempts."""
    _check_k(n, k)
    return 1.0 - comb(n - passed, k) / comb(n, k)


def pass_hat_k(n: int, passed: int, k: int) -> float:
    """The chance that all of k attempts pass (pass^k), unbiased from n attempts."""
    _check_k(n, k)
    return comb(passed, k) / comb(n, k)


def _check_k(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}; it must be between 1 and the number of attempts, {n}")


def mcnemar(fixed: int, broken: int) -> float:
    """Exact two-sided p-value that `fixed` and `broken` flips come from no change at all."""
    flips = fixed + broken
    tail = sum(comb(flips, k) for k in range(min(fixed, broken) + 1))
    return min(1.0, 2 * tail / (1 << flips))  # of a fair coin both tails are alike


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def smallest_regression(n: int, *, level: float = 0.05) -> int | None:
    """The fewest one-way flips among `n` pairs that exact McNemar calls significant, if any are."""
    return next((flips for flips in range(1, n + 1) if mcnemar(0, flips) < level), None)
