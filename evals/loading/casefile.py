"""Case files: YAML into cases, with every mistake of every file named at its line.

```yaml
# yaml-language-server: $schema=../schema.json
defaults:                       # for the cases of this file; each may override
  tools: [todoread, todowrite]  # names from tools/*.yaml beside the case folders, or inline tools
  tags: [todo]
cases:
  - id: todoread-pending
    ask: Check what tasks are already pending before adding new ones.
    expect:
      call: {name: todoread}
```
"""

from collections.abc import Iterable
from pathlib import Path

from evals.case import Case
from evals.errors import CaseFileError
from evals.loading.reader import KnownNames, Reader, note_id
from evals.loading.tools import TOOLS_FOLDER, YAML, Shelves, is_left_out, is_yaml
from evals.yaml_text import Document, Problems, read_yaml

__all__ = [
    "TOOLS_FOLDER",
    "YAML",
    "KnownNames",
    "check_unique",
    "find_case_files",
    "is_yaml",
    "read_cases",
]

SCHEMA_FILE = "schema.json"
MAX_CASES = 10_000


def find_case_files(places: Iterable[Path]) -> list[Path]:
    """All case files in or at `places`, sorted; tool files are none.

    Raises:
        CaseFileError: a folder has none.
    """
    found: set[Path] = set()
    empty = []
    for place in places:
        inside = [place]
        if place.is_dir():
            yaml = (path for path in place.rglob("*") if is_yaml(path))
            inside = [path for path in yaml if _is_looked_at(path.relative_to(place))]
            empty += [] if inside else [place]
        found.update(inside)
    if empty:
        names = ", ".join(map(str, empty))
        raise CaseFileError(f"{names}: no case files in it; a case file ends in .yaml or .yml")
    return sorted(found)


def _is_looked_at(path: Path) -> bool:
    """Whether a YAML file, as seen from a case folder, is one of cases."""
    above = path.parent
    return above.name != TOOLS_FOLDER and not any(is_left_out(name) for name in above.parts)


def read_cases(files: Iterable[Path], root: Path, names: KnownNames | None = None) -> list[Case]:
    """The cases of `files`, in order; their `path` is relative to `root`.

    With `names`, a case may say those profiles and lanes alone.

    Raises:
        CaseFileError: every mistake of every file, a line each, `file:line: field: what; remedy`.
    """
    problems = Problems()
    shelves = Shelves(root, problems)
    taken: dict[str, int] = {}
    cases: list[Case] = []
    for file in files:
        document = read_yaml(file, root, problems)
        if document is not None and _few_enough(document, problems):
            cases += Reader(document, file, shelves, problems, names, taken).cases()
    problems.check()
    return cases


def _few_enough(document: Document, problems: Problems) -> bool:
    cases = document.data.get("cases") if isinstance(document.data, dict) else None
    if not isinstance(cases, list) or len(cases) <= MAX_CASES:
        return True
    line = document.line(("cases", MAX_CASES))
    problems.add(document.path, line, f"a file has at most {MAX_CASES:,} cases; split it")
    return False


def check_unique(cases: Iterable[Case]) -> None:
    """Refuse cases of one name, whichever files they were read from.

    Raises:
        CaseFileError: there are some; a line for each but the first.
    """
    problems = Problems()
    taken: dict[str, int] = {}
    for case in cases:
        note_id(case.path, case.id, case.line, taken, problems)
    problems.check()
