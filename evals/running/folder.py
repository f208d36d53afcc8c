"""The folder of one run: where each of its files lies, and the only writer of most of them.

```
records.jsonl            the answers; while xdist runs, records.<worker>.jsonl beside it
server-deaths.jsonl      each death of the server under test, if there was one
fingerprint.json         what serves the run
summary.json, report.html, allure-results/, server.log, direct.log, grammar-<profile>.jsonl
```
A file that is written whole is replaced in one step; an answer is a line at the end of a file.
Nobody else writes while a run does: the folder is locked, and the lock ends with its process.
"""

import contextlib
import datetime
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from evals.disk import append_line
from evals.errors import ConfigError
from evals.report.allure import RESULTS
from evals.report.html import REPORT
from evals.report.summary import Fingerprint, ProfileServed, ServerDeath
from evals.report.summary_file import read_fingerprint, write_fingerprint
from evals.results import RECORDS, Record
from evals.running.options import RunOptions
from evals.stored import StoredRecords, brief, read_records, write_records

LATEST = "latest"
DEATHS = "server-deaths.jsonl"
_REPORTS = "reports"


class RunFolder:
    """The files of the run at `path`; a `worker` of xdist has a records file of its own."""

    def __init__(self, path: Path, worker: str | None = None) -> None:
        self.path = path
        self.worker = worker
        self._lock: int | None = None
        self._appended: list[tuple[range, Record]] = []
        """What this process appended: its bytes of the file, and it in brief."""

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
        """Make the folder, if it is not there, and lock it for this process.

        Raises:
            ConfigError: another process writes a run there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock()

    def lock(self) -> None:
        """Let no other process write this run until `unlock`, or until this process has ended.

        Raises:
            ConfigError: another process writes it.
        """
        if self._lock is not None:
            return
        # The folder itself is locked: no file is left behind, and none can be stale.
        lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ConfigError(
                f"{self.path}: another process is writing this run; wait until it has ended, or "
                "give another folder with --run-dir"
            ) from None
        self._lock = lock

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """`lock` for as long as this lasts."""
        self.lock()
        try:
            yield
        finally:
            self.unlock()

    def unlock(self) -> None:
        """Let others write the run; may be called twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def has_records(self) -> bool:
        """Whether anything was asked."""
        return any(True for _ in self._record_files())

    def has_answers(self) -> bool:
        """Whether anything was answered."""
        return any(path.stat().st_size for path in self._record_files())

    def has_new(self) -> bool:
        """Whether anything was answered, here or by workers, since the records were replaced."""
        return bool(self._appended) or any(path != self.records for path in self._record_files())

    def kept(self) -> dict[str, Record]:
        """Records of a run that is resumed, by key; without errors, which are asked again.

        A question that the server died of is not asked again: its record is kept.
        """
        return {
            key: record
            for key, record in self._read()
            if record.scores is not None or record.observation.killed_server
        }

    def join(self, keeps: Callable[[str], bool] | None = None) -> StoredRecords:
        """Leave the records of all processes in one file, by key, the newest of each.

        Those whose key `keeps` takes, or all. What this process appended is not read again, if the
        file has nothing else in it.
        """
        parts = self._record_files()
        ours = sum(len(where) for where, _ in self._appended)
        whole = self.records in parts and ours == self.records.stat().st_size
        known = {self.records: [(at.start, record) for at, record in self._appended]}
        joined = StoredRecords.join(self.path / RECORDS, parts, keeps, known if whole else None)
        self._appended = []
        self._remove_parts()
        return joined

    def saved(self, key: str) -> Record:
        """The newest answer of this process under `key`, which there is."""
        *_, newest = (record for record in read_records(self.records) if record.key == key)
        return newest

    def append(self, record: Record) -> None:
        """Put an answer at the end of this process's file, whole or not at all.

        Raises:
            OSError: there is no room for it, or no permission.
        """
        where = append_line(self.records, record.to_json())
        if not self.worker:  # it joins nothing
            self._appended.append((where, brief(record)))

    def replace_records(self, records: Iterable[Record]) -> None:
        """Leave exactly these, in one file: no torn line of a killed run, no worker's part."""
        write_records(records, self.path / RECORDS)
        self._appended = []
        self._remove_parts()

    def _remove_parts(self) -> None:
        for path in self.path.glob("records.*.jsonl"):
            path.unlink()

    def append_death(self, death: ServerDeath) -> None:
        """Note that the server under test died."""
        append_line(self.path / DEATHS, json.dumps(asdict(death)))

    def deaths(self) -> tuple[ServerDeath, ...]:
        """How often the server died in this run and those that it resumes, oldest first."""
        path = self.path / DEATHS
        if not path.exists():
            return ()
        read = TypeAdapter(ServerDeath)
        found: list[ServerDeath] = []
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValidationError):  # a line that a killed run left torn
                found.append(read.validate_json(line))
        return tuple(found)

    def served(self) -> Mapping[str, ProfileServed]:
        """What served each profile of a run that is resumed.

        Raises:
            ConfigError: nobody can tell.
        """
        try:
            return read_fingerprint(self.path).profiles
        except ConfigError as error:
            raise ConfigError(
                f"--resume {self.path}: nothing tells what its answers are of, so that none can be "
                f"kept; begin a new run ({error})"
            ) from error

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
        check_unused(chosen)
        if chosen.name == LATEST:
            raise ConfigError(f"--run-dir {chosen}: {LATEST} names the newest run; give another")
        return chosen
    now = datetime.datetime.now(datetime.UTC)
    return root / _REPORTS / now.strftime("%Y%m%d-%H%M%S-%f")[:-3]


def check_unused(folder: Path) -> None:
    """A new run writes into a folder without records.

    Raises:
        ConfigError: there are some.
    """
    if RunFolder(folder).has_records():
        raise ConfigError(
            f"--run-dir {folder}: there is a run already; give a new folder, or resume it: "
            f"--resume {folder}"
        )
