"""Texts for an upstream tracker: a defect with a reproduction that needs that server alone.

The model is the computed one, which copies its answer out of the prompt: plain Qwen2 weights of
some megabytes, no code. What it writes is in the request, so one curl line is the whole case.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.config import Config, Target
from evals.engines.engine import Engine
from evals.engines.registry import MLX_LM, engine_named
from evals.errors import ConfigError
from evals.lanes.server import read_response
from evals.lanes.stream import accumulate
from evals.observation import Event, Observation
from evals.replay.layout import LayoutError, lay
from evals.report.findings_data import Finding
from evals.report.summary import Fingerprint
from evals.report.text import expected_text
from evals.request import MODEL, as_curl, build_request
from evals.results import Record
from evals.running.targets import copy_model, player

PORT = 8080
URL = f"http://127.0.0.1:{PORT}/v1"
_DISTANCES = (256, 512, 1024, 2048)
_ANYTHING = '{"$ignore": true}'
_PACKAGES = ("mlx-lm", "mlx", "transformers")
"""What else of this environment matters to the stock server."""


def upstream_text(
    finding: Finding, record: Record, config: Config, cache: Path, made_of: Fingerprint
) -> str:
    """The text: a title in the first line, and the body. `made_of` is that of the run.

    Raises:
        ConfigError: the script is too long to be copied.
    """
    return "\n".join(_lines(finding, record, config, cache, made_of))


def _lines(
    finding: Finding, record: Record, config: Config, cache: Path, made_of: Fingerprint
) -> Iterator[str]:
    engine, target = engine_named(finding.engine), config.target(record.profile)
    distance, body = _laid(record, target, engine, cache)
    written = record.case.replay.text if record.case.replay else None
    yield f"# {finding.reason[:1].upper()}{finding.reason[1:]}\n"
    if finding.hurts:
        yield f"Who is hurt: {' '.join(finding.hurts.split())}.\n"
    yield "## Environment\n"
    versions, machine = made_of.versions, made_of.machine
    yield (
        f"{', '.join(_environment(finding, engine, versions))}, Python {machine.python} on "
        f"{machine.system} {machine.arch}."
    )
    if finding.since:
        oldest = ", the oldest release that was tried" if finding.since_is_oldest else ""
        yield f"First release with it: {finding.package} {finding.since}{oldest}."
    yield "\n## To reproduce\n"
    yield (
        "The model has computed weights (a one-layer Qwen2 of about 5 MB, no training, no code) "
        "and copies its\nanswer out of the prompt. What it writes, to the letter:\n"
    )
    yield _block(written or record.model_text or "", "text")
    if changed := next((v.reason for v in record.verdicts if v.check == "script"), ""):
        yield f"The token ids in the response say that {changed}.\n"
    yield "`evals model copying` builds it and prints its path:\n"
    yield _block(f"pip install {_packages(finding, engine, versions)}", "console")
    gguf = " --gguf" if engine.loads == "gguf" else ""
    model = f"evals model copying --template {target.template} --distance {distance}{gguf}"
    yield _block(engine.shell(f'"$({model})"', PORT, tuple(target.arguments)), "sh")
    yield _block(as_curl(body, URL), "sh")
    yield "## Seen\n"
    yield _block(seen_text(said_of(record.observation)), "json")
    yield "## Expected\n"
    yield _block(expected_text(record).replace(_ANYTHING, "…"), "text")


def _environment(finding: Finding, engine: Engine, versions: Mapping[str, str]) -> Iterator[str]:
    if engine == MLX_LM:
        yield from (f"{name} {versions[name]}" for name in _PACKAGES if name in versions)
        return
    yield f"{engine.title} ({engine.pins[0].partition('==')[0]} {finding.seen_in})"


def _packages(finding: Finding, engine: Engine, versions: Mapping[str, str]) -> str:
    """What pip installs; the suite is only there to build the model."""
    if engine == MLX_LM:
        return f"'mlx-lm=={versions.get('mlx-lm', finding.seen_in)}' 'toolcall-evals[mlx]'"
    return f"'{engine.pins[0]}' 'toolcall-evals[mlx]'"


def _laid(
    record: Record, target: Target, engine: Engine, cache: Path
) -> tuple[int, Mapping[str, Any]]:
    """The request as it is sent, and the distance of the model that it is for.

    To the stock server the smallest model that can copy the script is given. Another engine's
    grammar may go on into the filler: then only the request that was sent shows the same.
    """
    if engine != MLX_LM:
        named = MODEL in engine.typed
        dropped = (*engine.evidence.body, *(() if named else ("model",)))
        kept = {key: value for key, value in record.request.items() if key not in dropped}
        return target.distance, {**kept, **({"model": MODEL} if named else {})}
    request = build_request(record.case, stream=record.traits.streamed)
    plain = {key: value for key, value in request.items() if key not in ("logprobs",)}
    for distance in _DISTANCES:
        model = copy_model(target.model_copy(update={"model": "copy", "distance": distance}))
        assert model is not None
        try:
            return distance, lay(plain, player(model, cache))
        except LayoutError:
            continue
    raise ConfigError(f"{record.case.node}: no model copies a script of that length")


def said_of(seen: Observation) -> dict[str, Any]:
    """What a client gets, without what changes from one time to the next."""
    if seen.error and not seen.calls and not seen.content:
        return {"error": seen.status or "no response"}
    return {
        "content": seen.content or None,
        "tool_calls": [{"name": call.name, "arguments": call.arguments} for call in seen.calls],
        "finish_reason": seen.finish_reason,
    }


def said_in(output: str) -> dict[str, Any]:
    """The same of what curl printed: a response, the events of a stream, an error, or nothing."""
    events = [line[6:] for line in output.split("\n") if line.startswith("data: {")]
    if events:
        return said_of(accumulate([Event(0.0, event) for event in events], ends=False))
    return said_of(read_response(output.encode(), 0.0))


def seen_text(said: Mapping[str, Any]) -> str:
    """The block of what was seen."""
    return json.dumps(said, ensure_ascii=False, indent=1)


def same(told: Mapping[str, Any], came: Mapping[str, Any]) -> bool:
    """Whether a text's own words hold: an error is one, whatever is said of it."""
    return ("error" in told) == ("error" in came) and ("error" in told or told == came)


def _block(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}\n"


def first_of(finding: Finding, records: Sequence[Record]) -> Record:
    """The record that shows it: one that the server is to blame for, then a plain one."""
    name = finding.id.partition("::")[2]
    mine = [r for r in records if r.case.id == name and r.profile == finding.profile]
    mine = [
        r for r in mine if r.lane in finding.lanes and finding.id.startswith(Path(r.case.path).stem)
    ]
    return min(mine, key=_of_the_model_or_streamed)


def _of_the_model_or_streamed(record: Record) -> tuple[bool, bool]:
    blamed = record.cause
    return not (blamed and blamed.is_violation), record.traits.streamed
