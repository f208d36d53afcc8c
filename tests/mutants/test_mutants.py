"""Known-bad parsers in the real server: the suite fails with each, and says why.

Every mutant reads the script of one case wrong and that of another one right.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from small_parsers import MUTANTS

from evals.case import Case
from evals.config import Profile, cache_folder
from evals.engines.mlx_lm import boot
from evals.lanes.lane import Setup, lane_named
from evals.lanes.tokens import decoder, load_tokenizer
from evals.loading.casefile import find_case_files, read_cases
from evals.replay.build import ARGUMENTS, cached_replay
from evals.results import Kind, Layer, Record, Status
from evals.running.life import Life
from evals.running.profile import Opened
from evals.running.questions import Question
from evals.running.replica import Replica
from evals.running.runner import Runner

ROOT = Path(__file__).parents[2]
CASES = {
    case.id: case for case in read_cases(find_case_files([ROOT / "cases" / "regressions"]), ROOT)
}
TODOREAD = read_cases([ROOT / "cases" / "regressions" / "todoread-end-tag-in-name.yaml"], ROOT)
LAUNCHER = (sys.executable, str(Path(__file__).with_name("launcher.py")))
CONTROL = "write-canonical"

PARSER, SERVER = Layer.PARSER, Layer.SERVER
NAME, ARGS, LOST = Kind.CORRUPT_NAME, Kind.CHANGED_ARGUMENTS, Kind.LOST_CALL

# Mutant, the case that shows it, the verdict, the layer, a case that it reads right.
KILLED_BY: list[tuple[str, str, Kind, Layer, str]] = [
    ("name-keeps-end-tag", "todoread-one-line", NAME, PARSER, "todoread-canonical"),
    ("name-keeps-newline", "todoread-canonical", NAME, PARSER, "todoread-one-line"),
    ("name-of-near-tool", "short-of-two", NAME, PARSER, "long-of-two"),
    ("name-in-capitals", "todoread-canonical", NAME, PARSER, "bracket-inside"),
    ("zero-parameters-lost", "todoread-canonical", LOST, PARSER, CONTROL),
    ("null-for-text-null", "null-upper", ARGS, PARSER, CONTROL),
    ("false-for-spaced-true", "space-before", ARGS, PARSER, CONTROL),
    ("false-for-one", "one-or-true", ARGS, PARSER, CONTROL),
    ("integer-through-float", "beyond-double", ARGS, PARSER, "within-double"),
    ("text-as-json", "digits", ARGS, PARSER, "date"),
    ("union-as-text", "any-of-integer", ARGS, PARSER, "within-double"),
    ("text-stripped", "indented-text", ARGS, PARSER, CONTROL),
    ("text-unescaped", "entities-and-escapes", ARGS, PARSER, CONTROL),
    ("text-escaped", "entities-and-escapes", ARGS, PARSER, CONTROL),
    ("value-cut-at-inner-tag", "parameter-closer-in-value", ARGS, PARSER, CONTROL),
    ("call-cut-at-inner-tag", "tool-call-closer-in-value", LOST, PARSER, CONTROL),
    ("argument-invented", "null-upper", ARGS, PARSER, CONTROL),
    ("arguments-encoded-twice", CONTROL, Kind.INVALID_ARGUMENTS, PARSER, "bracket-inside"),
    ("arguments-lost", CONTROL, ARGS, PARSER, "todoread-canonical"),
    ("second-call-lost", "two-wrappers", LOST, PARSER, CONTROL),
    ("first-call-lost", "two-wrappers", LOST, PARSER, CONTROL),
    ("calls-reversed", "two-wrappers", Kind.ANOTHER_ORDER, PARSER, CONTROL),
    ("functions-merged", "two-functions", LOST, PARSER, "two-wrappers"),
    ("call-twice", "todoread-canonical", Kind.INVENTED_CALL, PARSER, "bracket-inside"),
    ("end-tag-left-in-text", CONTROL, Kind.LEAKED_MARKUP, PARSER, "bracket-inside"),
    ("call-left-in-text", CONTROL, Kind.LEAKED_MARKUP, PARSER, "bracket-inside"),
    ("text-beside-call-lost", "todoread-text-before", Kind.CHANGED_CONTENT, SERVER, CONTROL),
    ("call-behind-text-lost", "todoread-text-before", LOST, PARSER, CONTROL),
    ("tags-only-in-one-token", "tags-in-ordinary-tokens", LOST, PARSER, CONTROL),
    ("undeclared-name-passed", "example-in-a-fence", Kind.INVENTED_CALL, PARSER, CONTROL),
    ("call-lost-in-stream", CONTROL, Kind.STREAM_MISMATCH, SERVER, "bracket-inside"),
    ("name-changed-in-stream", CONTROL, Kind.STREAM_MISMATCH, SERVER, "bracket-inside"),
    ("text-lost-in-stream", "todoread-text-before", Kind.STREAM_MISMATCH, SERVER, CONTROL),
    ("crash-without-path", CONTROL, Kind.SERVER_ERROR, SERVER, "two-wrappers"),
]
USED = sorted({name for _, shows, _, _, control in KILLED_BY for name in (shows, control)})


Play = Callable[[str, Sequence[Case], int], dict[tuple[str, str], Record]]
"""The records of cases, by id and lane, when the parser of that name reads their scripts.

