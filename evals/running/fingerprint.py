"""What a run was made of, so that two runs can be told to be comparable or not."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path, PurePath
from typing import Any

from evals import __version__
from evals.case import Case
from evals.engines.dialect import Dialect
from evals.models.build import quantization, trained_tools, weights_digest
from evals.report.summary import Fingerprint, ProfileServed
from evals.running.call_format import parser_of
from evals.running.machine import this_machine
from evals.running.packages import installed_versions
from evals.running.profile import Opened

_GRADERS = (
    "judging",
    "formats",
    "results.py",
    "case.py",
    "observation.py",
    "schema.py",
    "json_text.py",
)
"""Rooms and modules below `evals/` that a verdict or a rate can depend on."""


def suite_digest(cases: Iterable[Case]) -> str:
    """Digest of all in the cases that an answer or a verdict can depend on.

    A case counts once, however many profiles, lanes and repeats it comes from; twice, where it is
    another one in two of them.
    """
    whole = hashlib.sha256()
    for _, contents in _contents(cases):
        _add(whole, contents)
    return whole.hexdigest()[:16]


def digests(cases: Iterable[Case]) -> tuple[str, dict[str, str]]:
    """The suite's digest, and one of each case by its node, which is not of its name."""
    whole, each = hashlib.sha256(), dict[str, str]()
    for node, contents in _contents(cases):
        _add(whole, contents)
        unnamed = {key: value for key, value in contents[-1].items() if key not in _NAMES}
        each[node] = _digest_of(unnamed)
    return whole.hexdigest()[:16], each


def _contents(cases: Iterable[Case]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The different cases of each node, by node: of one node at a time, for they are large."""
    by_node: dict[str, dict[int, Case]] = {}
    for case in cases:
        by_node.setdefault(case.node, {})[id(case)] = case
    for node, same in sorted(by_node.items()):
        yield node, [_content(case) for case in same.values()]


def _add(whole: Any, contents: Iterable[dict[str, Any]]) -> None:
    for text in sorted({_text_of(content) for content in contents}):
        whole.update(text.encode())


_NAMES = ("id", "path", "category")


def _content(case: Case) -> dict[str, Any]:
    """The case without what no answer or verdict depends on."""
    return case.model_dump(mode="json", exclude={"line", "tags", "tier", "link"})


def _text_of(content: object) -> str:
    return json.dumps(content, sort_keys=True)


def _digest_of(content: object) -> str:
    return hashlib.sha256(_text_of(content).encode()).hexdigest()[:12]


def graders_digest(names: Iterable[str] = _GRADERS) -> str:
    """Digest of the code that judges: records judged by other code have other verdicts."""
    whole = hashlib.sha256()
    root = Path(__file__).parents[1]
    for name in names:
        for path in [root / name] if name.endswith(".py") else sorted((root / name).rglob("*.py")):
            whole.update(f"{path.relative_to(root).as_posix()}\0".encode())
            whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def fingerprint(cases: Iterable[Case], profiles: Mapping[str, ProfileServed]) -> Fingerprint:
    """The fingerprint of a run of `cases`; `profiles` as `served_by` tells of each."""
    suite, each = digests(cases)
    return Fingerprint(
        evals=__version__,
        suite=suite,
        cases=each,
        graders=graders_digest(),
        grader_parts={name: graders_digest([name]) for name in _GRADERS},
        versions=installed_versions(),
        machine=this_machine(),
        profiles=dict(profiles),
    )


def served(opened: Opened) -> ProfileServed:
    """Model and quantisation of a profile alone: what costs nothing to know."""
    folder = _folder(opened)
    return ProfileServed(
        model=folder.name if folder else str(opened.model) if opened.model else None,
        quantization=_served_bits(folder) if folder else None,
    )


def _folder(opened: Opened) -> Path | None:
    return Path(opened.model) if opened.model and Path(opened.model).is_dir() else None


def served_by(opened: Opened) -> ProfileServed:
    """What serves a profile: what an attached server hides is None."""
    folder = _folder(opened)
    template = getattr(opened.tokenizer, "chat_template", None)
    text = template if isinstance(template, str) else None
    return replace(
        served(opened),
        weights=weights_digest(folder) if folder else None,
        template=hashlib.sha256(text.encode()).hexdigest()[:16] if text else None,
        parser=parser_of(opened.profile, opened.tokenizer),
        grammar=opened.profile.grammar,
        trained_tools=trained_tools(folder) if folder else None,
        call_format=opened.call_format,
        requests=_requests(opened),
        **_engine(opened),
    )


_LATER = ("served_name", "call_format", "requests")
"""Keys that a `fingerprint.json` of an earlier version does not have."""


def differing(before: ProfileServed, now: ProfileServed) -> list[str]:
    """In what a profile is served otherwise than before; what nobody noted then is passed over."""
    was, is_now = asdict(before), asdict(now)
    known = [key for key in is_now if was[key] is not None or key not in _LATER]
    return [key for key in known if was[key] != is_now[key]]


def _engine(opened: Opened) -> dict[str, str | None]:
    server = opened.server
    if server is None:
        return {}
    name = server.dialect.model
    return {
        "engine": server.engine,
        "engine_version": server.version,
        "evidence": server.dialect.evidence.name,
        # Shards on several machines may have one model in several places.
        "served_name": PurePath(name).name if PurePath(name).is_absolute() else name,
    }


def _requests(opened: Opened) -> str:
    """Digest of what decides the requests beside the case, the model's name and the evidence."""
    dialect = opened.server.dialect if opened.server else Dialect()
    headers = {name.lower(): value for name, value in dialect.headers.items()}
    headers.pop("authorization", None)  # a key may be another one after a while
    return _digest_of(
        {
            "headers": headers,
            "extra_body": dialect.extra_body,
            "omit": sorted({*dialect.omit}),
            "arguments": [*opened.arguments],
        }
    )


def _served_bits(folder: Path) -> str:
    """The quantisation; a float32 copy of a quantised model names the one that it holds."""
    source = folder.with_name(folder.name.removesuffix("-float32"))
    if source != folder and source.is_dir():
        return f"{quantization(source)}, served as float32"
    return quantization(folder)
