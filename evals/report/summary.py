"""`summary.json`: the figures of a run, for CI and for later comparisons.

The file is one [Summary](#summary); what `evals accept` keeps in git is one [Baseline](#baseline).
Rates are shares of cases, counts are of answers (case × lane × repeat), times are in seconds. A
case's id is its pytest node id without the bracket. Keys may be added under the same schema
number; readers pass over those that they do not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator

from evals.judging.scoring import RATES, Rate
from evals.parsers.constraint import GrammarCounts
from evals.report.latency import LaneLatency
from evals.results import Status

SCHEMA = 1
"""The number of the format; another one says that a key went or has another meaning."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was chosen when the run was started; null where each case says it for itself."""

    profiles: tuple[str, ...] = ()
    """Names of the profiles; the first is the one that the others are compared with."""
    lanes: tuple[str, ...] = ()
    """Names of the lanes."""
    repeat: int | None = None
    """How often each question was asked."""
    temperature: float | None = None
    """The sampling temperature of every request."""
    max_tokens: int | None = None
    """The most tokens of an answer."""


@dataclass(frozen=True, kw_only=True)
class ShardPart:
    """Which part of a suite a shard asked."""

    part: str
    """Part and number of parts, such as `1/4`."""
    suite: str | None
    """Digest of the whole suite that was dealt out; the shards of one run have the same."""


@dataclass(frozen=True, kw_only=True)
class ServerDeath:
    """One death of the server under test, after which it was started again."""

    profile: str
    """The profile that it served."""
    when: str
    """When it was noticed: ISO 8601, UTC."""
    how: str
    """The signal or exit code, or what it did in place of answering."""
    in_flight: tuple[str, ...]
    """Ids of the cases that were asked at the time: one alone is the suspect."""
    killer: str | None = None
    """The id of the case that it died of: that case was in flight at another death, too."""
    log: str = ""
    """The last lines of the server's log."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """When and how the run was asked, and whether it is whole."""

    id: str
    """The name of the run's folder."""
    started: str
    """When it began: ISO 8601, UTC."""
    seconds: float
    """How long it took; of a merged run, from the first shard's beginning to the last one's end."""
    whole: bool
    """Whether all of the suite was asked and answered; the gate is for whole runs alone."""
    missing: tuple[str, ...] = ()
    """Keys of records that were to be asked for and are not there."""
    ended: str | None = None
    """What ended the run before its end."""
    deaths: tuple[ServerDeath, ...] = ()
    """Deaths of the server under test, oldest first; those of a run that was resumed count."""
    tier: str = "full"
    """The tier of cases that was asked: `smoke` or `full`."""
    asked: Asked = Asked()
    """What was chosen when the run was started."""
    shard: ShardPart | None = None
    """The part of the suite that was asked; null for a run that is not a shard."""
    baseline: str | None = None
    """Path of the run or the baseline file that the gate compares with."""
    server_peak_bytes: Mapping[str, int] = field(default_factory=dict)
    """The most memory of the server's process, by profile; of servers that this run booted."""
    merged: tuple[str, ...] = ()
    """The shards' runs, of a run that `evals merge` made."""

    @property
    def missing_shards(self) -> str:
        """`shard 2/4, shard 4/4`: those of a merged run that left nothing, while answers miss."""
        parts = [name.rpartition("(")[2].rstrip(")").partition("/") for name in self.merged]
        there, of = {index for index, _, _ in parts}, parts[0][2] if parts else "0"
        every = range(1, int(of) + 1) if self.missing else ()
        return ", ".join(f"shard {n}/{of}" for n in every if str(n) not in there)


