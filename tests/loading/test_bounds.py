"""Case files that would hold the run, fill its memory, or lead out of the project."""

import os
import time
from pathlib import Path

import pytest

from evals import yaml_text
from evals.errors import CaseFileError
from evals.loading import casefile
from evals.loading.casefile import find_case_files, read_cases

GOOD = "cases:\n  - {id: a, ask: Hello, expect: {answer: {}}}\n"


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "cases"
    folder.mkdir(parents=True)
    return folder


def refusal(cases: Path) -> str:
    """What is said of the case files; it takes seconds at most, whatever they are."""
    begin = time.monotonic()
    with pytest.raises(CaseFileError) as error:
        read_cases(find_case_files([cases]), cases.parent)
    assert time.monotonic() - begin < 20
    assert all(line.isprintable() for line in str(error.value).split("\n"))
    return str(error.value)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "aliases (*name) stand for more than 20000 values; write them out"),
        ("cases: &a\n  - *a\n", "cases/a.yaml:1: an alias (*name) stands within what it names"),
        ("a:\n  " + "[" * 3000 + "]" * 3000, "cases/a.yaml:2: nested deeper than 64 levels"),
        ("\n".join(" " * n + "a:" for n in range(3000)), "a.yaml:65: nested deeper than 64"),
        (
            "a: &a {b: " + "{b: " * 50 + "1" + "}" * 51 + "\nc: " + "[" * 50 + "*a" + "]" * 50,
            "an alias (*name) stands within what it names; write it out",
        ),
        ("cases: " + "9" * 5000, "cases/a.yaml:1: cases: cannot be read: "),
        ("cases: \x1b[31m", "cannot be read: unacceptable character #x001b"),
    ],
    ids=["laughs", "itself", "flow", "block", "both", "digits", "escape"],
)
def test_what_is_too_much_is_named_at_its_line(text: str, said: str, cases: Path) -> None:
    (cases / "a.yaml").write_text(text)
    assert said in refusal(cases)


def test_aliases_in_measure_are_read(cases: Path) -> None:
    (cases / "a.yaml").write_text(
        "defaults: {tags: &tags [one, two]}\n"
        "cases:\n  - {id: a, ask: Hello, tags: *tags, expect: {answer: {}}}\n"
    )
    (case,) = read_cases(find_case_files([cases]), cases.parent)
    assert case.tags == ("one", "two")


def test_too_large_a_file(cases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "MAX_BYTES", 2**20)
    (cases / "a.yaml").write_text(GOOD + "#" * 2**20)
    assert "cases/a.yaml:1: cannot be read: it is larger than 1 MiB; split it" in refusal(cases)


def test_too_many_cases(cases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casefile, "MAX_CASES", 2)
    entries = "".join(f"  - {{id: c{n}, ask: Hi, expect: {{answer: {{}}}}}}\n" for n in range(3))
    (cases / "a.yaml").write_text(f"cases:\n{entries}")
    assert refusal(cases) == "cases/a.yaml:4: a file has at most 2 cases; split it"


@pytest.mark.parametrize("inside", [True, False])
def test_a_link_may_not_lead_out_of_the_project(cases: Path, inside: bool) -> None:
    elsewhere = cases.parent / "shared" if inside else cases.parent.parent
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "secret.txt").write_text(GOOD if inside else "root:x:0:0:planted\n")
    (cases / "a.yaml").symlink_to(elsewhere / "secret.txt")
    if inside:
        assert [case.id for case in read_cases(find_case_files([cases]), cases.parent)] == ["a"]
        return
    said = refusal(cases)
    assert "a link leads out of" in said
    assert "planted" not in said


def test_a_linked_folder_may_not_either(cases: Path) -> None:
    outside = cases.parent.parent / "outside"
    outside.mkdir()
    (outside / "a.yaml").write_text(GOOD)
    (cases / "more").symlink_to(outside)
    with pytest.raises(CaseFileError, match="a link leads out of"):
        read_cases([cases / "more" / "a.yaml"], cases.parent)


def test_files_that_are_no_files(cases: Path) -> None:
    os.mkfifo(cases / "a.yaml")
    (cases / "b.yaml").symlink_to(cases / "nothing")
    said = refusal(cases)
    assert said.count("there is no such file") == 2


def test_a_name_with_control_characters(cases: Path) -> None:
    (cases / "a\n::error::\x1b[31m.yaml").write_text(GOOD)
    said = refusal(cases)
    assert said.startswith(r"cases/a\n::error::\x1b[31m.yaml:1: ")
    assert "its name has control characters; rename it" in said


@pytest.mark.parametrize("link", ["javascript:alert(1)", "http://host/", "//host", "HTTPS:x"])
def test_links_are_https(link: str, cases: Path) -> None:
    (cases / "a.yaml").write_text(GOOD.replace("ask:", f'link: "{link}", ask:'))
    assert "cases/a.yaml:2: cases[0].link: " in refusal(cases)


@pytest.mark.parametrize("id_", ["../a", "a/b", "a\\nb", "/etc/passwd", "a\\u202eb", ".", "a\\n"])
def test_ids_are_no_paths(id_: str, cases: Path) -> None:
    (cases / "a.yaml").write_text(GOOD.replace("id: a", f'id: "{id_}"'))
    assert "cases/a.yaml:2: cases[0].id: " in refusal(cases)
