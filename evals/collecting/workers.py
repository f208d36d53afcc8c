"""xdist: the controller boots the server, its workers attach to it and tell what they asked.

The groups of items are dealt out before anything is asked, so each worker knows from the first item
on which ones are its own, and keeps its share of the requests in flight.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from evals.collecting.state import PROJECT, SESSION, change_plan, end, plan_of
from evals.errors import EvalsError
from evals.loading.casefile import YAML, find_case_files, read_cases
from evals.running.options import RunOptions
from evals.running.places import known_names

_KEY = "evals"
_PART, _COUNT = "part", "parts"


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's workers."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process gives its items to workers."""
    dealt = getattr(config.option, "dist", "no") != "no"  # else pytest runs all in this process
    return not is_worker(config) and dealt and bool(getattr(config.option, "tx", None))


def told_by_controller(config: pytest.Config) -> dict[str, Any] | None:
    """Where server and folder are, which part is this worker's; None in another process."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    return given.get(_KEY)


def check_distribution(config: pytest.Config, options: RunOptions) -> None:
    """Refuse what would ask a question more than once.

    Raises:
        UsageError: all workers are to run all items, there is more than one profile, or the
            nodes of a cluster ask.
    """
    if not is_controller(config):
        return
    if config.getoption("dist") == "each":
        raise pytest.UsageError(
            "--dist each: every worker would ask every question; leave it out, -n N deals them out"
        )
    if options.ray:
        raise pytest.UsageError("-n: the nodes of the cluster ask; leave -n or --ray out")
    if len(options.profiles) > 1:
        raise pytest.UsageError("-n: one profile at a time; without -n they run after one another")


def prepare(config: pytest.Config) -> None:
    """Check all cases and boot the server before any worker starts."""
    session = config.stash[SESSION]
    try:
        project = config.stash[PROJECT]
        names = known_names(session.config)
        read_cases(find_case_files(project.places), project.root, names)
        session.open(session.options.profiles[0])
        session.watch()
    except (EvalsError, OSError) as error:
        end(config, error)


def tell_worker(node: Any) -> None:
    """Tell a worker where the server is, where its records go, and which part is its own.

    A worker that takes the place of one that died has none: it asks what it is given.
    """
    from xdist.workermanage import parse_tx_spec_config

    told = node.config.stash.setdefault(_TOLD, [])
    parts = {_PART: len(told), _COUNT: len(parse_tx_spec_config(node.config))}
    told.append(node.gateway.id)
    session = node.config.stash[SESSION]
    node.workerinput[_KEY] = {**session.for_worker(node.workerinput["workerid"]), **parts}


_TOLD = pytest.StashKey[list[str]]()


def tell_controller(config: pytest.Config) -> None:
    """Tell what this worker was to ask, whether that is all, and what shards are dealt from.

    One that had to end tells why.
    """
    plan = plan_of(config)
    output: dict[str, Any] = getattr(config, "workeroutput")  # noqa: B009 - xdist puts it there
    told = {"whole": plan.whole, "suite": plan.suite, "ended": plan.ended}
    output[_KEY] = {**told, "wanted": sorted(plan.wanted)}


def hear_collection(node: Any, ids: Iterable[str]) -> None:
    """Take the questions among the items of a worker, named from pytest's root, as wanted."""
    if plan_of(node.config).wanted:
        return
    root, project = node.config.rootpath, node.config.stash[PROJECT].root
    asked = (nodeid.partition("::") for nodeid in ids if is_question(nodeid))
    wanted = (f"{os.path.relpath(root / path, project)}::{name}" for path, _, name in asked)
    change_plan(node.config, wanted=frozenset(wanted))


def hear_worker(node: Any) -> None:
    """Take over what a worker that ended has told; one that died has told nothing."""
    if told := (getattr(node, "workeroutput", None) or {}).get(_KEY):
        ended = plan_of(node.config).ended or told["ended"]  # another one's reason stays
        change_plan(node.config, **{**told, "wanted": frozenset(told["wanted"]), "ended": ended})


def to_ask(item: pytest.Item) -> list[pytest.Item]:
    """The items that this process will run from `item` on, as far as it can know.

    All that are left; in a worker those of its part. One that was given another part, in place of
    a worker that died, knows of this item's group alone.
    """
    items = item.session.items
    told = told_by_controller(item.config)
    if told is None:
        return items[items.index(item) :]
    parts = _deal((one.nodeid for one in items), told[_COUNT])
    group = _group(item.nodeid)
    if parts[group] == told[_PART]:
        return [one for one in items if parts[_group(one.nodeid)] == told[_PART]]
    return [one for one in items if _group(one.nodeid) == group]


def _deal(nodeids: Iterable[str], count: int) -> dict[str, int]:
    """The part, from 0, of each group of items: dealt out like cards, in order."""
    groups = dict.fromkeys(_group(nodeid) for nodeid in nodeids)
    return {group: number % count for number, group in enumerate(groups)}


def _group(nodeid: str) -> str:
    """What one worker does as a whole: all lanes of a case, or a file of other tests."""
    if not is_question(nodeid):
        return nodeid.partition("::")[0]
    case, _, asked = nodeid.rpartition("[")
    return f"{case}#{asked.rstrip(']').partition('#')[2]}"


def is_question(nodeid: str) -> bool:
    """Whether an item's id is that of a question, also before it is collected here."""
    path, _, name = nodeid.partition("::")
    return path.lower().endswith(YAML) and "[" in name


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each worker its part as one unit: a stream is compared with its plain answer."""
    from xdist.scheduler import LoadScopeScheduling

    class ByPart(LoadScopeScheduling):  # type: ignore[misc]
        _parts: Mapping[str, int] | None = None

        def _split_scope(self, nodeid: str) -> str:
            if self._parts is None:
                self._parts = _deal(next(iter(self.registered_collections.values())), self.numnodes)
            return str(self._parts[_group(nodeid)])

        def _assign_work_unit(self, node: Any) -> None:
            own = str(node.workerinput[_KEY][_PART])
            if own in self.workqueue:
                self.workqueue.move_to_end(own, last=False)
            super()._assign_work_unit(node)

    return ByPart(config, log)
