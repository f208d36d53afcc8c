import subprocess
import sys

import pytest
from made_runs import answer_of, called, case_of

from evals import stored
from evals.config import Config
from evals.disk import replace_file
from evals.errors import ConfigError
from evals.results import RECORDS
from evals.running.folder import RunFolder, choose_folder
from evals.running.options import read_options
from evals.stored import brief, read_records

NO_ROOM = """\
import resource, signal, sys
from pathlib import Path
from evals.disk import replace_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
replace_file(Path(sys.argv[1]), "new" * 1000)
"""


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path):
    path = tmp_path / "records.jsonl"
    replace_file(path, "old")
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(path)], capture_output=True, text=True
    )
    assert "File too large" in done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_workers_answers_come_after_and_end_up_in_one_file(tmp_path):
    first, second = answer_of(case_of("a"), called()), answer_of(case_of("b"), called())
    newer = answer_of(case_of("a"), called(got=7))
    main, worker = RunFolder(tmp_path), RunFolder(tmp_path, "gw0")
    assert not main.has_records()
    main.append(first)
    worker.append(second)
    worker.append(newer)
    assert main.has_records()
    assert main.kept() == {newer.key: newer, second.key: second}
    assert [record.key for record in main.join()] == [newer.key, second.key]
    assert [path.name for path in tmp_path.iterdir()] == [RECORDS]
    assert list(read_records(main.records)) == [newer, second]


def test_the_newest_of_the_reports_is_latest(tmp_path):
    for name in ("r1", "r2"):
        folder = RunFolder(tmp_path / "reports" / name)
        folder.create()
        folder.point_latest()
        assert (tmp_path / "reports" / "latest").resolve() == folder.path.resolve()
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {"r1", "r2", "latest"}
    elsewhere = RunFolder(tmp_path / "mine" / "r1")
    elsewhere.create()
    elsewhere.point_latest()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["r1"]


def test_what_this_process_appended_is_joined_without_reading_it_again(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    b, first, a = (answer_of(case_of(n), called(got)) for n, got in (("b", 5), ("a", 7), ("a", 5)))
    for record in (b, first, a):
        folder.append(record)
    monkeypatch.setattr(stored, "read_places", None)
    joined = folder.join(lambda key: "::b" not in key)
    assert [*joined] == [brief(a)]
    assert [*joined.whole()] == [a]
    assert joined[0].case is a.case


def test_what_others_left_in_the_file_is_read(tmp_path):
    kept, other, own = (answer_of(case_of(name), called()) for name in "abc")
    folder = RunFolder(tmp_path)
    folder.replace_records([kept])
    RunFolder(tmp_path).append(other)
    folder.append(own)
    folder_of_worker = RunFolder(tmp_path, "gw0")
    folder_of_worker.append(answer_of(case_of("b"), called(7)))
    joined = folder.join()
    assert [*joined] == [brief(kept), brief(answer_of(case_of("b"), called(7))), brief(own)]
    folder.append(kept)
    assert [record.key for record in folder.join()] == [record.key for record in joined]


def test_a_folder_in_use_is_for_no_new_run(tmp_path):
    RunFolder(tmp_path).append(answer_of(case_of("a"), called()))
    with pytest.raises(ConfigError, match=f"resume it: --resume {tmp_path}"):
        choose_folder(read_options({"run_dir": tmp_path}, Config()), tmp_path)
    assert choose_folder(read_options({"resume": tmp_path}, Config()), tmp_path) == tmp_path
