"""The entry point: silent where nothing is to be evaluated, in nobody's way where something is."""

import os
import subprocess
import sys

import pytest
from builders import ENTRY

CASE = "cases:\n  - {id: hello, ask: Say hello., expect: {answer: {}}}\n"
HEAVY = {"evals.plugin", "pydantic", "yaml", "jsonschema", "rich"}


def run(folder, *options):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *ENTRY, "-p", "no:cacheprovider", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
    )
    return done.returncode, done.stdout + done.stderr


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_where_nothing_is_configured_nothing_is_loaded_and_no_option_is_there(tmp_path):
    loaded = f"import sys\ndef test_it():\n    assert not {HEAVY!r} & set(sys.modules)\n"
    write(tmp_path, {"test_it.py": loaded, "cases/a.yaml": CASE})
    # Plugins of this environment that load such modules themselves are left out.
    others = [
        word for name in ("allure_pytest", "hypothesispytest") for word in ("-p", f"no:{name}")
    ]
    code, output = run(tmp_path, "-q", *others)
    assert (code, "1 passed" in output) == (0, True), output
    code, output = run(tmp_path, "--tier=smoke")
    assert "unrecognized arguments: --tier=smoke" in output


def test_with_a_configuration_cases_are_collected_without_any_conftest(tmp_path):
    write(tmp_path, {"evals.toml": 'lanes = ["server"]\n', "cases/a.yaml": CASE})
    code, output = run(tmp_path, "--collect-only", "-q", "--tier=full")
    assert (code, "cases/a.yaml::hello[default-server]" in output) == (0, True), output


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nevals_cases = suites/daily more\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nevals_cases = ['suites/daily', 'more']\n"),
    ],
)
def test_pytests_own_settings_can_name_the_case_folders(tmp_path, name, text):
    files = {"suites/daily/a.yml": CASE, "more/b.yaml": CASE, "cases/c.yaml": CASE}
    write(tmp_path, {name: text, **files})
    _, output = run(tmp_path, "--collect-only", "-q")
    found = {line.partition("::")[0] for line in output.splitlines() if "::hello" in line}
    assert found == {"suites/daily/a.yml", "more/b.yaml"}, output


def test_an_option_that_the_project_has_keeps_its_name(tmp_path):
    conftest = "def pytest_addoption(parser):\n    parser.addoption('--model', default='theirs')\n"
    asks = "def test_it(request):\n    assert request.config.getoption('--model') == 'theirs'\n"
    files = {"conftest.py": conftest, "test_it.py": asks, "evals.toml": "", "cases/a.yaml": CASE}
    write(tmp_path, files)
    code, output = run(tmp_path, "-q", "test_it.py", "--evals-model=ours", "--lanes=server")
    assert (code, "1 passed" in output) == (0, True), output


def test_it_can_be_switched_off(tmp_path):
    write(tmp_path, {"evals.toml": "", "cases/a.yaml": CASE, "test_it.py": "def test_it(): pass\n"})
    name = "evals.entry" if ENTRY else "evals"
    options = ("-q", "-p", f"no:{name}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=tmp_path, capture_output=True, text=True
    )
    assert "1 passed" in done.stdout
