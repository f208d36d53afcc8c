"""xdist: the controller boots the server, its workers attach to it and tell what they asked."""

from typing import Any

import pytest

from evals.collecting.state import PROJECT, SESSION, change_plan, end, plan_of
from evals.errors import EvalsError
from evals.loading.casefile import find_case_files, read_cases

_KEY = "evals"


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's workers."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process gives its items to workers."""
    return not is_worker(config) and bool(getattr(config.option, "tx", None))


def told_by_controller(config: pytest.Config) -> dict[str, Any] | None:
    """Where server and folder are; None in a process that is not a worker."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    return given.get(_KEY)


def prepare(config: pytest.Config) -> None:
    """Check all cases and boot the server before any worker starts."""
    session = config.stash[SESSION]
    try:
        project = config.stash[PROJECT]
        read_cases(find_case_files(project.places), project.root)
        session.open(session.options.profiles[0])
    except (EvalsError, OSError) as error:
        end(config, error)


def tell_worker(node: Any) -> None:
    """Tell a worker where the server is and where its records go."""
    session = node.config.stash[SESSION]
    node.workerinput[_KEY] = session.for_worker(node.workerinput["workerid"])


def tell_controller(config: pytest.Config) -> None:
    """Tell what this worker was to ask, whether that is all, and what shards are dealt from."""
    plan = plan_of(config)
    output: dict[str, Any] = getattr(config, "workeroutput")  # noqa: B009 - xdist puts it there
    output[_KEY] = {"whole": plan.whole, "suite": plan.suite, "wanted": sorted(plan.wanted)}


def hear_worker(node: Any) -> None:
    """Take over what a worker that ended has told; one that died has told nothing."""
    if told := (getattr(node, "workeroutput", None) or {}).get(_KEY):
        change_plan(node.config, **{**told, "wanted": frozenset(told["wanted"])})


def scheduler(config: pytest.Config, log: Any) -> Any:
    """All lanes of a case go to one worker: a stream is compared with its plain answer."""
    from xdist.scheduler import LoadScopeScheduling

    class ByCase(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.rpartition("[")[0]

    return ByCase(config, log)
