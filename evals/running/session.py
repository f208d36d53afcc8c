"""The live part of a run in one process: the profile that is open, and what is answered.

In an xdist worker it attaches to the controller's server and has a records file of its own, which
the controller merges.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.case import Case
from evals.config import Config, cache_folder, read_config
from evals.engines.memory import PeakMemory
from evals.engines.server import Server
from evals.errors import ConfigError
from evals.report.summary import Fingerprint, ProfileServed
from evals.report.summary_file import FINGERPRINT
from evals.results import Record
from evals.running.fingerprint import differing, served, served_by
from evals.running.folder import RunFolder, choose_folder
from evals.running.life import Life
from evals.running.limits import check_descriptors
from evals.running.options import RunOptions, read_options
from evals.running.packages import packages_of
from evals.running.profile import Opened, open_profile
from evals.running.questions import Question, left_out, questions
from evals.running.replica import Replica
from evals.running.runner import Runner, is_answer_to, judged
from evals.running.spread import Spread, spread


@dataclass(frozen=True)
class Attached:
    """What the controller tells an xdist worker of the server that it shares."""

    watched: bool
    """Whether the controller starts it again when it dies."""
    packages: Mapping[str, str]
    """Versions of what answers, which cannot be seen from a worker."""


class Session:
    """What is open and answered while a run goes on; boots nothing before `open`."""

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        folder: RunFolder,
        attached: Attached | None = None,
    ) -> None:
        """`attached` is given in an xdist worker, and there alone."""
        self.config = config
        self.options = options
        self.folder = folder
        self._attached = attached
        self.started = time.time()
        self._done = folder.kept()
        self._claimed = False
        self._stack = contextlib.ExitStack()
        self._opened: Opened | None = None
        self._spread: Spread | None = None
        self._name: str | None = None
        self._runner: Runner | None = None
        self.lost: list[str] = []
        """Replicas on other machines that did not answer any more, a sentence each."""
        self._memory: PeakMemory | None = None
        self._peaks: dict[str, int] = {}
        self._served: dict[str, ProfileServed] = {}
        self._served_before = folder.served() if self._done else {}
        if attached is None:
            self._refuse_narrower()

    @property
    def left_as_it_was(self) -> bool:
        """Whether a resumed run has answered nothing so far, and need not write into its folder."""
        return self.options.resume is not None and not (self._claimed and self.folder.has_new())

    @property
    def url(self) -> str:
        """The base URL of the open server."""
        server = self._opened.server if self._opened else None
        return server.url if server else "http://127.0.0.1:PORT/v1"

    def served(self, profile: str) -> ProfileServed:
        """Model and quantisation of a profile that has been opened."""
        return self._served[profile]

    def served_profiles(self) -> dict[str, ProfileServed]:
        """What serves each profile that has been opened, here or before the run was resumed."""
        return {**self._served_before, **self._served}

    def questions(self, case: Case) -> Iterator[tuple[str, Question]]:
        """Profile and question of everything to ask about `case`."""
        yield from questions(case, self.options, self.config)

    def open(self, profile: str) -> None:
        """Boot or attach to this profile's server, ending the one before; once.

        Raises:
            EvalsError: the model, server or configuration is not usable.
            OSError: the run's folder cannot be written.
        """
        if (self._opened or self._spread) and profile == self._name:
            return
        self.close()
        if self.options.resume is None:  # also of a run that does not start there is a report
            self._claim_folder()
        if address := self.options.ray:
            self._spread = self._stack.enter_context(self._spreading(profile, address))
            now = self._spread.served
        else:
            opening = open_profile(
                profile, self.config, self.options.lanes, self.folder.path, cache_folder(), _say
            )
            self._opened = self._stack.enter_context(opening)
            if self._attached:
                self._opened = replace(self._opened, packages=self._attached.packages)
            self._memory = _memory(self._opened)
            now = served(self._opened) if self._attached else served_by(self._opened)
        self._name = profile
        if not self._attached:
            self._check_as_before(profile, now)
            self._claim_folder()
            profiles = {**self.served_profiles(), profile: now}
            self.folder.write_fingerprint(Fingerprint(profiles=profiles))
        self._served[profile] = now

    def answer(
        self, profile: str, question: Question, wanted: Callable[[], Sequence[Question]]
    ) -> Record:
        """The judged answer; `wanted` names this profile's questions from here on, in order.

        Raises:
            EvalsError: as `open`, or the server is down for good.
            OSError: an answer cannot be saved.
        """
        self.open(profile)
        if self._runner is None:
            self._runner = self._run()
        if (record := self.answer_from_before(profile, question)) is not None:
            return record
        if question not in self._runner:
            self._runner.add([q for q in wanted() if self._kept_answer(profile, q) is None])
        if self._runner.has_given(question):  # a plugin that runs failed items again
            return self.folder.saved(question.key(profile))
        return self._runner.record(question)

    def answer_from_before(self, profile: str, question: Question) -> Record | None:
        """What the run that is resumed was answered, judged as of today; None of nothing.

        Raises:
            OSError: what is judged otherwise today cannot be saved.
        """
        kept = self._kept_answer(profile, question)
        if kept is None:
            return None
        record = judged(replace(kept, case=question.case))
        if record != kept:
            self._claim_folder()
            self.folder.append(record)
            self._done[record.key] = record
        return record

    def has_answer(self, profile: str, question: Question) -> bool:
        """Whether there is a judged one, of this run or of the one that is resumed.

        Raises:
            OSError: as `answer_from_before`.
        """
        given = profile == self._name and self._runner and self._runner.has_given(question)
        return bool(given) or self.answer_from_before(profile, question) is not None

    def watch(self) -> None:
        """Start the open server again whenever it dies, while xdist's workers ask it."""
        opened = self._opened
        if opened is None or opened.server is None or opened.server.process is None:
            return
        life = self._life(opened)
        self._stack.callback(life.close)  # before the server is ended
        threading.Thread(target=life.keep_alive, name="watch", daemon=True).start()

    def _run(self) -> Runner:
        save, at_a_time = self.folder.append, self.options.in_flight
        if self._spread:
            return Runner(self._spread, (), in_flight=self._spread.questions_at_a_time, save=save)
        assert self._opened is not None
        replica = Replica(self._opened, self._life(self._opened))
        return Runner(replica, (), in_flight=at_a_time, save=save)

    def _spreading(self, profile: str, address: str) -> AbstractContextManager[Spread]:
        return spread(
            profile,
            self.config,
            self.options.lanes,
            address,
            self.folder.path,
            in_flight=self.options.in_flight,
            note=self.folder.append_death,
            lost=self.lost.append,
            say=_say,
        )

    def _life(self, opened: Opened) -> Life:
        return Life(
            opened,
            timeout=self.config.timeout,
            in_flight=self.options.in_flight,
            note=self.folder.append_death,
            elsewhere=bool(self._attached and self._attached.watched),
        )

    def _claim_folder(self) -> None:
        """Begin with the answers that are kept; once, before any write.

        A worker of xdist writes into what its controller has claimed.
        """
        if self._claimed or self._attached:
            return
        check_descriptors(self.options.in_flight)
        self.folder.replace_records(self._done.values())
        self._claimed = True

    def server_peaks(self) -> dict[str, int]:
        """The most bytes that the server of each closed profile had, where this run booted it."""
        return dict(self._peaks)

    def close(self) -> None:
        """End the server and everything else that this process opened; may be called twice."""
        if self._memory and self._opened and (peak := self._memory.bytes):
            self._memory.close()
            self._peaks[self._opened.name] = peak
        self._memory = None
        if self._runner:
            self._runner.close()
        self._stack.close()
        if self._spread and self._spread.peak_bytes:
            self._peaks[self._spread.name] = self._spread.peak_bytes
        self._runner = self._opened = self._spread = None

    def for_worker(self, worker: str) -> dict[str, Any]:
        """What a worker needs to attach: plain values, sent by xdist."""
        assert self._opened is not None
        # A worker knows what the replay model is; a folder in its place would be any model.
        replay = self.config.target(self._opened.name).replays
        model = None if replay else self._opened.model
        return {
            "worker": worker,
            "folder": str(self.folder.path),
            "url": self.url,
            "watched": bool(self._opened.server and self._opened.server.process),
            "packages": dict(self._opened.packages),
            "model": str(model) if model is not None else None,
        }

    def _kept_answer(self, profile: str, question: Question) -> Record | None:
        """The answer that is there already; None where today's question is another.

        None, too, where it is of versions that nobody noted, and a known defect of some versions
        asks for them today.
        """
        kept = self._done.get(question.key(profile))
        if kept is None or not is_answer_to(kept, question.case):
            return None
        unnoted = question.case.told_apart_by - kept.packages.keys()
        return None if unnoted & self._versions(profile).keys() else kept

    def _versions(self, profile: str) -> Mapping[str, str]:
        """The packages of what answers in `profile` today, as far as they can be known."""
        if self._attached:
            return self._attached.packages
        if self._opened and profile == self._name:
            return self._opened.packages
        url = self.config.target(profile).url
        return packages_of(Server(url) if url else None)

    def _refuse_narrower(self) -> None:
        """Refuse to resume what has answers that these options do not ask for: they would go."""
        if narrower := left_out(self._done.values(), self.options):
            raise ConfigError(
                f"--resume {self.folder.path}: it has answers that these options leave out "
                f"({', '.join(narrower)}); resume it with the options that it was begun with, "
                "choose a part of it with -k, or begin a new run"
            )

    def refuse_strangers(self, keys: Iterable[str]) -> None:
        """Refuse to resume as a shard what has answers to questions with `keys`, of other shards.

        Raises:
            ConfigError: there are some.
        """
        if strange := sorted(self._done.keys() & set(keys)):
            raise ConfigError(
                f"--resume {self.folder.path}: {len(strange)} of its answers, such as "
                f"{strange[0]}, are to questions of another shard than {self.options.shard}; "
                "give the --shard that it was begun with, or, if cases have changed since, begin "
                "all shards anew"
            )

    def _check_as_before(self, profile: str, now: ProfileServed) -> None:
        """Make sure that a resumed run is served as the one before was."""
        before = self._served_before.get(profile)
        where = f"--resume {self.folder.path}: its answers in profile {profile}"
        if before is None and any(of.profile == profile for of in self._done.values()):
            raise ConfigError(
                f"{where} may be of any server: {FINGERPRINT} there does not tell; begin a new run"
            )
        if others := differing(before or now, now):
            raise ConfigError(
                f"{where} were served with another {' and '.join(others)}; serve it as before, or "
                "begin a new run"
            )


