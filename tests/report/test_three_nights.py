"""Four bad nights, planted between the stock server and the suite, told apart by the first screen.

The model is the replay model in mlx_lm's own server. A proxy in front of it makes the model write
another tool, drops the parsed calls of a right answer, hides the tools from the model, or goes away
in the middle of the night.
"""

import json
import urllib.request

import pytest
from builders import case as make
from made_runs import TOOLS, write_run
from scripted_server import Scripted, respond, serve

from evals.case import Case, ReplayScript, Tool
from evals.config import cache_folder, read_config
from evals.engines.mlx_lm import boot
from evals.replay.build import ARGUMENTS, cached_replay
from evals.report.github.files import write_github
from evals.report.headline import headline
from evals.report.html.files import report_run
from evals.request import embed
from evals.results import RECORDS
from evals.running.life import Life
from evals.running.profile import open_profile
from evals.running.questions import Question
from evals.running.replica import Replica
from evals.running.runner import Runner
from evals.stored import read_records

COUNT = 6
IN_FLIGHT = 8
"""More than the cases: a server that fails so many in a row is given up."""
CALL = "<tool_call>\n<function={}>\n</function>\n</tool_call>"
# Scripts of as many tokens: the prompt must not be another one in length.
RIGHT, WRONG = (ReplayScript(text=CALL.format(f"{verb}_messages")) for verb in ("list", "find"))
FIND = Tool(name="find_messages")


def case_number(number: int) -> Case:
    return make(
        {"call": {"name": "list_messages"}},
        f"Which messages are there in folder {number}?",
        id=f"folder-{number}",
        tools=(*TOOLS, FIND),
        replay=RIGHT,
    )


def forward(handler, scripted: Scripted, url: str, change=lambda body: body) -> bytes:
    body = change(scripted.wire[-1])
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def without_calls(answer: bytes) -> bytes:
    """What a parser leaves that does not know the form any more: nothing."""
    body = json.loads(answer)
    for choice in body["choices"]:
        choice["message"].pop("tool_calls", None)
        choice["finish_reason"] = "stop"
    return json.dumps(body).encode()


def well(handler, scripted, url):
    respond(forward(handler, scripted, url))(handler)


def model_worse(handler, scripted, url):
    def other(body: bytes) -> bytes:
        return body.replace(embed(RIGHT).encode(), embed(WRONG).encode())

    respond(forward(handler, scripted, url, other))(handler)


def parser_broken(handler, scripted, url):
    answer = forward(handler, scripted, url)
    streamed = scripted.bodies[-1].get("stream")  # of the greeting alone
    respond(answer if streamed else without_calls(answer))(handler)


def tools_hidden(handler, scripted, url):
    def bare(body: bytes) -> bytes:
        asked = json.loads(body)
        asked.pop("tools", None)
        return json.dumps(asked).encode()

    respond(forward(handler, scripted, url, bare))(handler)


def server_dying(handler, scripted, url):
    asked = scripted.wire[-1]
    if b"in folder" in asked and b"in folder 0" not in asked:  # greetings, and one case
        handler.close_connection = True
        handler.connection.close()
        return
    well(handler, scripted, url)


NIGHTS = {
    "before": well,
    "model": model_worse,
    "parser": parser_broken,
    "template": tools_hidden,
    "server": server_dying,
}


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """The folder of five runs of the same cases: a good one, and four bad ones after it."""
    folder = tmp_path_factory.mktemp("nights")
    model = cached_replay(cache_folder())
    with boot(model, log=folder / "log", cache=cache_folder(), arguments=ARGUMENTS) as server:
        for day, (name, behave) in enumerate(NIGHTS.items(), start=1):
            records = asked(folder, server.url, behave)
            write_run(folder / name, records, started=f"2026-01-0{day}T03:00:00+00:00")
    return folder


def asked(folder, url, behave):
    with serve() as scripted:
        scripted.answer = lambda handler: behave(handler, scripted, url)
        (folder / "evals.toml").write_text(
            f'lanes = ["server"]\n[targets.default]\nurl = "{scripted.server.url}"\n'
            'engine = "mlx_lm"\nserved_name = "default_model"\nmodel = "replay"\n'
        )
        config = read_config(folder)
        opening = open_profile(
            "default", config, ["server"], folder, cache_folder(), lambda text: None
        )
        with opening as opened:
            life = Life(
                opened, timeout=config.timeout, in_flight=IN_FLIGHT, note=lambda death: None
            )
            questions = [Question(case_number(number), "server") for number in range(COUNT)]
            runner = Runner(
                Replica(opened, life), questions, in_flight=IN_FLIGHT, save=lambda record: None
            )
            records = [runner.record(question) for question in questions]
            runner.close()
    return records


TOLD = {
    "model": ("Worse than before: 6 newly failing", "the model itself: 6 newly failing cases"),
    "parser": (
        "Worse than before: 6 newly failing",
        "downstream of the model: 6 newly failing cases",
    ),
    "template": (
        "Worse than before: 6 newly failing",
        "the prompt, before the model: its chat template: 6 newly failing cases",
    ),
    "server": (
        "Cannot be told against before: 5 cases got no answer",
        "no answer: the server, or the way to it: 5 cases",
    ),
}
NEXT = {
    "model": "look at weights, training data",
    "parser": "hold the model's text against the response",
    "template": "look at the chat template",
    "server": "Read the server's log at the first error",
}


@pytest.mark.parametrize("name", TOLD)
def test_the_first_screen_tells_whose_fault_a_bad_night_is(name, nights, look):
    page = look(report_run(nights / name, against=nights / "before"))
    first = page.locator(".minute")
    said = first.inner_text()
    for words in (*TOLD[name], NEXT[name]):
        assert words in said
    # All of it is seen without a move of the hand.
    box = first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 900
    for other in set(NEXT) - {name}:
        assert NEXT[other] not in said
    first.get_by_role("link").first.click()
    assert page.locator("#view-case h1").is_visible()


@pytest.mark.parametrize("name", TOLD)
def test_the_job_summary_begins_with_the_same(name, nights):
    write_github(nights / name, nights / "before", {})
    lines = (nights / name / "job-summary.md").read_text(encoding="utf-8").splitlines()
    first = "\n".join(lines[:14]).replace("**", "").replace("\\", "")
    for words in TOLD[name]:
        assert words in first


def test_a_good_night_has_nothing_to_be_done(nights):
    summary = write_run(nights / "again", list(read_records(nights / "before" / RECORDS)))
    first = headline(summary, list(read_records(nights / "again" / RECORDS)))
    assert (first.tone, first.faults, first.deaths) == ("fine", (), "")
    assert first.worse == "Not compared with an earlier run; 0 cases fail"
