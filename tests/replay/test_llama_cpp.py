"""Every regression case through llama.cpp: what it gets wrong today is known, and nothing else."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from evals.case import Case
from evals.config import cache_folder, read_config
from evals.loading.casefile import find_case_files, read_cases
from evals.replay.copy_model import CopyModel
from evals.replay.prompts import encoder
from evals.results import Record, Status
from evals.running.life import Life
from evals.running.profile import open_profile
from evals.running.questions import Question
from evals.running.replica import Replica
from evals.running.runner import Runner

pytest.importorskip("xllamacpp")

ROOT = Path(__file__).parents[2]
CONFIG = read_config(ROOT)
PROFILES = ("replay-llama-cpp", "replay-hermes-llama-cpp")
CASES = {
    name: [
        case
        for case in read_cases(find_case_files([ROOT / "cases" / "regressions"]), ROOT)
        if CONFIG.profile(name).asks in case.profiles
    ]
    for name in PROFILES
}
ASKED = [(name, case) for name in PROFILES for case in CASES[name]]
Played = Mapping[tuple[str, str, str], Record]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The records of both lanes, eight cases asked at a time."""
    return {
        (name, record.case.node, record.lane): record
        for name in PROFILES
        for record in _play(name, tmp_path_factory.mktemp(name))
    }


def _play(name: str, folder: Path) -> Iterator[Record]:
    lanes = ("server", "stream")
    questions = [Question(case, lane) for case in CASES[name] for lane in lanes]
    opening = open_profile(name, CONFIG, lanes, folder, cache_folder(), lambda text: None)
    with opening as opened:
        life = Life(opened, timeout=60, in_flight=8, note=lambda death: None)
        runner = Runner(Replica(opened, life), questions, in_flight=8, save=lambda record: None)
        yield from map(runner.record, questions)
        runner.close()


@pytest.mark.parametrize("lane", ["server", "stream"])
@pytest.mark.parametrize(("name", "case"), ASKED, ids=lambda of: getattr(of, "id", of))
def test_what_is_wrong_is_known(name: str, case: Case, lane: str, played: Played) -> None:
    record = played[name, case.node, lane]
    known = case.defect(name, lane) is not None
    assert record.status == (Status.KNOWN if known else Status.PASS), record.verdicts
    assert not any("NO LONGER FAILS" in verdict.reason for verdict in record.verdicts)


@pytest.mark.parametrize(("name", "case"), ASKED, ids=lambda of: getattr(of, "id", of))
def test_the_ids_are_the_script_unless_a_grammar_changed_it(
    name: str, case: Case, played: Played
) -> None:
    record = played[name, case.node, "server"]
    assert case.replay is not None
    if case.replay.text is None or record.observation.error:
        return
    model = CopyModel(CONFIG.target(name).template)
    script = encoder(model.folder(cache_folder()))(case.replay.text)
    ids = list(record.observation.token_ids or ())
    said = next(v.reason for v in record.verdicts if v.check == "script")
    # The end token is one more, but for an answer that max_tokens cut.
    assert bool(said) == (ids[: len(script)] != script or len(ids) > len(script) + 1), said


def test_the_page_of_findings_has_a_section_for_each_file_with_a_defect() -> None:
    page = (ROOT / "docs" / "findings" / "llama_cpp.md").read_text(encoding="utf-8")
    sections = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    files = {Path(case.path).stem for name, case in ASKED if case.defect(name, "server")}
    assert sections == sorted(files)
    assert len(files) >= 20
