"""`report.html` and its pictures in a run's folder, from what lies in it and beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evals.disk import replace_file, replacing
from evals.report import plots
from evals.report.before import changed_cases, earlier_answers, last_comparable, same_texts
from evals.report.comparison import compare
from evals.report.html import REPORT
from evals.report.html.figures import Compared
from evals.report.html.render import page
from evals.report.pictures import pictures
from evals.report.summary import Summary
from evals.report.summary_file import earlier_runs, read_run, read_summary
from evals.results import RECORDS, Record
from evals.stored import StoredRecords, whole

PICTURES = "pictures"


def report_run(
    run: Path, *, against: Path | None = None, unlike: bool = False, output: Path | None = None
) -> Path:
    """Write the page of a finished run from its records; `run/report.html` unless `output` is set.

    Without `against` it is compared with the newest earlier run beside it that is comparable.

    Raises:
        ConfigError: a folder holds no finished run, its records cannot be read, or the two runs
            are not comparable and `unlike` does not allow it.
    """
    summary = read_summary(run)
    records = StoredRecords.read(run / RECORDS)
    return write_report(run, summary, records, against=against, unlike=unlike, output=output)


def write_report(
    folder: Path,
    summary: Summary,
    records: Sequence[Record],
    *,
    against: Path | None = None,
    unlike: bool = False,
    output: Path | None = None,
) -> Path:
    """Write the page of a run whose summary and records are at hand, and its pictures.

    Raises:
        ConfigError: the two runs are not comparable and `unlike` does not allow it.
    """
    past = list(earlier_runs(folder, summary))
    compared = None
    if against is not None:
        compared = _compared(against, summary, records, unlike=unlike)
    elif place := last_comparable(past, summary):
        compared = _compared(place, summary, records, unlike=False)
    earlier = [run for _, run in past]
    path = output or folder / REPORT
    with replacing(path) as file:
        for part in page(summary, records, earlier=earlier, compared=compared):
            # Half of a surrogate pair, which a model can write and UTF-8 cannot.
            file.write(part.encode("utf-8", "backslashreplace"))
    if output is None:
        _write_pictures(pictures(summary, records, earlier), folder / PICTURES)
    return path


def _write_pictures(drawn: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, svg in drawn.items():
        replace_file(folder / f"{name}.svg", plots.standalone(svg))


def _compared(
    place: Path, summary: Summary, records: Sequence[Record], *, unlike: bool
) -> Compared:
    before = read_run(place)
    comparison = compare(before, summary, unlike=unlike)
    cases = changed_cases(comparison)
    answers = earlier_answers(place, cases)
    mine = [n for n, record in enumerate(records) if record.case.node in cases]
    same = same_texts(whole(records, mine), answers) if answers else {}
    return Compared(comparison, before, answers, same)
