"""The pages themselves."""

from collections.abc import Callable, Iterator, Mapping, Sequence

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
from evals.formats.reading import FORMATS
from evals.judging import matching
from evals.loading import casefile
from evals.reference.commands import command_line
from evals.reference.rooms import rooms
from evals.reference.tables import attribute_docs, doc, listed, members, model_keys, table
from evals.replay.build import templates
from evals.report import summary
from evals.results import Kind, Layer, Status, Verdict

_HEAD = "<!-- Written by `python -m evals.reference` from the code; change it there. -->\n\n"


BLAMED: Mapping[Kind, Sequence[Layer]] = {
    Kind.WRONG_TOOL: (Layer.MODEL, Layer.UNKNOWN),
    Kind.MISSING_CALL: (Layer.MODEL, Layer.UNKNOWN),
    Kind.SPURIOUS_CALL: (Layer.MODEL, Layer.UNKNOWN),
    Kind.WRONG_VALUE: (Layer.MODEL, Layer.UNKNOWN),
    Kind.WRONG_TYPE: (Layer.MODEL, Layer.UNKNOWN),
    Kind.SCHEMA: (Layer.MODEL, Layer.UNKNOWN),
    Kind.WRONG_ANSWER: (Layer.MODEL, Layer.UNKNOWN),
    Kind.MALFORMED_CALL: (Layer.MODEL,),
    Kind.TRUNCATED: (Layer.MODEL,),
    Kind.FORMAT_MISMATCH: (Layer.MODEL,),
    Kind.CORRUPT_NAME: (Layer.PARSER, Layer.CLIENT, Layer.UNKNOWN),
    Kind.INVALID_ARGUMENTS: (Layer.PARSER, Layer.CLIENT),
    Kind.CHANGED_ARGUMENTS: (Layer.PARSER, Layer.CLIENT),
    Kind.LEAKED_MARKUP: (Layer.PARSER, Layer.UNKNOWN),
    Kind.LOST_CALL: (Layer.PARSER, Layer.CLIENT, Layer.UNKNOWN),
    Kind.INVENTED_CALL: (Layer.PARSER, Layer.CLIENT),
    Kind.CHANGED_CONTENT: (Layer.SERVER, Layer.CLIENT),
    Kind.FINISH_REASON: (Layer.SERVER,),
    Kind.STREAM_MISMATCH: (Layer.SERVER,),
    Kind.PROMPT_DRIFT: (Layer.TEMPLATE,),
    Kind.TOOL_CHOICE_IGNORED: (Layer.SERVER,),
    Kind.SERVER_ERROR: (Layer.SERVER,),
    Kind.HARNESS_ERROR: (Layer.HARNESS,),
}
"""The layers that `evals.judging.diagnosis` can blame for each kind, the usual one first."""


def pages() -> dict[str, str]:
    """The pages by file name."""
    makers: Mapping[str, Callable[[], Iterator[str]]] = {
        "case-format.md": _case_format,
        "configuration.md": _configuration,
        "command-line.md": command_line,
        "verdicts.md": _verdicts,
        "summary.md": _summary,
        "rooms.md": rooms,
    }
    return {name: _HEAD + "\n".join(make()) + "\n" for name, make in makers.items()}


def _case_format() -> Iterator[str]:
    yield from _title("Case format", casefile)
    yield "A name has lower-case letters, digits and dashes. Dates stay text, and a key may stand"
    yield "once. Editors complete the keys with `cases/schema.json`."
    real = {name: field.default for name, field in Case.model_fields.items()}
    yield from model_keys(casefile.CaseFile)
    yield from model_keys(casefile.CaseEntry, leave=casefile.CaseSettings.model_fields)
    yield "\nA case may also have every key of [CaseSettings](#casesettings)."
    yield from model_keys(casefile.CaseSettings, defaults=real)
    for model in (Tool, Expect, ExpectedCall, ExpectedAnswer, KnownDefect, ReplayScript):
        yield from model_keys(model)
    yield "\n## Arguments\n"
    yield doc(matching)


def _configuration() -> Iterator[str]:
    yield from _title("Configuration", config)
    yield "`$EVALS_CACHE` is the folder where models and downloads are kept; without it"
    yield "`$XDG_CACHE_HOME/toolcall-evals` or `~/.cache/toolcall-evals`."
    for model in (config.Config, config.Target, config.Profile, config.Gate, config.Thresholds):
        yield from model_keys(model)
    yield "\n## Formats of calls\n"
    yield f"A profile's `call_format` is one of {listed(FORMATS)}. What each looks like is in the"
    yield "cases of `cases/regressions/`."
    yield "\n## Templates of the replay model\n"
    yield f"A replay target's `template` is one of {listed(templates())}."


def _verdicts() -> Iterator[str]:
    yield "# Verdicts\n"
    yield "A failed check has a kind, which says what is wrong, and a layer, which says whose fault"
    yield "it is. [Explanation](../explanation.md) tells how the two are found."
    yield "\n## Kinds\n"
    rows = [(*row, _blame(kind)) for kind, row in zip(Kind, members(Kind), strict=True)]
    yield from table(["kind", "what is wrong", "layer: counts as"], rows)
    yield "\nA record that is a violation for one check and a miss for another counts as both."
    yield "`summary.json` counts `wrong_value`, `wrong_type` and `schema` together, as"
    yield "`wrong_arguments`. `server_error` and `harness_error` are errors, no misses."
    yield "\n## Layers\n"
    yield from table(["layer", "meaning"], members(Layer))
    yield "\n## Statuses\n"
    yield from table(["status", "meaning"], members(Status))


def _summary() -> Iterator[str]:
    yield from _title("summary.json", summary)
    yield "\n## records.jsonl\n"
    yield "One line for each case, lane, profile and repeat, in the order of the keys. The records"
    yield "are the truth: every figure and every report is a view of them."
    for value in (results.Record, observation.Observation, results.Verdict, results.Scores):
        yield f"\n### {value.__name__}\n"
        yield doc(value)
        yield f"\nKeys: {listed(value.__annotations__)}.\n"
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
    if verdict.kind in (Kind.SERVER_ERROR, Kind.HARNESS_ERROR):
        return "error"
    return "violation" if verdict.is_violation else "miss"
