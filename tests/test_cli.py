"""The door: what `evals` offers, how soon, and what it hands on to pytest."""

import json
import re
import subprocess
import sys

import pytest
from made_runs import answer_of, called, case_of, write_run
from typer.testing import CliRunner

from evals import __version__
from evals.cli import app
from evals.commands.run_options import run_options
from evals.commands.runs import pytest_arguments
from evals.reference.commands import all_commands

SLOW = {"allure_commons", "mlx", "mlx_lm", "openai", "pydantic", "pydantic_ai", "pytest", "scipy"}


def python(*arguments) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_loads_nothing_that_is_slow():
    loaded = python("-c", "import evals.cli, json, sys; print(json.dumps([*sys.modules]))")
    assert SLOW & {name.partition(".")[0] for name in json.loads(loaded)} == set()


def test_evals_is_a_module_that_can_be_run():
    assert python("-m", "evals", "--version") == f"toolcall-evals {__version__}\n"
    assert "Usage: evals [OPTIONS]" in python("-m", "evals", "--help")


@pytest.mark.parametrize("given", [given for given, _ in all_commands()])
def test_every_command_has_help(given):
    words = given.split()[1:]
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert re.search(rf"usage: .*{' '.join(words)} ", result.output, re.IGNORECASE)


def test_the_help_of_run_has_the_options_of_the_plugin_and_asks_nothing():
    output = CliRunner().invoke(app, ["run", "--help"]).output
    assert len(run_options()) > 10
    for option in run_options():
        assert option.name in output
        assert " ".join(option.meaning.split()) in " ".join(output.split())
    assert "-v prints each failure in full" in " ".join(output.split())


@pytest.mark.parametrize("option", ["-v", "-vv", "--verbose"])
def test_failures_are_printed_in_full_if_asked_for(option):
    assert "--tb=no" in pytest_arguments([], [])
    assert "--tb=no" not in pytest_arguments([option], [])


def test_a_model_outside_of_the_project_does_not_hide_its_conftest(tmp_path):
    """This project's conftest.py names the plugin, which pytest takes from the root's alone."""
    given = ["--model", str(tmp_path), "--evals-lanes", "server", "-k", "x", "--progress", "--tier"]
    handed = [f"--model={tmp_path}", "--evals-lanes=server", "-k", "x", "--progress", "--tier"]
    assert pytest_arguments(given, [])[-6:] == handed
    assert pytest_arguments(["--", "--model", "m"], [])[-3:] == ["--", "--model", "m"]
    told = python("-m", "evals", "run", "--model", str(tmp_path), "--collect-only", "-k", "digit")
    assert "cases/" in told


def test_runs_of_different_suites_are_compared_if_asked_for_also_by_the_old_name(tmp_path):
    records = [answer_of(case_of("digit"), called())]
    write_run(tmp_path / "before", records)
    write_run(tmp_path / "after", records, suite="other")
    pair = ["compare", str(tmp_path / "before"), str(tmp_path / "after")]
    refused = CliRunner().invoke(app, pair)
    assert refused.exit_code == 1
    assert "--allow-mismatch" in str(refused.exception)
    for option in ("--allow-mismatch", "--unlike"):
        assert CliRunner().invoke(app, [*pair, option]).exit_code == 0
    assert "--unlike" not in CliRunner().invoke(app, ["compare", "--help"]).output


def test_an_unknown_call_format_is_refused_with_the_known_ones(tmp_path):
    arguments = ["model", "convert", "rows.jsonl", "out.jsonl", "--to", "nonsense"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "unknown call format 'nonsense' (choose from " in " ".join(result.output.split())


def test_the_schema_of_no_project_is_no_traceback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["schema"])
    assert "cases is not a folder" in str(result.exception)
    (tmp_path / "cases").mkdir()
    assert CliRunner().invoke(app, ["schema"]).exit_code == 0
    assert CliRunner().invoke(app, ["schema", "--check"]).exit_code == 0


def test_help_has_each_command_under_its_panel_without_loading_rich():
    code = (
        "import sys\nfrom evals.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not any(name.partition('.')[0] == 'rich' for name in sys.modules), 'rich is loaded'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    begin, ask = done.stdout.index("Begin:"), done.stdout.index("Ask and judge:")
    assert begin < done.stdout.index("  init ") < ask < done.stdout.index("  run ")
