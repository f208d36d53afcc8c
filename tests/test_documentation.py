"""What the documentation says can be done: links, commands, cases and configurations.

The pages of `docs/` are linked by mkdocs, too; this also covers the files that it does not build.
"""

import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from evals.commands.run_options import run_options
from evals.config import Config
from evals.loading.casefile import find_case_files, read_cases
from evals.parsers import names
from evals.reference.commands import all_commands, parameters

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "reports" / "README.md"])
WRITTEN = [page for page in PAGES if "reference" not in page.parts and page.stem != "findings"]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(*languages: str) -> list[tuple[str, str]]:
    """Page and content of each code block in one of these languages."""
    return [
        (name_of(page), content)
        for page in WRITTEN
        for language, content in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]


def prose(page: Path) -> str:
    return re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors that headings make, as GitHub and mkdocs spell them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text(encoding="utf-8")), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {text.strip().replace(" ", "-") for text in plain}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in _LINK.findall(prose(page)):
        place, _, anchor = link.partition("#")
        target = (page.parent / place) if place else page
        if link.startswith(("http://", "https://")):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page):
    assert broken_links(page) == []


@pytest.mark.parametrize("link", ["missing.md", "other.md#missing", "#missing", "docs/"])
def test_a_broken_link_is_found(tmp_path, link):
    (tmp_path / "other.md").write_text("# Heading one\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n[right](other.md#heading-one), [here](#title), [wrong]({link})\n")
    assert broken_links(page) == [link]


def commands() -> list[tuple[str, list[str]]]:
    """Page and words of every `evals` and `make` line in the shell blocks."""
    found = []
    for page, content in blocks("sh"):
        for line in content.splitlines():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name in ("evals", "make"):
                found.append((page, words))
    return found


OF_PYTEST = {"-k", "-m", "-v", "-n", "--lf"}  # its own that are told of
OF_RUN = OF_PYTEST | {option.name for option in run_options()}
COMMANDS = dict(all_commands())


def options_of(command) -> set[str]:
    options = {name for names, _, _ in parameters(command) for name in names} | {"--help"}
    passed_on = any(
        parameter.annotation is typer.Context
        for parameter in inspect.signature(command).parameters.values()
    )
    return options | OF_RUN if passed_on else options


def unknown_words(words: list[str]) -> list[str]:
    """The words of a command line that name a command, target or option that is not there."""
    if Path(words[0]).name == "make":
        return unknown_to_make(words[1:])
    if words[1] == "--version":
        return words[2:]
    length = 2 if f"evals {words[1]}" in COMMANDS else 3
    command = COMMANDS.get(" ".join(["evals", *words[1:length]]))
    if command is None:
        return words[1:length]
    known = options_of(command)
    return [word for word in words[length:] if word.startswith("-") and word not in known]


def unknown_to_make(words: list[str]) -> list[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.M))
    parts = [word.partition("=") for word in words]
    targets = [name for name, sign, _ in parts if not sign]
    unknown = [t for t in targets if not re.search(rf"^{t}:", makefile, re.M)]
    unknown += [name for name, sign, _ in parts if sign and name not in variables]
    extra = [word for name, _, value in parts if name == "ARGS" for word in shlex.split(value)]
    known = OF_RUN | {"--widths"}
    return unknown + [word for word in extra if word.startswith("-") and word not in known]


@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda value: str(value)[:60])
def test_every_command_can_be_given(page, words):
    assert unknown_words(words) == []


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("evals frobnicate", ["frobnicate"]),
        ("evals model frobnicate", ["model", "frobnicate"]),
        ("evals model build --adapter catalogue", []),
        ("evals --version", []),
        ("evals accept --from x", ["--from"]),
        ("make frobnicate", ["frobnicate"]),
        ("make eval TEIR=smoke", ["TEIR"]),
        ("make eval ARGS='--frobnicate 3 -k todo'", ["--frobnicate"]),
        ("make eval TIER=smoke ARGS='--attach http://127.0.0.1:8080 -v'", []),
        (".venv/bin/evals run --tier smoke -n 2", []),
    ],
)
def test_a_command_that_cannot_be_given_is_found(line, unknown):
    assert unknown_words(shlex.split(line)) == unknown


CASE_BLOCKS = [block for block in blocks("yaml") if re.search(r"^cases:", block[1], re.M)]
TOOL_BLOCKS = [block for block in blocks("yaml") if re.match(r"\w+:\n  description:", block[1])]


@pytest.mark.parametrize(("page", "content"), CASE_BLOCKS)
def test_every_case_is_valid(page, content, tmp_path):
    tools = tmp_path / "cases" / "tools"
    tools.mkdir(parents=True)
    for file in (ROOT / "cases" / "tools").glob("*.yaml"):
        (tools / file.name).write_text(file.read_text(encoding="utf-8"))
    for number, (_, text) in enumerate(TOOL_BLOCKS):
        (tools / f"documented-{number}.yaml").write_text(text)
    folder = tmp_path / "cases" / "shop"
    folder.mkdir()
    (folder / "case.yaml").write_text(content)
    assert read_cases(find_case_files([tmp_path / "cases"]), tmp_path)


@pytest.mark.parametrize(("page", "content"), blocks("toml"))
def test_every_configuration_is_valid(page, content, monkeypatch):
    # The parsers that docs/own-parser.md has the reader write.
    monkeypatch.setattr(names, "OWN", (*names.OWN, "my_hermes", "my_xml"))
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["evals"]
    table = tomllib.loads(content)
    table = table.get("tool", {}).get("evals", table)
    # It stands next to the targets that are there.
    table["targets"] = {**ours["targets"], **table.get("targets", {})}
    Config.model_validate(table)
    assert table


def test_there_is_something_to_check():
    assert len(CASE_BLOCKS) >= 5
    assert len(TOOL_BLOCKS) == 1
    assert len(blocks("toml")) >= 4
    assert len(commands()) >= 30
