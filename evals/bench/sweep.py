"""The same fused weights at every quantisation: how small before calls break.

All variants are asked the same suite through the same stock server, in lane `server`. A drop counts
if exact McNemar on the cases of both says so, Holm-adjusted over all variants.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evals.bench.suite import PROFILE, RATES, Run, markdown, rate_text, run_suite
from evals.disk import replace_file
from evals.judging.scoring import Rate, holm
from evals.lanes.tokens import load_tokenizer
from evals.models.build import GROUP_SIZE
from evals.models.preflight import preflight
from evals.report.comparison import LEVEL, ProfileChange, compare
from evals.report.plots import Interval, rate_series, standalone
from evals.running.profile import build_default

WIDTHS = ("fp16", "8-bit", "6-bit", "5-bit", "mixed-4-6", "4-bit", "mixed-3-6", "3-bit")


@dataclass(frozen=True)
class Variant:
    """One quantisation of the weights and what the suite says of it.

    `size` is in bytes, of the weight files. `faults` are those of the call tags' rows.
    """

    name: str
    size: int
    bits_per_weight: float
    rates: Mapping[str, Rate]
    faults: tuple[str, ...]
    change: ProfileChange | None
    p_value: float | None
    """Against the first variant, adjusted; None for the first itself."""

    @property
    def is_worse(self) -> bool:
        """Whether it breaks more cases than it mends, and not by chance at the 5% level."""
        change, p = self.change, self.p_value
        broke = change is not None and len(change.newly_failing) > len(change.fixed)
        return broke and p is not None and p < LEVEL


def sweep(
    cache: Path,
    folder: Path,
    widths: Sequence[str],
    options: Sequence[str],
    say: Callable[[str], None] = print,
) -> list[Variant]:
    """Build, serve and ask each of `widths`; the first is what the others are compared with.

    `options` are those of `evals run`. Writes `sweep.md`, `sweep.svg` and `sweep.json` into
    `folder`, where each run has a folder, too.

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
    replace_file(folder / "sweep.svg", standalone(picture(variants)))
    return variants


def _stored(model: Path) -> Path:
    """The quantised folder; on a CPU its float32 copy is what is served."""
    return model.with_name(model.name.removesuffix("-float32"))


def _bytes(model: Path) -> int:
    return sum(file.stat().st_size for file in model.glob("*.safetensors"))


def _variants(
    widths: Sequence[str], built: Sequence[Path], runs: Sequence[Run], weights: float
) -> list[Variant]:
    changes = [_change(runs[0], run) for run in runs[1:]]
    p_values = holm([change.p_value for change in changes])
    return [
        Variant(
            name=width,
            size=_bytes(model),
            bits_per_weight=_bytes(model) * 8 / weights,
            rates=run.rates(),
            faults=tuple(preflight(model, load_tokenizer(model))),
            change=change,
            p_value=p_value,
        )
        for width, model, run, change, p_value in zip(
            widths, built, runs, [None, *changes], [None, *p_values], strict=True
        )
    ]


def _change(first: Run, run: Run) -> ProfileChange:
    compared = compare(first.summary, run.summary)
    return next(profile for profile in compared.profiles if profile.name == PROFILE)


def table(variants: Sequence[Variant]) -> str:
    """The variants as a Markdown table, with 95% intervals and the comparison with the first."""
    first = variants[0]
    head = ["quantisation", "MB", "bits/weight", *RATES.values(), "call tags", f"vs {first.name}"]
    rows = [head, ["---", "--:", "--:", *["---"] * (len(RATES) + 2)]]
    for variant in variants:
        rows.append(
            [
                variant.name,
                f"{variant.size / 1e6:.0f}",
                f"{variant.bits_per_weight:.2f}",
                *(rate_text(variant.rates[name]) for name in RATES),
                "; ".join(variant.faults) or "nearest to themselves",
                _verdict(variant),
            ]
        )
    n = first.rates["case"].n
    note = (
        f"{n} cases, lane server; 95% Wilson intervals; groups of {GROUP_SIZE} weights. "
        "Regressed and fixed cases against the first row: exact McNemar, Holm-adjusted."
    )
    return markdown(rows, note)


def _verdict(variant: Variant) -> str:
    if variant.change is None or variant.p_value is None:
        return ""
    regressed, fixed = len(variant.change.newly_failing), len(variant.change.fixed)
    how = "**worse**" if variant.is_worse else "no significant change"
    return f"{how}: {regressed} regressed, {fixed} fixed, p = {variant.p_value:.2g}"


def picture(variants: Sequence[Variant]) -> str:
    """The four rates with their intervals by quantisation, as SVG."""
    series = [
        (
            title,
            [
                Interval(v.name, rate.value, rate.low, rate.high, rate.n)
                for v in variants
                for rate in [v.rates[name]]
            ],
        )
        for name, title in RATES.items()
    ]
    return rate_series("Rates by quantisation", series)


def _as_json(variants: Sequence[Variant]) -> str:
    rows = [
        {
            "name": v.name,
            "bytes": v.size,
            "bits_per_weight": round(v.bits_per_weight, 3),
            "rates": {name: asdict(rate) for name, rate in v.rates.items()},
            "faults": v.faults,
            "regressed": v.change and list(v.change.newly_failing),
            "fixed": v.change and list(v.change.fixed),
            "p_value": v.p_value,
        }
        for v in variants
    ]
    return json.dumps({"schema": 1, "variants": rows}, indent=2) + "\n"
