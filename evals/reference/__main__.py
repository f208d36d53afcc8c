"""`python -m evals.reference` writes `docs/reference/`.

With `--check` it only tells whether the pages there are what the code says.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from evals.reference.pages import pages

FOLDER = Path("docs/reference")


def main(arguments: Sequence[str]) -> None:
    """Write the pages, or with `--check` end with exit code 1 if one is not current."""
    for name, text in pages().items():
        path = FOLDER / name
        current = path.exists() and path.read_text(encoding="utf-8") == text
        if "--check" in arguments and not current:
            sys.exit(
                f"{path} is not what the code says; `python -m evals.reference` writes it again"
            )
        if not current:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