The number says how many cases are asked at a time.
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    model = cached_replay(cache_folder())
    tokenizer = load_tokenizer(model)
    log = tmp_path_factory.mktemp("mutants") / "server.log"
    with boot(
        model, log=log, cache=cache_folder(), arguments=ARGUMENTS, launcher=LAUNCHER
    ) as server:
        decode = decoder(tokenizer)
        setup = Setup(timeout=60, server=server, decode=decode)
        with lane_named("server").open(setup) as plain, lane_named("stream").open(setup) as stream:
            asks = {"server": plain, "stream": stream}
            read = "qwen3-coder-xml"
            yield Opened("mutants", Profile(), server, model, tokenizer, decode, asks, read)


@pytest.fixture(scope="module")
def play(opened: Opened) -> Play:
    def play(parser: str, cases: Sequence[Case], clients: int) -> dict[tuple[str, str], Record]:
        told = [through(parser, case) for case in cases]
        questions = [Question(case, lane) for case in told for lane in opened.lanes]
        life = Life(opened, timeout=60, in_flight=clients, note=lambda death: None)
        runner = Runner(
            Replica(opened, life), questions, in_flight=clients, save=lambda record: None
        )
        try:
            return {(q.case.id, q.lane): runner.record(q) for q in questions}
        finally:
            runner.close()

    return play


def through(parser: str, case: Case) -> Case:
    """The case with a system message, by which the server chooses the parser."""
    chosen = {"role": "system", "content": parser}
    return case.model_copy(update={"messages": (chosen, *case.messages)})


def blamed(record: Record) -> tuple[Kind | None, Layer | None] | None:
    found = record.cause
    return (found.kind, found.layer) if found else None


@pytest.mark.parametrize("parser", ["adaptive", "small"])
def test_unmutated_parsers_pass_every_case(parser: str, play: Play) -> None:
    records = play(parser, [CASES[name] for name in USED], 4)
    wrong = {key: blamed(record) for key, record in records.items() if record.status != "pass"}
    assert wrong == {}


def test_every_mutant_is_tried() -> None:
    assert [mutant for mutant, *_ in KILLED_BY] == list(MUTANTS)


@pytest.mark.parametrize(
    ("mutant", "shows", "kind", "layer", "control"), KILLED_BY, ids=[row[0] for row in KILLED_BY]
)
def test_mutant_is_killed(
    mutant: str, shows: str, kind: Kind, layer: Layer, control: str, play: Play
) -> None:
    records = play(mutant, [CASES[shows], CASES[control]], 2)
    for lane in ("server", "stream"):
        spared = mutant.endswith("-in-stream") and lane == "server"
        expected = Status.ERROR if kind == Kind.SERVER_ERROR else Status.FAIL
        record = records[shows, lane]
        assert record.status == (Status.PASS if spared else expected), record.verdicts
        assert blamed(record) == (None if spared else (kind, layer)), record.verdicts
        assert records[control, lane].status == Status.PASS, records[control, lane].verdicts


@pytest.mark.parametrize("clients", [1, 8])
def test_todoread_is_exact_in_all_its_forms(clients: int, play: Play) -> None:
    records = play("adaptive", TODOREAD, clients)
    assert {key: blamed(record) for key, record in records.items() if blamed(record)} == {}
    assert len(records) == 2 * len(TODOREAD)


@pytest.mark.parametrize("clients", [1, 8])
def test_an_end_tag_in_the_name_is_caught_every_time(clients: int, play: Play) -> None:
    records = play("name-keeps-end-tag", TODOREAD, clients)
    sound = ("todoread-one-line", "todoread-two-tags-in-one-token", "write-one-line")
    # What the model left open, a parser need not read; that it was not read is told, too.
    broken = ("todoread-unclosed-tag", "write-unclosed-tag")
    expected = {(name, lane): (NAME, PARSER) for name in sound for lane in ("server", "stream")}
    for lane in ("server", "stream"):
        expected |= {(name, lane): (Kind.MALFORMED_CALL, Layer.MODEL) for name in broken}
    assert {key: blamed(record) for key, record in records.items() if blamed(record)} == expected
