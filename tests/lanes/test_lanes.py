"""The four lanes with the real model: they ask the same question and see the same answer."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from scripted_server import TOOLS, call, make_case

from evals.config import cache_folder, read_config
from evals.engines.server import Server
from evals.errors import ConfigError, ModelError
from evals.lanes import direct
from evals.lanes.direct import open_direct
from evals.lanes.lane import LANES, Setup, lane_named
from evals.lanes.tokens import decoder, load_tokenizer, render
from evals.observation import Observation
from evals.request import build_request
from evals.running.options import with_options
from evals.running.profile import open_profile

NAMES = [lane.name for lane in LANES]
ROOT = Path(__file__).parents[2]
HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather in Paris?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [call("get_weather", '{"city": "Paris", "days": 2}', id="a")],
    },
    {"role": "tool", "tool_call_id": "a", "content": "sunny"},
]
CASES = [
    make_case(),
    make_case("Weather in Zürich 🌤?", tools=TOOLS),
    make_case(messages=[{"role": "system", "content": "Be brief."}, *HISTORY], tools=TOOLS),
    make_case(messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]),
]


@pytest.fixture(scope="module")
def tokenizer(base_model: Path) -> Any:
    return load_tokenizer(base_model)


@pytest.fixture(scope="module")
def setup(
    base_model: Path,
    base_server: Server,
    tokenizer: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Setup:
    return Setup(
        timeout=60,
        server=base_server,
        decode=decoder(tokenizer),
        model=base_model,
        cache=cache_folder(),
        log=tmp_path_factory.mktemp("direct") / "direct.log",
    )


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_local_rendering_has_as_many_tokens_as_the_servers_prompt(
    number: int, setup: Setup, tokenizer: Any
) -> None:
    case = CASES[number].model_copy(update={"max_tokens": 1})  # the prompt alone matters
    rendered = render(tokenizer, build_request(case))
    for name in ("server", "stream"):
        with lane_named(name).open(setup) as ask:
            seen = ask(case)
        assert seen.error is None
        assert seen.usage is not None
        assert seen.usage.prompt == len(rendered)


def test_all_lanes_see_the_same_answer(setup: Setup, tokenizer: Any) -> None:
    seen = {}
    for lane in LANES:
        with lane.open(setup) as ask:
            seen[lane.name] = ask(CASES[0])
    assert {name: answer.error for name, answer in seen.items()} == dict.fromkeys(NAMES)
    assert {name: answer.lane for name, answer in seen.items()} == {name: name for name in NAMES}
    text = seen["server"].raw_text
    assert text
    assert "Paris" in text
    assert seen["server"].content == seen["stream"].content == seen["agent"].content == text
    assert seen["direct"].raw_text == text
    ids = seen["server"].token_ids
    assert ids == seen["direct"].token_ids
    assert ids is not None
    assert ids[-1] in tokenizer.eos_token_ids
    assert seen["server"].finish_reason == seen["direct"].finish_reason == "stop"
    assert seen["server"].usage is not None
    assert seen["server"].usage.completion == len(ids)
    stream = seen["stream"]
    assert stream.first_token_seconds is not None
    assert stream.first_token_seconds < stream.seconds


def test_an_answer_that_is_cut_keeps_its_last_token(setup: Setup) -> None:
    case = make_case("Count to one hundred.", max_tokens=5)
    for name in ("server", "direct"):
        with lane_named(name).open(setup) as ask:
            seen = ask(case)
        assert seen.finish_reason == "length"
        assert seen.token_ids is not None
        assert len(seen.token_ids) == 5
        assert seen.raw_text == setup.decode(seen.token_ids)  # type: ignore[misc]


def test_questions_from_several_threads_get_their_own_answers(setup: Setup) -> None:
    lengths = [2, 3, 4, 5]
    cases = [make_case("Tell me a long story.", max_tokens=length) for length in lengths]
    for name in ("server", "stream", "direct", "agent"):
        with lane_named(name).open(setup) as ask, ThreadPoolExecutor(4) as pool:
            seen = list(pool.map(ask, cases))
        if name == "agent":
            # An answer that is cut is refused with its usage lost, but it is not an error.
            assert [bool(answer.content or answer.refused) for answer in seen] == [True] * 4
        else:
            assert [answer.usage and answer.usage.completion for answer in seen] == lengths


def test_a_history_that_the_template_cannot_take_is_an_error_in_server_and_direct_alike(
    setup: Setup,
) -> None:
    broken = [HISTORY[0], {**HISTORY[1], "tool_calls": [call("get_weather", "[1", id="a")]}]
    case = make_case(messages=[*broken, HISTORY[2]], tools=TOOLS)
    for name, words in {"server": "HTTP 404", "direct": "Expecting"}.items():
        with lane_named(name).open(setup) as ask:
            assert words in (ask(case).error or "")


def test_the_end_token_is_left_out_of_the_text_once(tokenizer: Any) -> None:
    end = next(iter(tokenizer.eos_token_ids))
    decode = decoder(tokenizer)
    ids = tokenizer.encode("a <b>  c\n")
    assert decode([*ids, end]) == decode(ids) == "a <b>  c\n"
    assert decode([*ids, end, end]) == "a <b>  c\n" + tokenizer.decode([end])
    assert decode([]) == decode([end]) == ""


# --- direct: the process --------------------------------------------------------------------------


def child_of_this_process() -> psutil.Process:
    return next(
        child
        for child in psutil.Process(os.getpid()).children()
        if "evals.lanes.direct" in child.cmdline()
    )


def test_a_child_that_dies_makes_errors_and_leaves_nothing(
    base_model: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with open_direct(base_model, log=log, cache=cache_folder(), timeout=30) as ask:
        assert "Paris" in (ask(CASES[0]).raw_text or "")
        child = child_of_this_process()
        child.kill()
        for _ in range(2):
            assert (ask(CASES[0]).error or "").startswith("the model's process has ended")
    assert not child.is_running()


RUN = """
import sys
from pathlib import Path
import psutil
from scripted_server import make_case
from evals.lanes import direct
from evals.lanes.direct import open_direct
model, log, cache = map(Path, sys.argv[1:])
with open_direct(model, log=log, cache=cache, timeout=60) as ask:
    print(psutil.Process().children()[0].pid, flush=True)
    ask(make_case("Tell me a long story.", max_tokens=4000))
