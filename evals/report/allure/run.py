"""A run as Allure's side files: categories, environment, executor and metrics; plain values."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from evals.judging.scoring import miss_name
from evals.report.allure.result import DEFECT
from evals.report.summary import ProfileFigures, Summary
from evals.results import Kind, Layer

_BEHIND = (Layer.PARSER, Layer.SERVER, Layer.TEMPLATE, Layer.CLIENT, Layer.UNKNOWN)
_DIGESTS = ("cases", "grader_parts")


def categories(summary: Summary) -> list[dict[str, Any]]:
    """`categories.json`: violations by layer, misses by kind, errors and known defects.

    Misses of a run whose gate passed are named so: they are within what the gate allows.
    """
    within = " within the gate" if summary.gate.passed else ""
    names = {name for profile in summary.profiles.values() for name in profile.misses}
    return [
        _category("Error: incomplete response", "broken", "error: ", "kind"),
        *(
            _category(f"Violation: {layer}", "failed", rf"violation: \w+ \({layer}\)", "kind")
            for layer in _BEHIND
        ),
        *(
            _category(f"Miss{within}: {name}", "failed", rf"miss: ({_kinds(name)}) \(", "kind")
            for name in sorted(names)
        ),
        _category("Known defect no longer seen", "passed", "known defect no longer seen: ", DEFECT),
        _category("Known defect", "skipped", "known defect: ", DEFECT),
    ]


def _kinds(name: str) -> str:
    """The kinds that are counted under `name`, as alternatives of a regular expression."""
    return "|".join(kind.value for kind in Kind if miss_name(kind) == name)


def _category(name: str, status: str, beginning: str, label: str) -> dict[str, Any]:
    """Its tests are parted by a label: `groupBy` is read by Allure 3 alone."""
    return {
        "name": name,
        "matchedStatuses": [status],
        "messageRegex": rf"^{beginning}[\s\S]*",
        "groupBy": [{"label": label}],
    }


def environment(summary: Summary) -> str:
    """`environment.properties`: the gate with its reasons, what served, and the fingerprint.

    Without the digests of single cases and graders: hundreds of lines, which nobody reads.
    """
    known = {k: v for k, v in asdict(summary.fingerprint).items() if k not in _DIGESTS}
    pairs = [
        ("gate", summary.gate_text),
        *((f"gate.reason.{n}", text) for n, text in enumerate(summary.gate.reasons, start=1)),
        ("run", summary.run.id),
        *_flat("", known.pop("profiles")),
        *_flat("", known),
    ]
    return "".join(f"{_property(name)} = {_property(str(value))}\n" for name, value in pairs)


def _flat(prefix: str, mapping: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", "unknown" if value is None else value


def _property(text: str) -> str:
    """`text` as a key or value of a Java properties file, which is ASCII."""
    escaped = re.sub(r"([\\:=#! ])", r"\\\1", text)
    units = escaped.encode("utf-16-be", "surrogatepass")
    pairs = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(unit) if 32 <= unit < 127 else f"\\u{unit:04x}" for unit in pairs)


def executor(summary: Summary, variables: Mapping[str, str]) -> dict[str, Any]:
    """`executor.json`: the machine, or the GitHub job that `variables` (the environment) name."""
    values: dict[str, Any] = {
        "name": "toolcall-evals",
        "type": "local",
        "buildName": summary.run.id,
        "reportName": f"toolcall-evals {summary.run.id}",
    }
    if variables.get("GITHUB_ACTIONS") == "true":
        job = f"{variables['GITHUB_SERVER_URL']}/{variables['GITHUB_REPOSITORY']}"
        values |= {
            "name": "GitHub Actions",
            "type": "github",
            "buildOrder": int(variables["GITHUB_RUN_NUMBER"]),
            "buildUrl": f"{job}/actions/runs/{variables['GITHUB_RUN_ID']}",
        }
    return values


def metrics(summary: Summary, start: int, stop: int) -> list[dict[str, Any]]:
    """Rates and counts as Allure 3's metrics, whose trend it shows; times in milliseconds."""
    values = {
        f"{name}: {key}": value
        for name, profile in summary.profiles.items()
        for key, value in _figures(profile)
        if value is not None
    }
    return [
        {"id": key, "key": key, "value": value, "start": start, "stop": stop}
        for key, value in values.items()
    ]


def _figures(profile: ProfileFigures) -> Iterator[tuple[str, float | None]]:
    for name, rate in profile.rates.items():
        yield name, rate.value
    yield "violations", profile.violation_count
    yield "errors", profile.errors
