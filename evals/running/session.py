"""One pytest run as a plain object: what to ask, the profile that is open, and the run's folder.

The plugin's hooks forward to it. In an xdist worker it attaches to the controller's server and
writes its own records file, which the controller merges.
"""

import contextlib
import datetime
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evals.case import Case
from evals.config import Config, cache_folder, read_config
from evals.engines.blas import one_thread
from evals.errors import ConfigError
from evals.lanes.lane import check_lanes
from evals.parsers.constraint import GrammarCounts, read_counts
from evals.report.comparison import compare, comparison_lines, p_text
from evals.report.summarize import summarize
from evals.report.summary import (
    Asked,
    Fingerprint,
    GateOutcome,
    ProfileServed,
    RunInfo,
    ShardPart,
    Summary,
)
from evals.report.summary_file import (
    read_fingerprint,
    read_run,
    read_summary,
    write_fingerprint,
)
from evals.report.writers import FinishedRun, write_all
from evals.results import RECORDS, Record, read_records, write_records
from evals.running.fingerprint import fingerprint, graders_digest, served, served_by, suite_digest
from evals.running.run import (
    Opened,
    Question,
    Runner,
    grammar_log,
    is_answer_to,
    judged,
    open_profile,
    with_options,
)
from evals.running.shard import Shard, deal, parse_shard

LATEST = "latest"


