"""Which tokens of an answer a draft model wrote, noted in `mlx_lm.server` as it decodes.

mlx_lm says it of each token, and the server leaves it out of its answers. `install` wraps the one
function that the server generates with, before it starts. One line per answer goes to the log file,
`{"from_draft": [true, false, …]}`, before the answer is complete for whoever asked.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.disk import append_line


def install(log: Path) -> None:
    """Let the server of this process note its answers' drafted tokens in `log`."""
    from mlx_lm import server as module

    server: Any = module
    original = server.stream_generate

    def stream_generate(*arguments: Any, **options: Any) -> Iterator[Any]:
        drafted: list[bool] = []
        try:
            for part in original(*arguments, **options):
                drafted.append(bool(part.from_draft))
                yield part
        finally:
            append_line(log, json.dumps({"from_draft": drafted}))

    server.stream_generate = stream_generate


def read_drafted(log: Path, since: int = 0) -> list[tuple[bool, ...]]:
    """For each answer in the log, whether each of its tokens is the draft model's.

    `since` is the log's size in bytes before the first answer that is wanted.
    """
    if not log.exists():
        return []
    with log.open("rb") as lines:
        lines.seek(since)
        return [tuple(json.loads(line)["from_draft"]) for line in lines]