@dataclass(frozen=True, kw_only=True)
class GateOutcome:
    """What the gate decided; of a run that is not whole it does not count."""

    passed: bool
    """Whether thresholds, violations, errors and critical cases are as the profiles' gates want."""
    reasons: tuple[str, ...] = ()
    """Each reason why it did not pass, as a sentence."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the run was made; where merged shards differ, all of their values in one text."""

    system: str | None = None
    """The operating system: `Linux`, `Darwin`."""
    system_version: str | None = None
    """Its version, of macOS with the build."""
    arch: str | None = None
    """The processor's architecture: `x86_64`, `arm64`."""
    chip: str | None = None
    """The processor's name."""
    device: str | None = None
    """What mlx computes on: `gpu: NAME` or `cpu`; null where mlx is not installed."""
    image: str | None = None
    """The image of a GitHub-hosted runner, with its version."""
    python: str | None = None
    """The version of Python."""
    cores: int | str | None = None
    """Logical cores."""
    memory_gib: int | str | None = None
    """Main memory in GiB, rounded."""


@dataclass(frozen=True, kw_only=True)
class ProfileServed:
    """What served a profile; null is what an attached server hides."""

    model: str | None = None
    """The model's folder or name."""
    quantization: str | None = None
    """Bits and group size of the weights, in words."""
    weights: str | None = None
    """Digest of the weight files."""
    template: str | None = None
    """Digest of the chat template."""
    parser: str | None = None
    """The tool parser."""
    grammar: bool | None = None
    """Whether a grammar constrained the calls."""
    trained_tools: tuple[str, ...] | None = None
    """Names of the tools that the model was trained on, where that is known."""
    engine: str | None = None
    """The kind of server."""
    engine_version: str | None = None
    """The version of the engine's package here; null of an attached server."""
    evidence: str | None = None
    """How the engine gives up what the model wrote: `none` leaves the layer of a miss unknown."""
    served_name: str | None = None
    """What requests call the model; of a path its last part."""
    call_format: str | None = None
    """The call format by which the answers are judged."""
    requests: str | None = None
    """Digest of what else decides the requests: `headers` without a key, `extra_body`, what is left
    out of them, and the `arguments` of the booted server."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What the run was made of. Runs of another suite or other graders are not compared."""

    evals: str | None = None
    """The version of this package."""
    suite: str | None = None
    """Digest of all in the cases that an answer or a verdict depends on."""
    cases: Mapping[str, str] = field(default_factory=dict)
    """Digest of each case, its name and place left out: by it a renamed case is known again."""
    graders: str | None = None
    """Digest of the code that judges."""
    grader_parts: Mapping[str, str] = field(default_factory=dict)
    """Digest of each part of that code: which of them differs between two runs."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages that matter, such as `mlx-lm`."""
    machine: Machine = Machine()
    """Where the run was made."""
    profiles: Mapping[str, ProfileServed] = field(default_factory=dict)
    """What served each profile."""


def _all_rates(rates: Mapping[str, Rate]) -> Mapping[str, Rate]:
    """Reports show all of them, side by side."""
    if missing := [name for name in RATES if name not in rates]:
        raise ValueError(f"the rates lack {', '.join(missing)}")
    return rates


Rates = Annotated[Mapping[str, Rate], AfterValidator(_all_rates)]
"""A rate by its name."""


@dataclass(frozen=True, kw_only=True)
class LaneFigures:
    """The figures of one lane, or of one category, of a profile."""

    scored: int
    """Answers that are in the rates."""
    errors: int
    """Answers that are incomplete or did not come; they are in no rate."""
    rates: Rates
    """`discrimination` (call or answer), `tool_name`, `arguments`, and `case`, all of them."""


@dataclass(frozen=True, kw_only=True)
class PromptTokens:
    """Tokens of all prompts, as the server counted them."""

    total: int
    """All tokens."""
    cached: int
    """Those of them that came from the server's prompt cache."""


@dataclass(frozen=True, kw_only=True)
class RepeatFigures:
    """What repeated questions tell."""

    cases: int
    """Cases × lanes that were asked more than once."""
    k: int
    """The least number of attempts of any of them."""
    pass_at_k: float
    """The chance that at least one of k attempts passes, on average."""
    pass_hat_k: float
    """The chance that all of k attempts pass (pass^k), on average."""
    distinct: float
    """Different answers a case, on average; 1.0 says that the attempts were one and the same."""
    flaky: tuple[str, ...]
    """Case and lane of those that passed at times and failed at times."""
    independent: bool
    """Whether any repeat differed: without that, k attempts prove no more than one."""


