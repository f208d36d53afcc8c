"""A pair of runs, their report, and a real browser to look at it."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_runs import BIG, answer_of, called, case_of, write_run
from playwright.sync_api import Browser, Page, sync_playwright

from evals.observation import Event, Observation
from evals.report.html.files import report_run


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium without a window. Skipped where there is none, but never in CI.

    It ends with its module: until then an event loop runs in this thread, where tests of other
    modules could start none of their own.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = [path for name in names if (path := shutil.which(name))]
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    found += [str(mac)] if mac.exists() else []
    if not found:
        reason = f"no browser: none of {', '.join(names)} (Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0])
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page from a file; fails if any page says, asks for, or pops up anything at all."""
    heard: list[str] = []
    contexts = []

    def look(path: Path, **options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on(
            "dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on("popup", lambda other: heard.append(f"popup: {other.url}"))
        address = path.as_uri()
        page.on(
            "request",
            lambda request: (
                request.url.partition("#")[0] == address or heard.append(f"request: {request.url}")
            ),
        )
        page.goto(address)
        return page

    yield look
    for context in contexts:
        context.close()
    assert heard == []


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: in `after`, six cases that passed in `before` lose a digit on the way.

    Both have a wrong value of the model's own, a right answer, and an error.
    """
    folder = tmp_path_factory.mktemp("runs")
    for name, day, got in (("before", 1, BIG), ("after", 2, BIG - 1)):
        records = [answer_of(case_of(f"digit-{i}"), called(got)) for i in range(6)]
        records.append(answer_of(case_of(f"own-{'very' * 15}-long-mistake"), called(1, wrote=1)))
        records.append(
            answer_of(
                case_of("hello", "Say hello.", {"answer": {}}),
                Observation("server", 200, content="Hello!", finish_reason="stop", seconds=0.2),
            )
        )
        records.append(
            answer_of(case_of("cut"), Observation("server", None, error="the connection was cut"))
        )
        head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        event = Event(0.3, json.dumps({**head, "choices": []}))
        streamed = called(got, lane="stream", raw_text=None, token_ids=None, events=(event,))
        records.append(answer_of(case_of("digit-0"), streamed, plain=called(got)))
        write_run(folder / name, records, f"2026-01-0{day}T00:00:00+00:00")
    return folder


@pytest.fixture(scope="session")
def report(two_runs: Path) -> Path:
    """The page of `after`, which finds `before` beside it by itself."""
    return report_run(two_runs / "after")
