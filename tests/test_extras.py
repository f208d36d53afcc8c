"""What is not installed is named in one line, with the command that installs it."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

from evals import extras
from evals.errors import ConfigError


@pytest.fixture
def without(monkeypatch):
    """Hides modules, as if they were not installed."""

    def hide(*names):
        find = importlib.util.find_spec
        hidden = lambda name, *rest: None if name in names else find(name, *rest)  # noqa: E731
        monkeypatch.setattr(importlib.util, "find_spec", hidden)

    return hide


def test_a_missing_extra_is_one_line_with_its_command(without):
    extras.need("agent", "lane agent")
    without("openai", "pydantic_ai")
    with pytest.raises(ConfigError) as error:
        extras.need("agent", "lane agent")
    assert str(error.value) == (
        "lane agent needs openai, pydantic_ai, not installed here: "
        "pip install 'toolcall-evals[agent]'"
    )


def test_every_extra_is_one_of_the_package():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    declared = project["optional-dependencies"].keys() - {"all", "dev"}
    assert declared == {extra.name for extra in extras.EXTRAS}
