"""The files of a new project: configuration, a first case file, tools, a workflow for CI."""

import os
from collections.abc import Mapping
from pathlib import Path

from evals import __version__, config
from evals.disk import replace_file
from evals.errors import ConfigError
from evals.importers.case_text import case_file_text, tool_file_text
from evals.loading.casefile import SCHEMA_FILE
from evals.loading.entries import json_schema, tools_json_schema
from evals.root import has_config

FOLDER = "evals/cases"
"""Where a new project's cases are; `cases` in the configuration names it."""
_CONFIG = """\
# What `pytest` and `evals run` ask, and of whom. Every key: {folder}/evals.schema.json.
cases = ["{folder}"]           # folders of case files, from here on
lanes = ["server", "stream"]   # each case is asked both ways, and both must say the same

[targets.default]
url = "{url}"   # a server that runs; leave it out and `pip install 'toolcall-evals[mlx]'`
{spare}# model = "path/or/hub-name"    # to boot mlx_lm.server with this model

[gates.default]                # without a gate every case must pass
case = 1.0                     # the share of cases that must be right as a whole
on = "value"                   # the rate itself; without this, the lower bound of its interval
violations = 0
"""
_TOOLS = (
    {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
        },
    },
    {
        "name": "list_tasks",
        "description": "The tasks that are open.",
        "parameters": {"type": "object", "properties": {}},
    },
)
_CASES = (
    {
        "id": "weather-oslo",
        "#": "One call is right, with these arguments. $text ignores letter case and white space.",
        "ask": "What is the weather in Oslo?",
        "expect": {
            "call": {
                "name": "get_weather",
                "arguments": {
                    "city": {"$text": "Oslo"},
                    "unit": {"$optional": {"$any_of": ["celsius", "fahrenheit"]}},
                },
            }
        },
    },
    {
        "id": "open-tasks",
        "#": "A tool without parameters.",
        "ask": "Which tasks are open?",
        "expect": {"call": {"name": "list_tasks"}},
    },
    {
        "id": "no-tool-fits",
        "#": "A plain answer is right, and no call.",
        "ask": "Write one word that rhymes with house.",
        "expect": {"answer": {}},
    },
)
_WORKFLOW = """\
# Asks the cases on every push; the server and its model are yours to start, or to reach.
name: evals

on:
  push:
  pull_request:
  workflow_dispatch:

permissions:
  contents: read

jobs:
  evals:
@@FOLDER@@    strategy:
      fail-fast: false
      matrix:
        os: [ubuntu-24.04, macos-15]
    runs-on: ${{ matrix.os }}
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v7
        with:
          persist-credentials: false
      - uses: actions/setup-python@v7
        with:
          python-version: "3.12"
      - run: pip install 'toolcall-evals@@VERSION@@'
      - run: evals validate
      # With a target of your own instead: start its server here, and wait until it answers.
      - name: Ask the server that EVALS_URL names
        if: ${{ vars.EVALS_URL != '' }}
        env:
          EVALS_URL: ${{ vars.EVALS_URL }}
        run: evals run --attach "$EVALS_URL" --run-dir reports/ci
      - name: Job summary and annotations
        if: ${{ !cancelled() && vars.EVALS_URL != '' }}
        run: evals export github reports/ci
      - uses: actions/upload-artifact@v7
        if: ${{ !cancelled() && vars.EVALS_URL != '' }}
        with:
          name: evals-${{ matrix.os }}
          path: @@PLACE@@reports/ci
          if-no-files-found: ignore
"""


def schema_files() -> Mapping[str, str]:
    """The JSON Schemas of cases, tools and evals.toml, by their names in a folder of cases."""
    return {
        SCHEMA_FILE: json_schema(),
        "tools.schema.json": tools_json_schema(),
        "evals.schema.json": config.json_schema(),
    }


