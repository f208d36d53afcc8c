"""`docs/findings.json`: the defects of engines as data, one for each text, for others to use.

Its schema is `docs/findings.schema.json`; both are written by `evals export findings`.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from evals.described import Described
from evals.engines.registry import MLX_LM
from evals.errors import ConfigError, unknown_name
from evals.report.history import Matrix
from evals.report.summarize import group
from evals.results import Record, Status

SCHEMA = 1


class Finding(Described):
    """A text of which an engine makes something else than what it says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    """`file::case`: the file is the section of docs/findings.md."""
    engine: str
    """The kind of server, as targets name it."""
    package: str
    """The package whose versions are meant."""
    seen_in: str
    """The version in which it was seen last."""
    versions: str | None = None
    """The versions that have it (PEP 440), as far as they were asked; null: none was."""
    since: str | None = None
    """The first version that was asked and has it without a break up to `seen_in`."""
    since_is_oldest: bool = False
    """Whether no older version was asked: it may be older than `since`."""
    call_format: str
    """The call format of the text."""
    profile: str
    """The profile that asks it."""
    lanes: list[str]
    """Where it shows: server (a plain response), stream."""
    kind: str
    """The kind of the verdict."""
    layer: str
    """Who is to blame: model, template, parser, server, client, harness or unknown."""
    reason: str
    """What is wrong, in a sentence."""
    hurts: str | None = None
    """Who is hurt by it, and how."""
    link: str | None = None
    """The public page that tells of it; null: none known."""
    command: str
    """The command that repeats it."""


class Findings(Described):
    """The file: every defect of every engine that was asked."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """1; it grows when a key changes its meaning."""
    asked: dict[str, str] = Field(default_factory=dict)
    """For each package whose releases were asked: the day on which."""
    findings: list[Finding]
    """By engine and id."""

    def to_json(self) -> str:
        """The file's text."""
        data = self.model_dump(mode="json", by_alias=True)
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def json_schema() -> str:
    """The JSON Schema of the file."""
    schema = Findings.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def findings_of(
    records: Iterable[Record], engine: str, package: str, version: str, history: Matrix | None
) -> list[Finding]:
    """The defects that `records` show, which are those of one engine in this version."""
    seen = [record for record in records if record.status == Status.KNOWN]
    texts = group(seen, lambda record: f"{record.case.node}[{record.profile}]")
    found = [_finding(mine, engine, package, version, history) for mine in texts.values()]
    return sorted(found, key=lambda finding: (finding.id, finding.profile))


def _finding(
    records: Sequence[Record], engine: str, package: str, version: str, history: Matrix | None
) -> Finding:
    first = records[0]
    case, defect, cause = first.case, first.known_defect, first.cause
    assert defect is not None
    assert cause is not None
    name, text = Path(case.path).stem, f"{case.node}[{first.profile}]"
    since = history.wrong_since(text, version) if history else None
    return Finding(
        id=f"{name}::{case.id}",
        engine=engine,
        package=package,
        seen_in=version,
        versions=f"{'' if since.is_oldest else f'>={since.version},'}<={version}"
        if since
        else None,
        since=since.version if since else None,
        since_is_oldest=bool(since and since.is_oldest),
        call_format=first.call_format,
        profile=first.profile,
        lanes=[record.lane for record in records],
        kind=str(cause.kind),
        layer=str(cause.layer),
        reason=defect.reason,
        hurts=defect.hurts,
        link=defect.link or (case.link if engine == MLX_LM.name else None),
        command=f'make eval PROFILES={first.profile} ARGS="-k {name} -v"',
    )


def read(path: Path) -> Findings:
    """The findings in a file; none where there is no file.

    Raises:
        ConfigError: it is no such file.
    """
    if not path.exists():
        return Findings(findings=[])
    try:
        return Findings.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ConfigError(f"{path}: {error.errors()[0]['msg']}; see its schema") from error


def merged(
    before: Findings, engine: str, found: Sequence[Finding], history: Matrix | None
) -> Findings:
    """The file with this engine's findings in place of those that it had."""
    others = [finding for finding in before.findings if finding.engine != engine]
    everything = sorted([*others, *found], key=lambda f: (f.engine, f.id, f.profile))
    asked = {**before.asked, **({history.package: history.asked} if history else {})}
    return Findings(asked=asked, findings=everything)


def unlinked(known: Findings, engine: str, name: str | None = None) -> dict[str, Finding]:
    """By the name of its section, the first of each without a public link; or that of `name`.

    Raises:
        ConfigError: there is no finding of this name.
    """
    mine = [finding for finding in known.findings if finding.engine == engine]
    linked = {f.id.partition("::")[0] for f in mine if f.link}
    named: dict[str, Finding] = {}
    for finding in sorted(mine, key=lambda f: "server" not in f.lanes):
        named.setdefault(finding.id.partition("::")[0], finding)
    if name is None:
        return {key: finding for key, finding in sorted(named.items()) if key not in linked}
    if name not in named:
        raise ConfigError(unknown_name("finding", name, sorted(named)))
    return {name: named[name]}
