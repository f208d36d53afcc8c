"""The folder of one run: where each of its files lies, and the only writer of most of them.

```
records.jsonl            the answers; while xdist runs, records.<worker>.jsonl beside it
fingerprint.json         what serves the run
summary.json, report.html, allure-results/, server.log, direct.log, grammar-<profile>.jsonl
```
A file that is written whole is replaced in one step; an answer is a line at the end of a file.
"""

import datetime
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from evals.errors import ConfigError
from evals.report.allure.files import RESULTS
from evals.report.html.files import REPORT
from evals.report.summary import Fingerprint, ProfileServed
from evals.report.summary_file import read_fingerprint, write_fingerprint
from evals.results import RECORDS, Record, read_records, write_records
from evals.running.options import RunOptions

LATEST = "latest"
_REPORTS = "reports"


class RunFolder:
    """The files of the run at `path`; a `worker` of xdist has a records file of its own."""

    def __init__(self, path: Path, worker: str | None = None) -> None:
        self.path = path
        self.worker = worker

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.path / REPORT

    @property
    def allure_results(self) -> Path:
        """The folder of Allure's results."""
        return self.path / RESULTS

    @property
    def records(self) -> Path:
        """The file to which this process appends its answers."""
        return self.path / (f"records.{self.worker}.jsonl" if self.worker else RECORDS)

    def create(self) -> None:
        """Make the folder, if it is not there."""
        self.path.mkdir(parents=True, exist_ok=True)

    def has_records(self) -> bool:
        """Whether anything was asked."""
        return any(True for _ in self._record_files())

    def kept(self) -> dict[str, Record]:
        """Records of a run that is resumed, by key; without errors, which are asked again."""
        return {key: record for key, record in self._read() if record.scores is not None}

    def merged(self) -> dict[str, Record]:
        """The records of all processes, by key, the newest of each."""
        return dict(self._read())

    def append(self, record: Record) -> None:
        """Put an answer at the end of this process's file."""
        with self.records.open("a", encoding="utf-8") as file:
            file.write(record.to_json() + "\n")

    def replace_records(self, records: Iterable[Record]) -> None:
        """Leave exactly these, in one file: no torn line of a killed run, no worker's part."""
        write_records(records, self.path / RECORDS)
        for path in self.path.glob("records.*.jsonl"):
            path.unlink()

    def served(self) -> Mapping[str, ProfileServed]:
        """What served each profile of a run that is resumed; nothing of a new one."""
        try:
            return read_fingerprint(self.path).profiles
        except ConfigError:
            return {}

    def write_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Note what the run is made of."""
        write_fingerprint(fingerprint, self.path)

    def point_latest(self) -> None:
        """Let `reports/latest` lead here, if this is one of the reports."""
        if self.path.parent.name != _REPORTS:
            return
        link = self.path.parent / f".{LATEST}-{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(self.path.name)
        link.replace(self.path.parent / LATEST)

    def _read(self) -> Iterator[tuple[str, Record]]:
        for path in self._record_files():
            for record in read_records(path):
                yield record.key, record

    def _record_files(self) -> list[Path]:
        """The workers' files last: in a resumed run theirs are the newer answers."""
        return sorted(
            self.path.glob("records*.jsonl"), key=lambda path: (path.name != RECORDS, path)
        )


def choose_folder(options: RunOptions, root: Path) -> Path:
    """The folder of a new run, or of the one that is resumed; makes none.

    Raises:
        ConfigError: there is nothing to resume, or the folder for a new run is in use.
    """
    if options.resume:
        if not options.resume.is_dir():
            raise ConfigError(f"--resume {options.resume}: there is no such run folder")
        return options.resume
    if chosen := options.run_dir:
        if RunFolder(chosen).has_records():
            raise ConfigError(
                f"--run-dir {chosen}: there is a run already; give a new folder, or resume it: "
                f"--resume {chosen}"
            )
        if chosen.name == LATEST:
            raise ConfigError(f"--run-dir {chosen}: {LATEST} names the newest run; give another")
        return chosen
    now = datetime.datetime.now(datetime.UTC)
    return root / _REPORTS / now.strftime("%Y%m%d-%H%M%S-%f")[:-3]
