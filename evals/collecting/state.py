"""What the hooks of one pytest process keep for one another, as values in pytest's stash."""

from dataclasses import replace
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
PLAN = pytest.StashKey[Plan]()
OTHERS_FAILED = pytest.StashKey[bool]()
ANSWERED = pytest.StashKey[dict[str, bool]]()
"""Of what pytest came to, by key: whether it has a judged answer; it may have been skipped."""
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
    pytest.exit(why, returncode=ERROR_EXIT)