class Session:
    """The state of a run in one process."""

    def __init__(
        self, config: Config, settings: Mapping[str, Any], folder: Path, worker: str | None
    ) -> None:
        self.config = config
        self.folder = folder
        self.worker = worker
        self.profiles: list[str] = profile_names(settings, config)
        self._implied = implied_by_all(settings, config)
        self.lanes: list[str] = (
            _names(settings["lanes"]) if "lanes" in settings else [*config.lanes]
        )
        check_lanes(self.lanes)
        self.tier: str = settings.get("tier", "full")
        self.repeat: int | None = settings.get("repeat")
        self.temperature: float | None = settings.get("temperature")
        self.max_tokens: int | None = settings.get("max_tokens")
        if (self.repeat or 1) > 1 and not self.temperature:
            raise ConfigError(
                f"--repeat {self.repeat} at temperature 0 is one answer {self.repeat} times; "
                "add --temperature, such as 0.7"
            )
        self.in_flight: int = settings.get("in_flight") or config.in_flight
        self.shard: Shard | None = parse_shard(settings["shard"]) if "shard" in settings else None
        self.suite: str | None = None
        self.collected: frozenset[str] = frozenset()
        self.wanted: frozenset[str] = frozenset()
        self.whole = False
        self.ended: str | None = None
        self.summary: Summary | None = None
        self.records: list[Record] = []
        self._baseline = Path(settings["baseline"]).resolve() if "baseline" in settings else None
        if self._baseline:
            read_run(self._baseline)  # a mistake in it shows now, not after the run
        self._started = time.time()
        self._done = {record.key: record for record in self._kept()}
        self._stack = contextlib.ExitStack()
        self._opened: Opened | None = None
        self._runner: Runner | None = None
        self._served: dict[str, ProfileServed] = {}
        self._served_before = _read_served(folder)

    # --- asking ----------------------------------------------------------------------------------

    def questions(self, case: Case) -> Iterator[tuple[str, Question]]:
        """Profile and question of everything to ask about `case`."""
        if self.tier == "smoke" and case.tier != "smoke":
            return
        chosen = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        case = case.model_copy(update={k: v for k, v in chosen.items() if v is not None})
        for profile in self.profiles:
            if case.profiles and profile not in case.profiles:
                continue
            if (case.replay is not None) != (self.config.target(profile).model == "replay"):
                continue
            for lane in self.lanes:
                for number in range(self.repeat or case.repeat):
                    yield profile, Question(case, lane, number)

    def share(self, asked: Sequence[tuple[str, Case]]) -> set[tuple[str, str]]:
        """Profile and node of the cases that this shard asks; of all of them without a shard.

        `asked` has profile and case of everything that was collected, in the order of asking. Each
        profile's cases are dealt out for themselves; lanes and repeats of a case stay together.
        """
        self.suite = suite_digest(case for _, case in asked)
        mine: set[tuple[str, str]] = set()
        for profile in self.profiles:
            nodes = [case.node for name, case in asked if name == profile]
            mine |= {(profile, n) for n in (deal(nodes, self.shard) if self.shard else nodes)}
        return mine

    def open(self, profile: str) -> None:
        """Boot or attach to this profile's server, ending the one before; once.

        Raises:
            EvalsError: the model, server or configuration is not usable.
        """
        if self._opened is not None and self._opened.name == profile:
            return
        self._close_profile()
        if self.worker is None and not self._served:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_records(list(self._done.values()))
        # Lane `direct` loads the model in each worker.
        environment = one_thread() if self.worker else os.environ
        opening = open_profile(
            profile, self.config, self.lanes, self.folder, cache_folder(), _say, environment
        )
        self._opened = self._stack.enter_context(opening)
        self._served[profile] = self._check_served(self._opened)

    def _check_served(self, opened: Opened) -> ProfileServed:
        """What serves the profile: in a resumed run, the same as before."""
        if self.worker:
            return served(opened)
        now = served_by(opened)
        before, after = asdict(self._served_before.get(opened.name, now)), asdict(now)
        if differing := [key for key in after if before[key] != after[key]]:
            raise ConfigError(
                f"--resume {self.folder}: its answers in profile {opened.name} are of another "
                f"{' and '.join(differing)}; begin a new run"
            )
        told = {**self._served_before, **self._served, opened.name: now}
        # From this, a run that is killed can be resumed.
        write_fingerprint(Fingerprint(profiles=told), self.folder)
        return now

    @property
    def url(self) -> str:
        """The base URL of the open server."""
        server = self._opened.server if self._opened else None
        return server.url if server else "http://127.0.0.1:PORT/v1"

    def served(self, profile: str) -> ProfileServed:
        """What serves a profile that has been opened; in a worker, model and quantisation alone."""
        return self._served[profile]

    def answer(
        self, profile: str, question: Question, wanted: Callable[[], Sequence[Question]]
    ) -> Record:
        """The judged answer; `wanted` names this profile's questions from here on, in order."""
        self.open(profile)
        assert self._opened is not None
        if self._runner is None:
            left = [q for q in wanted() if self._kept_answer(profile, q) is None]
            in_flight = 1 if self.worker else self.in_flight
            self._runner = Runner(self._opened, left, in_flight=in_flight)
        kept = self._kept_answer(profile, question)
        record = (
            judged(replace(kept, case=question.case)) if kept else self._runner.record(question)
        )
        if record != self._done.get(record.key):
            self._done[record.key] = record
            with self._path().open("a", encoding="utf-8") as file:
                file.write(record.to_json() + "\n")
        return record

    def _kept_answer(self, profile: str, question: Question) -> Record | None:
        """The answer that is there already; None where today's question is another."""
        kept = self._done.get(self.key(profile, question))
        return kept if kept and is_answer_to(kept, question.case) else None

    @staticmethod
    def key(profile: str, question: Question) -> str:
        """The key of the record that answers `question`."""
        suffix = f"#{question.repeat}" if question.repeat else ""
        return f"{question.case.node}[{profile}-{question.lane}{suffix}]"

    def _close_profile(self) -> None:
        if self._runner:
            self._runner.close()
        self._stack.close()
        self._runner = self._opened = None

    def close(self) -> None:
        """End the server and everything else that this process opened; may be called twice."""
        self._close_profile()

    # --- records ---------------------------------------------------------------------------------

    def _path(self) -> Path:
        name = f"records.{self.worker}.jsonl" if self.worker else RECORDS
        return self.folder / name

    def _kept(self) -> Iterator[Record]:
        """Records of a run that is resumed: those of an earlier process, errors asked again."""
        for path in sorted(self.folder.glob("records*.jsonl")) if self.folder.is_dir() else ():
            for record in read_records(path):
                if record.scores is not None:
                    yield record

    def _write_records(self, records: Sequence[Record]) -> None:
        """Leave exactly these, in one file: no torn line of a killed run, no worker's part."""
        write_records(records, self.folder / RECORDS)
        for path in self.folder.glob("records.*.jsonl"):
            path.unlink()

    def for_worker(self, worker: str) -> dict[str, Any]:
        """What a worker needs to attach: plain values, sent by xdist."""
        assert self._opened is not None
        # A worker knows what the replay model is; a folder in its place would be any model.
        replay = self.config.target(self._opened.name).model == "replay"
        model = None if replay else self._opened.model
        return {
            "worker": worker,
            "folder": str(self.folder),
            "url": self.url,
            "model": str(model) if model is not None else None,
        }

    def has_records(self) -> bool:
        """Whether anything was asked."""
        return any(self.folder.glob("records*.jsonl")) if self.folder.is_dir() else False

    def finish(self, results: Path | None = None) -> Summary:
        """Merge the workers' records in the order of the cases; write all that a run leaves.

        `results` is where allure-pytest has written in this process.
        """
        merged: dict[str, Record] = {}
        # The workers' last: in a resumed run theirs are the newer ones.
        for path in sorted(self.folder.glob("records*.jsonl"), key=lambda p: p.name != RECORDS):
            merged.update((record.key, record) for record in read_records(path))
        if self.whole:  # a run that is resumed may hold answers to cases that are gone
            merged = {key: record for key, record in merged.items() if key in self.wanted}
        missing = sorted(self.wanted - merged.keys())
        self.records = [merged[key] for key in sorted(merged)]
        self._write_records(self.records)
        cases = (record.case for record in self.records)
        print_of = fingerprint(cases, {**self._served_before, **self._served})
        grammars = grammar_counts(self.config, self.folder)
        summary = summarize(self.records, self.config, print_of, self._info(missing), grammars)
        self.summary, compared = gate_on_regression(summary, self._baseline)
        _point_latest(self.folder)
        write_all(FinishedRun(self.summary, self.records, compared, results), self.folder)
        return self.summary

    def _info(self, missing: Sequence[str]) -> RunInfo:
        answered = {record.profile for record in self.records}
        asked = [p for p in self.profiles if p not in self._implied or p in answered]
        return RunInfo(
            id=self.folder.name,
            started=datetime.datetime.fromtimestamp(self._started, datetime.UTC).isoformat(),
            seconds=round(time.time() - self._started, 1),
            whole=self.whole and self.tier == "full" and not missing and not self.ended,
            missing=tuple(missing),
            ended=self.ended,
            tier=self.tier,
            asked=Asked(
                profiles=tuple(asked),
                lanes=tuple(self.lanes),
                repeat=self.repeat,
                temperature=self.temperature,
                max_tokens=self.max_tokens,
            ),
            shard=ShardPart(part=str(self.shard), suite=self.suite) if self.shard else None,
            baseline=str(self._baseline) if self._baseline else None,
        )


