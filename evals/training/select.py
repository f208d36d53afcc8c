"""The best checkpoint of a training, by the calls that it would write: the loss does not tell.

Validation questions are worded as no training question is. One pass over a conversation tells what
greedy decoding would write: it writes the wanted answer exactly if each of its tokens is the
likeliest after those before it. An answer that is right in other words counts as wrong, so these
numbers are lower than the suite's, but cost a hundredth; they are for comparing checkpoints.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evals.training.cpu import fast_llama
from evals.training.encode import Encoded, arrays, batches, encode
from evals.training.rows import Row
from evals.training.train import CONFIG, checkpoints, logits, read_checkpoint
from evals.training.unseen import KIND_KEY

CURVE = "curve.jsonl"

CALL_FOR_WORDS = "call_for_words"
WORDS_FOR_CALL = "words_for_call"
ANOTHER_TOOL = "another_tool"
NO_SUCH_TOOL = "no_such_tool"
ARGUMENTS = "arguments"
MISSES = (CALL_FOR_WORDS, WORDS_FOR_CALL, ANOTHER_TOOL, NO_SUCH_TOOL, ARGUMENTS)


@dataclass(frozen=True)
class Point:
    """How a checkpoint answers.

    Of `n` answers: those that call or speak as wanted. Of the `n_calls` answers with calls: those
    with the first name right, and those right to the last token. `misses` counts the rest by what
    is wrong first, and `decisions` has, of each kind of question, those that call or speak as
    wanted and how many there are.
    """

    step: int
    n: int
    n_calls: int
    call_or_answer: int
    tool_name: int
    whole: int
    questions: str = "seen"
    misses: Mapping[str, int] = field(default_factory=dict)
    decisions: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Wanted:
    """An answer: which of a row's learned positions it has, and how many tokens hold its name.

    `name` is 0 for an answer in words. `kind` is that of the question, and `others` are the names
    of the other tools on offer.
    """

    start: int
    stop: int
    name: int
    kind: str
    others: tuple[str, ...]


def learning_curve(
    base: Path, work: Path, questions: Mapping[str, Sequence[Row]], *, every: int = 1
) -> Iterator[Point]:
    """Judge every `every`th checkpoint in the folder `work`, that of step 0, and the last.

    There is a point for each set of `questions`, yielded when it is done. What is done is kept in
    `curve.jsonl` beside the checkpoints and not done again.
    """
    from mlx_lm import load
    from mlx_lm.tuner.utils import linear_to_lora_layers

    steps = checkpoints(work)
    done = {(point.step, point.questions): point for point in read_curve(work / CURVE)}
    config = json.loads((work / CONFIG).read_text())
    model, tokenizer = load(str(base))[:2]
    linear_to_lora_layers(model, config["num_layers"], config["lora_parameters"])
    model.eval()
    asked = {
        name: _asked(rows, tokenizer, config["call_format"]) for name, rows in questions.items()
    }
    trained = [step for step in steps if step]
    for step in sorted({*trained[every - 1 :: every], *trained[-1:], *({0} & {*steps})}):
        new = [name for name in asked if (step, name) not in done]
        if new:
            model.load_weights(list(read_checkpoint(work, step).items()), strict=False)
        for name in new:
            point = _judge(model, tokenizer, asked[name], step, name)
            done[step, name] = point
            with (work / CURVE).open("a") as file:
                file.write(json.dumps(asdict(point)) + "\n")
        for name in asked:
            yield done[step, name]


def read_curve(path: Path) -> list[Point]:
    """The points in the file; none if there is no file."""
    if not path.exists():
        return []
    return [Point(**json.loads(line)) for line in path.read_text().splitlines()]


def best(points: Sequence[Point]) -> int:
    """The step with the most whole calls; among equals the most decisions, then the last."""
    whole: Counter[int] = Counter()
    decided: Counter[int] = Counter()
    for point in points:
        whole[point.step] += point.whole
        decided[point.step] += point.call_or_answer
    return max(whole, key=lambda step: (whole[step], decided[step], step))


def describe(point: Point) -> str:
    """`step 600, seen: call or answer 280/300, tool name 150/200, whole call 120/200`."""
    return (
        f"step {point.step}, {point.questions}: call or answer {point.call_or_answer}/{point.n}, "
        f"tool name {point.tool_name}/{point.n_calls}, whole call {point.whole}/{point.n_calls}"
    )


def _asked(
    rows: Sequence[Row], tokenizer: Any, call_format: str
) -> list[tuple[Encoded, list[_Wanted]]]:
    asked = []
    for row in rows:
        encoded = encode(row, tokenizer, call_format)
        answers = [m for m in row["messages"] if m["role"] == "assistant"]
        wanted = []
        offered = [tool["function"]["name"] for tool in row.get("tools", ())]
        spans = zip(answers, _kinds(row), _spans(encoded.positions), strict=True)
        for message, kind, (start, stop) in spans:
            calls = message.get("tool_calls")
            name = calls[0]["function"]["name"] if calls else None
            ids = [encoded.ids[place + 1] for place in encoded.positions[start:stop]]
            others = tuple(other for other in offered if other != name)
            tokens = _tokens_of_name(tokenizer, ids, name)
            wanted.append(_Wanted(start, stop, tokens, kind, others))
        asked.append((encoded, wanted))
    return asked


def _kinds(row: Row) -> Iterator[str]:
    """The kind of question before each answer, where the row says it, else `any`."""
    kinds = iter(row.get(KIND_KEY, ()))
    kind = ""
    for message in row["messages"]:
        if message["role"] == "user":
            kind = next(kinds, "any")
        elif message["role"] == "assistant":
            yield kind
        else:
            kind = "result"


def _spans(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Where runs of consecutive positions start and stop: one for each answer."""
    starts = [i for i, place in enumerate(positions) if i == 0 or place != positions[i - 1] + 1]
    return list(zip(starts, [*starts[1:], len(positions)], strict=True))


