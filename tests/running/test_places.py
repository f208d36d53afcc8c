import pytest

from evals.config import Config
from evals.errors import CaseFileError
from evals.loading.casefile import find_case_files, read_cases
from evals.running.places import case_folders, is_case_file


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("cases/a.yaml", True),
        ("cases/a.yml", True),
        ("cases/tests/deep/a.yaml", True),
        ("cases/tools/a.yaml", False),
        ("cases/a.json", False),
        ("cases-of-old/a.yaml", False),
        ("tests/cases/a.yaml", False),
        ("a.yaml", False),
    ],
)
@pytest.mark.parametrize("above", ["", "tests", "cases"])
def test_a_case_file_is_yaml_in_a_configured_folder(tmp_path, above, name, is_one):
    folders = case_folders(Config(), tmp_path / above)
    assert is_case_file(tmp_path / above / name, folders) is is_one


def test_a_link_is_a_case_file_and_read_only_if_it_stays_in_the_project(tmp_path):
    project = tmp_path / "project"
    (project / "cases").mkdir(parents=True)
    text = "cases: [{id: a, ask: Hi., tools: [], expect: {answer: {}}}]"
    for file in (project / "shared.yaml", tmp_path / "elsewhere.yaml"):
        file.write_text(text)
    inside, outside = project / "cases" / "a.yaml", project / "cases" / "b.yaml"
    inside.symlink_to(project / "shared.yaml")
    outside.symlink_to(tmp_path / "elsewhere.yaml")
    folders = case_folders(Config(), project)
    assert is_case_file(inside, folders)
    assert is_case_file(outside, folders)
    assert [case.id for case in read_cases([inside], project)] == ["a"]
    with pytest.raises(CaseFileError, match="a link leads out of"):
        read_cases([outside], project)


def test_both_endings_of_yaml_are_found(tmp_path):
    for name in ("b.yml", "a.yaml", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_case_files([tmp_path])] == ["a.yaml", "b.yml"]
