"""Scorecards: what each model on each engine made of the suite, several runs side by side.

One entry for each profile of each run. Figures of different suites or graders do not mean the same;
they stand beside one another with a note that says so.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from markupsafe import Markup

from evals.judging.scoring import RATES, Rate
from evals.report.summary import ProfileServed, Summary
from evals.report.text import TRAINING

SCHEMA = 1
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 24px auto; max-width: 1200px; padding: 0 14px }
table { border-collapse: collapse; width: 100% } .scroll { overflow-x: auto }
th, td { text-align: left; vertical-align: top; padding: 5px 12px 5px 0 }
tr { border-bottom: 1px solid GrayText }
"""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One model on one engine."""

    run: str
    started: str
    profile: str
    gate: str
    model: str
    engine: str
    answers: int
    rates: Mapping[str, Rate]
    by_training: Mapping[str, Rate]
    """The rate of whole cases on tools of the training, and on others, where that is known."""
    violations: int
    errors: int
    known: int
    suite: str
    graders: str
    versions: Mapping[str, str]
    machine: Mapping[str, object]
    repeat_it: str
    """The command that asks the same."""


def cards(runs: Sequence[Summary]) -> list[Card]:
    """An entry for each profile of each run, in their order."""
    return [_card(run, name) for run in runs for name in run.profiles]


def _card(summary: Summary, name: str) -> Card:
    figures, print_of = summary.profiles[name], summary.fingerprint
    served = print_of.profiles.get(name, ProfileServed())
    bits = f", {served.quantization}" if served.quantization else ""
    machine = {key: value for key, value in asdict(print_of.machine).items() if value is not None}
    return Card(
        run=summary.run.id,
        started=summary.run.started,
        profile=name,
        gate=summary.gate_text,
        model=f"{served.model or 'unknown'}{bits}",
        engine=f"{served.engine or 'unknown'} {served.engine_version or ''}".strip(),
        answers=figures.scored,
        rates=figures.rates,
        by_training={TRAINING[part]: of.rates["case"] for part, of in figures.tools.items()},
        violations=figures.violation_count,
        errors=figures.errors,
        known=figures.known,
        suite=print_of.suite or "unknown",
        graders=print_of.graders or "unknown",
        versions=print_of.versions,
        machine=machine,
        repeat_it=_command(summary, name),
    )


def _command(summary: Summary, profile: str) -> str:
    asked = summary.run.asked
    words = ["evals", "run", "--profiles", profile]
    if asked.lanes:
        words += ["--lanes", ",".join(asked.lanes)]
    for option in ("repeat", "temperature", "max_tokens"):
        if (value := getattr(asked, option)) is not None:
            words += [f"--{option.replace('_', '-')}", str(value)]
    if summary.run.tier != "full":
        words += ["--tier", summary.run.tier]
    return shlex.join(words)


def notes(found: Sequence[Card]) -> list[str]:
    """Why figures may not be held against one another."""
    differing = [
        what for what in ("suite", "graders") if len({getattr(card, what) for card in found}) > 1
    ]
    return [f"The runs differ in {what}: their figures do not mean the same." for what in differing]


def as_json(found: Sequence[Card]) -> dict[str, object]:
    """The cards as plain values, for other programs."""
    return {"schema": SCHEMA, "notes": notes(found), "cards": [asdict(card) for card in found]}


def badge(card: Card) -> dict[str, object]:
    """The card for shields.io's endpoint badge: whole cases right, with their interval."""
    rate = card.rates["case"]
    colours = {"passed": "brightgreen", "FAILED": "red"}
    message = rate_text(rate) if rate.value is not None else "no case scored"
    return {
        "schemaVersion": 1,
        "label": "tool calling",
        "message": message,
        "color": colours.get(card.gate, "lightgrey"),
    }


def badge_name(card: Card) -> str:
    """The badge's file name: its run's and profile's, of letters that every system has."""
    return f"badge-{re.sub(r'[^a-z0-9.-]+', '-', f'{card.run}-{card.profile}'.lower())}.json"


def rate_text(rate: Rate) -> str:
    """`0.812 [0.760, 0.855] n=258`."""
    if rate.value is None:
        return "–"
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}] n={rate.n}"


def page(found: Sequence[Card]) -> str:
    """The cards as one HTML page, a column each, without a script or anything from elsewhere."""
    head = ("run", "profile", "gate", "model", "engine")
    rows = [(name, [str(getattr(card, name)) for card in found]) for name in head]
    for rate in RATES:
        rows.append((rate.replace("_", " "), [rate_text(card.rates[rate]) for card in found]))
    for part in TRAINING.values():
        if any(part in card.by_training for card in found):
            texts = [
                rate_text(of) if (of := card.by_training.get(part)) else "unknown" for card in found
            ]
            rows.append((f"case, {part}", texts))
    for name in ("answers", "violations", "errors", "known"):
        rows.append((name, [str(getattr(card, name)) for card in found]))
    for name in ("suite", "graders"):
        rows.append((name, [getattr(card, name) for card in found]))
    for name in ("versions", "machine"):
        texts = [", ".join(f"{k} {v}" for k, v in getattr(card, name).items()) for card in found]
        rows.append((name, texts))
    rows.append(("repeat it", [card.repeat_it for card in found]))
    body = Markup("").join(
        Markup("<tr><th scope=row>{}</th>{}</tr>\n").format(
            name, Markup("").join(Markup("<td>{}</td>").format(text) for text in texts)
        )
        for name, texts in rows
    )
    said = Markup("").join(Markup("<p>{}</p>").format(note) for note in notes(found))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Tool calling: scorecard</title><style>{_STYLE}</style></head>\n<body><main>"
        f"<h1>Tool calling: scorecard</h1>{said}"
        "<p>Rates are shares of cases with their 95% Wilson intervals; known defects are in none."
        '</p><div class="scroll" tabindex="0" role="group" aria-label="scorecard"><table>\n'
        f"{body}</table></div></main></body></html>\n"
    )
