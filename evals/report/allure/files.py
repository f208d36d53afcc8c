"""Allure results on disk: filled into allure-pytest's tests during a run, or written from records.

Both ways write the same: `fill` puts an `allure.Test` into allure's own result object, and
allure's own writer makes the files.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from allure_commons import model2
from allure_commons.logger import AllureFileLogger
from attr import attrib, attrs
from rich.console import Console

from evals.disk import replace_file
from evals.report import plots
from evals.report.allure import result as allure
from evals.report.allure import run as allure_run
from evals.report.evidence_view import NO_SERVER
from evals.report.pictures import pictures
from evals.report.summary import ProfileServed, Summary
from evals.report.text import print_summary
from evals.results import Record
from evals.stored import whole

Save = Callable[[bytes, str], None]
"""Writes a content under a file name."""
_EXTENSION = {allure.TEXT: "txt", allure.JSON: "json"}


def fill(result: Any, test: allure.Test, save: Save) -> None:
    """Put `test` into allure's `result`; attachments go through `save`. Tags are left out.

    allure-pytest makes tags of an item's marks itself, which are a case's tags.
    """
    result.name, result.fullName = test.name, test.full_name
    result.testCaseId = _digest([test.full_name])
    result.titlePath = list(test.title_path)
    result.description = test.description
    result.status = test.status
    result.statusDetails = _details(test.message, test.trace, known=test.known)
    if test.expected:
        result.statusDetails = _with_sides(result.statusDetails, test)
    result.parameters = [
        model2.Parameter(name=p.name, value=p.value, excluded=p.excluded or None)
        for p in test.parameters
    ]
    result.labels += [model2.Label(name, value) for name, value in test.labels]
    result.links += [model2.Link("issue", url, name) for name, url in test.links]
    result.steps = [_step(step, test, save) for step in test.steps]
    if test.start is not None:
        result.start, result.stop = test.start, test.stop


def history_id(full_name: str, parameters: Iterable[allure.Parameter]) -> str:
    """The id that allure-pytest, too, makes of the full name and the parameters that count."""
    counted = sorted((p.name, p.value) for p in parameters if not p.excluded)
    return _digest([full_name, *(value for _, value in counted)])


def _digest(texts: Iterable[str]) -> str:
    return hashlib.md5("".join(texts).encode(), usedforsecurity=False).hexdigest()


def _details(message: str, trace: str = "", *, known: bool = False) -> Any:
    if not message and not trace:
        return None
    return model2.StatusDetails(message=message, trace=trace or None, known=known or None)


@attrs
class _Sides(model2.StatusDetails):
    """Allure 3 shows the difference of two texts that Allure 2's own class does not have."""

    expected: Any = attrib(default=None)
    actual: Any = attrib(default=None)


def _with_sides(details: Any, test: allure.Test) -> Any:
    return _Sides(**vars(details), expected=test.expected, actual=test.actual)


def _step(step: allure.Step, test: allure.Test, save: Save) -> Any:
    return model2.TestStepResult(
        name=step.name,
        status=step.status,
        statusDetails=_details(step.message),
        steps=[_step(inner, test, save) for inner in step.steps],
        attachments=[_attachment(attachment, save) for attachment in step.attachments],
        start=test.start if step.timed else test.stop,
        stop=test.stop,
    )


def _attachment(attachment: allure.Attachment, save: Save) -> Any:
    name = model2.ATTACHMENT_PATTERN.format(prefix=uuid.uuid4(), ext=_EXTENSION[attachment.type])
    # A model can write half of a surrogate pair, which UTF-8 cannot.
    save(attachment.content.encode("utf-8", "backslashreplace"), name)
    return model2.Attachment(name=attachment.name, source=name, type=attachment.type)


class _Folder:
    """A folder as allure's writer uses it: a `Path` would be parted again for each file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __truediv__(self, name: str) -> str:
        return os.path.join(self._path, name)  # noqa: PTH118 - what this class is for


class _Writer(AllureFileLogger):
    """allure's writer of results, with the JSON of each made at once.

    allure has `json.dump` write it piece by piece, in Python: thirteen times as long.
    """

    def _report_item(self, item: Any) -> None:
        name = item.file_pattern.format(prefix=uuid.uuid4())
        write: Any = self.report_attached_data
        write(json.dumps(item, ensure_ascii=False, default=_given), name)


def _given(value: Any) -> Any:
    """An object of allure as `attr.asdict` with allure's filter: its fields that are not empty."""
    if isinstance(value, set | frozenset):
        return list(value)
    return {name: inner for name, inner in vars(value).items() if inner or inner is False}


def write_at_once(writers: Iterable[Any]) -> None:
    """Let allure-pytest's own writer, if it is among `writers`, make the JSON of a result at once.

    It has no option for that, and there may be one writer only: each result would be there twice.
    """
    for writer in writers:
        if type(writer) is AllureFileLogger and "ALLURE_INDENT_OUTPUT" not in os.environ:
            writer.__class__ = _Writer
            vars(writer)["_report_dir"] = _Folder(writer._report_dir)


def write_results(records: Sequence[Record], summary: Summary, folder: Path) -> None:
    """Replace `folder` with the results of `records`, as a run of pytest leaves them."""
    shutil.rmtree(folder, ignore_errors=True)
    open_writer: Any = _Writer
    writer = open_writer(folder)
    profiles = summary.fingerprint.profiles
    for record in whole(records):
        test = allure.allure_test(record, profiles.get(record.profile, ProfileServed()), NO_SERVER)
        result = model2.TestResult(uuid=str(uuid.uuid4()))
        fill(result, test, writer.report_attached_data)
        result.historyId = history_id(test.full_name, test.parameters)
        result.labels += [model2.Label("tag", tag) for tag in test.tags]
        writer.report_result(result)


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
