"""A probe's findings with what they were made of, as text, JSON and configuration."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from evals.engines.attach import api_base, recognise
from evals.engines.engine import Engine
from evals.engines.evidence import NONE
from evals.engines.greeting import Wishes, greet
from evals.engines.server import Server
from evals.probing.finding import Finding, table_lines
from evals.probing.probe import CALLS, FORMAT, probe, version


@dataclass(frozen=True)
class Probed:
    """A server that was probed, and what was found."""

    server: Server
    wishes: Wishes
    api_key_env: str | None
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed; what cannot be told is no failure."""
        return all(finding.result != "fail" for finding in self.findings)

    def json_text(self) -> str:
        """Everything, as JSON."""
        content = {
            "url": self.server.url,
            "engine": self.server.engine,
            "model": self.server.dialect.model,
            "evidence": self.server.dialect.evidence.name,
            "findings": [asdict(finding) for finding in self.findings],
            "target": "\n".join(self.target_lines()),
        }
        return json.dumps(self.server.dialect.hide(content), indent=2, ensure_ascii=False) + "\n"

    def target_lines(self) -> Iterator[str]:
        """The target for evals.toml and a profile that asks it; the key's variable, never the key.

        What the server made a call of is the format that it parses.
        """
        host = re.sub(r"[^a-z0-9]+", "-", (urlsplit(self.server.url).hostname or "").lower())
        name = host.strip("-") or "server"
        dialect = self.server.dialect
        yield f"[targets.{name}]"
        yield f"url = {json.dumps(self.server.url)}"
        yield f"engine = {json.dumps(self.server.engine)}"
        if self.server.engine != "mlx_lm":
            yield f"served_name = {json.dumps(dialect.model)}"
        if self.api_key_env:
            yield f"api_key_env = {json.dumps(self.api_key_env)}"
        if dialect.evidence is NONE:
            yield "logprobs = false"
        if "stream_options" in dialect.omit:
            yield "stream_options = false"
        yield f"[profiles.{name}]"
        yield f"target = {json.dumps(name)}"
        passed = {finding.name: finding.said for finding in self.findings if finding.passed}
        if CALLS in passed and FORMAT in passed:
            yield f"call_format = {json.dumps(passed[FORMAT])}"

    def lines(self) -> Iterator[str]:
        """The table and the target."""
        yield from table_lines(self.server.dialect.hide(self.findings))
        yield ""
        yield from self.target_lines()


def probe_url(
    url: str,
    *,
    engine: Engine | None = None,
    wishes: Wishes | None = None,
    api_key_env: str | None = None,
    timeout: float = 20.0,
    say: Callable[[str], None] = print,
) -> Probed:
    """Ask the server at `url` what it does.

    Raises:
        ServerError: it cannot be reached, wants a key, or does not serve the model.
    """
    wishes = wishes or Wishes()
    base = api_base(url)
    engine = engine or recognise(base, wishes, timeout)
    greeting = greet(base, engine, wishes, timeout=timeout)
    dialect = greeting.dialect
    server = Server(base, dialect=dialect, engine=engine.name)
    say(f"probing {base}: {engine.title}, model {dialect.model!r}")
    first: Sequence[Finding] = [
        Finding("the server answers", "pass", f"as {engine.name}, model {dialect.model}"),
        Finding("version", "pass", version(server, timeout)),
        *(Finding("takes what is asked", "fail", text) for text in greeting.left_out),
    ]
    return Probed(server, wishes, api_key_env, (*first, *probe(server, timeout=timeout)))
