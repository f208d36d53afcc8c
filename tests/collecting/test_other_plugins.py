"""Hooks of other plugins: none of them lets a part pass for the whole, or hides what failed."""

import re

import pytest
from inner_run import runner
from scripted_server import Looking, serve

CASE = "  - {{id: {0}, ask: Look at {0}., expect: {{call: {{name: look}}}}}}\n"
PROJECT = {
    f"cases/{file}.yaml": "defaults: {tools: [{name: look}]}\ncases:\n"
    + "".join(CASE.format(f"{file}{n}") for n in (1, 2))
    for file in ("a", "b")
} | {"pyproject.toml": "[tool.pytest.ini_options]\n", "evals.toml": 'lanes = ["server"]\n'}


@pytest.fixture
def server():
    with serve(Looking) as scripted:
        yield scripted


@pytest.fixture
def run(project, server, monkeypatch, capfd):
    monkeypatch.chdir(project)
    return runner(server.server.url, capfd)


def test_all_that_is_asked_is_the_whole(run):
    ran = run()
    assert (ran.code, ran.summary["run"]["whole"]) == (0, True), ran.output


def test_a_fixture_that_a_hook_gives_one_item_is_its_alone(run, project):
    (project / "conftest.py").write_text(
        "import pytest\n"
        "@pytest.fixture(autouse=True)\n"
        "def each(request):\n"
        "    print('each', request.node.name)\n"
        "@pytest.fixture\n"
        "def only(request):\n"
        "    print('only', request.node.name)\n"
        "def pytest_collection_modifyitems(items):\n"
        "    items[1].fixturenames.append('only')\n"
    )
    ran = run("-s")
    assert ran.code == 0, ran.output
    named = re.findall(r"(each|only) (\w+)\[", ran.output)
    assert [n for n in named if n[0] == "each"] == [("each", i) for i in ("a1", "a2", "b1", "b2")]
    assert [n for n in named if n[0] == "only"] == [("only", "a2")]


@pytest.hookimpl(wrapper=True)
def leave_two(items):
    del items[2:]
    return (yield)


@pytest.hookimpl(tryfirst=True)
def leave_three_first(items):
    del items[3:]


@pytest.hookimpl(wrapper=True)
def collect_one(collector):
    report = yield
    if collector.name == "b.yaml":
        del report.result[1:]
    return report


@pytest.hookimpl(wrapper=True)
def drop_file(file_path):
    found = yield
    return [] if file_path.name == "b.yaml" else found


@pytest.mark.parametrize(
    ("hook", "function"),
    [
        ("pytest_collection_modifyitems", leave_two),
        ("pytest_collection_modifyitems", leave_three_first),
        ("pytest_make_collect_report", collect_one),
        ("pytest_collect_file", drop_file),
    ],
)
def test_what_a_hook_leaves_of_the_suite_is_a_part_of_it(run, hook, function):
    ran = run(**{hook: function})
    assert ran.summary["run"]["whole"] is False, ran.output
    assert "gate: not judged (a part of the suite)" in ran.output


def take_over(session):
    return True


def leave(session):
    pytest.exit("all is well", returncode=0)


@pytest.mark.parametrize(
    ("hooks", "why"),
    [
        ({"pytest_runtestloop": take_over}, "pytest did not come to 4 question(s)"),
        ({"pytest_collection_finish": leave}, "pytest did not come to 4 question(s)"),
        ({"pytest_collection": leave}, "pytest asked nothing"),
    ],
)
def test_a_run_that_asks_nothing_does_not_pass(run, server, hooks, why):
    hooks = {name: pytest.hookimpl(tryfirst=True)(hook) for name, hook in hooks.items()}
    ran = run(**hooks)
    assert (ran.code, ran.summary["run"]["ended"]) == (1, why), ran.output
    assert ran.summary["gate"]["passed"] is False
    assert server.bodies == []


def test_a_profile_without_a_case_does_not_pass_beside_other_tests(run, project):
    other = "[profiles.default]\n[profiles.other]\n"
    (project / "evals.toml").write_text(PROJECT["evals.toml"] + other)
    for file in ("a", "b"):
        path = project / "cases" / f"{file}.yaml"
        path.write_text(path.read_text().replace("{tools:", "{profiles: [default], tools:"))
    (project / "test_beside.py").write_text("def test_x(): pass\n")
    ran = run("--profiles", "other", places=(".",))
    assert (ran.code, "other: no case was asked" in ran.output) == (1, True), ran.output
    assert "gate: FAILED" in ran.output
    assert run("--profiles", "other", "-k", "test_x", places=(".",), folder="again").code == 0
    assert run("-k", "test_x", places=(".",), folder="part").code == 0