"""


def test_no_child_outlives_a_run_that_is_killed_in_the_middle_of_an_answer(
    base_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", RUN, str(base_model), str(tmp_path / "log")]
    folders = [Path(__file__).parents[1], Path(direct.__file__).parents[2]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    with subprocess.Popen(
        [*command, str(cache_folder())], stdout=subprocess.PIPE, env=environment
    ) as run:
        assert run.stdout is not None
        child = psutil.Process(int(run.stdout.readline()))
        time.sleep(0.5)
        run.kill()
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(tmp_path: Path) -> None:
    answers = direct._Answers()
    sent: list[dict[str, Any]] = []

    def exchange(number: int, timeout: float) -> Observation:
        return direct._exchange(CASES[0], number, sent.append, answers, timeout, tmp_path / "log")

    assert exchange(0, 0.05).error == "timeout: the model had no answer after 0.05 s"
    for number in (0, 1):
        text = Observation("direct", raw_text=f"answer {number}").to_dict()
        answers.put({"number": number, "observation": text})
    assert exchange(1, 5.0).raw_text == "answer 1"
    assert [message["number"] for message in sent] == [0, 1]


def test_models_that_do_not_load(base_model: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ModelError, match="does not exist"),
        open_direct(tmp_path / "no", log=tmp_path / "log", cache=tmp_path, timeout=5),
    ):
        pass
    (tmp_path / "m").mkdir()
    for file in base_model.iterdir():
        (tmp_path / "m" / file.name).symlink_to(file)
    (tmp_path / "m" / "config.json").unlink()
    (tmp_path / "m" / "config.json").write_text(json.dumps({"model_type": "no-such-type"}))
    with (
        pytest.raises(ModelError, match=r"did not load; the last lines(.|\n)*no-such-type"),
        open_direct(tmp_path / "m", log=tmp_path / "log", cache=cache_folder(), timeout=5),
    ):
        pass


@pytest.mark.parametrize("name", NAMES)
def test_a_lane_without_what_it_needs_says_so(name: str) -> None:
    with (
        pytest.raises(ConfigError, match=f"lane {name} needs a"),
        lane_named(name).open(Setup(timeout=1)),
    ):
        pass


@pytest.mark.parametrize(
    ("lanes", "chosen", "threads"),
    [(["direct", "server"], None, {"1"}), (["server"], None, {"1"}), (["direct"], "2", {"2"})],
)
def test_models_compute_with_one_thread_unless_a_number_is_chosen(
    base_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lanes: list[str],
    chosen: str | None,
    threads: set[str | None],
):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", chosen)
    config = with_options(read_config(ROOT), "default", model=str(base_model))
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with open_profile("default", config, lanes, tmp_path, cache_folder()):
        started = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
        models = [c for c in started if {"evals.lanes.direct", "mlx_lm"} & {*c.cmdline()}]
        assert len(models) >= len(lanes)
        assert {c.environ().get("OPENBLAS_NUM_THREADS") for c in models} == threads