def gate_on_regression(summary: Summary, baseline: Path | None) -> tuple[Summary, Path | None]:
    """The summary with the comparison with a baseline; its gate fails on a regression.

    It fails, too, where the two cannot be compared. The baseline comes back if they were.
    """
    if baseline is None:
        return summary, None
    try:
        comparison = compare(read_run(baseline), summary)
    except ConfigError as error:
        return _gated(summary, [f"no comparison with {baseline.name}: {error}"]), None
    reasons = [
        f"{profile.name}: regression against {comparison.before}: "
        f"{len(profile.newly_failing)} newly failing, {p_text(profile.adjusted)}"
        for profile in comparison.regressions
    ]
    told = replace(summary, comparison=tuple(comparison_lines(comparison)))
    return _gated(told, reasons), baseline


def _gated(summary: Summary, more: Sequence[str]) -> Summary:
    """The summary with more reasons for which its gate fails."""
    reasons = (*summary.gate.reasons, *more)
    return replace(summary, gate=GateOutcome(passed=not reasons, reasons=reasons))


def open_session(
    settings: Mapping[str, Any], root: Path, worker: Mapping[str, Any] | None
) -> Session:
    """The session of this process; boots nothing.

    Raises:
        ConfigError: the configuration or an option is wrong.
    """
    config = read_config(root)
    told = (worker or {}).get("evals")
    given = {
        "model": told["model"] if told else settings.get("model"),
        "url": told["url"] if told else settings.get("attach"),
        "port": None if told else settings.get("port"),
    }
    implied = implied_by_all(settings, config)
    for profile in (p for p in profile_names(settings, config) if p not in implied):
        config = with_options(config, profile, **given)
    if told:
        return Session(config, settings, Path(told["folder"]), told["worker"])
    return Session(config, settings, _folder(settings, root), None)