def first_files(url: str | None) -> Mapping[str, str]:
    """The text of each file of a new project, by its path; `url` is that of its server."""
    spare = (
        "" if url else "# The port of llama.cpp and mlx_lm.server; Ollama has 11434, vLLM 8000.\n"
    )
    settings = _CONFIG.format(folder=FOLDER, url=url or "http://127.0.0.1:8080/v1", spare=spare)
    first = case_file_text(
        _CASES,
        comments=["yaml-language-server: $schema=schema.json", "The first cases: change them."],
        head={"category": "first", "defaults": {"tools": [tool["name"] for tool in _TOOLS]}},
    )
    return {
        "evals.toml": settings,
        f"{FOLDER}/first.yaml": first,
        f"{FOLDER}/tools/first.yaml": tool_file_text(
            _TOOLS,
            comments=["Tools by their names; OpenAI's, MCP's and Anthropic's JSON serve too."],
        ),
        **{f"{FOLDER}/{name}": text for name, text in schema_files().items()},
        "reports/.gitignore": "*\n!.gitignore\n",
    }


def workflow(root: Path) -> tuple[Path, str]:
    """The workflow of a project in `root`: its place, which GitHub looks into, and its text.

    That is at the top of the repository, whatever folder of it the project is.
    """
    above = (folder for folder in (root, *root.parents) if (folder / ".git").exists())
    top = next(above, root)
    place = root.relative_to(top).as_posix()
    inside = place != "."
    filled = {
        "@@VERSION@@": f">={__version__}",
        "@@FOLDER@@": f"    defaults: {{run: {{working-directory: {place}}}}}\n" * inside,
        "@@PLACE@@": f"{place}/" * inside,
    }
    text = _WORKFLOW
    for name, value in filled.items():
        text = text.replace(name, value)
    name = f"evals-{place.replace('/', '-')}" if inside else "evals"
    return top / f".github/workflows/{name}.yml", text


def begin(root: Path, url: str | None) -> list[Path]:
    """Write the files of a new project into `root`; those that are there stay as they are.

    Raises:
        ConfigError: the project has a configuration of evals.
        OSError: a file cannot be written.
    """
    if has_config(root):
        raise ConfigError(f"{root} has a configuration of evals already; nothing was written")
    place, steps = workflow(root)
    texts = {**{root / name: text for name, text in first_files(url).items()}, place: steps}
    written = []
    for path, text in texts.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text)
            written.append(path)
    return written


def new_case_file(path: Path) -> None:
    """A case file with every form of expectation, commented, to be changed.

    It names the nearest `schema.json` in a folder above.

    Raises:
        ConfigError: it is there already, or no YAML by its name.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{path}: a case file ends in .yaml or .yml")
    if path.exists():
        raise ConfigError(f"{path} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    above = (folder for folder in path.absolute().parents if (folder / SCHEMA_FILE).is_file())
    folder = os.path.relpath(next(above, path.parent), path.parent)
    replace_file(path, _NEW.replace("@@SCHEMA@@", (Path(folder) / SCHEMA_FILE).as_posix()))


_NEW = """\
# yaml-language-server: $schema=@@SCHEMA@@
# An editor shows every key by that schema; `evals validate` names each mistake at its line.
defaults:
  tools:                      # names from tools/*.yaml, or tools in full, as here
    - name: get_weather
      description: The weather in a city.
      parameters:
        type: object
        properties: {city: {type: string}, days: {type: integer, minimum: 1}}
        required: [city]

cases:
  - id: one-call              # its name in reports, and for pytest -k
    ask: What is the weather in Oslo?
    expect:
      call: {name: get_weather, arguments: {city: Oslo, days: {$optional: 1}}}

  - id: several-calls         # in any order; `order: given` says that theirs is right
    ask: What is the weather in Oslo and in Rome?
    expect:
      calls:
        - {name: get_weather, arguments: {city: Oslo, days: {$optional: 1}}}
        - {name: get_weather, arguments: {city: {$text: rome}, days: {$optional: 1}}}

  - id: no-call               # words are right, and a call is wrong
    ask: What is a thermometer?
    expect:
      answer: {any_of: [temperature, heat, warm]}

  - id: after-a-result        # a conversation in place of one question
    messages:
      - {role: user, content: What is the weather in Oslo?}
      - role: assistant
        tool_calls:
          - {id: "1", type: function, function: {name: get_weather, arguments: '{"city": "Oslo"}'}}
      - {role: tool, tool_call_id: "1", content: "7 degrees, rain"}
    expect:
      answer: {contains: ["7"]}
"""
