"""The entry point of pytest: in a project with a configuration of evals it loads the plugin.

Every run of pytest in an environment with this package loads this module, so it imports next to
nothing, and adds no option where there is nothing to evaluate. The plugin comes after the project's
own conftest.py, whose options keep their names.
"""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evals.garbage import no_garbage
from evals.root import CASES_INI, configured_root

if TYPE_CHECKING:
    from evals.api import Case, Judged, OpenTarget

PLUGIN = "evals.plugin"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The folders of case files may be named where pytest's own settings are."""
    parser.addini(CASES_INI, "folders of evals' case files, from the rootdir on", type="args")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, args: list[str]
) -> Generator[None, None, None]:
    """Load the plugin where the project has a configuration, or names its case folders."""
    yield
    starts = _starts(early_config, args)
    if early_config.getini(CASES_INI) or configured_root(early_config.rootpath, starts):
        with no_garbage():
            early_config.pluginmanager.import_plugin(PLUGIN)


def _starts(config: pytest.Config, args: Sequence[str]) -> list[Path]:
    """Where pytest was called, and the places that it was given."""
    here = config.invocation_params.dir
    named = (here / arg.partition("::")[0] for arg in args if not arg.startswith("-"))
    return [here, *(place for place in named if place.exists())]


@pytest.fixture(scope="session")
def evals_target(pytestconfig: pytest.Config) -> "Generator[OpenTarget, None, None]":
    """The target of profile `default`, or of the first of `--profiles`; opened once a session.

    In a worker of xdist each opens its own: with `-n` let it be one with a url.
    """
    from evals.api import open_target

    def given(name: str) -> str | None:
        value = pytestconfig.getoption(f"evals_{name}", None)
        return value if isinstance(value, str) else None

    starts = [pytestconfig.invocation_params.dir]
    root = configured_root(pytestconfig.rootpath, starts) or pytestconfig.rootpath
    profile = (given("profiles") or "default").partition(",")[0]
    with open_target(given("attach"), model=given("model"), profile=profile, root=root) as target:
        yield target


@pytest.fixture
def evals_ask(evals_target: "OpenTarget") -> "Callable[..., Judged]":
    """Asks a case, and fails the test with the story of a wrong answer; `lane` as it travels."""

    def ask(case: "Case", lane: str = "server") -> "Judged":
        __tracebackhide__ = True
        return evals_target.ask(case, lane).check()

    return ask
