"""The same fused weights at every quantisation: how small before calls break.

All variants are asked the same suite through the same stock server, in lane `server`. Tools of the
model's training and others are told apart. A drop counts if exact McNemar on the cases of both says
so, Holm-adjusted over all variants and both parts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from evals.bench.suite import PARTS, PROFILE, RATES, Run, markdown, rate_text, run_suite
from evals.disk import replace_file
from evals.judging.scoring import Rate, holm, mcnemar, score
from evals.lanes.tokens import load_tokenizer
from evals.models.build import GROUP_SIZE
from evals.models.preflight import preflight
from evals.report.comparison import LEVEL, compare
from evals.report.plots import Interval, rate_series, standalone
from evals.results import Record
from evals.running.profile import build_default

WIDTHS = ("fp16", "8-bit", "6-bit", "5-bit", "mixed-4-6", "4-bit", "mixed-3-6", "3-bit")


@dataclass(frozen=True)
class Part:
    """What the suite says of a quantisation, on tools of the model's training or on others."""

    tools: str
    rates: Mapping[str, Rate]
    regressed: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    p_value: float | None = None
    """Against the first variant, adjusted; None for the first itself."""

    @property
    def is_worse(self) -> bool:
        """Whether it breaks more cases than it mends, and not by chance at the 5% level."""
        broke = len(self.regressed) > len(self.fixed)
        return broke and self.p_value is not None and self.p_value < LEVEL


@dataclass(frozen=True)
class Variant:
    """One quantisation of the weights and what the suite says of it.

    `size` is in bytes, of the weight files. `faults` are those of the call tags' rows.
    """

    name: str
    size: int
    bits_per_weight: float
    faults: tuple[str, ...]
    parts: tuple[Part, ...]


def sweep(
    cache: Path,
    folder: Path,
    widths: Sequence[str],
    options: Sequence[str],
    say: Callable[[str], None] = print,
) -> list[Variant]:
    """Build, serve and ask each of `widths`; the first is what the others are compared with.

    `options` are those of `evals run`. Writes `sweep.md`, `sweep.json` and a picture of each part
    into `folder`, where each run has a folder, too.

    Raises:
        ModelError: a variant cannot be built.
        HarnessError: a run did not come to its end.
    """
    runs, built = [], []
    for width in widths:
        model = build_default(cache, say, quantization=width)
        built.append(_stored(model))
        runs.append(run_suite(model, folder / model.name, ["--lanes", "server", *options], say))
    weights = _bytes(_stored(build_default(cache, say, quantization="fp16"))) / 2
    variants = _variants(widths, built, runs, weights)
    replace_file(folder / "sweep.json", _as_json(variants))
    replace_file(folder / "sweep.md", table(variants))
    for name, svg in pictures(variants).items():
        replace_file(folder / name, standalone(svg))
    return variants


def _stored(model: Path) -> Path:
    """The quantised folder; on a CPU its float32 copy is what is served."""
    return model.with_name(model.name.removesuffix("-float32"))


def _bytes(model: Path) -> int:
    return sum(file.stat().st_size for file in model.glob("*.safetensors"))


def _variants(
    widths: Sequence[str], built: Sequence[Path], runs: Sequence[Run], weights: float
) -> list[Variant]:
    return [
        Variant(
            name=width,
            size=_bytes(model),
            bits_per_weight=_bytes(model) * 8 / weights,
            faults=tuple(preflight(model, load_tokenizer(model))),
            parts=parts,
        )
        for width, model, parts in zip(widths, built, compared(runs), strict=True)
    ]


def compared(runs: Sequence[Run]) -> list[tuple[Part, ...]]:
    """The parts of each run; those of the first are what the others' are compared with."""
    first, *others = ([_part(runs[0], run, *part) for part in run.parts().items()] for run in runs)
    flips = [mcnemar(len(p.fixed), len(p.regressed)) for parts in others for p in parts]
    adjusted = iter(holm(flips))
    told = [tuple(replace(part, p_value=next(adjusted)) for part in parts) for parts in others]
    return [tuple(first), *told]


def _part(first: Run, run: Run, tools: str, records: Sequence[Record]) -> Part:
    cases = {record.case.node for record in records}
    profiles = compare(first.summary, run.summary).profiles
    change = next(profile for profile in profiles if profile.name == PROFILE)
    return Part(
        tools,
        score(records).rates,
        regressed=tuple(case for case in change.newly_failing if case in cases),
        fixed=tuple(case for case in change.fixed if case in cases),
    )


def table(variants: Sequence[Variant]) -> str:
    """The variants as a Markdown table, with 95% intervals and the comparison with the first."""
    first = variants[0].name
    head = ["quantisation", "MB", "bits/weight", "call tags", "tools"]
    head += ["cases", *RATES.values(), f"vs {first}"]
    rows = [head, ["---", "--:", "--:", "---", "---", "--:", *["---"] * (len(RATES) + 1)]]
    for variant in variants:
        start = [
            variant.name,
            f"{variant.size / 1e6:.0f}",
            f"{variant.bits_per_weight:.2f}",
            "; ".join(variant.faults) or "nearest to themselves",
        ]
        for part in variant.parts:
            rates = [rate_text(part.rates[name]) for name in RATES]
            rows.append(
                [*start, PARTS[part.tools], str(part.rates["case"].n), *rates, _verdict(part)]
            )
            start = [""] * len(start)
    note = (
        f"Lane server; 95% Wilson intervals; groups of {GROUP_SIZE} weights. Regressed and fixed "
        "cases against the first quantisation: exact McNemar, Holm-adjusted over all."
    )
    return markdown(rows, note)


def _verdict(part: Part) -> str:
    if part.p_value is None:
        return ""
    how = "**worse**" if part.is_worse else "no significant change"
    regressed, fixed = len(part.regressed), len(part.fixed)
    return f"{how}: {regressed} regressed, {fixed} fixed, p = {part.p_value:.2g}"


def pictures(variants: Sequence[Variant]) -> dict[str, str]:
    """The four rates of each part with their intervals by quantisation, as SVG by file name."""
    return {
        f"sweep-{part.tools}.svg": _picture(variants, place)
        for place, part in enumerate(variants[0].parts)
    }


def _picture(variants: Sequence[Variant], place: int) -> str:
    series = [
        (
            title,
            [
                Interval(v.name, rate.value, rate.low, rate.high, rate.n)
                for v in variants
                for rate in [v.parts[place].rates[name]]
            ],
        )
        for name, title in RATES.items()
    ]
    return rate_series(f"Rates by quantisation, {PARTS[variants[0].parts[place].tools]}", series)


def _as_json(variants: Sequence[Variant]) -> str:
    rows = [{**asdict(v), "bits_per_weight": round(v.bits_per_weight, 3)} for v in variants]
    return json.dumps({"schema": 2, "variants": rows}, indent=2) + "\n"
