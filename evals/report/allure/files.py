"""Allure results on disk, each made of a record: during a run, or of records that lie there.

A result is a file of JSON that names the files of its attachments. It is written last: whoever
reads the folder meanwhile finds no result without them.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from evals.report import plots
from evals.report.allure import result as allure
from evals.report.allure import run as allure_run
from evals.report.pictures import pictures
from evals.report.summary import ProfileServed, Summary
from evals.report.text import print_summary
from evals.results import Record, replace_file
from evals.stored import whole

RESULTS = "allure-results"
_EXTENSION = {allure.TEXT: "txt", allure.JSON: "json"}
_NO_SERVER = "http://127.0.0.1:PORT/v1"


def write_result(test: allure.Test, folder: Path) -> None:
    """Write the result of one test, and its attachments, into `folder`, which there is.

    Raises:
        OSError: it cannot be written.
    """
    name = str(uuid.uuid4())
    values, contents = result_values(test, name)
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    tags = [{"name": "tag", "value": tag} for tag in test.tags]
    whole_result = {
        "uuid": name,
        "historyId": history_id(test),
        **values,
        "labels": [*values["labels"], *tags],
    }
    beside = folder / f"{name}-result.json.tmp"
    beside.write_bytes(_bytes(json.dumps(whole_result, ensure_ascii=False)))
    beside.replace(folder / f"{name}-result.json")


def result_values(test: allure.Test, name: str) -> tuple[dict[str, Any], Mapping[str, bytes]]:
    """The keys of a result that are told by `test`, and its attachments by the names of files.

    `name` is the result's own among all of its folder. Tags, which allure-pytest makes of marks,
    are left out, as is what is empty.
    """
    contents: dict[str, bytes] = {}

    def attached(attachment: allure.Attachment) -> dict[str, Any]:
        source = f"{name}-{len(contents)}-attachment.{_EXTENSION[attachment.type]}"
        contents[source] = _bytes(attachment.content)
        return {"name": attachment.name, "source": source, "type": attachment.type}

    def step(inner: allure.Step) -> dict[str, Any]:
        return _without_empty(
            {
                "name": inner.name,
                "status": inner.status,
                "statusDetails": _without_empty({"message": inner.message}),
                "steps": [step(each) for each in inner.steps],
                "attachments": [attached(each) for each in inner.attachments],
                "start": test.start if inner.timed else test.stop,
                "stop": test.stop,
            }
        )

    values = {
        "name": test.name,
        "fullName": test.full_name,
        "testCaseId": _digest([test.full_name]),
        "titlePath": list(test.title_path),
        "description": test.description,
        "status": test.status,
        "statusDetails": _details(test),
        "parameters": [
            _without_empty({"name": p.name, "value": p.value, "excluded": p.excluded})
            for p in test.parameters
        ],
        "labels": [{"name": label, "value": value} for label, value in test.labels],
        "links": [{"type": "issue", "url": url, "name": text} for text, url in test.links],
        "steps": [step(each) for each in test.steps],
        "start": test.start,
        "stop": test.stop,
    }
    return _without_empty(values), contents


def history_id(test: allure.Test) -> str:
    """The id that allure-pytest, too, makes of the full name and the parameters that count."""
    counted = sorted((p.name, p.value) for p in test.parameters if not p.excluded)
    return _digest([test.full_name, *(value for _, value in counted)])


def _digest(texts: Iterable[str]) -> str:
    return hashlib.md5("".join(texts).encode(), usedforsecurity=False).hexdigest()


def _bytes(text: str) -> bytes:
    # A model can write half of a surrogate pair, which UTF-8 cannot.
    return text.encode("utf-8", "backslashreplace")


def _details(test: allure.Test) -> dict[str, Any]:
    """Why it is not passed; Allure 3 shows the difference of expected and actual."""
    sides = {"expected": test.expected, "actual": test.actual} if test.expected else {}
    said = {"message": test.message, "trace": test.trace, "known": test.known, **sides}
    return _without_empty(said) if test.message or test.trace else {}


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def write_results(records: Sequence[Record], summary: Summary, folder: Path) -> None:
    """Replace `folder` with the results of `records`, as a run leaves them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    profiles = summary.fingerprint.profiles
    for record in whole(records):
        served = profiles.get(record.profile, ProfileServed())
        write_result(allure.allure_test(record, served, _NO_SERVER), folder)


def write_run_files(summary: Summary, records: Sequence[Record], folder: Path) -> None:
    """The files beside the results: categories, environment, executor, metrics, gate, pictures."""
    start = round(datetime.fromisoformat(summary.run.started).timestamp() * 1000)
    stop = start + round(summary.run.seconds * 1000)
    values = {
        "categories.json": allure_run.categories(summary),
        "executor.json": allure_run.executor(summary, os.environ),
        "rates-perf.json": allure_run.metrics(summary, start, stop),
        "run-globals.json": _globals(summary, records, folder, stop),
    }
    for name, value in values.items():
        replace_file(folder / name, json.dumps(value, indent=2) + "\n")
    replace_file(folder / "environment.properties", allure_run.environment(summary))


def _globals(
    summary: Summary, records: Sequence[Record], folder: Path, stop: int
) -> dict[str, Any]:
    """The summary, with the gate, and the pictures, as files of the whole run."""
    output = StringIO()
    print_summary(summary, records, Console(file=output, width=160))
    files = [("summary", "run-summary", "txt", allure.TEXT, output.getvalue())]
    for name, svg in pictures(summary, records).items():
        files.append((name, name, "svg", "image/svg+xml", plots.standalone(svg)))
    attachments = []
    for name, stem, extension, kind, text in files:
        source = f"{stem}-attachment.{extension}"
        replace_file(folder / source, text, errors="backslashreplace")
        attachments.append({"name": name, "source": source, "type": kind, "timestamp": stop})
    return {"attachments": attachments}
