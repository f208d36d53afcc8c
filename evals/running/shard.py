"""Shards: one suite dealt out to several machines, whose records `evals merge` joins."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evals.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`; the first is 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """The shard that `2/4` names.

    Raises:
        ConfigError: it names none.
    """
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    shard = Shard(int(found[1]), int(found[2])) if found else None
    if shard is None or not 1 <= shard.index <= shard.count:
        raise ConfigError(
            f"--shard {text}: not a part of a whole; give i/n with i from 1 to n, such as 2/4"
        )
    return shard


def deal(names: Iterable[str], shard: Shard) -> set[str]:
    """The share of `shard`: every `count`-th of `names`, each name counted once.

    The names come in the order in which they are asked, cases with the same tools together. Dealt
    out like cards, every shard gets as many as any other, give or take one, and as much of each
    toolset, so all end at about the same time. A hash of the name would keep a case in its shard
    when others come or go, but nothing is kept for a shard from run to run, and the shares would
    differ by a tenth or more.
    """
    ordered: Sequence[str] = list(dict.fromkeys(names))
    return set(ordered[shard.index - 1 :: shard.count])