def _tokens_of_name(tokenizer: Any, ids: Sequence[int], name: str | None) -> int:
    if name is None:
        return 0
    ends = (f"{name}>", f'{name}"')
    return next(
        k for k in range(1, len(ids) + 1) if any(end in tokenizer.decode(ids[:k]) for end in ends)
    )


def _judge(
    model: Any,
    tokenizer: Any,
    asked: Sequence[tuple[Encoded, list[_Wanted]]],
    step: int,
    questions: str,
) -> Point:
    answers = {id(encoded): wanted for encoded, wanted in asked}
    opener = next(
        encoded.ids[encoded.positions[answer.start] + 1]
        for encoded, wanted in asked
        for answer in wanted
        if answer.name
    )
    found: list[tuple[_Wanted, str]] = []
    with fast_llama():
        for batch in batches([encoded for encoded, _ in asked], tokens_per_batch=1024):
            likeliest, targets = _likeliest(model, batch)
            done = 0
            for encoded in batch:
                for answer in answers[id(encoded)]:
                    span = slice(done + answer.start, done + answer.stop)
                    miss = _miss(answer, likeliest[span], targets[span], opener, tokenizer)
                    found.append((answer, miss))
                done += len(encoded.positions)
    return _point(found, step, questions)


def _miss(answer: _Wanted, likeliest: Any, targets: Any, opener: int, tokenizer: Any) -> str:
    """What is wrong first in an answer, one of `MISSES`; empty if nothing is."""
    calls = bool(likeliest[0] == opener)
    if calls != bool(answer.name):
        return CALL_FOR_WORDS if calls else WORDS_FOR_CALL
    if not answer.name:
        return ""
    wrong = np.flatnonzero(likeliest != targets)
    if not wrong.size:
        return ""
    if wrong[0] >= answer.name:
        return ARGUMENTS
    head = tokenizer.decode([*targets[: wrong[0]].tolist(), int(likeliest[wrong[0]])])
    begun = re.split(r'<function=|"name": "', head)[-1]
    same = any(other.startswith(begun.rstrip('>"')) for other in answer.others)
    return ANOTHER_TOOL if same else NO_SUCH_TOOL


def _point(found: Sequence[tuple[_Wanted, str]], step: int, questions: str) -> Point:
    misses = Counter(miss for _, miss in found)
    calls = [miss for answer, miss in found if answer.name]
    decisions: dict[str, list[int]] = {}
    for answer, miss in found:
        counts = decisions.setdefault(answer.kind, [0, 0])
        counts[0] += miss not in (CALL_FOR_WORDS, WORDS_FOR_CALL)
        counts[1] += 1
    return Point(
        step,
        len(found),
        len(calls),
        len(found) - misses[CALL_FOR_WORDS] - misses[WORDS_FOR_CALL],
        sum(miss in ("", ARGUMENTS) for miss in calls),
        calls.count(""),
        questions,
        {miss: misses[miss] for miss in MISSES},
        decisions,
    )


def _likeliest(model: Any, batch: list[Encoded]) -> tuple[Any, Any]:
    """For each learned position of the batch: the likeliest next token, and the wanted one."""
    import mlx.core as mx

    tokens, places, targets, _, layout = arrays(batch)
    likeliest = mx.argmax(logits(model, tokens, places, layout), axis=-1)
    return np.array(likeliest), np.array(targets)
