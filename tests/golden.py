"""Texts that are kept word for word: `UPDATE_GOLDEN=1 pytest …` writes them anew, to be read."""

import os
from collections.abc import Sequence
from pathlib import Path


def as_kept(file: Path, lines: Sequence[str]) -> None:
    """Fail unless `file` has these lines."""
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    kept = file.read_text(encoding="utf-8").splitlines()
    changed = [f"- {was}\n+ {now}" for was, now in zip(kept, lines, strict=False) if was != now]
    different = changed or len(kept) != len(lines)
    assert not different, (
        f"{file.name}: {len(changed)} of {len(kept)} lines changed, {len(lines)} came; if that is "
        "wanted: UPDATE_GOLDEN=1, and read the difference\n" + "\n".join(changed[:10])
    )
