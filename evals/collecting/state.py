"""What the hooks of one pytest process keep for one another, as values in pytest's stash."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from evals.collecting.project import Project
from evals.errors import EvalsError, cannot_write
from evals.running.questions import Plan
from evals.running.session import Session

if TYPE_CHECKING:  # reports are loaded when there is one to write: a collection needs none
    from evals.report.writers import FinishedRun

PROJECT = pytest.StashKey[Project]()
SESSION = pytest.StashKey[Session]()
"""Both only where cases are among pytest's arguments."""
COLLECTED = pytest.StashKey[dict[Path, set[str]]]()
"""The keys of all that each case file asks that pytest came to, before any plugin left some out."""
EARLIER = pytest.StashKey[list[Path]]()
"""Allure's results of the run that is resumed; they go when there are those of this one."""
PLAN = pytest.StashKey[Plan]()


@dataclass
class Failures:
    """What pytest reported as failed: how many answers, and the ids of all else."""

    forgiven: int = 0
    """Wrong answers: the gate judges them."""
    others: list[str] = field(default_factory=list)


FAILURES = pytest.StashKey[Failures]()
ANSWERED = pytest.StashKey[dict[str, bool]]()
"""Of what pytest came to, by key: whether it has a judged answer; it may have been skipped."""
BEGUN = pytest.StashKey[bool]()
"""There where items were to be run, and not only shown in some way."""
STOPPED = pytest.StashKey[str]()
"""Why pytest stopped by itself before all was asked."""
FINISHED: "pytest.StashKey[FinishedRun]" = pytest.StashKey()
ERROR_EXIT = 3


def plan_of(config: pytest.Config) -> Plan:
    """What is known by now of what this run asks."""
    return config.stash.get(PLAN, Plan())


def change_plan(config: pytest.Config, **changes: Any) -> None:
    """Put a plan with `changes` in place of the one that was known."""
    config.stash[PLAN] = replace(plan_of(config), **changes)


def end(config: pytest.Config, error: EvalsError | OSError) -> NoReturn:
    """End the run with its reason in a line; its gate will not pass."""
    why = str(error)
    if isinstance(error, OSError):
        why = f"cannot write: {cannot_write(error)}"
    folder = config.stash[SESSION].folder
    if folder.has_answers():
        why += f"\nwhat was answered is kept: --resume {folder.path}"
    change_plan(config, ended=why)
    _tell_controller(config, why)
    pytest.exit(why, returncode=ERROR_EXIT)


def refuse(config: pytest.Config, error: EvalsError) -> NoReturn:
    """Refuse, in a line, what pytest was asked for."""
    _tell_controller(config, str(error))
    raise pytest.UsageError(str(error)) from error


def _tell_controller(config: pytest.Config, why: str) -> None:
    """Why this worker of xdist ends: without that its controller knows of an internal error."""
    session: Any = config.pluginmanager.get_plugin("session")
    if session is not None and hasattr(config, "workerinput"):
        session.shouldstop = why
