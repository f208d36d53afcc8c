"""The page of engines, from their registry."""

from collections.abc import Iterator

from evals.engines.evidence import EVIDENCE
from evals.engines.registry import ENGINES
from evals.reference.tables import table


def engines() -> Iterator[str]:
    """The lines of the page."""
    yield "# Engines\n"
    yield "The kinds of servers that a target's `engine`, or `--engine`, names.\n"
    rows = [
        (
            f"`{engine.name}`",
            engine.title,
            "booted, or attached" if engine.command else "attached",
            f"`{engine.evidence.name}`",
            f"{engine.seen}: {engine.seen_version}" if engine.seen_version else engine.seen,
        )
        for engine in ENGINES
    ]
    yield from table(["engine", "server", "how", "evidence", "run"], rows)
    yield "\n*In the tests*: booted and asked by this project's tests. *By hand*: run once with the"
    yield "copying model, outside of the tests. *Documentation only*: nobody here has run it."
    yield "\n## Evidence\n"
    yield from table(["evidence", "what it is"], [(f"`{e.name}`", e.doc) for e in EVIDENCE])
    yield "\n## What is known of each\n"
    for engine in ENGINES:
        if engine.notes or engine.install:
            yield f"### {engine.name}\n"
        if engine.install:
            yield f"To have it: {_escaped(engine.install)}.\n"
        yield from (f"* {_escaped(note)}." for note in engine.notes)
        yield ""


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("[", "\\[")
