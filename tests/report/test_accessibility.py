"""axe-core finds nothing in any view of report.html, nor in a scorecard.

At a desk and on a phone, light and dark.

axe-core comes from npm, pinned by `axe/`, once, into the cache. Without npm or a browser these
tests are skipped, with the reason, but never in CI.
"""

import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import answer_of, called, case_of, write_run

from evals.config import cache_folder
from evals.models.cache import build_once
from evals.observation import Observation
from evals.report.html.files import report_run
from evals.report.scorecard import cards
from evals.report.scorecard import page as scorecard
from evals.report.summary import Machine, ServerDeath
from evals.report.summary_file import write_summary

PACKAGE = Path(__file__).with_name("axe")
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SCREENS = {
    f"{name}, {scheme}": {"viewport": size, "color_scheme": scheme}
    for name, size in SIZES.items()
    for scheme in ("light", "dark")
}
FOUND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(
  v => `${v.impact}: ${v.id}: ${v.help}: ${v.nodes.map(n => n.target.join(' ')).join(', ')}`)"""


@pytest.fixture(scope="module")
def axe():
    """The text of axe-core's script."""
    without = pytest.fail if os.environ.get("CI") else pytest.skip
    if not shutil.which("npm"):
        without("no npm: axe-core comes from there (Debian: apt-get install nodejs npm)")
    digest = hashlib.sha256((PACKAGE / "package-lock.json").read_bytes()).hexdigest()
    try:
        folder = build_once(cache_folder() / f"axe-{digest[:12]}", install)
    except subprocess.CalledProcessError as error:
        without(f"npm could not install axe-core: {error}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def install(folder):
    shutil.copytree(PACKAGE, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True)


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_in_any_view(axe, look, report, screen):
    page = look(report, **SCREENS[screen])
    page.evaluate(axe)
    page.evaluate("location.hash = '#/cases?q=digit-0'")
    page.wait_for_selector("#list tbody a")
    case = page.locator("#list a").first.get_attribute("href")
    for view in ("#/", "#/cases", case, "#/pictures", "#/run"):
        page.evaluate("view => { location.hash = view }", view)
        name = "view-case" if view == case else f"view-{view[2:] or 'summary'}"
        page.wait_for_selector(f"#{name}:not([hidden])")
        # What is folded is looked at as well.
        page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
        assert page.evaluate(FOUND) == [], view


@pytest.fixture(scope="module")
def eventful(tmp_path_factory):
    """A run whose first screen has all the rows there are: slower, dead, silent, not asked."""
    folder = tmp_path_factory.mktemp("eventful")
    names = [f"c-{n}" for n in range(16)]
    before = [answer_of(case_of(name), called()) for name in names]
    slow = [answer_of(case_of(name), called(1, wrote=1, seconds=3.0)) for name in names[:13]]
    cut = Observation("server", None, error="the connection <b>was</b> cut")
    silent = [answer_of(case_of(name), cut) for name in names[13:15]]
    was = write_run(folder / "before", before, started="2026-01-01T00:00:00+00:00")
    summary = write_run(folder / "now", [*slow, *silent], machine=Machine(system="Darwin"))
    when, how = "2026-01-02T03:04:05+00:00", "died of signal 9"
    death = ServerDeath(profile="default", when=when, how=how, in_flight=("cases/a.yaml::x",))
    missing = {"missing": ("cases/messages.yaml::c-15[default-server]",), "merged": ("s-1 (1/2)",)}
    run = replace(summary.run, deaths=(death,), whole=False, **missing)
    write_summary(replace(summary, run=run), folder / "now")
    (folder / "scorecard.html").write_text(scorecard(cards([was, summary])), encoding="utf-8")
    return folder


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_in_any_row_of_the_first_screen_nor_in_a_scorecard(
    axe, look, eventful, screen
):
    page = look(report_run(eventful / "now", against=eventful / "before"), **SCREENS[screen])
    rows = page.locator(".minute dt").all_inner_texts()
    assert {"Worse?", "Server", "Whose fault?", "What next?", "Slower", "Also changed"} <= {*rows}
    assert page.locator(".minute q").count() == 1
    page.evaluate(axe)
    assert page.evaluate(FOUND) == []
    card = look(eventful / "scorecard.html", **SCREENS[screen])
    card.evaluate(axe)
    assert card.evaluate(FOUND) == []


def test_axe_finds_a_planted_fault(axe, look, report):
    page = look(report)
    page.evaluate(axe)
    page.evaluate("document.querySelector('h1').append(document.createElement('img'))")
    (found,) = page.evaluate(FOUND)
    assert found.startswith("critical: image-alt: ")
