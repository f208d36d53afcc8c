"""A resumed run: what it keeps of the one before, and what it refuses to keep."""

import json
from pathlib import Path
from typing import Any

import pytest
from inner_run import runner
from scripted_server import call, completion, respond, serve

from evals.errors import ConfigError
from evals.loading.casefile import find_case_files, read_cases
from evals.report.summary import ProfileServed
from evals.results import Record, Status
from evals.running.fingerprint import differing
from evals.running.folder import RunFolder
from evals.running.places import known_names
from evals.running.session import Session, open_session

PROJECT = {
    "cases/a.yaml": "defaults: {tools: [{name: look}]}\ncases:\n"
    + "".join(
        f"  - {{id: c{n}, ask: Look at c{n}., expect: {{call: {{name: look}}}}}}\n" for n in (1, 2)
    ),
    "evals.toml": 'lanes = ["server"]\n',
}
CALLED = call("look", "{}", id="1")
CALLS = respond(completion({"role": "assistant", "tool_calls": [CALLED]}, "tool_calls"))
STREAM = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
COUNTS = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
EVENTS = (
    {
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "tool_calls": [{"index": 0, **CALLED}]}}
        ]
    },
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"choices": [], "usage": COUNTS},
)
STREAMS = respond(
    "".join(f"data: {json.dumps({**STREAM, **event})}\n\n" for event in EVENTS).encode()
    + b"data: [DONE]\n\n",
    kind="text/event-stream",
)


@pytest.fixture
def server():
    """It calls `look`, whatever it is asked, also in a stream."""
    with serve() as scripted:
        scripted.answer = lambda handler: (STREAMS if handler.body.get("stream") else CALLS)(
            handler
        )
        yield scripted


def ask_all(session: Session, project: Path) -> list[Record]:
    """The answers to all cases of the project, as pytest's items ask for them."""
    files = find_case_files([project / "cases"])
    cases = read_cases(files, project, known_names(session.config))
    asked = [each for case in cases for each in session.questions(case)]
    try:
        return [session.answer(*each, lambda each=each: [each[1]]) for each in asked]
    finally:
        session.close()
        session.folder.unlock()


@pytest.fixture
def run(project, server):
    """Asks all cases in a new run, or in one that is resumed; its answers, and its folder."""

    def run(**settings: Any) -> tuple[list[Record], Path]:
        place = {} if "resume" in settings else {"run_dir": project / "run"}
        given = {"attach": server.server.url, **place, **settings}
        session = open_session(given, project, None)
        return ask_all(session, project), session.folder.path

    return run


def questions(server) -> list[str]:
    texts = (body["messages"][-1]["content"] for body in server.bodies)
    return [text for text in texts if text.startswith("Look")]


def test_what_is_served_as_before_is_not_asked_again(run, server):
    _, folder = run()
    records, _ = run(resume=folder)
    assert len(records) == len(questions(server)) == 2


@pytest.mark.parametrize(
    ("target", "settings", "named"),
    [
        ("", {"served_name": "m2"}, "served_name"),
        ("[profiles.default]\ncall_format = 'hermes-json'\n", {}, "call_format"),
        ("[targets.default]\nextra_body = {top_k = 1}\n", {}, "requests"),
        ("[targets.default]\nheaders = {X-Variant = 'b'}\n", {}, "requests"),
        ("[targets.default]\nlogprobs = false\n", {}, "evidence"),
        ("[targets.default]\nstream_options = false\n", {}, "requests"),
    ],
)
def test_answers_to_other_requests_are_kept_by_no_resumed_run(
    run, server, project, target, settings, named
):
    _, folder = run()
    saved = (folder / "records.jsonl").read_bytes()
    (project / "evals.toml").write_text(PROJECT["evals.toml"] + target)
    with pytest.raises(ConfigError, match=f"were served with another .*{named}"):
        run(resume=folder, **settings)
    assert len(questions(server)) == 2
    assert (folder / "records.jsonl").read_bytes() == saved


def test_a_key_is_none_of_it(run, project, monkeypatch):
    monkeypatch.setenv("KEY", "first")
    _, folder = run(api_key_env="KEY")
    told = json.loads((folder / "fingerprint.json").read_text())["profiles"]["default"]
    monkeypatch.setenv("KEY", "second")
    (project / "evals.toml").write_text(
        f"{PROJECT['evals.toml']}[targets.default]\nheaders = {{authorization = 'x'}}\n"
    )
    run(resume=folder, api_key_env="KEY")
    again = json.loads((folder / "fingerprint.json").read_text())["profiles"]["default"]
    assert again == told


def test_what_an_earlier_version_did_not_note_is_passed_over():
    now = ProfileServed(model="m", served_name="m", call_format="f", requests="d")
    assert differing(ProfileServed(model="m"), now) == []
    assert differing(ProfileServed(), now) == ["model"]
    assert differing(now, ProfileServed(model="m", served_name="n")) == [
        *("served_name", "call_format", "requests")
    ]


DEFECT = "[{profiles: [default], reason: it is lost, versions: 'openai <0.1'}]"


def test_a_defect_of_some_versions_forgives_no_answer_of_which_they_are_not_noted(
    run, server, project
):
    server.answer = respond(completion({"role": "assistant", "content": "No."}))
    failed, folder = run()
    assert [record.status for record in failed] == [Status.FAIL] * 2
    cases = project / "cases" / "a.yaml"
    cases.write_text(cases.read_text().replace("{id: c1,", f"{{id: c1, known_defects: {DEFECT},"))
    again, _ = run(resume=folder)
    assert [record.status for record in again] == [Status.FAIL] * 2
    assert questions(server) == ["Look at c1.", "Look at c2.", "Look at c1."]
    run(resume=folder)
    assert len(questions(server)) == 3