@pytest.mark.parametrize("option", ["--fixtures", "--collect-only", "--setup-plan", "--cache-show"])
def test_what_only_shows_something_asks_nothing_and_writes_nothing(run, server, option):
    cached = ("-p", "cacheprovider") if option == "--cache-show" else ()
    ran = run(option, *cached)
    assert (ran.code, ran.summary, server.bodies) == (0, None, []), ran.output


def test_a_folder_called_cases_without_any_is_no_suite(run, project):
    for path in project.glob("cases/*.yaml"):
        path.unlink()
    (project / "test_alone.py").write_text("def test_x(): pass\n")
    ran = run(places=(".",))
    assert (ran.code, ran.summary) == (0, None), ran.output


def test_a_folder_without_a_case_hides_no_case_file_of_another(run, project):
    (project / "more").mkdir()
    (project / "evals.toml").write_text(f'{PROJECT["evals.toml"]}cases = ["more", "cases"]\n')
    ran = run("-o", "norecursedirs=none", places=(".",), pytest_ignore_collect=ignore_b)
    assert "1 case file(s) not asked: cases/b.yaml" in ran.output
    assert ran.summary["run"]["whole"] is False


def ignore_b(collection_path):
    return True if collection_path.name == "b.yaml" else None


TOLERANT = "[gates.default]\ncase = 0.1\n"


def veto_with(code):
    def veto(session):
        session.exitstatus = code

    return veto


@pytest.mark.parametrize(("wrong", "code"), [((), 1), ((), 9), (("a1",), 9)])
def test_another_plugins_veto_stays_and_is_told(run, server, project, wrong, code):
    server.wrong = wrong
    (project / "evals.toml").write_text(PROJECT["evals.toml"] + TOLERANT)
    ran = run(pytest_sessionfinish=veto_with(code))
    assert (ran.code, ran.summary["gate"]["passed"]) == (code, True), ran.output
    assert f"exit code {code} all the same: set by another plugin" in ran.output


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_gate_forgives_answers_and_pytests_own_code_is_theirs(run, server, project, workers):
    server.wrong = ("a1",)
    (project / "evals.toml").write_text(PROJECT["evals.toml"] + TOLERANT)
    ran = run("-n", workers)
    assert (ran.code, "all the same" in ran.output) == (0, False), ran.output


@pytest.hookimpl(wrapper=True)
def find_fault(item):
    found = yield
    assert "a2" not in item.name
    return found


@pytest.hookimpl(wrapper=True)
def find_fault_after(item):
    try:
        return (yield)
    finally:
        assert "a1" not in item.name


def mark(items):
    for item in items:
        if "a1" in item.name:
            item.add_marker(pytest.mark.xfail)


def count_up(session):
    session.testsfailed += 1


@pytest.mark.parametrize(
    ("hooks", "why"),
    [
        # The answer's own failure is none for pytest: it must not stand in for the other one.
        (
            {"pytest_collection_modifyitems": mark, "pytest_runtest_call": find_fault},
            "1 failure(s) that are no answer's: cases/a.yaml::a2[default-server]",
        ),
        (
            {"pytest_runtest_call": find_fault_after},
            "1 failure(s) that are no answer's: cases/a.yaml::a1[default-server]",
        ),
        (
            {"pytest_sessionfinish": pytest.hookimpl(tryfirst=True)(count_up)},
            "1 failure(s) that pytest counts and does not report",
        ),
    ],
)
def test_what_a_hook_finds_fault_with_hides_behind_no_answer(run, server, project, hooks, why):
    server.wrong = ("a1",)
    (project / "evals.toml").write_text(PROJECT["evals.toml"] + TOLERANT)
    ran = run(**hooks)
    assert (ran.code, ran.summary["gate"]["passed"]) == (1, True), ran.output
    assert f"exit code 1 all the same: {why}" in ran.output


def test_without_pytests_plugin_for_setups_a_run_is_as_any_other(run):
    ran = run("-p", "no:setuponly", "-p", "no:setupplan")
    assert (ran.code, "Traceback" in ran.output) == (0, False), ran.output


def test_progress_counts_a_case_once_however_often_it_is_tried(server, run):
    server.wrong = ("a1",)
    ran = run("--progress", "--reruns=2")
    counted = re.findall(r"\[ *(\d+)/4\]", ran.output)
    assert counted == ["1", "2", "3", "4"], ran.output
