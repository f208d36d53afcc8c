"""The pages themselves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from evals import config, observation, results
from evals.case import (
    Case,
    Expect,
    ExpectedAnswer,
    ExpectedCall,
    KnownDefect,
    ReplayScript,
    Tool,
)
from evals.described import attribute_docs
from evals.expect import Alternative
from evals.formats import registry as formats
from evals.judging import matchers, matching, registry
from evals.judging.scoring import Rate
from evals.loading import casefile, entries
from evals.parsers.constraint import GrammarCounts
from evals.parsers.names import parser_names
from evals.reference.commands import command_line
from evals.reference.engines import engines
from evals.reference.rooms import rooms
from evals.reference.tables import (
    doc,
    listed,
    members,
    model_keys,
    table,
    value_keys,
)
from evals.replay.build import templates
from evals.report import latency, summary
from evals.report.writers import WRITERS
from evals.results import KNOWN_DEFECT, RECORDS, Kind, Layer, Status, Verdict

_HEAD = "<!-- Written by `python -m evals.reference` from the code; change it there. -->\n\n"


BLAMED: Mapping[Kind, Sequence[Layer]] = {
    Kind.WRONG_TOOL: (Layer.MODEL, Layer.UNKNOWN),
    Kind.MISSING_CALL: (Layer.MODEL, Layer.UNKNOWN),
    Kind.SPURIOUS_CALL: (Layer.MODEL, Layer.UNKNOWN),
    Kind.FORBIDDEN_CALL: (Layer.MODEL, Layer.UNKNOWN),
    Kind.WRONG_VALUE: (Layer.MODEL, Layer.UNKNOWN),
    Kind.WRONG_TYPE: (Layer.MODEL, Layer.UNKNOWN),
    Kind.SCHEMA: (Layer.MODEL, Layer.UNKNOWN),
    Kind.WRONG_ANSWER: (Layer.MODEL, Layer.UNKNOWN),
    Kind.MALFORMED_CALL: (Layer.MODEL,),
    Kind.TRUNCATED: (Layer.MODEL,),
    Kind.FORMAT_MISMATCH: (Layer.MODEL,),
    Kind.CORRUPT_NAME: (Layer.PARSER, Layer.SERVER, Layer.CLIENT, Layer.UNKNOWN),
    Kind.INVALID_ARGUMENTS: (Layer.PARSER, Layer.CLIENT),
    Kind.CHANGED_ARGUMENTS: (Layer.PARSER, Layer.CLIENT),
    Kind.LEAKED_MARKUP: (Layer.PARSER, Layer.SERVER, Layer.UNKNOWN),
    Kind.LOST_CALL: (Layer.PARSER, Layer.SERVER, Layer.CLIENT, Layer.UNKNOWN),
    Kind.INVENTED_CALL: (Layer.PARSER, Layer.CLIENT),
    Kind.CHANGED_CONTENT: (Layer.SERVER, Layer.CLIENT),
    Kind.FINISH_REASON: (Layer.SERVER,),
    Kind.STREAM_MISMATCH: (Layer.SERVER,),
    Kind.ANOTHER_ORDER: (Layer.MODEL, Layer.PARSER, Layer.CLIENT, Layer.UNKNOWN),
    Kind.API_CONTRACT: (Layer.SERVER,),
    Kind.USAGE: (Layer.SERVER,),
    Kind.PROMPT_DRIFT: (Layer.TEMPLATE,),
    Kind.TOOLS_NOT_IN_PROMPT: (Layer.TEMPLATE,),
    Kind.TEMPLATE_ERROR: (Layer.TEMPLATE,),
    Kind.TOOL_CHOICE_IGNORED: (Layer.SERVER,),
    Kind.REQUEST_IGNORED: (Layer.SERVER,),
    Kind.STOPPED: (Layer.HARNESS,),
    Kind.SERVER_ERROR: (Layer.SERVER,),
    Kind.HARNESS_ERROR: (Layer.HARNESS,),
}
"""The layers that `evals.judging.diagnosis` can blame for each kind, the usual one first."""


_SUMMARY: Sequence[type] = (
    summary.Summary,
    summary.RunInfo,
    summary.Asked,
    summary.ShardPart,
    summary.ServerDeath,
    summary.GateOutcome,
    summary.Fingerprint,
    summary.Machine,
    summary.ProfileServed,
    summary.ProfileFigures,
    summary.LaneFigures,
    Rate,
    summary.PromptTokens,
    latency.LaneLatency,
    latency.Spread,
    latency.Bounded,
    summary.RepeatFigures,
    GrammarCounts,
    summary.Baseline,
    summary.BaselineRun,
    summary.BaselineFigures,
)
"""The values of summaries and baselines, outermost first."""


def pages() -> dict[str, str]:
    """The pages by file name."""
    makers: Mapping[str, Callable[[], Iterator[str]]] = {
        "case-format.md": _case_format,
        "configuration.md": _configuration,
        "command-line.md": command_line,
        "engines.md": engines,
        "verdicts.md": _verdicts,
        "summary.md": _summary,
        "rooms.md": rooms,
    }
    return {name: _HEAD + "\n".join(make()) + "\n" for name, make in makers.items()}


def _case_format() -> Iterator[str]:
    yield from _title("Case format", casefile)
    yield "A name has lower-case letters, digits, `-` and `_`. Dates stay text, and a key may stand"
    yield "once. Editors complete the keys with `cases/schema.json`."
    real = {name: field.default for name, field in Case.model_fields.items()}
    yield from model_keys(entries.CaseFile)
    yield from model_keys(entries.CaseEntry, leave=entries.CaseSettings.model_fields)
    yield "\nA case may also have every key of [CaseSettings](#casesettings)."
    yield from model_keys(entries.CaseSettings, defaults=real)
    for model in (
        Tool,
        Expect,
        ExpectedCall,
        ExpectedAnswer,
        Alternative,
        KnownDefect,
        ReplayScript,
    ):
        yield from model_keys(model)
    yield "\n## Arguments\n"
    yield doc(matching)
    yield "\n## Matchers\n"
    rows = [(f"`{matcher.form}`", matcher.doc) for matcher in matchers.MATCHERS]
    yield from table(["matcher", "what it accepts"], rows)


def _configuration() -> Iterator[str]:
    yield from _title("Configuration", config)
    yield "`$EVALS_CACHE` is the folder where models and downloads are kept; without it"
    yield "`$XDG_CACHE_HOME/toolcall-evals` or `~/.cache/toolcall-evals`."
    for model in (
        *(config.Config, config.Target, config.Launch, config.Replicas),
        *(config.Profile, config.Gate, config.Thresholds),
    ):
        yield from model_keys(model)
    yield "\n## Formats of calls\n"
    yield "A profile's `call_format` is one of these. More of each is in `cases/regressions/`.\n"
    rows = [(f"`{f.name}`", f.doc, listed(f.parsers)) for f in formats.FORMATS]
    yield from table(["call_format", "what it looks like", "parsers of mlx_lm"], rows)
    yield "\n## Templates of the replay model\n"
    yield f"A replay target's `template` is one of {listed(templates())}."
    yield "\n## Tool parsers\n"
    yield f"A profile's `parser` is one of {listed(parser_names())}."


def _verdicts() -> Iterator[str]:
    yield "# Verdicts\n"
    yield "A failed check has a kind, which says what is wrong, and a layer, which says whose fault"
    yield "it is. [Explanation](../explanation.md) tells how the two are found."
    yield "\n## Kinds\n"
    rows = [(*row, _blame(kind)) for kind, row in zip(Kind, members(Kind), strict=True)]
    yield from table(["kind", "what is wrong", "layer: counts as"], rows)
    yield "\nA record that is a violation for one check and a miss for another counts as both."
    yield "`summary.json` counts `wrong_value`, `wrong_type` and `schema` together, as"
    yield "`wrong_arguments`. `template_error`, `server_error` and `harness_error` are errors, no"
    yield "misses."
    yield "\n## Checks\n"
    yield "In the order of a record's verdicts. A check that does not apply gives no verdict. The"
    yield "rate `case` needs each check of the answer to pass; those of the serving do not count.\n"
    rows = [(f"`{c.name}`", c.doc, "answer" if c.counts else "serving") for c in registry.CHECKS]
    yield from table(["check", "passes where", "is of the"], rows)
    yield f"\n`{KNOWN_DEFECT}` says that a known defect no longer fails."
    yield "\n## Layers\n"
    yield from table(["layer", "meaning"], members(Layer))
    yield "\n## Statuses\n"
    yield from table(["status", "meaning"], members(Status))


def _summary() -> Iterator[str]:
    yield from _title("summary.json", summary)
    yield f"The schema's number is {summary.SCHEMA}."
    for value in _SUMMARY:
        yield from value_keys(value)
    yield "\n## Status\n"
    yield from table(["status", "meaning"], members(Status))
    yield "\n## What a run leaves\n"
    yield f"`{RECORDS}` is the truth; these are views of it. A run that was asked, one merged from"
    yield "shards and one judged again leave all of them."
    yield ""
    yield from table(["file", "content"], [(f"`{w.name}`", w.doc) for w in WRITERS])
    yield "\n## records.jsonl\n"
    yield "One line for each case, lane, profile and repeat, in the order of the keys. The records"
    yield "are the truth: every figure and every report is a view of them."
    values: Sequence[type[Any]] = (
        results.Record,
        observation.Traits,
        observation.Observation,
        results.Verdict,
        results.Scores,
    )
    for value in values:
        yield f"\n### {value.__name__}\n"
        yield doc(value)
        yield f"\nKeys: {listed(field.name for field in fields(value))}.\n"
        yield from (f"* `{name}`: {text}" for name, text in attribute_docs(value).items())


def _title(title: str, module: object) -> Iterator[str]:
    yield f"# {title}\n"
    yield doc(module)
    yield ""


def _blame(kind: Kind) -> str:
    """The layers of a kind, with what a failure of each counts as."""
    layers: dict[str, list[str]] = {}
    for layer in BLAMED[kind]:
        layers.setdefault(_counted(Verdict("", False, kind=kind, layer=layer)), []).append(layer)
    return "; ".join(
        ", ".join(f"`{layer}`" for layer in group) + (f": {counted}" if counted else "")
        for counted, group in layers.items()
    )


def _counted(verdict: Verdict) -> str:
    if verdict.kind in (Kind.TEMPLATE_ERROR, Kind.SERVER_ERROR, Kind.HARNESS_ERROR):
        return "error"
    return "violation" if verdict.is_violation else "miss"