def test_of_versions_that_nobody_can_know_an_answer_is_kept(run, server, project):
    cases = project / "cases" / "a.yaml"
    unknown = DEFECT.replace("openai", "mlx-lm")  # of a server that runs already
    cases.write_text(cases.read_text().replace("{id: c1,", f"{{id: c1, known_defects: {unknown},"))
    _, folder = run()
    run(resume=folder)
    assert len(questions(server)) == 2


def test_a_worker_of_xdist_notes_the_versions_that_its_controller_knows(server, project):
    settings = {"attach": server.server.url, "run_dir": project / "run"}
    controller = open_session(settings, project, None)
    controller.open("default")
    told = {**controller.for_worker("gw0"), "parts": 1}
    assert "openai" in told["packages"]
    worker = open_session(settings, project, {**told, "packages": {"mlx-lm": "0.31.3"}})
    cases = project / "cases" / "a.yaml"
    defect = DEFECT.replace("openai", "mlx-lm")
    cases.write_text(cases.read_text().replace("{id: c1,", f"{{id: c1, known_defects: {defect},"))
    records = ask_all(worker, project)
    controller.close()
    controller.folder.unlock()
    assert [dict(record.packages) for record in records] == [{"mlx-lm": "0.31.3"}, {}]


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{", '{"profiles": {"default": {"model": 5}}}', '{"profiles": {}}']
)
def test_answers_of_which_nothing_tells_what_they_are_of_are_not_kept(run, text):
    _, folder = run()
    saved = (folder / "records.jsonl").read_bytes()
    place = folder / "fingerprint.json"
    place.unlink() if text is None else place.write_text(text)
    with pytest.raises(ConfigError, match="begin a new run"):
        run(resume=folder)
    assert (folder / "records.jsonl").read_bytes() == saved
    (folder / "records.jsonl").write_text("")
    records, _ = run(resume=folder)
    assert len(records) == 2


@pytest.fixture
def inner(project, server, monkeypatch, capfd):
    monkeypatch.chdir(project)
    return runner(server.server.url, capfd)


RESULTS = ("records.jsonl", "summary.json", "report.html")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--lanes", "server"), "lane stream"),
        (("--tier", "smoke"), "tier full"),
        (("--repeat", "1"), "repeat 2"),
        (("--profiles", "other"), "profile default"),
    ],
)
def test_a_run_is_not_resumed_with_options_that_would_lose_answers(inner, project, options, named):
    (project / "evals.toml").write_text("[profiles.default]\n[profiles.other]\n")
    wide = ("--lanes", "server,stream", "--temperature", "1", "--repeat", "2")
    inner(*wide)
    before = files(project / "run")
    ran = inner(*wide, *options, "--resume", "run")
    assert (ran.code, files(project / "run")) == (4, before), ran.output
    assert f"it has answers that these options leave out ({named}); resume" in ran.output
    ran = inner(*wide, "--resume", "run", "-k", "c1")
    assert ran.summary["run"]["whole"] is False, ran.output
    assert files(project / "run")["records.jsonl"] == before["records.jsonl"]


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_shard_is_not_resumed_with_answers_of_another(inner, project, workers):
    assert inner("--shard", "1/2").code == 0
    before = files(project / "run")
    ran = inner("--shard", "2/2", "--resume", "run", "-n", workers)
    now = files(project / "run")
    assert ran.code in (2, 4), ran.output
    assert [now[name] for name in RESULTS] == [before[name] for name in RESULTS]
    assert "INTERNALERROR" not in ran.output
    assert "1 of its answers, such as cases/a.yaml::c1[default-server], are to" in ran.output
    cases = project / "cases" / "a.yaml"
    cases.write_text(cases.read_text().replace("id: c2, ", "id: a0, "))
    ran = inner("--shard", "1/2", "--resume", "run")
    assert ran.code == 4, ran.output
    assert "if cases have changed since, begin all shards anew" in ran.output


@pytest.mark.parametrize("where", ["--run-dir", "--resume"])
def test_a_run_that_may_not_use_its_folder_writes_nothing_there(inner, project, where):
    (project / "elsewhere").mkdir()
    inner()
    (project / "run" / "records.jsonl").unlink() if where == "--run-dir" else None
    before = files(project / "run")
    with RunFolder(project / "run").locked():
        ran = inner(where, "run", "--alluredir", "elsewhere")
    assert (ran.code, files(project / "run")) == (4, before), ran.output
    assert "another process is writing this run" in ran.output
    assert "Traceback" not in ran.output


def leave(session):
    pytest.exit("enough", returncode=7)


@pytest.mark.parametrize(
    ("options", "hooks", "code"),
    [
        (("--served-name", "m2"), {}, 3),
        (("--attach", "http://127.0.0.1:9"), {}, 3),
        ((), {"pytest_collection_finish": leave}, 7),
    ],
)
def test_a_resume_that_goes_no_further_leaves_the_run_as_it_was(
    inner, project, options, hooks, code
):
    inner()
    before = files(project / "run")
    ran = inner("--resume", "run", *options, **hooks)
    assert before.items() <= files(project / "run").items()
    assert ran.code == code, ran.output
    assert "Traceback" not in ran.output
