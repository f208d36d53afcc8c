"""Which of the collected items are asked, in what order, and whether they are the whole suite."""

import contextlib
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from evals.collecting import workers
from evals.collecting.items import CaseItem
from evals.collecting.state import COLLECTED, PROJECT, SESSION, change_plan, plan_of, refuse
from evals.errors import CaseFileError, ConfigError
from evals.escaping import one_line
from evals.loading.casefile import check_unique, find_case_files
from evals.loading.tools import is_left_out, notes
from evals.running.places import is_case_place
from evals.running.questions import share
from evals.running.session import Session

_UNCOLLECTED = ("lf", "ignore", "ignore_glob")
"""pytest's options that leave cases out before they are collected."""


def arrange(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Profiles one after another; cases with the same tools together, for the prompt cache.

    Of a shard its items are left. This comes before `-k`: a case's shard does not depend on what
    is chosen.
    """
    _refuse_duplicates(config, items)
    session = config.stash[SESSION]
    change_plan(config, collected=frozenset().union(*config.stash.get(COLLECTED, {}).values()))
    items.sort(key=lambda item: _order(item, session))
    if session.options.shard is not None:
        _keep_share(config, items, session)


_PASSED_OVER = pytest.StashKey[list[str]]()
"""The case files of a whole suite that pytest did not come to."""


def note_wanted(config: pytest.Config, session: pytest.Session) -> None:
    """Note what is asked, and whether it is the whole suite: a part cannot pass the gate."""
    wanted = _keys(session.items)
    config.stash[_PASSED_OVER] = _passed_over(config)
    whole = (
        bool(config.stash.get(COLLECTED, None))  # without a case file there is no suite
        and wanted == plan_of(config).collected
        and not session.testsfailed  # a file that could not be collected
        and config.stash[PROJECT].named_whole
        and not _leaves_out(config)
        and not config.stash[_PASSED_OVER]
    )
    change_plan(config, wanted=wanted, whole=whole)


def notes_of(items: list[pytest.Item]) -> list[str]:
    """What is no mistake of these cases and yet worth knowing, a line each."""
    cases = {item.question.case.node: item.question.case for item in _case_items(items)}
    return [f"note: {note}" for note in notes(list(cases.values()))]


_PYTESTS_OWN = {
    *("*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}"),
}
"""What `norecursedirs` is where a project does not set it; pytest does not say which it is."""


def is_kept(config: pytest.Config, folder: Path) -> bool:
    """Whether a folder has cases and is passed over only by pytest's own `norecursedirs`."""
    return (
        not _leaves_out(config)
        and set(passed := config.getini("norecursedirs")) == _PYTESTS_OWN
        and any(fnmatch(folder.name, name) for name in passed)
        and not is_left_out(folder.name)
        and is_case_place(folder, config.stash[PROJECT].folders)
        and folder.is_dir()
    )


def passed_over_notes(config: pytest.Config) -> list[str]:
    """That case files are not asked which the settings of the project hide from pytest."""
    if not (names := config.stash[_PASSED_OVER]):
        return []
    shown = ", ".join(one_line(name) for name in names[:5]) + (", …" if names[5:] else "")
    return [
        f"note: {len(names)} case file(s) not asked: {shown}; pytest passes them over "
        "(norecursedirs, collect_ignore): without them this is a part of the suite"
    ]


def _leaves_out(config: pytest.Config) -> bool:
    return any(config.getoption(name, None) for name in _UNCOLLECTED)


def _passed_over(config: pytest.Config) -> list[str]:
    """The case files of a whole suite that pytest did not come to, sorted."""
    project = config.stash[PROJECT]
    if _leaves_out(config) or not project.named_whole or workers.is_controller(config):
        return []
    files = dict[Path, None]()
    for folder in project.folders:
        with contextlib.suppress(CaseFileError):  # one without any
            files |= dict.fromkeys(find_case_files([folder]))
    seen = config.stash.get(COLLECTED, {})
    return [
        os.path.relpath(file, project.root) for file in sorted(files) if file.resolve() not in seen
    ]


def _refuse_duplicates(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each file is read for itself; two of them must not have a case of one name."""
    cases = {(i.parent, i.question.case.node): i.question.case for i in _case_items(items)}
    try:
        check_unique(cases.values())
    except CaseFileError as error:
        refuse(config, error)


def _case_items(items: list[pytest.Item]) -> Iterator[CaseItem]:
    yield from (item for item in items if isinstance(item, CaseItem))


def _keys(items: list[pytest.Item]) -> frozenset[str]:
    return frozenset(item.key for item in _case_items(items))


def _keep_share(config: pytest.Config, items: list[pytest.Item], session: Session) -> None:
    asked = [(i.profile, i.question.case) for i in items if isinstance(i, CaseItem)]
    suite, mine = share(asked, session.options)
    change_plan(config, suite=suite)
    others = [
        i
        for i in items
        if isinstance(i, CaseItem) and (i.profile, i.question.case.node) not in mine
    ]
    if others:
        try:
            session.refuse_strangers(item.key for item in others)
        except ConfigError as error:
            refuse(config, error)
        config.hook.pytest_deselected(items=others)
        left = set(others)
        items[:] = [item for item in items if item not in left]


def _order(item: pytest.Item, session: Session) -> tuple[Any, ...]:
    if not isinstance(item, CaseItem):
        return (-1,)
    case = item.question.case
    tools = " ".join(tool.name for tool in case.tools)
    profiles = session.options.profiles
    return profiles.index(item.profile), tools, case.node, item.question.repeat
