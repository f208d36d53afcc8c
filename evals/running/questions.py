"""What a run asks: each case × profile × lane × repeat, and the share of one machine."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evals.case import Case
from evals.config import Config
from evals.results import Record
from evals.running.fingerprint import suite_digest
from evals.running.options import RunOptions
from evals.running.shard import deal


@dataclass(frozen=True)
class Question:
    """One case in one lane; `repeat` counts from 0."""

    case: Case
    lane: str
    repeat: int = 0

    def key(self, profile: str) -> str:
        """The key of the record that answers it in `profile`."""
        suffix = f"#{self.repeat}" if self.repeat else ""
        return f"{self.case.node}[{profile}-{self.lane}{suffix}]"


@dataclass(frozen=True)
class Plan:
    """What a run is to answer, told by whoever collected its cases; all of it keys of records."""

    collected: frozenset[str] = frozenset()
    """Everything that the case files ask, before anything was chosen from it."""
    wanted: frozenset[str] = frozenset()
    """What is left of that, and asked."""
    whole: bool = False
    """The whole suite is asked: no file, case or lane was left out."""
    suite: str | None = None
    """Digest of the suite that shards are dealt from; None without a shard."""
    ended: str | None = None
    """Why the run ended before everything was asked; None if it did not."""
    unanswered: frozenset[str] = frozenset()
    """What pytest skipped when it came to it, or what failed before it was asked; this run may have
    asked it ahead of its turn."""

    def keeps(self, key: str) -> bool:
        """Whether the record with this key is one of the run."""
        return key not in self.unanswered and (not self.whole or key in self.wanted)


def questions(case: Case, options: RunOptions, config: Config) -> Iterator[tuple[str, Question]]:
    """Profile and question of everything to ask about `case`."""
    if options.tier == "smoke" and case.tier != "smoke":
        return
    case = options.asked_for(case)
    for profile in options.profiles:
        if case.profiles and not {profile, config.profile(profile).asks} & {*case.profiles}:
            continue
        if (case.replay is not None) != config.target(profile).replays:
            continue
        for lane in options.lanes:
            for number in range(options.repeat or case.repeat):
                yield profile, Question(case, lane, number)


def left_out(answers: Iterable[Record], options: RunOptions) -> list[str]:
    """What of `answers` the options do not ask for, in words: `lane stream`, `profile mine`."""
    found = dict[str, None]()
    for answer in answers:
        if answer.profile not in options.profiles:
            found[f"profile {answer.profile}"] = None
        if answer.lane not in options.lanes:
            found[f"lane {answer.lane}"] = None
        if options.tier == "smoke" and answer.case.tier != "smoke":
            found["tier full"] = None
        if answer.repeat >= (options.repeat or answer.case.repeat):
            found[f"repeat {answer.repeat + 1}"] = None
    return list(found)


def share(
    asked: Sequence[tuple[str, Case]], options: RunOptions
) -> tuple[str, frozenset[tuple[str, str]]]:
    """The suite's digest, and profile and node of the cases that this run's shard asks.

    `asked` has profile and case of everything that was collected, in the order of asking. Each
    profile's cases are dealt out for themselves; lanes and repeats of a case stay together.
    Without a shard it is all of them.
    """
    mine: set[tuple[str, str]] = set()
    for profile in options.profiles:
        nodes = [case.node for name, case in asked if name == profile]
        dealt = deal(nodes, options.shard) if options.shard else nodes
        mine |= {(profile, node) for node in dealt}
    return suite_digest(case for _, case in asked), frozenset(mine)


WINDOW = 16
"""Groups for each one in flight that `asking_order` puts in order together."""


def asking_order(
    groups: Sequence[Sequence[Question]], in_flight: int
) -> Iterator[Sequence[Question]]:
    """Groups of questions to one case each, in an order in which prompts have much in common.

    A server keeps the latest prompts that it has read, and two that begin with the same tool begin
    alike. Asked at the same time both are read in full, asked after one another the second is read
    in part: so as many first tools as there may be in flight take turns, those of most groups
    first, and of one tool the longest prompt comes first. No group is moved far, for its answer is
    held until those before it have come.
    """
    size = WINDOW * in_flight
    for begin in range(0, len(groups), size):
        by_tool: dict[str, list[Sequence[Question]]] = {}
        for group in sorted(groups[begin : begin + size], key=_length, reverse=True):
            tools = group[0].case.tools
            by_tool.setdefault(tools[0].name if tools else "", []).append(group)
        left = iter(sorted(by_tool.values(), key=len, reverse=True))
        turns = list(itertools.islice(left, in_flight))
        while turns:
            yield from (turn.pop(0) for turn in turns)
            turns = [turn for turn in turns if turn]
            turns += itertools.islice(left, in_flight - len(turns))


def _length(group: Sequence[Question]) -> int:
    """What the prompt's length goes by: the characters of tools and messages."""
    case = group[0].case
    tools = sum(len(str(tool.parameters)) + len(tool.description) for tool in case.tools)
    return tools + sum(len(str(message)) for message in case.messages)
