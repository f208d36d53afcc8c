"""Lane `direct`: the model alone, in a process of its own, without any server.

`python -m evals.lanes.direct MODEL` reads numbered requests from standard input and writes
numbered observations to standard output, a JSON line each, after a first line `{"ready": true}`.
It is a child because a fast BLAS must be in the environment before mlx is loaded, and because a
crash in it must not be a crash of the run. It ends at once when its input does.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from evals.case import Case
from evals.engines.blas import preload_environment
from evals.engines.folder import check_model, is_hub_name
from evals.errors import ModelError
from evals.lanes.tokens import decoder, render
from evals.observation import DIRECT, Observation, Timing, Usage
from evals.request import build_request


@contextlib.contextmanager
def open_direct(
    model: Path | str,
    *,
    log: Path,
    cache: Path,
    timeout: float,
    environment: Mapping[str, str] = os.environ,
    load_timeout: float = 180.0,
) -> Iterator[Callable[[Case], Observation]]:
    """Load `model` (folder or hub name) in a child; yield a function that asks it a case.

    The function may be called from several threads; it asks one case at a time. `timeout` is in
    seconds, for each. A child that dies makes observations with `error`. `log` gets its messages.

    Raises:
        ModelError: the model is missing, half built, or did not load in `load_timeout` seconds.
    """
    if not is_hub_name(model):
        check_model(Path(model))
    with _child(model, log, preload_environment(cache, environment)) as (send, answers):
        if not (_next(answers, time.monotonic() + load_timeout) or {}).get("ready"):
            raise ModelError(
                f"the model {model} did not load; the last lines of {log}:\n{_tail(log)}"
            )
        lock, numbers = threading.Lock(), iter(range(sys.maxsize))

        def ask(case: Case) -> Observation:
            start = time.perf_counter()
            with lock:
                queued = time.perf_counter() - start
                seen = _exchange(case, next(numbers), send, answers, timeout, log)
            return seen if seen.error else replace(seen, timing=_timing(seen, start, queued))

        yield ask


def _timing(seen: Observation, start: float, queued: float) -> Timing:
    """Of an answer that is there now: what its own process did not take went into the pipes."""
    wall, first = time.perf_counter() - start, seen.first_token_seconds
    return Timing(
        wall=wall,
        client=wall - queued - seen.seconds,
        queue=queued,
        prompt=first,
        decode=None if first is None else seen.seconds - first,
        first_token=None if first is None else queued + first,
        decoded=seen.usage.completion - 1 if seen.usage else None,
    )


_MAY_TAKE = 1.0
"""Seconds from the end of its input to that of the child: an answer under way has no reader."""
_Answers = queue.SimpleQueue[dict[str, Any] | None]


@contextlib.contextmanager
def _child(
    model: Path | str, log: Path, environment: dict[str, str]
) -> Iterator[tuple[Callable[[dict[str, Any]], None], _Answers]]:
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(
        part for part in (root, environment.get("PYTHONPATH")) if part
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "evals.lanes.direct", str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
    source, sink = process.stdout, process.stdin
    assert source is not None
    assert sink is not None
    answers = _Answers()
    reader = threading.Thread(target=_read_lines, args=(source, answers), daemon=True)
    reader.start()

    def send(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=sink, flush=True)

    try:
        yield send, answers
    finally:
        with contextlib.suppress(OSError):
            sink.close()
        try:
            process.wait(_MAY_TAKE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        source.close()


def _read_lines(source: TextIO, answers: _Answers) -> None:
    for line in source:
        answers.put(json.loads(line))
    answers.put(None)


def _exchange(
    case: Case,
    number: int,
    send: Callable[[dict[str, Any]], None],
    answers: _Answers,
    timeout: float,
    log: Path,
) -> Observation:
    deadline = time.monotonic() + timeout
    try:
        send({"number": number, "request": build_request(case)})
        while (answer := _next(answers, deadline)) is not None:
            if answer.get("number") == number:  # else one that came after its own timeout
                return Observation.from_dict(answer["observation"])
    except OSError:
        pass
    if time.monotonic() >= deadline:
        error = f"timeout: the model had no answer after {timeout:g} s"
    else:
        answers.put(None)  # for the next question: the child stays dead
        error = f"the model's process has ended; the last lines of {log}:\n{_tail(log)}"
    return Observation(DIRECT.name, error=error)


def _next(answers: _Answers, deadline: float) -> dict[str, Any] | None:
    """The next line of the child; None if it has ended or the deadline has come."""
    try:
        return answers.get(timeout=max(deadline - time.monotonic(), 0.0))
    except queue.Empty:
        return None


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def answer(model: Any, tokenizer: Any, request: Mapping[str, Any]) -> Observation:
    """Generate the answer to a request's body with a model that is loaded in this process.

    `token_ids` has the end token, `raw_text` has not; calls and content are left to the checks,
    which read them from the raw text. A request that cannot be rendered makes an `error`.
    """
    from mlx_lm.generate import stream_generate
    from mlx_lm.sample_utils import make_sampler

    generate: Any = stream_generate
    sampler: Any = make_sampler
    start = time.perf_counter()
    try:
        prompt = render(tokenizer, request)
    except ValueError as error:
        return Observation(DIRECT.name, error=str(error), seconds=time.perf_counter() - start)
    ids: list[int] = []
    first = finish = None
    for part in generate(
        model,
        tokenizer,
        prompt,
        max_tokens=request["max_tokens"],
        sampler=sampler(temp=request["temperature"]),
    ):
        ids.append(int(part.token))
        first = first or time.perf_counter() - start
        finish = part.finish_reason
    return Observation(
        DIRECT.name,
        finish_reason=finish,
        usage=Usage(prompt=len(prompt), completion=len(ids)),
        seconds=time.perf_counter() - start,
        first_token_seconds=first,
        token_ids=tuple(ids),
        raw_text=decoder(tokenizer)(ids),
    )


def _serve(model_name: str) -> None:
    from mlx_lm import utils

    # Whatever a library prints goes to the log; the protocol has the real standard output.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    load: Any = utils.load
    model, tokenizer = load(model_name)
    print(json.dumps({"ready": True}), file=output, flush=True)
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    while True:
        message = json.loads(requests.get())
        observation = answer(model, tokenizer, message["request"]).to_dict()
        line = json.dumps({"number": message["number"], "observation": observation})
        print(line, file=output, flush=True)


def _read_requests(requests: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # the parent is gone or done: an answer under way has no reader


if __name__ == "__main__":
    _serve(sys.argv[1])