def rejudge_run(folder: Path, root: Path, baseline: Path | None = None) -> Summary:
    """Judge a finished run's records again; write records, summary and reports anew.

    The gate compares with `baseline`, or with that of the run.

    Raises:
        ConfigError: the folder holds no finished run, or other records than the run had.
    """
    before = read_summary(folder)
    records = [judged(record) for record in read_records(folder / RECORDS)]
    _check_complete(folder, before, records)
    print_of = replace(before.fingerprint, graders=graders_digest())
    config = read_config(root)
    run = replace(before.run, baseline=str(baseline.resolve())) if baseline else before.run
    summary = summarize(records, config, print_of, run, grammar_counts(config, folder))
    summary, compared = gate_on_regression(summary, Path(run.baseline) if run.baseline else None)
    write_run(FinishedRun(summary, records, compared), folder)
    return summary


def _check_complete(folder: Path, before: Summary, records: Sequence[Record]) -> None:
    had = sum(part.scored + part.errors + part.known for part in before.profiles.values())
    there = len({record.key for record in records})
    if not had == there == len(records):
        raise ConfigError(
            f"{folder / RECORDS}: {len(records)} records of {there} questions, and the run had "
            f"{had} answers; it cannot be judged as that run. `--resume {folder}` asks what is "
            "missing"
        )


def write_run(run: FinishedRun, folder: Path) -> None:
    """Write the records and all reports of a run that was judged from records, not asked here.

    Raises:
        ConfigError: the run cannot be compared with `run.against`.
    """
    write_records(run.records, folder / RECORDS)
    write_all(run, folder)


def _read_served(folder: Path) -> Mapping[str, ProfileServed]:
    """What served the profiles of a run that is resumed; nothing of a new one."""
    try:
        return read_fingerprint(folder).profiles
    except ConfigError:
        return {}


def grammar_counts(config: Config, folder: Path) -> dict[str, GrammarCounts]:
    """What the grammars of constrained profiles counted in the run of `folder`, by profile."""
    names = [name for name, profile in config.profiles.items() if profile.grammar]
    return {name: read_counts(grammar_log(name, folder)) for name in names}


def _folder(settings: Mapping[str, Any], root: Path) -> Path:
    if resumed := settings.get("resume"):
        folder = Path(resumed).resolve()
        if not folder.is_dir():
            raise ConfigError(f"--resume {resumed}: there is no such run folder")
        return folder
    if chosen := settings.get("run_dir"):
        folder = Path(chosen).resolve()
        if any(folder.glob("records*.jsonl")):
            raise ConfigError(
                f"--run-dir {chosen}: there is a run already; give a new folder, or go on with it: "
                f"--resume {chosen}"
            )
        if folder.name == LATEST:
            raise ConfigError(f"--run-dir {chosen}: {LATEST} names the newest run; give another")
        return folder
    now = datetime.datetime.now(datetime.UTC)
    return root / "reports" / now.strftime("%Y%m%d-%H%M%S-%f")[:-3]


def profile_names(settings: Mapping[str, Any], config: Config) -> list[str]:
    """The profiles that are asked for; `all` means all of the configuration's.

    Raises:
        ConfigError: none is named.
    """
    names = _names(settings.get("profiles", "default"))
    return list(config.profiles) if _means_all(names, config) else names


def implied_by_all(settings: Mapping[str, Any], config: Config) -> frozenset[str]:
    """The implied profiles, if `all` names them: they count only where a case asks for them."""
    names = _names(settings.get("profiles", "default"))
    return config.implied if _means_all(names, config) else frozenset()


def _means_all(names: Sequence[str], config: Config) -> bool:
    return names == ["all"] and "all" not in config.profiles


def _names(value: str) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"{value!r} names nothing; give names with commas between them")
    return names


def _point_latest(folder: Path) -> None:
    latest = folder.parent / LATEST
    if folder.parent.name == "reports":
        latest.unlink(missing_ok=True)
        latest.symlink_to(folder.name)


def _say(text: str) -> None:
    print(text, flush=True)