def open_session(
    settings: Mapping[str, Any],
    root: Path,
    worker: Mapping[str, Any] | None,
    *,
    writes: bool = True,
) -> Session:
    """The session of this process; boots nothing.

    `worker` is what the controller told this xdist worker, `for_worker`; None in another process.
    A session that `writes` has its folder to itself from here on.

    Raises:
        ConfigError: the configuration or an option is wrong, or another process writes the run.
        OSError: the folder cannot be made.
    """
    config = read_config(root)
    options = read_options(settings, config)
    if worker is None:
        folder = RunFolder(choose_folder(options, root))
        if writes:
            folder.create()
    else:
        in_flight = math.ceil(options.in_flight / worker["parts"])  # all workers together as one
        options = replace(
            options, model=worker["model"], attach=worker["url"], port=None, in_flight=in_flight
        )
        folder = RunFolder(Path(worker["folder"]), worker["worker"])
    try:
        if writes and worker is None:
            choose_folder(options, root)  # another run may have been there meanwhile
        attached = Attached(worker["watched"], worker["packages"]) if worker else None
        return Session(options.applied_to(config), options, folder, attached)
    except BaseException:
        folder.unlock()
        raise


def _memory(opened: Opened) -> PeakMemory | None:
    """What watches the server's memory; None of a server that somebody else started."""
    if opened.server is None or (process := opened.server.process) is None:
        return None
    return PeakMemory(lambda: process.pid)


def _say(text: str) -> None:
    print(text, flush=True)
