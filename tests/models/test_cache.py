"""Folders of the cache: complete under their name or not there, also among processes."""

import os
import subprocess
import sys

import pytest

from evals.models.cache import build_once


def test_a_folder_is_built_and_announced_once(tmp_path):
    said = []

    def build(folder):
        folder.mkdir()
        (folder / "file").write_text("x")

    for _ in range(2):
        folder = build_once(tmp_path / "a/b", build, lambda: said.append("building"))
        assert (folder / "file").read_text() == "x"
    assert said == ["building"]
    assert [path.name for path in folder.parent.iterdir()] == ["b"]


@pytest.mark.parametrize("error", [ValueError("bad"), OSError("full"), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_nothing(tmp_path, error):
    def build(folder):
        folder.mkdir()
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(type(error)):
        build_once(tmp_path / "a", build)
    assert not list(tmp_path.iterdir())


def test_of_two_builders_at_once_the_first_one_stays(tmp_path):
    def build(folder):
        (tmp_path / "a").mkdir()  # another process is done before this one
        (tmp_path / "a/file").write_text("theirs")
        folder.mkdir()
        (folder / "file").write_text("ours")

    folder = build_once(tmp_path / "a", build)
    assert (folder / "file").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_builder_left_is_cleared_and_a_living_one_keeps_its_own(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (tmp_path / f"a.partial-{pid}").mkdir()
    build_once(tmp_path / "a", lambda folder: folder.mkdir())
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a", f"a.partial-{os.getppid()}"}
