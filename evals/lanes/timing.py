"""Where the time of an answer went: from readings of the clock, and from what a server said.

Pure but for the clock. Only whole responses have a timing: of one that was cut off it would tell
when somebody gave up.
"""

import itertools
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evals.observation import Timing
from evals.wire.exchange import Exchange

_PROGRESS = re.compile(rb": keepalive (\d+)/(\d+)\Z")


def timing(start: float, exchange: Exchange, took: float, **parts: Any) -> Timing:
    """The timing of a response that is read now, of an answer that was begun at `start`.

    `took` is in seconds, for the response alone; `parts` are those of it that are known.
    """
    end = time.perf_counter()
    return Timing(
        wall=end - start,
        client=exchange.asked - start,
        retry=exchange.began - exchange.asked,
        parse=end - exchange.began - took,
        **parts,
    )


def prompt_done(comments: Iterable[tuple[float, bytes]]) -> float | None:
    """When a stream's comments said that all of the prompt was read, in seconds.

    mlx_lm.server says `: keepalive 512/512`; other servers do not tell.
    """
    for seconds, line in comments:
        said = _PROGRESS.match(line)
        if said and said[1] == said[2]:
            return seconds
    return None


def stream_parts(
    head: float,
    took: float,
    *,
    texts: Sequence[float],
    first_output: float | None,
    hidden: bool,
    done: float | None,
    completion: int | None,
) -> Mapping[str, Any]:
    """The parts of a stream's time; all arguments but the last are in seconds since the request.

    `head` is when it began, `took` when it ended, `texts` when each piece of text came, and `done`
    when the prompt was read, by the server's own word. `hidden`: the first text was a whole call,
    whose first token nobody saw. `completion` counts generated tokens.
    """
    first_token = None if hidden or not texts else texts[0]
    prompted = done if done is not None else first_token
    known: dict[str, Any] = {
        "queue": head,
        "first_token": first_token,
        "first_output": first_output,
        "gaps": tuple(round(b - a, 6) for a, b in itertools.pairwise(texts)),
    }
    if prompted is None:
        return {**known, "response": took - head}
    # The first token came with the end of the prompt, where nothing else told of that.
    decoded = completion and completion - (done is None)
    return {**known, "prompt": prompted - head, "decode": took - prompted, "decoded": decoded}
