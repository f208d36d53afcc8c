"""The releases of a package: since when, until when, and the pages of it."""

import pytest

from evals.errors import ConfigError
from evals.report.conformance import Cell
from evals.report.history import Matrix, Release, Since, history_of
from evals.report.history_page import html_page, markdown, terminal_lines, when

CELLS = {"r": Cell("right"), "w": Cell("wrong", "a | `b`"), "x": Cell("wrong", "<c>")}
TEXT = "cases/regressions/a.yaml::b[replay]"


def matrix(row, ended=()):
    releases = [
        Release(f"1.{i}", {} if i in ended else {TEXT: CELLS[letter]}, "it hangs" * (i in ended))
        for i, letter in enumerate(row)
    ]
    return Matrix("mlx-lm", "2026-11-28", "evals matrix --package mlx-lm", releases)


@pytest.mark.parametrize(
    ("row", "spans"),
    [
        ("rrww", ["since 1.2"]),
        ("wwrr", ["up to 1.1"]),
        ("rwrw", ["in 1.1", "since 1.3"]),
        ("rwwr", ["from 1.1 to 1.2"]),
        ("wwww", ["in every release that was asked"]),
        ("rwxx", ["in 1.1", "since 1.2"]),
        ("rrrr", []),
    ],
)
def test_spans(row, spans):
    assert [when(span) for span in matrix(row).spans(TEXT)] == spans


@pytest.mark.parametrize(
    ("row", "specifiers"),
    [("rww", [">=1.1"]), ("wwr", ["<=1.1"]), ("rwr", [">=1.1,<=1.1"]), ("www", [""])],
)
def test_spans_as_pep_440(row, specifiers):
    assert [span.specifier for span in matrix(row).spans(TEXT)] == specifiers


@pytest.mark.parametrize(
    ("row", "since"),
    [
        ("rrwx", Since("1.2", False)),
        ("wwxx", Since("1.0", True)),
        ("rwrw", Since("1.3", False)),
        ("wwwr", None),
    ],
)
def test_since_when_it_is_wrong_in_whatever_way(row, since):
    assert matrix(row).wrong_since(TEXT, "1.3") == since


def test_wrong_otherwise_is_not_as_the_first_time_and_a_release_may_not_boot():
    row = matrix("rwxwr", ended=[3]).row(TEXT)
    assert row == ["right", "wrong", "wrong otherwise", "not bootable", "right"]


def test_a_file_gives_the_same_matrix_again(tmp_path):
    made = matrix("rwx")
    (tmp_path / "mlx-lm.json").write_text(made.to_json())
    assert history_of(tmp_path, "mlx-lm").to_json() == made.to_json()
    assert history_of(tmp_path, "mlx") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2}', '{"schema": 1, "releases": [{}]}'])
def test_another_file_is_told(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ConfigError, match=r"p\.json"):
        Matrix.read(tmp_path / "p.json")


def test_pages_escape_what_came():
    made = matrix("rwx", ended=[0])
    assert "<code>a &#124; `b`</code>" in markdown(made)
    assert "<code>it hangs</code>" in markdown(made)
    assert 'title="&lt;c&gt;">wrong otherwise</td>' in html_page(made)
    assert "a::b[replay]  ?  -  ~" in "\n".join(terminal_lines(made))
