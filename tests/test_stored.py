"""Records in brief: figures of them are those of the whole, and the whole is where it was."""

import io
import re
from collections import Counter
from dataclasses import replace

import pytest
from made_runs import PRINT, RUN, answer_of, called, case_of
from rich.console import Console

from evals.config import Config, Gate
from evals.report.html import render
from evals.report.html.figures import figures
from evals.report.html.render import page
from evals.report.summarize import summarize
from evals.report.text import print_summary
from evals.stored import StoredRecords, read_records, whole, write_records

CONFIG = Config(gates={"default": Gate()})


def records_of(count):
    """Right, wrong, changed and incomplete answers, some of them repeats that differ."""
    seen = [called(), called(got=7, wrote=7), called(got=7), called(error="cut off")]
    answers = [answer_of(case_of(f"c{n:03}"), seen[n % 4]) for n in range(count)]
    again = [
        replace(answer_of(case_of("c000"), one), repeat=n) for n, one in enumerate(seen[1:], 1)
    ]
    return sorted([*answers, *again], key=lambda record: record.key)


@pytest.fixture
def stored(tmp_path):
    write_records(records_of(12), tmp_path / "records.jsonl")
    return StoredRecords.read(tmp_path / "records.jsonl")


def by_keys(told):
    """Figures whose first screen names records by their keys: whole and brief ones differ."""
    screen = told["first"]
    faults = [replace(fault, first=fault.first.key) for fault in screen.faults]
    return {**told, "first": replace(screen, faults=tuple(faults))}


def test_figures_of_brief_records_are_those_of_whole_ones(stored):
    every = records_of(12)
    told = []
    for records in (every, stored):
        summary = summarize(records, CONFIG, PRINT, RUN)
        text = io.StringIO()
        print_summary(summary, records, Console(file=text, width=200))
        told.append((summary, text.getvalue(), by_keys(figures(summary, records, [], None))))
        assert summary.profiles["default"].repeats.distinct == 2
    assert told[0] == told[1]
    assert page(summary, every) == page(summary, stored)


def test_whole_records_are_read_where_they_lie(stored):
    every = records_of(12)
    assert list(stored.whole()) == list(whole(every)) == every
    assert list(stored.whole([5, 2])) == list(whole(every, [5, 2])) == [every[2], every[5]]
    assert [record.key for record in stored] == [record.key for record in every]
    assert all(record.observation.raw_text is None for record in stored)


def test_parts_are_joined_by_key_and_the_latest_counts(tmp_path):
    a, b, c = records_of(3)[:3]
    newer = replace(b, asked_alone=True)
    write_records([c, b], tmp_path / "1")
    write_records([a, newer], tmp_path / "2")
    parts = [tmp_path / "1", tmp_path / "2"]
    joined = StoredRecords.join(tmp_path / "1", parts, {a.key, b.key}.__contains__)
    assert list(joined.whole()) == list(read_records(tmp_path / "1")) == [a, newer]


def test_a_last_line_without_its_end_is_a_line_of_its_own_when_joined(tmp_path):
    a, b = records_of(12)[:2]
    for name, record in (("1", a), ("2", b)):
        write_records([record], tmp_path / name)
        cut = (tmp_path / name).read_bytes().rstrip(b"\n")
        (tmp_path / name).write_bytes(cut)
    joined = StoredRecords.join(tmp_path / "joined", [tmp_path / "1", tmp_path / "2"])
    assert list(joined.whole()) == list(read_records(tmp_path / "joined")) == [a, b]


def test_an_error_while_records_are_written_leaves_the_old_ones(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(records_of(3), path)
    before = path.read_bytes()

    def broken():
        yield from records_of(2)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        StoredRecords.write(path, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_of_many_answers_lists_those_that_failed_and_says_so(monkeypatch):
    right = [answer_of(case_of(f"c{n:04}"), called(server_log="x" * 9_000)) for n in range(60)]
    wrong = [answer_of(case_of(f"wrong{n}"), called(got=7)) for n in range(3)]
    many = [*right, *wrong]
    summary = summarize(many, CONFIG, PRINT, RUN)
    assert "answers are listed" not in "".join(page(summary, many))
    monkeypatch.setattr(render, "MOST_LISTED", 40)
    assert "40 of 63 answers are listed, some of each kind of failure first" in "".join(
        page(summary, many)
    )
    monkeypatch.setattr(render, "LARGEST", 180_000)
    written = "".join(page(summary, many))
    assert len(written) < 180_000
    assert re.search(r"(20|10|5) of 63 answers are listed", written)
    assert all(
        f'cases/messages.yaml::wrong{n}[default-server]","title' in written for n in range(3)
    )


def test_a_page_of_one_answer_shows_it_shorter(monkeypatch):
    record = answer_of(case_of("long"), called(server_log="x" * 100_000))
    summary = summarize([record], CONFIG, PRINT, RUN)
    empty = sum(map(len, page(summarize([], CONFIG, PRINT, RUN), [])))
    monkeypatch.setattr(render, "LARGEST", empty + 15_000)
    assert 'messages.yaml::long[default-server]","title' in "".join(page(summary, [record]))


def test_a_page_without_room_for_all_lists_some_of_each_kind_of_failure(monkeypatch):
    lost = [answer_of(case_of(f"lost{n:03}"), called(got=7)) for n in range(200)]
    wrong = [answer_of(case_of(f"wrong{n:03}"), called(1, wrote=1)) for n in range(200)]
    many = [*lost, *wrong, answer_of(case_of("right"), called())]
    monkeypatch.setattr(render, "MOST_LISTED", 120)
    written = "".join(page(summarize(many, CONFIG, PRINT, RUN), many))
    listed = re.findall(r"cases/messages.yaml::([a-z]+)[0-9]*\[default-server\]\",\"title", written)
    assert Counter(listed) == {"lost": 70, "wrong": 50}