Cases = Mapping[str, Mapping[str, Status]]
"""A status by lane by case id."""


@dataclass(frozen=True, kw_only=True)
class ProfileFigures(LaneFigures):
    """The figures of one profile."""

    known: int
    """Answers that fail with a known defect; they are in no rate."""
    lanes: Mapping[str, LaneFigures]
    """The figures of each lane."""
    categories: Mapping[str, LaneFigures]
    """The figures of each category of cases."""
    tools: Mapping[str, LaneFigures] = field(default_factory=dict)
    """The figures of cases whose available tools were all `trained`, and of those with `unseen`
    ones; empty where nobody knows the model's training."""
    violations: Mapping[str, int]
    """Answers by kind of violation, made downstream of the model."""
    misses: Mapping[str, int]
    """Answers by kind of miss, the model's own."""
    prompt_tokens: PromptTokens
    """Tokens of all prompts."""
    batching_changed: tuple[str, ...]
    """Case ids of answers that differed among other requests, and not when asked alone."""
    repeats: RepeatFigures | None
    """What repeated questions tell; null where none was repeated."""
    cases: Cases
    """The outcome by case id and lane; of repeats, the worst."""
    latency: Mapping[str, LaneLatency] = field(default_factory=dict)
    """The latency of each lane."""
    grammar: GrammarCounts | None = None
    """What the profile's grammar forbade; null for a profile without one."""

    @property
    def violation_count(self) -> int:
        """Violations of all kinds."""
        return sum(self.violations.values())

    @property
    def miss_count(self) -> int:
        """Misses of all kinds."""
        return sum(self.misses.values())


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The figures of a run."""

    schema: int = SCHEMA
    """The number of the format."""
    run: RunInfo
    """When and how the run was asked."""
    gate: GateOutcome
    """Whether the run passes, and why not."""
    fingerprint: Fingerprint
    """What the run was made of."""
    profiles: Mapping[str, ProfileFigures]
    """The figures of each profile, in the order in which they were asked."""
    comparison: tuple[str, ...] | None = None
    """The comparison with the baseline, in lines; null where there was none."""

    @property
    def is_gated(self) -> bool:
        """Whether the gate says anything: not of a part that was chosen and came to its end.

        Joined shards are a part only where some are missing, and that is a failure.
        """
        run = self.run
        return bool(run.whole or run.merged or run.missing or run.ended)

    @property
    def gate_text(self) -> str:
        """`passed`, `FAILED`, or of a part that is not judged, what would judge it."""
        if self.is_gated:
            return "passed" if self.gate.passed else "FAILED"
        shard = self.run.shard
        part = f"shard {shard.part}; `evals merge` judges all" if shard else "a part of the suite"
        return f"not judged ({part})"

    @property
    def passed(self) -> bool:
        """What the exit code says: the gate, or of a part that is not judged, its cases."""
        if self.is_gated:
            return self.gate.passed
        lanes = (of for profile in self.profiles.values() for of in profile.cases.values())
        outcomes = {outcome for of in lanes for outcome in of.values()}
        return outcomes.isdisjoint({Status.FAIL, Status.ERROR})


@dataclass(frozen=True, kw_only=True)
class BaselineRun:
    """The run that was accepted."""

    id: str
    """Its id."""
    asked: Asked | None = None
    """What was chosen when it was started."""


@dataclass(frozen=True, kw_only=True)
class BaselineFigures:
    """What a comparison needs of a profile."""

    rates: Rates
    """As in the run's summary."""
    cases: Cases
    """As in the run's summary."""
    repeats: RepeatFigures | None
    """As in the run's summary."""
    latency: Mapping[str, LaneLatency] = field(default_factory=dict)
    """As in the run's summary."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What `evals accept` keeps of a run: all that a comparison needs, small enough for git."""

    schema: int = SCHEMA
    """The number of the format."""
    run: BaselineRun
    """The run that was accepted."""
    fingerprint: Fingerprint
    """What the run was made of."""
    profiles: Mapping[str, BaselineFigures]
    """What a comparison needs of each profile."""
