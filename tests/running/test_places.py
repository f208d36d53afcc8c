import pytest

from evals.config import Config
from evals.loading.casefile import find_case_files
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


def test_a_link_does_not_lead_out_of_the_folder(tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "elsewhere.yaml").touch()
    (tmp_path / "cases" / "a.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert not is_case_file(tmp_path / "cases" / "a.yaml", case_folders(Config(), tmp_path))


def test_both_endings_of_yaml_are_found(tmp_path):
    for name in ("b.yml", "a.yaml", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_case_files([tmp_path])] == ["a.yaml", "b.yml"]
