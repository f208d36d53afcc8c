"""The records of a run as they lie on the disk: what a summary needs in memory, the rest in place.

A record is some 12 KB of text and ten times that in memory. Reports of long runs need all of it
only of a few, so a run is read as `StoredRecords`: brief ones, and whole ones read again.
"""

import contextlib
import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

from evals.disk import replacing
from evals.errors import ConfigError
from evals.observation import Call, Observation, Timing
from evals.results import Prompt, Record

_NO_PROMPT = Prompt()
_SOME_ERROR = "no complete response"


def read_records(path: Path, say: Callable[[str], None] = print) -> Iterator[Record]:
    """The records of a run, in file order. A torn last line (a killed run) ends it, and is said.

    Raises:
        ConfigError: there is no such file, or a line before the last is not a record; the message
            has file and line.
    """
    for _, record in read_places(path, say):
        yield record


def read_places(path: Path, say: Callable[[str], None] = print) -> Iterator[tuple[int, Record]]:
    """As `read_records`, each with the byte of the file at which its line begins."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path}: no records of a run: {error}") from error
    with file:
        # Bytes: a run may be killed within a character. They are parted at line feeds alone, for
        # other line ends may stand inside JSON text.
        place, number, line = 0, 1, file.readline()
        while line:
            after = file.readline()
            try:
                record = Record.from_json(line.decode("utf-8"))
            except (ValueError, TypeError, KeyError) as error:
                if not after:
                    say(f"{path}:{number}: torn last line of a run that was killed; left out")
                    return
                raise ConfigError(f"{path}:{number}: not a record: {error}") from error
            yield place, record
            place, number, line = place + len(line), number + 1, after


def write_records(records: Iterable[Record], path: Path) -> None:
    """Write `records` as the whole file at `path`."""
    with replacing(path) as file:
        for record in records:
            file.write(f"{record.to_json()}\n".encode())


class StoredRecords(Sequence[Record]):
    """The records of the file at `path`: brief as a sequence, whole by `whole`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: list[Record] = []
        self._places = array("Q")

    @classmethod
    def read(cls, path: Path) -> "StoredRecords":
        """The records that are there.

        Raises:
            ConfigError: as `read_records`.
        """
        stored = cls(path)
        for place, short in _briefs(path):
            stored._add(place, short)
        return stored

    @classmethod
    def write(cls, path: Path, records: Iterable[Record]) -> "StoredRecords":
        """Put `records` in place of the file at `path`, one by one; on an error it is as it was.

        Raises:
            OSError: it cannot be written.
        """
        stored = cls(path)
        with replacing(path) as file:
            for record in records:
                stored._add(file.tell(), brief(record))
                file.write(f"{record.to_json()}\n".encode())
        return stored

    @classmethod
    def join(
        cls,
        path: Path,
        parts: Sequence[Path],
        keeps: Callable[[str], bool] | None = None,
        known: Mapping[Path, Iterable[tuple[int, Record]]] | None = None,
    ) -> "StoredRecords":
        """Put the records of `parts` into the file at `path`, by key; of one key the latest.

        Those whose key `keeps` takes, or all. Lines are copied as they are. Of a part that is
        `known` the brief records are given with their places, and it is not read.

        Raises:
            ConfigError: as `read_records`.
            OSError: it cannot be written.
        """
        found: dict[str, tuple[Path, int, Record]] = {}
        for part in parts:
            for place, short in known[part] if known and part in known else _briefs(part):
                if keeps is None or keeps(short.key):
                    found[short.key] = part, place, short
        stored = cls(path)
        with contextlib.ExitStack() as stack, replacing(path) as file:
            sources = {part: stack.enter_context(part.open("rb")) for part in parts}
            for key in sorted(found):
                part, place, short = found.pop(key)
                sources[part].seek(place)
                stored._add(file.tell(), short)
                file.write(sources[part].readline().rstrip(b"\n") + b"\n")
        return stored

    def _add(self, place: int, record: Record) -> None:
        self._records.append(record)
        self._places.append(place)

    def whole(self, chosen: Iterable[int] | None = None) -> Iterator[Record]:
        """The whole records with these numbers, from 0, or all, in the order of the file."""
        numbers = range(len(self)) if chosen is None else sorted(chosen)
        with self._path.open("rb") as file:
            for number in numbers:
                file.seek(self._places[number])
                line = file.readline().decode("utf-8")
                yield Record.from_json(line, self._records[number])

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._records[index]


def whole(records: Sequence[Record], chosen: Iterable[int] | None = None) -> Iterator[Record]:
    """The records with these numbers, or all, in full, wherever they are."""
    if isinstance(records, StoredRecords):
        return records.whole(chosen)
    return iter(records if chosen is None else [records[number] for number in sorted(chosen)])


def _briefs(path: Path) -> Iterator[tuple[int, Record]]:
    return ((place, brief(record)) for place, record in read_places(path))


def brief(record: Record) -> Record:
    """`record` with its judgement, and of what was asked and answered only what figures are of.

    Of calls the names are left. `content` is a digest of the answer: two are equal or not.
    """
    return replace(
        record,
        request={},
        prompt=_NO_PROMPT,
        observation=_brief(record.observation),
        plain=Observation(record.plain.lane) if record.plain else None,
    )


def _brief(seen: Observation) -> Observation:
    said = (seen.token_ids, seen.content, [(call.name, call.arguments) for call in seen.calls])
    return Observation(
        seen.lane,
        status=seen.status,
        content=hashlib.blake2b(repr(said).encode(), digest_size=8).hexdigest(),
        calls=tuple(Call(call.name, "", None) for call in seen.calls),
        usage=seen.usage,
        seconds=seen.seconds,
        first_token_seconds=seen.first_token_seconds,
        error=seen.error and _SOME_ERROR,
        killed_server=seen.killed_server,
        retries=seen.retries,
        waited_seconds=seen.waited_seconds,
        started=seen.started,
        timing=_brief_timing(seen.timing),
    )


def _brief_timing(timing: Timing | None) -> Timing | None:
    return replace(timing, gaps=array("d", timing.gaps)) if timing and timing.gaps else timing
